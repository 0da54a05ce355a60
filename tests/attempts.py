"""Command lines that are tried in this process: how they end, how long they take, and what they write and start."""

import contextlib
import io
import itertools
import os
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import vbandits.api
from tests.fuzzing import FILE, MODULES, Case
from vbandits.cli import main

LONG = 60.0
"""CPU seconds after which an example hangs; those of a clock would tell a slow machine from a fast one."""
MOST = 3 * 2**30
"""Bytes that examples may take: more is refused, or an error that is told."""


class Hang(BaseException):
    """Raised where an example takes too long."""


class Outside:
    """Notes what is written, removed or executed outside a folder while it is watched."""

    WRITES = ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.symlink", "os.link", "os.truncate", "shutil.rmtree")
    RUNS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.found: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple) -> None:
        if self.folder is None or not (event == "open" or event in self.WRITES or event in self.RUNS):
            return
        if event in self.RUNS and arguments[0] not in ("git", "uname", "lscpu"):  # the commit, the machine
            self.found.append(f"{event}{arguments!r}")
        if event in self.RUNS:
            return
        if event == "open" and not (
            isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        ):
            return
        path = arguments[0]
        if isinstance(path, int) or path is None:
            return
        place = os.path.abspath(os.fsdecode(path))
        if "__pycache__" in Path(place).parts:  # Python's own, of what is imported first
            return
        if not place.startswith((f"{self.folder}/results", f"{self.folder}/__pycache__", os.devnull)):
            self.found.append(f"{event} {place}")

    @contextlib.contextmanager
    def watching(self, folder: Path) -> Iterator[None]:
        self.folder, self.found = folder, []
        try:
            yield
        finally:
            self.folder = None


OUTSIDE: list[Outside] = []


@contextlib.contextmanager
def surroundings() -> Iterator[Path]:
    """A folder with a user's modules, in which examples are tried; no job runs, and nothing is fetched."""
    before = Path.cwd()
    folder = Path(tempfile.mkdtemp())
    for name, text in MODULES.items():
        (folder / name).write_text(text)
    (folder / "log.csv").write_text("x,action,reward,propensity\n" + "1,0,1,0.5\n2,1,0,0.5\n" * 10)
    path, limits = [*sys.path], resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST, limits[1]))
    os.chdir(folder)
    try:
        with (
            mock.patch.object(vbandits.api.engines, "opened", side_effect=SystemExit(0)),
            mock.patch("sklearn.datasets.fetch_openml", side_effect=OSError("no network")),
            mock.patch("sklearn.datasets.fetch_covtype", side_effect=OSError("no network")),
            mock.patch("urllib.request.urlopen", side_effect=OSError("no network")),
        ):
            yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        os.chdir(before)
        sys.path[:] = path
        for name in MODULES:
            sys.modules.pop(name[:-3], None)
        shutil.rmtree(folder, ignore_errors=True)


def attempt(case: Case, folder: Path) -> tuple[str, int]:
    """Tries a command line in a folder as `surroundings` gives it.

    Returns:
        What is wrong, "" if nothing is, and the exit code.
    """
    if not OUTSIDE:
        OUTSIDE.append(Outside())
    (folder / FILE).write_bytes(case.content)
    names = {path.name for path in folder.iterdir()}
    out, err, outside = io.StringIO(), io.StringIO(), OUTSIDE[0]

    def late(*_):
        raise Hang

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, LONG)
    waits = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 20 * LONG)  # one that waits takes no CPU time
    code: object = None
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
            outside.watching(folder),
        ):
            warnings.simplefilter("ignore")
            main([*case.arguments])
    except SystemExit as end:
        code = end.code
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, waits)
        shutil.rmtree(folder / "results", ignore_errors=True)
    wrong = []
    left = {path.name for path in folder.iterdir()} - names - {"results", "__pycache__"}
    own = {"results", *(word.split("/")[0] for word in _given(case.arguments))}
    if left - own:
        wrong.append(f"left {sorted(left)}")
    for name in left:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    wrong += [f"outside: {found[:200]}" for found in outside.found if not any(f"/{one}" in found for one in own if one)]
    if code not in (0, 2):
        wrong.append(f"exit code {code}")
    said = err.getvalue() + out.getvalue()
    if code == 2 and len(said.strip()) < 10:
        wrong.append("no message")
    if "Traceback" in said:
        wrong.append("a traceback")
    if len(said) > 200_000:
        wrong.append(f"{len(said)} letters")
    if {"\x1b", "\x00"} & set(said):
        wrong.append("what a terminal obeys")
    return "; ".join(wrong), code if isinstance(code, int) else -1


def _given(arguments: tuple[str, ...]) -> set[str]:
    """Returns the folders and files that a command line names to be written to."""
    pairs = itertools.pairwise(arguments)
    return {word for option, word in pairs if option in ("--out", "--log", "--write")}
