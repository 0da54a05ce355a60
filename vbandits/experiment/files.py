"""Files of a results folder: written at once or not at all, and read back as they were written or not at all."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vbandits.errors import ConfigError
from vbandits.experiment.packs import File
from vbandits.experiment.results import Place
from vbandits.files import write_bytes, write_text
from vbandits.serialize import digest

SCHEMA = 2
"""Of `experiment.json`, markers and tables: what is written now. Version 1 did not say so."""
RECORDS, HELD_OUT = ".parquet", ".held-out.parquet"
"""Ends of the names of a job's tables."""


class DamagedError(ConfigError):
    """A file is not as a run left it; the same run makes it again."""


def damaged(path: File, what: str, got: str) -> DamagedError:
    """Returns what is said of a file that is not as a run left it."""
    return DamagedError(f"{path}: expected {what} as a run left it, got {got}: the same run makes it again")


def require_known(path: File, schema: Any) -> None:
    """Raises a ConfigError for what a later version of vbandits wrote."""
    if schema is not None and (type(schema) is not int or schema > SCHEMA):
        raise ConfigError(
            f"{path}: expected schema {SCHEMA} or older, got {schema!r}, of a later version of vbandits: read it with "
            "that one"
        )


class StoredParts(Mapping[Place, pd.DataFrame]):
    """Tables of finished jobs by problem and method, read when they are asked for: all may be more than fits memory."""

    def __init__(
        self,
        found: Callable[[str], File],
        markers: Sequence[Mapping[str, Any]],
        axes: tuple[str, str],
        ending: str,
        seeds: Sequence[int],
    ) -> None:
        """Takes what finds files by name, the markers of the jobs, and the seeds in the order that tables have them
        in."""
        self._axes, self._markers = axes, dict[Place, list[tuple[File, Mapping[str, Any]]]]()
        self._ending, self._order = ending, {seed: place for place, seed in enumerate(seeds)}
        for marker in markers:
            path = found(f"{marker['key']}{ending}")
            if path.exists():
                self._markers.setdefault((marker[axes[0]], marker[axes[1]]), []).append((path, marker))

    def __getitem__(self, place: Place) -> pd.DataFrame:
        found = [
            _of_seeds(read_table(path, marker.get("sha256", {}).get(self._ending)), marker["seeds"])
            for path, marker in self._markers[place]
        ]
        try:  # one conversion: of thousands of jobs, that of each would take most of the time
            table = pa.concat_tables(found, promote_options="permissive").to_pandas()
        except pa.ArrowTypeError:  # of columns that have, say, truth values in one job and numbers in another
            table = pd.concat([own.to_pandas() for own in found], ignore_index=True)
        order = np.array([self._order[seed] for seed in table["seed"].tolist()])
        if (np.diff(order) < 0).any():  # the same table, whatever the jobs that it was made in
            table = table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
        for position, (axis, label) in enumerate(zip(self._axes, place, strict=True)):
            table.insert(position, axis, label)
        return table

    def __contains__(self, place: object) -> bool:
        return place in self._markers

    def __iter__(self) -> Iterator[Place]:
        return iter(self._markers)

    def __len__(self) -> int:
        return len(self._markers)


def _of_seeds(table: pa.Table, seeds: Sequence[int]) -> pa.Table:
    """Returns the rows of some seeds: of a job, fewer may be asked for than it has run."""
    kept = np.isin(table["seed"].to_numpy(), list(seeds))
    return table if kept.all() else table.filter(pa.array(kept))


def read_table(path: File, written: str | None) -> pa.Table:
    """Reads a table, if it is what was written; older markers do not tell."""
    try:
        content = path.read_bytes()
        fault = "other bytes than were written"
        if written in (None, hashlib.sha256(content).hexdigest()):
            file = pq.ParquetFile(io.BytesIO(content))
            schema = (file.schema_arrow.metadata or {}).get(b"vbandits")
            require_known(path, None if schema is None else json.loads(schema))
            return file.read(use_threads=False)
    except (OSError, ValueError) as error:
        fault = f"one that cannot be read ({error})"
    raise damaged(path, "a table", fault)


def write_table(path: Path, table: pd.DataFrame) -> str:
    """Writes a table and returns the checksum of the file."""
    content = io.BytesIO()
    converted = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(converted.schema.metadata or {}), b"vbandits": str(SCHEMA).encode()}
    pq.write_table(converted.replace_schema_metadata(metadata), content)
    write_bytes(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def read_json(path: File) -> Any:
    """Returns what a JSON file holds, of whatever kind it is."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, "JSON", f"one that cannot be read ({error})") from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON with a checksum of what it says."""
    write_text(path, json.dumps({**content, "digest": digest(content)}, indent=2))


def whole(path: File, content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what was read without its checksum; raises a DamagedError unless `write_json` wrote it so.

    Older files have no checksum, and are taken as they are.
    """
    said = {name: value for name, value in content.items() if name != "digest"}
    if "digest" in content:
        text = json.dumps(said, sort_keys=True)  # as `digest` has it of what was read from JSON, in half the time
        if content["digest"] != hashlib.sha256(text.encode()).hexdigest():
            raise damaged(path, "JSON", "other content than was written")
    return said
