"""A dataset as an experiment declares it, and its rows: the same for every method and every seed."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from vbandits.data import corruptions, images, own_images
from vbandits.data.images import Images
from vbandits.data.pools import SHAPES, load_pool
from vbandits.registry import unknown
from vbandits.source_hash import LENGTH, reference, source_hash, unbound
from vbandits.streams import generator

DIGITS = "digits"
CLEAN = "none"
"""What records call the test set as it is."""
OUT_OF_DISTRIBUTION_ROWS = 1000
"""Most images of each out-of-distribution set."""
VALIDATION = 1000
"""Rows that are held out of training where nothing is said."""
Rows = Annotated[int, Field(ge=1, strict=True)]
Severity = Annotated[int, Field(ge=1, le=5, strict=True)]


@dataclass(frozen=True)
class Options:
    """What an experiment file may say of a dataset.

    Attributes:
        rows: to train on; by default all that are not held out.
        validation_rows: held out of training, to fit temperatures on; by default 1,000, or of a user's own images a
            fifth where that is fewer.
        test_rows: at most, of the clean test set; by default all.
        corrupted_rows: of the test set, corrupted at each severity; 0 does without corruptions.
        corruptions: kinds; by default all.
        severities: from 1 to 5.
        out_of_distribution: "tiles", "photos" or other datasets of the same shape.
        tuning: whether test rows are taken from the training rows that are left over: for choosing settings, which the
            test set must not do.
    """

    rows: Rows | None = None
    validation_rows: Rows | None = None
    test_rows: Rows | None = None
    corrupted_rows: Annotated[int, Field(ge=0, strict=True)] = 1000
    corruptions: tuple[str, ...] = tuple(corruptions.CORRUPTIONS)
    severities: tuple[Severity, ...] = (1, 2, 3, 4, 5)
    out_of_distribution: tuple[str, ...] = ()
    tuning: bool = False

    def __post_init__(self) -> None:
        for name in self.corruptions:
            if name not in corruptions.CORRUPTIONS:
                raise ValueError(unknown("corruption", name, corruptions.CORRUPTIONS))


class Setting(NamedTuple):
    """Test images under one corruption: x [N, D] as pixels, y [N]."""

    corruption: str
    severity: int
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Split:
    """The rows of a dataset: x as pixels in [0, 1], float32 [N, D]; y int64 [N].

    Attributes:
        mean: of all training pixels.
        std: of all training pixels.
    """

    options: Options
    shape: tuple[int, int, int]
    classes: int
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    out_of_distribution: dict[str, np.ndarray]
    mean: float
    std: float

    def settings(self) -> Iterator[Setting]:
        """Yields the clean test set, and then its first rows under every corruption, made as they are asked for."""
        yield Setting(CLEAN, 0, *self.test)
        x, y = (part[: self.options.corrupted_rows] for part in self.test)
        for kind in self.options.corruptions if len(x) else ():
            for severity in self.options.severities:
                yield Setting(kind, severity, corruptions.corrupt(x, self.shape, kind, severity, 0), y)

    def standardised(self, x: np.ndarray) -> np.ndarray:
        """Returns pixels in the units that methods learn in."""
        return (x - np.float32(self.mean)) / np.float32(self.std)


@dataclass(frozen=True)
class DatasetSpec:
    """The declaration of a dataset.

    Attributes:
        label: how reports call it.
        id: what `load` takes.
        data_dir: where its files lie; results do not depend on it.
        data: digest of a user's own images, if it is known: others are then refused.
    """

    label: str
    id: str | Images | Callable[[], Any]
    options: Options = field(default_factory=Options)
    data_dir: str | None = None
    data: str | None = None

    @property
    def own(self) -> bool:
        """Whether it is a user's own."""
        return not isinstance(self.id, str) or ":" in self.id

    def describe(self) -> dict[str, Any]:
        """Returns it as JSON, with everything that results depend on."""
        kwargs = {name: _listed(value) for name, value in asdict(self.options).items()}
        source = unbound(self.id)  # what it binds may be arrays, and shows in the rows
        found = {"label": self.label, "id": reference(source), "kwargs": kwargs}
        if self.own:
            found["data"] = (self.data or load(self.id).digest())[:LENGTH]
            origin = own_images.found(source)
            if code := source_hash(origin):
                found["code"] = {reference(origin): code}
            return found
        kwargs["validation_rows"] = self.options.validation_rows or VALIDATION
        if self.id == DIGITS:  # its split was another one before it was the pool's: results are not to be mixed
            found["data"] = load_pool(DIGITS).digest()[:LENGTH]
        return found

    def load(self) -> Split:
        """Returns its rows; which ones are held out or left out depends on nothing but the options.

        Raises:
            ValueError: if there is no such dataset, if its files are not there, or if it has too few rows.
        """
        found, options = load(self.id, self.data_dir), self.options
        if self.data is not None and self.data != found.digest():
            raise ValueError(
                f"{found.name}: expected the images that it gave before the run, got others in its process"
            )
        known, held = len(found.train_x), options.validation_rows or VALIDATION
        if self.own and options.validation_rows is None:
            held = min(held, max(known // 5, 1))
        rows = known - held if options.rows is None else options.rows
        if rows < 1 or rows + held > known:
            wanted = f"rows ({'all others' if options.rows is None else rows}) and validation_rows ({held})"
            raise ValueError(
                f"expected at most {known:,} {wanted} together, all to train on in {found.name}: set fewer"
            )
        order = generator(0, "rows").permutation(known)
        validation, train = order[:held], order[held : held + rows]
        if options.tuning:
            test_x, test_y, test = found.train_x, found.train_y, order[held + rows :][: options.test_rows]
        else:
            test_x, test_y = found.test_x, found.test_y
            test = generator(0, "test rows").permutation(len(test_x))[: options.test_rows]
        if not len(test):
            raise ValueError(
                f"expected rows that are left over to evaluate on, got rows ({rows}) of all {known:,}: set fewer rows"
            )
        outside = min(OUT_OF_DISTRIBUTION_ROWS, len(found.test_x))
        out_of_distribution = {
            name: images.out_of_distribution(name, found, outside, data_dir=self.data_dir)
            for name in options.out_of_distribution
        }
        x = found.train_x[train]
        return Split(
            options,
            found.shape,
            found.classes,
            (x, found.train_y[train]),
            (found.train_x[validation], found.train_y[validation]),
            (test_x[test], test_y[test]),
            out_of_distribution,
            float(x.mean(dtype=np.float64)),
            float(x.std(dtype=np.float64)) or 1.0,
        )


def load(source: str | Images | Callable[[], Any], data_dir: str | None = None) -> Images:
    """Returns a dataset.

    Args:
        source: `digits`, which needs no files; a name of `vbandits.data.images`; or a user's own, as in
            `own_images.made`.
        data_dir: where the files of published datasets lie.

    Raises:
        ValueError: for an unknown name, if its files are not there, or for faulty arrays.
    """
    if not isinstance(source, str) or ":" in source:
        return own_images.made(source)
    if source == DIGITS:
        return _digits()
    if source not in images.names():
        own = ", or 'module:name' of your own images"
        raise ValueError(unknown("dataset", source, [DIGITS, *images.names()]) + own)
    return images.load(source, data_dir)


def _digits() -> Images:
    """Returns scikit-learn's 1,797 digits of 8 x 8 pixels; the test rows are those of the pool of that name."""
    pool = load_pool(DIGITS)
    x, test_x = pool.features / 16, pool.test_features / 16
    return Images(DIGITS, SHAPES[DIGITS], pool.classes, x, pool.targets, test_x, pool.test_targets)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
