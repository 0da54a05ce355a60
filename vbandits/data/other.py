"""The original files of the datasets without classes: ratings, stocks, and a log of e-mails."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vbandits.data.folder import contents
from vbandits.data.record import Dataset, Logged
from vbandits.data.tables import commas, matrix, numbers, one_hot, words

JOKES, RATED = 100, 40
NOT_RATED = 99.0
USERS = (24_983, 23_500, 24_938)
"""Of jester-data-1, -2 and -3."""
STOCKS = 21
HILLSTROM = "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"
CATEGORIES = ("history_segment", "zip_code", "channel", "segment")
TOLD, OUTCOMES = ("recency", "history", "mens", "womens", "newbie"), ("visit", "conversion", "spend")
CUSTOMERS = (
    *("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel", "segment"),
    *OUTCOMES,
)
"""Columns of Hillstrom's file, those with text, those with numbers that are known before, and those of what came."""


def financial(paths: Sequence[Path]) -> Dataset:
    """Reads raw_stock_contexts: a line to pass over, and 21 numbers per day."""
    features = numbers(paths[0], STOCKS, header=1)
    return Dataset("financial", features, None, tuple(f"stock {number}" for number in range(1, STOCKS + 1)))


def jester_subset(paths: Sequence[Path]) -> Dataset:
    """Reads jester_data_40jokes_19181users.npy: the ratings [N, 40] that were published for bandits."""
    path = paths[0]
    raw = contents(path)
    try:
        ratings = np.load(io.BytesIO(raw), allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: expected an array that NumPy saved, got: {error}") from error
    if not (ratings.ndim == 2 and ratings.shape[1] == RATED and ratings.dtype.kind in "fiu"):
        raise ValueError(f"{path}: expected numbers of shape (users, {RATED}), got {ratings.dtype} {ratings.shape}")
    return _jester(path, ratings, tuple(f"joke {number}" for number in range(1, RATED + 1)), ())


def jester_raw(paths: Sequence[Path], users: Sequence[int] = USERS) -> Dataset:
    """Reads jester-data-1, -2 and -3: how many jokes a user rated, and 100 ratings, 99 where there is none.

    Kept are the 40 jokes that were rated most often (the first of those that were equally often), and the users who
    rated all of these. It is how the published subset of 19,181 users was described; that it comes out the same is
    not checked, for the files were not at hand: only the published array is.
    """
    tables = [_ratings(path, count) for path, count in zip(paths, users, strict=True)]
    ratings = np.concatenate(tables)
    rated = ratings != NOT_RATED
    chosen = np.sort(np.argsort(-rated.sum(0), kind="stable")[:RATED])
    whole = rated[:, chosen].all(1)
    notes = (
        f"the {RATED} jokes that most users rated, and the {int(whole.sum()):,} users who rated them all, of "
        f"{len(ratings):,}; the published subset has 19,181",
    )
    return _jester(paths[0], ratings[whole][:, chosen], tuple(f"joke {joke + 1}" for joke in chosen), notes)


def _ratings(path: Path, users: int) -> np.ndarray:
    """Returns the ratings of one file [users, 100]."""
    if path.suffix.lower() in (".xls", ".xlsx"):
        table = _sheet(path)
    else:
        parsed = commas(path, JOKES + 1)
        table = matrix(parsed, parsed.column_names)
    if table.shape != (users, JOKES + 1):
        raise ValueError(f"{path}: expected {users:,} users and {JOKES + 1} columns, got {table.shape}")
    ratings = table[:, 1:]
    wrong = int(((ratings != NOT_RATED).sum(1) != table[:, 0]).sum())
    if wrong:
        raise ValueError(f"{path}: expected the number of ratings in the first column, got another in {wrong:,} rows")
    return ratings


def _sheet(path: Path) -> np.ndarray:
    import pandas as pd

    try:
        return pd.read_excel(path, header=None).to_numpy(np.float32)
    except ImportError as error:
        engine = "xlrd" if path.suffix.lower() == ".xls" else "openpyxl"
        raise ValueError(
            f"{path}: expected {engine} to be installed, which reads such a file: pip install {engine}; or save it as "
            f"{path.with_suffix('.csv').name}, without a header"
        ) from error
    except Exception as error:  # whatever an engine makes of a damaged file
        raise ValueError(f"{path}: expected a sheet of numbers, got: {error}") from error


def _jester(path: Path, ratings: np.ndarray, names: tuple[str, ...], notes: tuple[str, ...]) -> Dataset:
    ratings = ratings.astype(np.float32)
    if not len(ratings) or not np.abs(ratings).max() <= 10:
        raise ValueError(f"{path}: expected ratings from -10 to 10, got {len(ratings):,} users with others among them")
    return Dataset("jester", ratings, None, names, (), notes)


def hillstrom(paths: Sequence[Path]) -> Dataset:
    """Reads Hillstrom's e-mail experiment: customers, which of three e-mails each was sent by chance, and what came.

    The arms are as likely as each other. Rewards are whether the customer visited the site in the two weeks after,
    whether they bought, and what they spent, in dollars.
    """
    table = commas(paths[0], len(CUSTOMERS), text=[CUSTOMERS.index(name) for name in CATEGORIES], header=True)
    if tuple(table.column_names) != CUSTOMERS:
        raise ValueError(
            f"{paths[0]}: expected the columns {', '.join(CUSTOMERS)}, got {', '.join(table.column_names)}"
        )
    segments = words(table, "segment")
    arms, actions = np.unique(segments, return_inverse=True)
    x = matrix(table, TOLD)
    levels, names = one_hot({name: words(table, name) for name in CATEGORIES if name != "segment"})
    rewards = {name: table.column(name).to_numpy().astype(np.float64) for name in OUTCOMES}
    logged = Logged(actions.astype(np.int64), tuple(arms.tolist()), rewards, np.full(len(x), 1 / len(arms)))
    return Dataset("hillstrom", np.concatenate([x, levels], 1), None, (*TOLD, *names), logged=logged)
