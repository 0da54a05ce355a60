"""One loader for every pool: by name, from a user's own file, or from arrays."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from vbandits import data
from vbandits.data import PUBLISHED, Dataset, images, memory, synthetic
from vbandits.data.images import Images
from vbandits.data.loading import HELD, is_file
from vbandits.data.pool import Pool
from vbandits.data.precision import compact, fault, names_things, unmasked
from vbandits.data.user import LEVELS, Continuous
from vbandits.data.user_files import ENDINGS, place
from vbandits.errors import require
from vbandits.registry import unknown
from vbandits.streams import generator

REPEATED = "repeated_mnist"
COPIES, COPY_NOISE, TEST_PART = 3, 0.1, 0.2
SHAPES = {"digits": (1, 8, 8)}
"""Channels, height and width of images that come as a table."""
NOT_CLASSES = ("jester", "financial", "hillstrom")
Task = Literal["classes", "regression"]
PoolSource = str | os.PathLike[str] | Pool | Sequence[Any] | Any


@dataclass(frozen=True)
class Choice:
    """Which rows of what was loaded become the pool, and which the test set."""

    rows: int | None
    test_rows: int | None
    test_part: float
    seed: int


def names() -> list[str]:
    """Returns the names of all pools."""
    return [*(name for name in PUBLISHED if name not in NOT_CLASSES), REPEATED, *synthetic.SYNTHETIC]


def load_pool(
    pool: PoolSource = "digits",
    *,
    rows: int | None = None,
    test_rows: int | None = None,
    test_part: float | None = None,
    pool_seed: int = 0,
    task: Task | None = None,
    target: str | int | None = None,
    drop: Sequence[str | int] | None = None,
    copies: int | None = None,
    noise: float | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Pool:
    """Returns a pool and its test set; the last two that were split stay in memory.

    Images are evaluated on their published test set; everything else loses `test_part` of its rows to a test set. Which
    rows those are depends on nothing but `pool_seed`: all seeds of an experiment have the same pool. "repeated_mnist"
    has every image of "mnist" so many times, each with noise of its own: a batch of labels should not be one image
    (Kirsch, van Amersfoort and Gal, "BatchBALD", NeurIPS 2019).

    Args:
        pool: a name in `names()`; the path of a file that ends in .csv, .csv.gz or .parquet, or of a folder of Parquet
            files; a data frame of pandas or Polars; a `Pool`; or arrays (x, y), x [N, D] or images [N, H, W] or
            [N, C, H, W], y [N]: whole numbers, text or truth values are classes, other numbers are a regression.
        rows: at most so many to buy from; by default all.
        test_rows: at most so many to be evaluated on; by default all.
        test_part: share of the rows that is held out, where there is no test set; by default 0.2.
        pool_seed: of which rows are held out and which are left out.
        task: "regression" makes a file's target a number; "classes" or "regression" overrides what arrays look like.
        target: the column of a file or data frame that is asked for.
        drop: columns of a file or data frame to leave out.
        copies: of each image, for "repeated_mnist"; by default 3.
        noise: standard deviation of the noise on each pixel in [0, 1], for "repeated_mnist"; by default 0.1.
        data_dir: where the files of datasets lie.

    Raises:
        ValueError: for an unknown name, options that do not go with it or are out of range, faulty files and arrays.
    """
    _require_options(rows, test_rows, test_part, copies, noise, task)
    choice = Choice(rows, test_rows, TEST_PART if test_part is None else test_part, pool_seed)
    name = os.fspath(pool) if isinstance(pool, str | os.PathLike) else None
    repeated, file = name == REPEATED, name is not None and name not in names() and is_file(name)
    own = file or memory.is_frame(pool)
    _refuse("copies, noise", (copies, noise), repeated, f'with pool="{REPEATED}" alone')
    _refuse("target, drop", (target, drop), own, "with a file or data frame of your own alone")
    if memory.is_frame(pool):
        return _from_table.__wrapped__(_table(pool, target, drop, task), choice)
    if name is None:
        return _own(pool, task, test_part, choice)
    if not file:
        _refuse("task", (task,), False, "with a file or arrays of your own alone")
        return _named(name, data_dir, test_part, copies, noise, choice)
    return _from_table(_table(name, target, drop, task), choice)


def _named(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    test_part: float | None,
    copies: int | None,
    noise: float | None,
    choice: Choice,
) -> Pool:
    if name not in names():
        raise ValueError(unknown("pool", name, names()) + f"; or give a file ({', '.join(ENDINGS)}) or arrays")
    if name in images.names() or name == REPEATED or name in synthetic.SYNTHETIC:
        _refuse("test_part", (test_part,), False, f"without a test set alone, which {name} has")
    if name in synthetic.SYNTHETIC:
        return _synthetic(name, choice)
    if name == REPEATED:
        noise = COPY_NOISE if noise is None else noise
        return _repeated(images.load("mnist", data_dir), copies or COPIES, noise, choice)
    if name in images.names():
        return _from_images(images.load(name, data_dir), choice)
    return _from_table(data.load(name, data_dir), choice)


def _table(path: Any, target: str | int | None, drop: Sequence[str | int] | None, task: Task | None) -> Dataset:
    """Returns a user's own file or data frame."""
    if task == "regression":
        return data.load(path, None, target, drop, regression=True)
    try:
        return data.load(path, None, target, drop)
    except Continuous as error:
        raise ValueError(f'{error}; to predict it as a number, say task="regression"') from error


