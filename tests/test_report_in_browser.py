"""The page in a browser: nothing cut off, no errors, at a phone's width and at a desk's."""

import re
import shutil
import subprocess

import pytest

from tests import active_results
from tests.bandit_results import MIXED, results
from vbandits.experiment.report import write

PROBE = """<pre id="probe"></pre><script>
addEventListener("load", () => {
  const root = document.documentElement, wide = root.clientWidth;
  const out = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll") && !e.closest("svg")
    && e.getBoundingClientRect().right > wide + 1).map(e => e.tagName + "." + e.className);
  const small = [...document.querySelectorAll("svg.figure text")].filter(e => e.getBoundingClientRect().height < 9);
  document.getElementById("probe").textContent = JSON.stringify([root.scrollWidth, wide, out, small.length]);
});</script>"""


def bandits():
    slopes = {f"agent with a long name {i}": 0.1 * (i + 1) for i in range(6)} | {"uniform": 1.0}
    return results(**MIXED | {"slopes": slopes, "failed": (("wheel", "uniform", "Broken" * 60),)})


def active():
    problems = (active_results.problem("digits"), active_results.problem("clicks", "regression", "stream"))
    failed = [("digits", "dropout badge", "Broken" * 60)]
    return active_results.results(
        problems, tuple(active_results.METHODS), tuple(active_results.PURSUITS), failed=failed
    )


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 800, 1440])
@pytest.mark.parametrize("kind", ["bandits", "active"])
def test_page_fits_the_screen(tmp_path, kind, width):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium to open the page with")
    path = write(bandits() if kind == "bandits" else active(), tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + PROBE, encoding="utf-8")
    # Some versions of Chromium have no window below 500: in a frame of the wanted width the page is as on a phone.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="{path.name}" style="width:{width}px;height:900px;border:0"></iframe>'
        '<script>addEventListener("load",()=>{document.title=document.querySelector("iframe")'
        '.contentDocument.getElementById("probe").textContent})</script>'
    )
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr",
        "--hide-scrollbars",
        "--virtual-time-budget=3000",
        f"--window-size={width + 100},1000",
        "--dump-dom",
        frame.as_uri(),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in shown.stderr
    found = re.search(r"<title>\[(\d+),(\d+),\[(.*?)\],(\d+)\]</title>", shown.stdout)
    assert found is not None, shown.stdout[-500:]
    assert int(found[2]) == width
    assert int(found[1]) <= width
    assert found[3] == ""
    assert found[4] == "0"
