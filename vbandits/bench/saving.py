"""Tables of what was measured, and on what."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

from vbandits.bench.measure import Row
from vbandits.experiment.machine import commit, machine
from vbandits.files import versions


def save(parts: Mapping[str, list[Row]], folder: Path, device: str) -> list[Path]:
    """Writes a CSV for each part, every row with the time, the machine, the device and the versions."""
    time = datetime.now(UTC)
    on = torch.cuda.get_device_name() if device == "cuda" else "cpu, one thread"
    about = {
        "device": on,
        "machine": "{processor}, {cpus} CPUs".format(**machine()),
        "torch": versions()["torch"],
        "commit": commit() or "",
        "measured": time,
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, rows in parts.items():
        paths.append(folder / f"{time:%Y-%m-%d-%H%M%S}-{name}.csv")
        pd.DataFrame(rows).assign(**{key: str(value) for key, value in about.items()}).to_csv(paths[-1], index=False)
    return paths