@lru_cache(HELD)
def _from_table(table: Dataset, choice: Choice) -> Pool:
    targets = table.targets if table.labels is None else table.labels
    assert targets is not None
    classes = len(table.class_names)
    return _split(table.name, table.features, targets, classes, SHAPES.get(table.name), table.notes, choice)


def _split(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    image: tuple[int, int, int] | None,
    notes: tuple[str, ...],
    choice: Choice,
) -> Pool:
    """Returns a pool of which a part is held out for the test."""
    held = round(len(x) * choice.test_part)
    require(
        0 < held < len(x),
        "test_part",
        f"at least one of {len(x):,} rows in the pool and one in the test set",
        choice.test_part,
    )
    order = generator(choice.seed, "held-out rows of a pool").permutation(len(x))
    if classes:
        order = _with_every_class(order, y, held, classes, choice.rows)
    test, train = order[:held][: choice.test_rows], order[held:][: choice.rows]
    said = f"{held:,} of {len(x):,} rows were held out for the test"
    return Pool(name, x[train], y[train], x[test], y[test], classes, image, (*notes, said))


def _with_every_class(order: np.ndarray, y: np.ndarray, held: int, classes: int, rows: int | None) -> np.ndarray:
    """Returns an order of rows [N] of which the first `held` are the test set and the next `rows` the pool, in which
    every class has a row in the pool: a class that has none there changes places with a row of a class that has
    several. Where there are fewer rows in the pool than classes, not all have one."""
    order, last = order.copy(), len(order) if rows is None else min(held + rows, len(order))
    counts = np.bincount(y[order[held:last]], minlength=classes)
    for label in np.flatnonzero(counts == 0):
        outside = np.concatenate([np.arange(held), np.arange(last, len(order))])
        own = outside[y[order[outside]] == label]
        spare = held + np.flatnonzero(counts[y[order[held:last]]] > 1)
        if own.size and spare.size:
            counts[y[order[spare[-1]]]] -= 1
            counts[label] += 1
            order[[own[0], spare[-1]]] = order[[spare[-1], own[0]]]
    return order


def _some(pool: Pool, choice: Choice) -> Pool:
    """Returns a pool with no more rows than were asked for; all of them are those that were there, not copied."""
    train = generator(choice.seed, "rows of a pool").permutation(len(pool.features))[: choice.rows]
    test = generator(choice.seed, "test rows of a pool").permutation(len(pool.test_features))[: choice.test_rows]
    changes = {}
    if len(train) < len(pool.features):
        changes |= {"features": pool.features[train], "targets": pool.targets[train]}
    if len(test) < len(pool.test_features):
        changes |= {"test_features": pool.test_features[test], "test_targets": pool.test_targets[test]}
    return replace(pool, **changes)


@lru_cache(HELD)
def _from_images(found: Images, choice: Choice) -> Pool:
    arrays = (found.train_x, found.train_y, found.test_x, found.test_y)
    return _some(Pool(found.name, *arrays, found.classes, found.shape), choice)


