"""Disturbs runs at random moments, and compares what they leave with what a run leaves that nobody disturbed.

    python -m tests.chaos --rounds 20 --seed 0

A round disturbs a run several times (signals to it and to its workers, a second run in its folder, a clock that jumps,
files that are damaged while it is stopped, a full disk), lets it go on to its end, and then demands: the same tables,
byte for byte, every job once, no traceback, and no process left. Linux alone: processes are looked up in /proc.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

EXPERIMENT = """
name = "small"
seeds = 6
block = 1
steps = 24
checkpoint = 0.1
environments = [{ id = "own_envs:Slow", label = "slow", kwargs = { seconds = SECONDS } }, "vbandits/Wheel-v0"]
agents = ["linear-ts"]
"""
OWN = """
import os
import time
from pathlib import Path

import gymnasium
import numpy as np


class Slow(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-9, 9, (3,)), gymnasium.spaces.Discrete(2)

    def __init__(self, seconds=0.0, asleep=None):
        self.seconds, self.asleep = seconds, asleep

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.standard_normal(3, np.float32).clip(-9, 9), {}

    def step(self, action):
        if self.asleep:
            Path(self.asleep, str(os.getpid())).touch()
        time.sleep(self.seconds)
        context, _ = self.reset()
        return context, float(action), False, False, {"regret": 1.0 - action}
"""
CLOCK = """
import os
import time


def shifted(read, unit):
    def now():
        try:
            with open(os.environ["VBANDITS_CHAOS_CLOCK"]) as file:
                return read() + int(file.read() or 0) * unit
        except OSError:
            return read()

    return now


time.time, time.time_ns = shifted(time.time, 1), shifted(time.time_ns, 10**9)
"""
"""What Python imports as it starts: from then on its clock is as many seconds off as a file says."""
JOBS = 24
"""Of the experiment: two environments, two agents, six seeds."""
MARK = "VBANDITS_CHAOS"
"""Variable of the environment by which the processes of a round are known, whoever their parents are."""
PATIENCE = 240.0
"""Seconds in which a run must end."""


def write_experiment(folder: Path, seconds: str = "0.03") -> Path:
    """Writes the experiment and its environment, a step of which takes some seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.toml").write_text(EXPERIMENT.replace("SECONDS", seconds))
    (folder / "own_envs.py").write_text(OWN)
    (folder / "clock").mkdir(exist_ok=True)
    (folder / "clock" / "sitecustomize.py").write_text(CLOCK)
    return folder


def tables(folder: Path) -> dict[str, bytes]:
    """Returns the bytes of all tables of a results folder."""
    return {path.name: path.read_bytes() for path in Path(folder, "cells").glob("*.parquet")}


def children(process: int) -> set[int]:
    """Returns the processes that a process has started."""
    found = set[int]()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):
                found.update(map(int, (task / "children").read_text().split()))
    return found


def workers_of(process: int) -> list[int]:
    """Returns the processes in which a run has its jobs done."""
    found = []
    for one in sorted(children(process)):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{one}/cmdline").read_bytes()
            if b"popen_loky" in command or b"spawn_main" in command:  # of dask
                found.append(one)
    return found


