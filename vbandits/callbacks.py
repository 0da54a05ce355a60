"""Callbacks that are ready: a log of JSON lines, and adapters of TensorBoard, Weights & Biases, MLflow and trackio.

    vbandits.run(..., callbacks=[Log("run.jsonl"), TensorBoard("runs")])

What the adapters send are means over the seeds of a job, in a run of its own for every job. They need the packages
of those names, which vbandits does not install. What a callback of your own is told is in `Callback`.
"""

import importlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from vbandits.experiment.callbacks import Callback, JobEnd, JobInfo, Step, Update

__all__ = ["Callback", "JobEnd", "JobInfo", "Log", "MLflow", "Step", "TensorBoard", "Trackio", "Update", "WandB"]

SCHEMA = 1
"""Version of the log's lines: it grows when a field changes its meaning or goes, not when one is added."""
Points = Annotated[int, Field(ge=1)]


class Thinned:
    """Says which of the steps of a job are let through: evenly spaced ones, and the last."""

    def __init__(self, points: int) -> None:
        self._points, self._reached = points, 0

    def __call__(self, step: int, steps: int) -> bool:
        """Says whether a step out of so many is let through."""
        reached = min(step, steps) * self._points // max(steps, 1) if steps > self._points else step
        new, self._reached = reached > self._reached, max(reached, self._reached)
        return new


@dataclass
class Log(Callback):
    """Appends lines of JSON to a file, that can be followed while it grows: those of all jobs, each line whole.

    Every line has `schema` (1), `event`, `time` (seconds since 1970), `key`, `benchmark`, the names of problem and
    method (`environment` and `agent`, ...), `seeds` (of the event), `steps` (of the job), and by its event:

    - "step": `step` (taken by now), `mean` (over seeds, of what is measured, by name; without what is not finite).
    - "update": `step`, `seconds` (of this one), `updates` (so far), `diverged` (how many seeds).
    - "job_end": `status` ("done" or "failed"), `reason` (or null), `failures` (seeds), `seconds` (by purpose), `last`
      (means of what was told last).

    Attributes:
        path: the file; it is appended to. Many jobs write to one file of a local disk; over a network, give each
            machine its own.
        points: most steps, and most updates, of a job that are written, evenly spaced.
    """

    path: Path
    points: Points = 200

    def __post_init__(self) -> None:
        self.path = Path(self.path).expanduser().resolve()  # a worker may stand in another folder
        if not self.path.parent.is_dir() or self.path.is_dir():
            raise ValueError(f"expected a file in a folder that exists, got {str(self.path)!r}")
        self._begin()

    def _begin(self) -> None:
        self._steps, self._learned, self._updates = Thinned(self.points), Thinned(self.points), 0

    def on_step(self, event: Step) -> None:
        """Writes a step."""
        if self._steps(event.step, event.job.steps):
            self._write("step", event.job, seeds=list(event.seeds), step=event.step, mean=event.means())

    def on_update(self, event: Update) -> None:
        """Writes an update."""
        self._updates += 1
        if self._learned(event.step, event.job.steps) or self._updates == 1:
            diverged = int(event.diverged.sum())
            told = {"step": event.step, "seconds": event.seconds, "updates": self._updates, "diverged": diverged}
            self._write("update", event.job, **told)

    def on_job_end(self, event: JobEnd) -> None:
        """Writes how a job ended."""
        marker = event.marker
        told = {name: marker.get(name) for name in ("status", "reason", "failures")}
        self._write("job_end", event.job, **told, seconds=marker.get("seconds", {}), last=marker.get("last", {}))
        self._begin()  # where jobs run in this process, the next one is told to the same instance

    def _write(self, event: str, job: JobInfo, **content: Any) -> None:
        head = {"schema": SCHEMA, "event": event, "time": time.time(), "key": job.key, "benchmark": job.benchmark}
        line = head | dict(job.names) | {"seeds": list(job.seeds), "steps": job.steps} | content
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:  # one call: lines of several processes stand one after another
            os.write(handle, (json.dumps(line) + "\n").encode())
        finally:
            os.close(handle)


