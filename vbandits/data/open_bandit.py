"""The Open Bandit Dataset: impressions of a shop's items, clicks, and the probabilities with which items were shown.

Y. Saito, S. Aihara, M. Matsutani and Y. Narita, "Open Bandit Dataset and Pipeline", NeurIPS Datasets and Benchmarks
2021. Two policies, "random" and "bts" (Bernoulli Thompson sampling), each with the campaigns "all" (80 items), "men"
(34) and "women" (46); the small sample that is published with its code has the same files. Here a row is one of the
three positions of an impression: the arm is the item, the propensity the probability of the item at that position, and
the position is a part of the context, as are the levels of the user's features and their affinities to the items. The
positions of one impression are one moment of one user: intervals, for which rows are independent, do not know that.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from vbandits.data import user
from vbandits.data.folder import VARIABLE, directory
from vbandits.data.tables import first_line
from vbandits.registry import unknown

NAME = "obd"
URL = "https://research.zozo.com/data.html (a sample: https://github.com/st-tech/zr-obp, folder obd)"
POLICIES = ("random", "bts")
ITEMS = {"all": 80, "men": 34, "women": 46}
"""Campaigns, and how many items each has."""
PROPENSITY = "propensity_score"
COLUMNS = {"item_id": pa.int32(), "position": pa.int8(), "click": pa.int8(), PROPENSITY: pa.float64()}
"""Those that are no context, but for the position."""
USER, AFFINITY, CONTEXT = "user_feature_", "user-item_affinity_", "item_feature_"


@dataclass(frozen=True, eq=False)
class Impressions:
    """What was shown: context [N, D], item [N], click [N], propensity [N], and features of the items [A, F]."""

    name: str
    context: np.ndarray
    item: np.ndarray
    click: np.ndarray
    propensity: np.ndarray
    items: int
    feature_names: tuple[str, ...]
    item_context: np.ndarray | None
    notes: tuple[str, ...]


def is_folder(name: str) -> bool:
    """Returns whether a path is a folder of the dataset: one with a folder of a policy in it."""
    return any((Path(name) / policy).is_dir() for policy in POLICIES)


def folder(name: str, data_dir: str | os.PathLike[str] | None) -> Path:
    """Returns the folder of the dataset: the one that is named, or that of the data directory.

    Raises:
        ValueError: if it is not there.
    """
    if name != NAME:
        return Path(name)
    base = directory(data_dir)
    for place in () if base is None else (base / NAME, base / "open_bandit_dataset", base):
        if is_folder(str(place)):
            return place
    where = f"got none in {base}" if base else f"but {VARIABLE} is not set"
    raise ValueError(
        f"{NAME}: expected random/men/men.csv and so on in the folder {NAME} of the data directory, {where}. Download "
        f"them from {URL} into DIRECTORY/{NAME}, set {VARIABLE}=DIRECTORY"
    )


def read(place: Path, policies: Sequence[str], campaign: str) -> Impressions:
    """Returns the log of one policy, or those of both one after the other, in a campaign.

    Raises:
        ValueError: for a policy or campaign that there is not, and files that are not there or hold something else.
    """
    for name in policies:
        if name not in POLICIES:
            raise ValueError(f"{NAME}: " + unknown("policy", name, POLICIES))
    if campaign not in ITEMS:
        raise ValueError(f"{NAME}: " + unknown("campaign", campaign, ITEMS))
    files = tuple(_file(place / policy, campaign) for policy in policies)
    return _read(files, tuple(file.stat().st_mtime_ns for file in files), f"{NAME} {'+'.join(policies)} {campaign}")


def _file(place: Path, campaign: str) -> Path:
    """Returns the file of a campaign, which lies in a folder of its own or beside the others'."""
    names = (f"{campaign}/{campaign}.csv", f"{campaign}.csv")
    found = [place / f"{name}{end}" for name in names for end in ("", ".gz") if (place / f"{name}{end}").is_file()]
    if not found:
        raise ValueError(f"{NAME}: expected {names[0]} in {place}, got none (download it from {URL})")
    return found[0]


@lru_cache(2)
def _read(files: tuple[Path, ...], versions: tuple[int, ...], name: str) -> Impressions:
    tables = [_columns(file) for file in files]
    beside = [file.parent / "item_context.csv" for file in files]
    items = next((path for path in beside if path.is_file()), None)
    joined = pa.concat_tables(tables, promote_options="default")
    return of_table(name, joined, None if items is None else _item_context(items))


def _columns(file: Path) -> pa.Table:
    """Returns the columns of a file that are used, numbers in single precision: there are millions of rows."""
    names = [name.strip() for name in first_line(file).split(",")]
    if missing := [name for name in COLUMNS if name not in names]:
        raise ValueError(f"{file}: expected the columns {', '.join(COLUMNS)}, got none called {', '.join(missing)}")
    types: dict[str, pa.DataType] = dict(COLUMNS)
    types |= {name: pa.dictionary(pa.int32(), pa.string()) for name in names if name.startswith(USER)}
    types |= {name: pa.float32() for name in names if name.startswith(AFFINITY)}
    options: Any = csv.ConvertOptions(column_types=types, include_columns=[name for name in names if name in types])
    try:
        return csv.read_csv(file, convert_options=options)
    except pa.ArrowException as error:
        raise ValueError(f"{file}: expected impressions of the Open Bandit Dataset, got: {error}") from error


def of_table(name: str, table: pa.Table, item_context: np.ndarray | None = None) -> Impressions:
    """Returns the log in a table with the columns of the dataset; others than those are left out."""
    names = table.column_names
    users = [own for own in names if own.startswith(USER)]
    affinities = [own for own in names if own.startswith(AFFINITY)]
    item, position, click, propensity = (table.column(own).to_numpy().astype(np.float64) for own in COLUMNS)
    slots = np.unique(position)
    parts, features = [position[:, None] == slots], [f"position={slot:g}" for slot in slots]
    notes = [
        "the position became indicators of its levels, a part of the context",
        "positions of one impression are rows of their own and count as independent: where an impression has several, "
        "intervals are a little too narrow",
    ]
    if users:
        strings = table.select(users).cast(pa.schema([(own, pa.string()) for own in users]))
        x, own_names, said = user.encoded(name, strings, users)
        parts.append(x)
        features += own_names
        notes += said
    parts += [table.column(own).to_numpy().astype(np.float32)[:, None] for own in affinities]
    items = len(affinities) or (0 if item_context is None else len(item_context)) or int(item.max()) + 1
    left = [own for own in names if own not in (*COLUMNS, *users, *affinities)]
    notes += [f"left out: {', '.join(own or '(without a name)' for own in left)}"] if left else []
    context = np.concatenate([part.astype(np.float32) for part in parts], 1)
    return Impressions(
        name,
        context,
        item.astype(np.int64),
        click,
        propensity,
        items,
        (*features, *affinities),
        item_context,
        tuple(notes),
    )


def _item_context(path: Path) -> np.ndarray:
    """Returns features of the items [A, F]: numbers, and indicators of the levels of the others."""
    table = csv.read_csv(path).sort_by("item_id")
    names = [name for name in table.column_names if name.startswith(CONTEXT)]
    return user.encoded(str(path), table, names)[0]
