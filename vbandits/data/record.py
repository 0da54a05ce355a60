"""What a dataset is once it is read, what was published of it, and the check of the one against the other."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Logged:
    """What was done in each row, by chance, and what came of it.

    Attributes:
        actions: arms that were played, int64 in 0..A-1 [N].
        arm_names: A of them.
        rewards: by name, float64 [N].
        propensity: probability with which the arm was played, float64 [N].
    """

    actions: np.ndarray
    arm_names: tuple[str, ...]
    rewards: Mapping[str, np.ndarray]
    propensity: np.ndarray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows to decide on. The arrays are shared by all who load them: do not write to them.

    Attributes:
        name: the dataset's, or the user's file.
        features: [N, D], float32, or uint8 where all of them are indicators, which takes a quarter of the memory; or
            float64 where its digits are needed, see `data.precision`.
        labels: int64 in 0..K-1 [N]; None where there are no classes (`jester`, whose features are its ratings, and
            `financial`).
        feature_names: D of them; an indicator is called "column=level".
        class_names: K of them, in the order of the labels.
        notes: what was done to the rows between the file and the arrays.
        targets: numbers to predict, float64 [N], in the place of labels: of a user's own file, for a regression; or
            rewards of every arm [N, A], of a table of rewards.
        test: features [M, D] and labels [M] of a test set, where one was published apart from the rows (images).
        logged: decisions and rewards, where the rows are contexts in which something was decided.
    """

    name: str
    features: np.ndarray
    labels: np.ndarray | None
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    targets: np.ndarray | None = None
    test: tuple[np.ndarray, np.ndarray] | None = None
    logged: Logged | None = None

    def digest(self) -> str:
        """Returns the SHA-256 of the bytes of the features, row after row, and then of labels or targets, or log."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        found = hashlib.sha256(np.ascontiguousarray(self.features).data)
        log = self.logged
        logged = () if log is None else (log.actions, log.propensity, *log.rewards.values())
        for told in (self.labels, self.targets, *logged):
            if told is not None:
                found.update(np.ascontiguousarray(told).data)
        return found.hexdigest()


@dataclass(frozen=True)
class Layout:
    """One way in which a dataset is published: the names of its files, and what reads them all.

    Attributes:
        files: as they are downloaded.
        read: returns the dataset from the paths of the files, in their order.
        exact: whether what was published about the rows holds for them.
    """

    files: tuple[str, ...]
    read: Callable[[Sequence[Path]], Dataset]
    exact: bool = True


@dataclass(frozen=True)
class Fetch:
    """How scikit-learn gets a dataset.

    Attributes:
        source: what it gets it from, as messages call it.
        read: returns the dataset.
        cached: whether it lies in scikit-learn's data folder, so that it needs no network; None for what comes with
            scikit-learn.
        ordered: whether its rows are in the original order, so that the counts hold for each part.
    """

    source: str
    read: Callable[[], Dataset]
    cached: Callable[[Path], bool] | None = None
    ordered: bool = False


@dataclass(frozen=True)
class Published:
    """What was published under a name; every copy is checked against it.

    Attributes:
        name: what we call it.
        about: what it is, in a line, with its source.
        url: where its files are.
        features: D, as we encode them.
        counts: rows of each class [K] (of a log: of each arm), for each of its parts (such as training and test file)
            in their order. Their sum is the number of rows, and they tell a dataset from another one in files of the
            same name.
        rows: their number, where there are no classes, or their counts are not known.
        levels: K, where the counts are not known.
        layouts: the files that it may lie in, the first that are found are read; none where there are no files.
        fetch: how it is had otherwise, if it is.
        sha256: `Dataset.digest` of its original files, where they were at hand.
        folders: further names of its folder in the data directory.
        flat: whether its files may lie flat in it; not where another dataset's are called the same.
        shape: channels, height and width (C, H, W) of images, of which `features` is the product.
        test: images of each class in the test set [K], where there is one; `counts` are then of the training set.
        log: whether it is a log of decisions: `counts` are then rows of each arm, and there are no classes to tell.
    """

    name: str
    about: str
    url: str
    features: int
    counts: tuple[tuple[int, ...], ...] = ()
    rows: int = 0
    levels: int = 0
    layouts: tuple[Layout, ...] = ()
    fetch: Fetch | None = None
    sha256: str | None = None
    folders: tuple[str, ...] = ()
    flat: bool = True
    shape: tuple[int, int, int] | None = None
    test: tuple[int, ...] = ()
    log: bool = False

    @property
    def size(self) -> int:
        """The number of rows."""
        return self.rows or sum(map(sum, self.counts))

    @property
    def classes(self) -> int:
        """K, or 0 where there are no classes."""
        return len(self.counts[0]) if self.counts else self.levels

    def files(self) -> str:
        """Returns the names of the files of all layouts, as messages call them."""
        packed = (".gz", ".xls", ".xlsx")
        return ", or ".join(
            ", ".join(name if name.endswith(packed) else f"{name}[.gz]" for name in layout.files)
            for layout in self.layouts
        )


def checked(
    published: Published, where: str, found: Dataset, *, ordered: bool = True, exact: bool = True, original: bool = True
) -> Dataset:
    """Returns a dataset that is what was published.

    Args:
        published: what was.
        where: the dataset was found, for messages.
        found: the dataset.
        ordered: whether its rows are in the published order, so that the counts hold for each part.
        exact: whether the number of rows is the published one.
        original: whether it comes from the original files, so that the checksum holds.

    Raises:
        ValueError: if its size, its numbers, its classes or its bytes are others.
    """
    counts = published.counts
    if counts and not ordered:
        counts = (tuple(map(sum, zip(*counts, strict=True))),)
    size = published.size if exact else len(found.features)
    part = "" if found.test is None else ", training set"
    labels = found.labels if found.logged is None else found.logged.actions
    _check(published, f"{where}{part}", found.features, labels, size, counts)
    if found.test is not None:
        _check(published, f"{where}, test set", *found.test, sum(published.test), (published.test,))
    if original and published.sha256 is not None:
        digest = found.digest()
        _require(digest == published.sha256, where, f"the SHA-256 {published.sha256}", digest, published)
    return found


def _check(
    published: Published,
    where: str,
    features: np.ndarray,
    labels: np.ndarray | None,
    size: int,
    counts: tuple[tuple[int, ...], ...],
) -> None:
    """Checks rows: how many there are, their numbers, and the classes of each of their parts."""
    rows, columns = ("images", "pixels") if published.shape else ("rows", "features")
    expected = f"{size:,} {rows} of {published.features} {columns}"
    got = "{:,} of {}".format(*features.shape)
    _require(features.shape == (size, published.features), where, expected, got, published)
    if features.dtype != np.uint8:
        faulty = int((~np.isfinite(features)).sum())
        _require(not faulty, where, "finite numbers", f"{faulty:,} that are not", published)
    if labels is None or not counts:
        return
    _require(labels.shape == (size,), where, f"{size:,} labels", f"{len(labels):,}", published)
    least, most = int(labels.min()), int(labels.max())
    last = published.classes - 1
    _require(least >= 0 and most <= last, where, f"labels in 0..{last}", f"{least}..{most}", published)
    pieces = np.split(labels, np.cumsum([sum(part) for part in counts])[:-1])
    found = tuple(tuple(np.bincount(piece, minlength=published.classes).tolist()) for piece in pieces)
    _require(found == counts, where, f"{rows} of the classes {_shown(counts)}", _shown(found), published)


def coded(path: Path, values: np.ndarray, names: Mapping[str, str]) -> np.ndarray:
    """Returns labels int64 [N] in 0..K-1 of values as they are written in a file [N].

    Args:
        path: of the file, for messages.
        values: strings, or whole numbers.
        names: what each value stands for, in the order of the classes.

    Raises:
        ValueError: for a value that is no class.
    """
    levels, inverse = np.unique(values, return_inverse=True)
    written = [_written(level) for level in levels]
    order = {name: index for index, name in enumerate(names)}
    for level in written:
        if level not in order:
            raise ValueError(f"{path}: expected the classes {', '.join(names)}, got {level!r}")
    return np.array([order[level] for level in written], np.int64)[inverse]


def _written(level: object) -> str:
    number = getattr(level, "item", lambda: level)()
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _shown(counts: Sequence[Sequence[int]]) -> str:
    return " + ".join(", ".join(map(str, part)) for part in counts)


def _require(condition: bool, where: str, expected: str, got: str, published: Published) -> None:
    if not condition:
        mend = f"(is it another dataset, or damaged? The original is at {published.url})"
        raise ValueError(f"{where}: expected {expected}, got {got} {mend}")
