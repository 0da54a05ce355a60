"""What jobs compute on: the CPU or a GPU, and how precisely."""

import contextlib
import os
from collections.abc import Iterator

import joblib
import torch

from vbandits.experiment.benchmark import FULL

AT_ONCE = {"cpu": 64, "cuda": 1024}
"""Seeds of a job where nothing else is said: on a GPU all that one is likely to be asked for."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Variable of the environment that names the GPUs that a process sees."""


def device_of(wanted: str, errors: list[str]) -> str:
    """Returns the device that "auto", "cpu" or "cuda" stands for; appends an error where there is none."""
    if wanted == "cuda" and not torch.cuda.is_available():
        errors.append("device: expected a CUDA device for 'cuda', got none: use --device cpu or auto")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def precision_of(wanted: str, device: str, notes: list[str]) -> str:
    """Returns the precision of products on a device: on a CPU always the full one, so that a file with another runs
    there too; a note says so."""
    if device == "cpu" and wanted != FULL:
        notes.append(f"precision: {wanted!r} is for products on a GPU; on a CPU they are made in full float32")
        return FULL
    return wanted


def places(device: str) -> int:
    """Returns how many jobs run at a time where nothing else is said: one on every GPU, or on every processor."""
    return max(1, torch.cuda.device_count()) if device == "cuda" else joblib.cpu_count()


def one_gpu(worker: int, device: str) -> dict[str, str]:
    """Returns the environment in which a worker process sees one GPU, of those that this process sees.

    Code says "cuda" and means the first GPU that it sees: the workers have one after the other, and share them in turn
    where there are more workers than GPUs.

    Args:
        worker: its number, from 0.
        device: on which it computes; on a CPU, or where there is one GPU, nothing is to be said.
    """
    count = torch.cuda.device_count() if device == "cuda" else 0
    if count < 2:
        return {}
    given = os.environ.get(VISIBLE)
    names = given.split(",") if given else [*map(str, range(count))]
    return {VISIBLE: names[worker % count].strip()}


@contextlib.contextmanager
def products(device: str, precision: str) -> Iterator[None]:
    """Has products and convolutions of float32 on a GPU made at a precision inside; on a CPU it changes nothing.

    Args:
        device: "cpu" or "cuda".
        precision: "highest", in full; "high", of numbers with 10 bits after the point (TF32); "medium", of bfloat16
            where that is faster. Names as in `torch.set_float32_matmul_precision`. Convolutions know the first two, and
            take TF32 also where bfloat16 is asked for.
    """
    if device == "cpu":
        yield
        return
    multiplied, convolved = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != FULL
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(multiplied)
        torch.backends.cudnn.allow_tf32 = convolved
