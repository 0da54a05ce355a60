"""Small stand-ins for published files, in their layout byte for byte, and what would have been published of them.

Counts are worked out here from what is written, not by the loaders.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from vbandits.data import PUBLISHED, fetching, image_files, other, uci
from vbandits.data.record import Layout, Published

ROWS = 60


def write(folder: Path) -> dict[str, Published]:
    """Writes every dataset into a folder of its name; returns what is published of the stand-ins, by name."""
    found = {}
    for name, writer in WRITERS.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        found[name] = replace(PUBLISHED[name], **{"sha256": None, **writer(place)})
    return found


def lines(path: Path, rows, separator=",") -> None:
    path.write_text("".join(separator.join(map(str, row)) + "\n" for row in rows))


def classes(count: int, rows: int = ROWS, start: int = 0) -> list[int]:
    """Returns labels that go round the classes, so that the first occur once more often than the last."""
    return [(start + row) % count for row in range(rows)]


def counted(labels, count: int) -> tuple[int, ...]:
    return tuple(list(labels).count(label) for label in range(count))


def digits(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, (rows, columns))


def mushroom(place: Path) -> dict:
    labels = classes(2, start=1)
    letters = [
        ["xyz?"[(row * (column + 1) + column) % (4 if column == 10 else 3)] for column in range(22)]
        for row in range(ROWS)
    ]
    lines(place / "agaricus-lepiota.data", [["ep"[label], *row] for label, row in zip(labels, letters, strict=True)])
    features = sum(len({row[column] for row in letters}) for column in range(22))
    return {"counts": (counted(labels, 2),), "features": features}


def statlog(place: Path) -> dict:
    labels = classes(7)
    lines(place / "shuttle.trn", np.column_stack([digits(ROWS, 9) - 50, np.array(labels) + 1]), " ")
    return {"counts": (counted(labels, 7),)}


def covertype(place: Path) -> dict:
    labels = classes(7)
    lines(place / "covtype.data", np.column_stack([digits(ROWS, 10), digits(ROWS, 44) % 2, np.array(labels) + 1]))
    return {"counts": (counted(labels, 7),)}


WORK, SCHOOL, COUNTRIES = ("Private", "State-gov"), ("HS-grad", "10th", "Masters"), ("United-States", "Cuba")


def adult_row(row: int, dot: str = "") -> list[str]:
    """Returns a row; every tenth has no occupation."""
    occupation = "?" if row % 10 == 9 else uci.OCCUPATIONS[row % 14]
    income = ("<=50K", ">50K")[row % 3 // 2] + dot
    return [
        str(20 + row % 50),
        WORK[row % 2],
        str(1000 + row),
        SCHOOL[row % 3],
        "9",
        "Divorced",
        occupation,
        "Husband",
        "White",
        ("Male", "Female")[row % 2],
        "0",
        str(row),
        "40",
        COUNTRIES[row % 2],
        income,
    ]


def adult(place: Path, dots: bool = True) -> dict:
    """Writes both files as UCI has them: a comment first in adult.test, dots, an empty line last; or without."""
    parts = [range(ROWS), range(ROWS, ROWS + 40)]
    lines(place / "adult.data", map(adult_row, parts[0]), ", ")
    lines(place / "adult.test", [adult_row(row, "." if dots else "") for row in parts[1]], ", ")
    if dots:
        test = place / "adult.test"
        test.write_text(f"|1x3 Cross validator\n{test.read_text()}\n")
    counts = tuple(counted([row % 14 for row in part if row % 10 != 9], 14) for part in parts)
    fetch = fetching.openml("adult", 2, partial(fetching.adult, rows=(len(parts[0]), len(parts[1]))), ordered=True)
    return {"counts": counts, "features": 6 + 2 + 3 + 1 + 1 + 1 + 2 + 2 + 4, "fetch": fetch}


def census(place: Path) -> dict:
    codes = digits(ROWS, 68) % 5
    codes[:, 7] = classes(9)
    names = ["caseid", *(f"iCode{column}" if column != 7 else "dOccup" for column in range(68))]
    lines(place / "USCensus1990.data.txt", [names, *np.column_stack([10_000 + np.arange(ROWS), codes]).tolist()])
    return {"rows": ROWS, "features": sum(len(set(codes[:, column])) for column in range(68) if column != 7)}


def jester(place: Path) -> dict:
    np.save(place / "jester_data_40jokes_19181users.npy", np.random.default_rng(1).uniform(-10, 10, (ROWS, 40)))
    return {"rows": ROWS, "layouts": (PUBLISHED["jester"].layouts[0], *raw_jester())}


def raw_jester(users=(5, 4, 3)) -> tuple[Layout, ...]:
    read = partial(other.jester_raw, users=users)
    return tuple(replace(layout, read=read) for layout in PUBLISHED["jester"].layouts[1:])


def financial(place: Path) -> dict:
    x = np.random.default_rng(2).normal(0, 0.02, (ROWS, 21))
    lines(place / "raw_stock_contexts", [["a line to pass over"], *x.tolist()], " ")
    return {"rows": ROWS}


def pictures(place: Path) -> dict:
    from tests.test_images import idx

    x, y = digits(ROWS, 784).astype(np.uint8).reshape(ROWS, 28, 28), np.array(classes(10), np.uint8)
    for file, array in zip(image_files.IDX, (x, y, x[:10], y[:10]), strict=True):
        (place / file).write_bytes(idx(array))
    return {"counts": (counted(classes(10), 10),), "test": counted(classes(10, 10), 10)}


def letter(place: Path) -> dict:
    labels = classes(26)
    lines(
        place / "letter-recognition.data",
        [[chr(65 + label), *row] for label, row in zip(labels, digits(ROWS, 16), strict=True)],
    )
    return {"counts": (counted(labels, 26),)}


def pendigits(place: Path) -> dict:
    parts = classes(10), classes(10, 33, start=4)
    for seed, (labels, ending) in enumerate(zip(parts, ("tra", "tes"), strict=True)):
        rows = [[f"{value:3d}" for value in row] for row in digits(len(labels), 16, seed)]
        lines(place / f"pendigits.{ending}", [[*row, f" {label}"] for row, label in zip(rows, labels, strict=True)])
    return {"counts": tuple(counted(part, 10) for part in parts)}


def satimage(place: Path) -> dict:
    parts = classes(6), classes(6, 20, start=2)
    for seed, (labels, ending) in enumerate(zip(parts, ("trn", "tst"), strict=True)):
        table = np.column_stack([digits(len(labels), 36, seed), np.array([1, 2, 3, 4, 5, 7])[labels]])
        lines(place / f"sat.{ending}", table, " ")
    return {"counts": tuple(counted(part, 6) for part in parts)}


def magic(place: Path) -> dict:
    labels = classes(2)
    lines(
        place / "magic04.data", [[*(row / 8), "gh"[label]] for row, label in zip(digits(ROWS, 10), labels, strict=True)]
    )
    return {"counts": (counted(labels, 2),)}


WRITERS = {
    "mushroom": mushroom,
    "statlog": statlog,
    "covertype": covertype,
    "adult": adult,
    "census": census,
    "jester": jester,
    "financial": financial,
    "mnist": pictures,
    "fashion_mnist": pictures,
    "letter": letter,
    "pendigits": pendigits,
    "satimage": satimage,
    "magic": magic,
}
