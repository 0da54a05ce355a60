"""The report of an experiment: one self-contained page, the same in Markdown, and the summary as CSV."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vbandits.experiment.results import StoredResults

__all__ = ["write"]


def write(results: "StoredResults", folder: Path) -> Path:
    """Writes index.html, report.md and summary.csv into `folder`, each at once or not at all.

    The same results give the same bytes.

    Returns:
        The page's path.
    """
    from vbandits.benchmarks.active import report as active
    from vbandits.benchmarks.active.results import ActiveResults
    from vbandits.benchmarks.bandits import report as content
    from vbandits.benchmarks.bandits.results import Results
    from vbandits.benchmarks.supervised import report as supervised
    from vbandits.benchmarks.supervised.results import SupervisedResults
    from vbandits.experiment.store import write_text
    from vbandits.report import markdown, page

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
