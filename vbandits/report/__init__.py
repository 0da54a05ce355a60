"""The report of an experiment: one self-contained page, the same in Markdown, and the summary as CSV."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vbandits.results import StoredResults

__all__ = ["write"]


def write(results: "StoredResults", folder: Path) -> Path:
    """Writes index.html, report.md and summary.csv into `folder`, each at once or not at all.

    The same results give the same bytes.

    Returns:
        The page's path.
    """
    from vbandits.active.results import ActiveResults
    from vbandits.report import active, content, markdown, page, supervised
    from vbandits.results import Results
    from vbandits.store import write_text
    from vbandits.supervised.results import SupervisedResults

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(results, SupervisedResults):
        report = supervised.report(results)
        html = supervised.render(report, results)
    elif isinstance(results, ActiveResults):
        report = active.report(results)
        html = active.render(report, results)
    else:
        assert isinstance(results, Results)
        report = content.report(results)
        html = page.render(report, results)
    write_text(folder / "summary.csv", results.summary().to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    write_text(folder / "report.md", markdown.render(report))
    write_text(folder / "index.html", html)
    return folder / "index.html"