@lru_cache(HELD)
def _repeated(found: Images, copies: int, noise: float, choice: Choice) -> Pool:
    """Returns a pool of noisy copies: rows n, n + B, n + 2 B, ... are those of one of B images."""
    rows = None if choice.rows is None else max(choice.rows // copies, 1)
    base = _from_images.__wrapped__(found, replace(choice, rows=rows))
    random = generator(choice.seed, "noise of copies")
    x = np.empty((copies * len(base.features), base.features.shape[1]), np.float32)
    for part in np.split(x, copies):
        random.standard_normal(out=part, dtype=np.float32)
        part *= noise
        part += base.features
    notes = (f"{copies} copies of each of {len(base.features):,} images, with noise of {noise}",)
    return replace(base, name=REPEATED, features=x, targets=np.tile(base.targets, copies), notes=notes)


@lru_cache(HELD)
def _synthetic(name: str, choice: Choice) -> Pool:
    return _some(synthetic.make(name), choice)


def _own(pool: Any, task: Task | None, test_part: float | None, choice: Choice) -> Pool:
    """Returns the pool of a user's own `Pool` or arrays."""
    if isinstance(pool, Pool):
        _refuse("task, test_part", (task, test_part), False, "without a test set alone, which a Pool has")
        pool.require_valid()
        return _some(pool, choice)
    if not (isinstance(pool, tuple | list) and len(pool) == 2):
        raise ValueError(
            f"pool: expected a name, a file, a data frame, a Pool or arrays (x, y), got {type(pool).__name__}"
        )
    if memory.is_frame(pool[0]):  # columns may be text
        return _from_table.__wrapped__(data.load(tuple(pool), regression=task == "regression"), choice)
    x, image = _inputs(pool[0])
    y, classes = _targets(pool[1], len(x), task)
    guessed = task is None and classes and np.asarray(pool[1]).dtype.kind == "f"
    notes = ("targets are whole numbers, and so classes: say task='regression' to predict numbers",) if guessed else ()
    return _split("arrays", x, y, classes, image, notes, choice)


def _inputs(given: Any) -> tuple[np.ndarray, tuple[int, int, int] | None]:
    """Returns a user's inputs [N, D] as uint8, float32 or float64, and their shape if they are images."""
    x = unmasked(given)
    require(x.dtype.kind in "fiub", "pool: x", "numbers", x.dtype)
    require(x.ndim in (2, 3, 4) and x.size > 0, "pool: x", "rows [N, D], or images [N, H, W] or [N, C, H, W]", x.shape)
    image = None if x.ndim == 2 else (x.shape[1] if x.ndim == 4 else 1, *x.shape[-2:])
    flat = x.reshape(len(x), -1)
    if not np.isfinite(flat).all():
        row = int(np.argmin(np.isfinite(flat).all(1)))
        raise ValueError(
            f"pool: x: expected finite numbers, got others in {place('arrays', row)}: fill in what is missing"
        )
    if unfit := fault(flat):
        raise ValueError(f"pool: x: expected {unfit}")
    return compact(flat), image


def _targets(given: Any, rows: int, task: Task | None) -> tuple[np.ndarray, int]:
    """Returns a user's targets [N], and K: 0 for a regression."""
    y = unmasked(given)
    require(y.shape == (rows,), "pool: y", f"one target for each of {rows:,} rows of x", y.shape)
    if y.dtype.kind == "O" and all(isinstance(value, str) for value in y):
        y = y.astype(np.str_)
    require(y.dtype.kind in "biufUS", "pool: y", "numbers, text or truth values", y.dtype)
    # whole numbers are classes, of whatever type, as they are in a file
    few = y.dtype.kind != "f" or (names_things(y) and len(np.unique(y)) <= LEVELS)
    if (task or ("classes" if few else "regression")) == "regression":
        require(y.dtype.kind in "fiub", "pool: y", "numbers, for a regression", y.dtype)
        numbers = y.astype(np.float64)
        if unfit := fault(numbers):
            raise ValueError(f"pool: y: expected {unfit}")
        return numbers, 0
    levels, labels = np.unique(y, return_inverse=True)
    require(len(levels) >= 2, "pool: y", "at least two classes", levels.tolist())
    require(len(levels) <= LEVELS, "pool: y", f"at most {LEVELS} classes (or task='regression')", len(levels))
    return labels.astype(np.int64), len(levels)


def _require_options(
    rows: int | None,
    test_rows: int | None,
    test_part: float | None,
    copies: int | None,
    noise: float | None,
    task: str | None,
) -> None:
    for name, value in (("rows", rows), ("test_rows", test_rows), ("copies", copies)):
        require(value is None or value >= 1, name, "at least 1", value)
    require(test_part is None or 0 < test_part < 1, "test_part", "a share between 0 and 1", test_part)
    require(noise is None or 0 <= noise < np.inf, "noise", "a standard deviation, finite and at least 0", noise)
    require(task in (None, "classes", "regression"), "task", "classes or regression", task)


def _refuse(names: str, values: tuple[Any, ...], allowed: bool, where: str) -> None:
    """Raises a ValueError where options are given that do not go with the pool."""
    given = [f"{name}={value!r}" for name, value in zip(names.split(", "), values, strict=True) if value is not None]
    if given and not allowed:
        raise ValueError(f"{', '.join(given)}: expected {where}")
