"""Several of a user's environments in processes of their own, for environments that are slow."""

import contextlib
import copy
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any

import cloudpickle
import numpy as np

from vbandits.envs.sub_environment import SubEnvironment
from vbandits.envs.together import Together, require_alike
from vbandits.source_hash import place

START = "import sys; sys.path[:] = sys.argv[1:]; del sys.argv[1:]; from vbandits.envs.processes import serve; serve()"
"""What a process runs, given the places where modules are found."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
GRACE = 5.0
"""Seconds that a process has to close its environments."""
FOLLOWED = ("info", "counts", "told")
"""What changes of a sub-environment from call to call and is looked at from outside."""


class Follower:
    """A sub-environment of another process, as far as it is looked at: see `SubEnvironment`."""

    def __init__(self, found: dict[str, Any], offers: dict[str, Any], common: dict[str, Any]) -> None:
        vars(self).update(found)
        self._offers, self._common = offers, common

    def offers(self) -> dict[str, Any]:
        """Returns what the first sub-environment of its process offers."""
        return self._offers

    def common(self) -> dict[str, Any]:
        """Returns what is to be equal in all, of the first sub-environment of its process, which are compared."""
        return self._common


class Processes:
    """Sub-environments in processes, each of which steps an equal share of them one after another.

    The same interface as `Together`, and the same results. The processes end when they are closed, and when the process
    that asked for them is gone, also in the middle of a step.
    """

    def __init__(self, spec: Any, num_envs: int, count: int) -> None:
        """Takes the declaration of an environment, the number of sub-environments R and of processes, at most R.

        Raises:
            ValueError: as `Together`, or if the declaration cannot be sent to another process.
        """
        sent = packed(spec)
        self._shares = np.array_split(np.arange(num_envs), count)
        self._workers: list[subprocess.Popen[bytes]] = []
        try:
            for _ in self._shares:
                self._workers.append(_started())
            found = self._all("open", [(sent, int(own[0]), len(own)) for own in self._shares])
            self.sub_environments = [Follower(one, first, common) for ones, first, common, _ in found for one in ones]
            self.single_spaces = found[0][3]
            require_alike(self.sub_environments)
        except BaseException:
            self.close()
            raise

    def reset(self, seeds: Sequence[int] | None) -> Any:
        """Starts every sub-environment, with its seed if there are any, and returns their observations [R, ...]."""
        each = [(None if seeds is None else [seeds[place] for place in own],) for own in self._shares]
        return _joined(self._followed("reset", each))

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        """Returns observations, rewards, terminated and truncated, all [R, ...]."""
        parts = self._followed("step", [(actions[own],) for own in self._shares])
        return tuple(_joined(part) for part in zip(*parts, strict=True))

    def held_out(self) -> list[Any]:
        """Returns what each bandit holds out, see `Bandit.held_out`."""
        return [one for part in self._followed("held_out", [()] * len(self._shares)) for one in part]

    def close(self) -> None:
        """Closes the environments and ends the processes; what does not close in a few seconds is killed."""
        workers, self._workers = self._workers, []
        for worker in workers:
            with contextlib.suppress(OSError):
                _send(worker.stdin, cloudpickle.dumps(("close", ())))
        for worker in workers:
            try:
                worker.wait(GRACE)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            for stream in (worker.stdin, worker.stdout):
                with contextlib.suppress(OSError):
                    if stream is not None:
                        stream.close()

    def _followed(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Calls a method in every process, and brings what is followed of the sub-environments up to date."""
        replies = self._all(name, arguments)
        changed = [one for _, ones in replies for one in ones]
        for follower, now in zip(self.sub_environments, changed, strict=True):
            vars(follower).update(now)
        return [result for result, _ in replies]

    def _all(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Calls something in every process at once; of several errors the one of the first sub-environments is told."""
        for worker, own in zip(self._workers, arguments, strict=True):
            with contextlib.suppress(OSError):  # it has died, as its reply will tell
                _send(worker.stdin, cloudpickle.dumps((name, own)))
        replies = [self._reply(number) for number in range(len(self._workers))]
        for kind, content in replies:
            if kind == "error":
                error, text = content
                error.__cause__ = RemoteTraceback(text)
                raise error
        return [content for _, content in replies]

    def _reply(self, number: int) -> tuple[str, Any]:
        worker = self._workers[number]
        try:
            return _received(worker.stdout)
        except (EOFError, OSError):
            worker.kill()
            own = self._shares[number]
            which = f"number {own[0]}" if len(own) == 1 else f"numbers {own[0]} to {own[-1]}"
            error = RuntimeError(
                f"the process of the sub-environments {which} ended by itself (exit code {worker.wait()}): out of "
                "memory, a crash in compiled code, or a call that ends the process"
            )
            return "error", (error, str(error))


class RemoteTraceback(Exception):
    """The traceback of an error in another process, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def packed(spec: Any) -> bytes:
    """Returns a declaration as it is sent to another process.

    Raises:
        ValueError: if it cannot be sent.
    """
    try:
        return cloudpickle.dumps(spec)
    except Exception as error:
        raise ValueError(
            f"processes: expected an environment that can be sent to another process, got {type(error).__name__}: "
            f"{error}; write what it is made of into a module, make what cannot be copied inside the function, or set "
            "processes = 1"
        ) from error


def serve() -> None:
    """Plays sub-environments as the process that started this one asks for them, until it closes them or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what an environment prints must not come between replies
    requests: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(source, requests), daemon=True).start()
    import torch

    torch.set_num_threads(1)
    together: Any = None
    while True:
        name, arguments = requests.get()
        try:
            if name == "close":
                if together is not None:
                    together.close()
                os._exit(0)
            if name == "open":
                together, content = _opened(*arguments)
            else:
                content = getattr(together, name)(*arguments), [_now(one) for one in together.sub_environments]
            reply = cloudpickle.dumps(("done", content))
        except (Exception, SystemExit) as error:
            reply = _told(error)
        _send(sink, reply)


def _listen(source: Any, requests: Any) -> None:
    """Hands on what the parent asks; ends the process when the parent is gone, whatever it is doing."""
    try:
        while True:
            requests.put(_received(source))
    except BaseException:
        os._exit(1)


def _opened(sent: bytes, start: int, count: int) -> tuple[Together, tuple[Any, ...]]:
    """Returns the sub-environments of a process, and what is told of them."""
    together = cloudpickle.loads(sent).several(count, start)
    first = together.sub_environments[0]
    fixed = ("family", "autoreset", "alike", "sizes")
    found = [{name: getattr(one, name) for name in fixed} | _now(one) for one in together.sub_environments]
    return together, (found, first.offers() if start == 0 else {}, first.common(), together.single_spaces)


def _now(one: SubEnvironment) -> dict[str, Any]:
    return {name: copy.copy(getattr(one, name)) for name in FOLLOWED if hasattr(one, name)}


def _told(error: BaseException) -> bytes:
    """Returns an error as it is sent, with the place in a user's code that it comes from."""
    text = traceback.format_exc()
    if where := place(error):
        error.add_note(where)
    try:
        reply = cloudpickle.dumps(("error", (error, text)))
        cloudpickle.loads(reply)
        return reply
    except Exception:  # an error that cannot be copied: what it says is enough
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = getattr(error, "__notes__", [])
        return cloudpickle.dumps(("error", (plain, text)))


def _started() -> "subprocess.Popen[bytes]":
    surroundings = {**dict.fromkeys(THREADS, "1"), **os.environ}
    command = [sys.executable, "-c", START, *sys.path]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=surroundings)


def _send(stream: Any, message: bytes) -> None:
    """Writes a message, its length in front."""
    stream.write(len(message).to_bytes(8, "little") + message)
    stream.flush()


def _received(stream: Any) -> Any:
    """Returns the next message. Raises an EOFError where there is none, since the other side is gone."""
    head = stream.read(8)
    body = stream.read(int.from_bytes(head, "little"))
    if len(head) < 8 or len(body) < int.from_bytes(head, "little"):
        raise EOFError
    return cloudpickle.loads(body)


def _joined(parts: Sequence[Any]) -> Any:
    """Returns arrays, or dicts of arrays, one after another."""
    if isinstance(parts[0], dict):
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)