def left(folder: Path) -> dict[int, str]:
    """Returns the processes that belong to a folder and have not ended, with their commands."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={folder}\0".encode() in (path / "environ").read_bytes():
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


class ChaosError(Exception):
    """A disturbance has changed something."""


class Round:
    """One folder, in which an experiment is disturbed and brought to its end; `happened` says what was done."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random, self.happened = write_experiment(folder), random.Random(seed), list[str]()
        self.out, self.hours = folder / "out", folder / "hours"

    def play(self, expected: dict[str, bytes]) -> None:
        """Disturbs the run, lets it end, and compares.

        Raises:
            ChaosError: if anything is different from what a run leaves that nobody disturbed.
        """
        with contextlib.ExitStack() as stack:
            if self.random.random() < 0.25:
                self.full_disk(stack)
            last = self.random.choice([self.hurt, self.freeze, self.twice, self.jump])  # after which the run has ended
            for disturb in [*[self.stop] * self.random.randint(1, 3), last]:
                disturb()
                self.nobody_is_left()
                if self.random.random() < 0.5:
                    self.damage()
            self.undisturbed(self.start(), 0)
            self.nobody_is_left()
            self.compare(expected)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the environment of its processes."""
        paths = [str(self.folder / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {MARK: str(self.folder), f"{MARK}_CLOCK": str(self.hours), "PYTHONPATH": os.pathsep.join(paths)}
        return {**os.environ, **own}

    def start(self) -> "subprocess.Popen[bytes]":
        """Starts the run, or goes on with it; at times by dask."""
        command = ["run", "small.toml", "--out", "out", "--workers", "2"]
        if self.random.random() < 0.1:
            self.happened.append("dask")
            command += ["--engine", "dask"]
        return self.process(*command)

    def process(self, *command: str) -> "subprocess.Popen[bytes]":
        """Starts a command."""
        with open(self.folder / "log", "ab") as log:
            log.write(f"\n$ vbandits {' '.join(command)}\n".encode())
            log.flush()
            whole = [sys.executable, "-m", "vbandits", *command]
            return subprocess.Popen(whole, cwd=self.folder, env=self.environment, stdout=log, stderr=log)

    def ends(self, run: "subprocess.Popen[bytes]", *codes: int) -> None:
        """Waits for the end of a run, with one of some exit codes."""
        try:
            if run.wait(PATIENCE) not in codes:
                self.fail(f"exit code {run.returncode}, expected {codes}")
        except subprocess.TimeoutExpired:
            self.fail("the run does not end")

    def undisturbed(self, run: "subprocess.Popen[bytes]", *codes: int) -> None:
        """Waits for the end of a process that nothing happens to: it tells what it finds in words."""
        self.ends(run, *codes)
        if "Traceback" in (self.folder / "log").read_text(errors="replace").rpartition("\n$ vbandits ")[2]:
            self.fail("a traceback")

    def moment(self, run: "subprocess.Popen[bytes]") -> None:
        """Waits for a random moment: at times while the run starts, mostly while it works."""
        if self.random.random() < 0.25:
            time.sleep(self.random.uniform(0.0, 8.0))
            return
        before, end = len(tables(self.out)), time.monotonic() + PATIENCE
        while len(tables(self.out)) <= before and run.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(self.random.uniform(0.0, 1.0))

    def signal(self, process: int, number: signal.Signals) -> None:
        """Sends a signal to a process, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)

    def stop(self) -> None:
        """Stops a run, by whatever signal; at times while its workers are frozen."""
        run, before = self.start(), len(tables(self.out))
        self.moment(run)
        number = self.random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        frozen = number == signal.SIGKILL and self.random.random() < 0.3
        workers = workers_of(run.pid) if frozen else []
        for worker in workers:
            self.signal(worker, signal.SIGSTOP)
        self.happened.append(f"{number.name} to the head{' of frozen workers' if frozen else ''}")
        self.signal(run.pid, number)
        # 130 of our own; before it listens, Python's; 0 where it had done its work
        self.ends(run, 0, 1, 130, -number)
        if len(tables(self.out)) == before:  # they may not have come so far as to ask the kernel to end them
            for worker in workers:
                self.signal(worker, signal.SIGCONT)

    def hurt(self) -> None:
        """Ends a worker, which the run must survive."""
        run = self.start()
        self.moment(run)
        if workers := workers_of(run.pid):
            number = self.random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
            self.happened.append(f"{number.name} to a worker")
            self.signal(self.random.choice(workers), number)
        self.ends(run, 0)

    def freeze(self) -> None:
        """Stops a run, or a worker, for a moment."""
        run = self.start()
        self.moment(run)
        whom = self.random.choice([run.pid, *workers_of(run.pid)])
        self.happened.append(f"SIGSTOP and SIGCONT to {'the head' if whom == run.pid else 'a worker'}")
        self.signal(whom, signal.SIGSTOP)
        time.sleep(self.random.uniform(0.2, 2.0))
        self.signal(whom, signal.SIGCONT)
        self.ends(run, 0)

    def twice(self) -> None:
        """Starts two runs at once, of which one is refused, unless the other has ended."""
        first, second = self.start(), self.start()
        self.happened.append("two at once")
        self.ends(first, 0, 2)
        self.ends(second, 0, 2)
        if first.returncode == second.returncode == 2:
            self.fail("both of two runs were refused")

    def jump(self) -> None:
        """Has the clock jump by hours, twice in a run, forwards or backwards."""
        run = self.start()
        for _ in range(2):
            self.moment(run)
            hours = self.random.choice([-1, 1]) * self.random.randint(1, 48)
            self.happened.append(f"a clock {'ahead' if hours > 0 else 'behind'}")
            self.hours.write_text(str(hours * 3600))
        self.ends(run, 0)

    def damage(self) -> None:
        """Cuts a file short, or turns a bit of it; at times a report is asked for of what is left."""
        kinds = ["cells/*.parquet", "cells/*.parquet", "cells/*[0-9a-f].json", "cells/*.safetensors", "experiment.json"]
        files = [sorted(self.out.glob(kind)) for kind in kinds]
        if not any(files):
            return
        path = self.random.choice(self.random.choice([found for found in files if found]))
        content = bytearray(path.read_bytes())
        if cut := self.random.random() < 0.3:
            del content[self.random.randrange(len(content)) :]
        else:
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
        path.write_bytes(content)
        what = path.name if path.name == "experiment.json" else path.suffix
        self.happened.append(f"{'the end' if cut else 'a bit'} of {what}")
        if self.random.random() < 0.3:
            self.happened.append("a report")
            self.undisturbed(self.process("report", "out"), 0, 1, 2)

    def full_disk(self, stack: contextlib.ExitStack) -> None:
        """Runs on a disk that is too small, which then grows; where mounting is not permitted, nothing happens."""
        self.out.mkdir()
        size = f"size={self.random.randint(16, 200)}k"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", self.out], capture_output=True).returncode:
            return
        stack.callback(subprocess.run, ["umount", "-l", self.out], check=True)
        self.happened.append(f"a full disk, {size}")
        self.ends(self.start(), 1, 2)
        self.nobody_is_left()
        subprocess.run(["mount", "-o", "remount,size=64m", self.out], check=True)

    def nobody_is_left(self) -> None:
        """Waits for all processes of the run to end."""
        end = time.monotonic() + 60.0
        while found := left(self.folder):
            if time.monotonic() > end:
                self.fail(f"processes are left: {found}")
            time.sleep(0.05)

    def compare(self, expected: dict[str, bytes]) -> None:
        """Compares tables byte for byte, and counts jobs."""
        found = tables(self.out)
        if different := [name for name in {*found} | {*expected} if found.get(name) != expected.get(name)]:
            self.fail(f"tables differ: {sorted(different)}")
        markers = [json.loads(path.read_text()) for path in Path(self.out, "cells").glob("*.json")]
        counted = Counter(
            (one["environment"], one["agent"], *one["seeds"]) for one in markers if one["status"] == "done"
        )
        if len(counted) != JOBS or set(counted.values()) != {1}:
            self.fail(f"expected {JOBS} jobs, each once, got {counted}")

    def fail(self, reason: str) -> None:
        """Ends what is left, and tells."""
        log = (self.folder / "log").read_text(errors="replace")[-4000:]
        for process in left(self.folder):
            self.signal(process, signal.SIGKILL)
        raise ChaosError(f"{reason}\nafter: {', '.join(self.happened)}\n{log}")


def play(rounds: int, seed: int, tell: Callable[[str], None] = print) -> Counter[str]:
    """Plays rounds, and returns how often what was done.

    Raises:
        ChaosError: at the first that is not as it should be.
    """
    done = Counter[str]()
    with tempfile.TemporaryDirectory(prefix="chaos-") as place:
        undisturbed = Round(Path(place, "undisturbed"), 0)
        undisturbed.ends(undisturbed.start(), 0)
        expected = tables(undisturbed.out)
        if len(expected) < JOBS:
            undisturbed.fail(f"expected {JOBS} tables, got {len(expected)}")
        for number in range(seed, seed + rounds):
            one, begun = Round(Path(place, f"round-{number}"), number), time.monotonic()
            one.play(expected)
            done.update(one.happened)
            tell(f"{number}: {time.monotonic() - begun:.0f} s: {', '.join(one.happened)}")
    return done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; each has the next")
    chosen = parser.parse_args()
    counted = play(chosen.rounds, chosen.seed)
    print(f"{chosen.rounds} rounds, {sum(counted.values())} disturbances, nothing lost or different: {dict(counted)}")
