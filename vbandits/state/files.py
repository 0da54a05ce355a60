"""States as safetensors files: arrays, and the rest as JSON in the file's own metadata. Nothing of it is ever run."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from vbandits.errors import ConfigError
from vbandits.files import atomic
from vbandits.state.taking import State

SCHEMA = 1
"""Of the files; another is refused."""


def write(path: Path, state: State, about: dict[str, Any]) -> None:
    """Writes a state and what is said of it, in JSON, to a file at once or not at all.

    Raises:
        ConfigError: if there is no place for it, such as on a full disk.
    """
    text = json.dumps({"schema": SCHEMA, "about": about, "tree": state.tree})
    with atomic(path) as temporary:
        try:
            save_file(state.arrays, temporary, {"vbandits": text, "sha256": _digest(text, state.arrays)})
        except safetensors.SafetensorError as error:
            raise ConfigError(f"{path}: expected a place that can be written to, got: {error}") from None


def read(path: Path) -> tuple[State, dict[str, Any]]:
    """Returns a state that was written, and what was said of it.

    Raises:
        ConfigError: if there is none, or it is not what was written.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in list(file.keys())}
        text = metadata.get("vbandits", "")
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise ConfigError(
                f"{path}: expected files of schema {SCHEMA}, got {content['schema']}: use its own version"
            )
        if metadata.get("sha256") != _digest(text, arrays):
            raise ConfigError(f"{path}: expected what was written, got other bytes: take a copy that is whole")
        return State(content["tree"], arrays), content["about"]
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{path}: expected a state that vbandits wrote, got one that cannot be read: {error}"
        ) from None


def _digest(text: str, arrays: dict[str, Tensor]) -> str:
    """Returns a SHA-256 of all that is in a file."""
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype} {list(arrays[name].shape)} ".encode())
        found.update(arrays[name].reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