@dataclass
class Tracker(Callback):
    """What the adapters have in common: a run for every job, with the means of at most `points` of its steps.

    Attributes:
        points: most steps of a job that are sent, evenly spaced.
    """

    package: ClassVar[str] = ""
    """What has to be installed, and how: "wandb"; nothing if empty."""
    module: ClassVar[str] = ""
    """What is imported of it, where that is not called as the package is."""

    points: Points = 200

    def __post_init__(self) -> None:
        self._thinned, self._run, self._sent = Thinned(self.points), None, 0

    def on_step(self, event: Step) -> None:
        """Sends a step."""
        if self._thinned(event.step, event.job.steps):
            self._note(event.job, event.means(), event.step)

    def on_job_end(self, event: JobEnd) -> None:
        """Sends what was told last, and ends the run."""
        last = event.marker.get("last", {})
        if self._sent < event.job.steps and last:
            self._note(event.job, last, event.job.steps)
        run, failed = self._run, event.marker["status"] != "done"
        self.__post_init__()  # also if the run cannot be ended
        if run is not None:
            self.finish(run, failed)

    def _note(self, job: JobInfo, values: dict[str, float], step: int) -> None:
        if values:
            self._run = self.start(job) if self._run is None else self._run
            self.send(self._run, values, step)
            self._sent = step

    def start(self, job: JobInfo) -> Any:
        """Begins the run of a job."""
        raise NotImplementedError

    def send(self, run: Any, values: dict[str, float], step: int) -> None:
        """Sends the values of a step."""
        raise NotImplementedError

    def finish(self, run: Any, failed: bool) -> None:
        """Ends a run."""
        raise NotImplementedError

    @classmethod
    def require(cls) -> None:
        """Raises an ImportError if its package is not installed."""
        if cls.package or cls.module:
            cls.imported()

    @classmethod
    def imported(cls) -> Any:
        """Returns the module.

        Raises:
            ImportError: with what is to be installed.
        """
        try:
            return importlib.import_module(cls.module or cls.package)
        except ImportError as error:
            raise ImportError(
                f"{cls.__name__} needs the package {cls.package}: pip install {cls.package} ({error})"
            ) from None


@dataclass
class TensorBoard(Tracker):
    """Writes event files for TensorBoard, a folder for every job: `tensorboard --logdir runs`.

    Attributes:
        folder: of the folders.
    """

    package, module = "tensorboard", "torch.utils.tensorboard"
    folder: Path = Path("runs")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.folder = Path(self.folder).expanduser().resolve()

    def start(self, job: JobInfo) -> Any:
        """Opens a folder."""
        return self.imported().SummaryWriter(str(self.folder / job.key))

    def send(self, run: Any, values: dict[str, float], step: int) -> None:
        """Adds scalars."""
        for name, value in values.items():
            run.add_scalar(name, value, step)

    def finish(self, run: Any, failed: bool) -> None:
        """Closes the file."""
        run.close()


@dataclass
class Project(Tracker):
    """What W&B, MLflow and trackio have in common.

    Attributes:
        project: that the runs belong to.
        group: that they belong to within it; none by default.
    """

    project: str = "vbandits"
    group: str | None = None


@dataclass
class WandB(Project):
    """Logs to Weights & Biases: https://docs.wandb.ai/ref/python."""

    package = "wandb"

    def start(self, job: JobInfo) -> Any:
        """Starts a run."""
        told = {"name": job.label, "config": config(job)}
        return self.imported().init(project=self.project, group=self.group, reinit="create_new", **told)

    def send(self, run: Any, values: dict[str, float], step: int) -> None:
        """Logs metrics."""
        run.log(values, step=step)

    def finish(self, run: Any, failed: bool) -> None:
        """Finishes the run."""
        run.finish(exit_code=int(failed))


@dataclass
class MLflow(Project):
    """Logs to MLflow: https://mlflow.org/docs/latest/ml/tracking. Where is said by MLFLOW_TRACKING_URI."""

    package = "mlflow"

    def start(self, job: JobInfo) -> Any:
        """Starts a run."""
        mlflow = self.imported()
        mlflow.set_experiment(self.project)
        tags = {} if self.group is None else {"group": self.group}
        mlflow.start_run(run_name=job.label, nested=True, tags=tags)
        mlflow.log_params(config(job))
        return mlflow

    def send(self, run: Any, values: dict[str, float], step: int) -> None:
        """Logs metrics."""
        run.log_metrics(values, step=step)

    def finish(self, run: Any, failed: bool) -> None:
        """Ends the run."""
        run.end_run("FAILED" if failed else "FINISHED")


@dataclass
class Trackio(Project):
    """Logs to trackio, which keeps runs on this machine: https://huggingface.co/docs/trackio."""

    package = "trackio"

    def start(self, job: JobInfo) -> Any:
        """Starts a run."""
        trackio = self.imported()
        trackio.init(project=self.project, name=job.label, group=self.group, config=config(job))
        return trackio

    def send(self, run: Any, values: dict[str, float], step: int) -> None:
        """Logs metrics."""
        run.log(values, step=step)

    def finish(self, run: Any, failed: bool) -> None:
        """Finishes the run."""
        run.finish()


def config(job: JobInfo) -> dict[str, Any]:
    """Returns what a run is of, as trackers keep it."""
    names = dict(job.names)
    return {**names, "seeds": str(list(job.seeds)), "steps": job.steps, "device": job.device, "key": job.key}
