"""What results were made with: the commit, and the machine."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any


@cache  # as the modules were when they were loaded
def commit() -> str | None:
    """Returns the commit of a checkout, with a plus where files were changed; None where vbandits was installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = [
            subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10, check=True)
            for command in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0].stdout.strip() + ("+" if found[1].stdout.strip() else "")


def machine() -> dict[str, Any]:
    """Returns what the results were made on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    gpu = f"{torch.cuda.device_count()} x {gpu}" if gpu and torch.cuda.device_count() > 1 else gpu
    return {"system": platform.platform(), "processor": _processor(), "cpus": os.cpu_count(), "gpu": gpu}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
