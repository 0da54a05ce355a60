"""Logged bandit feedback: decisions that were made by chance, with known probabilities, and what they paid.

It is had by name, from a user's own file or data frame, from arrays, or from the Open Bandit Dataset. Columns that are
neither action, reward nor propensity are the context; what becomes of them, see `vbandits.data.user`.
"""

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc

from vbandits.data import memory, open_bandit, user
from vbandits.data.catalogue import PUBLISHED
from vbandits.data.loading import is_file, load
from vbandits.data.precision import compact, unmasked
from vbandits.data.user_files import place
from vbandits.errors import shortened
from vbandits.registry import unknown

NAMES = (*(name for name, published in PUBLISHED.items() if published.log), open_bandit.NAME)
"""Logs that have a name."""
COLUMNS = {"action": "action", "reward": "reward", "propensity": "propensity"}
"""What is read of a table, and what its columns are called where nothing is said."""
OPTIONS = ("action", "reward", "propensity", "drop", "policy", "campaign")
"""What `load_log` takes beside the log."""
ARMS = 10_000
"""Most arms of a log."""
SHOWN = 100
"""Letters of a list of names that a log shows of itself."""
CHANCE, SHARE = 5.0, 1e-3
"""Standard errors, and rounding, by which an arm's share of the rows may miss its probability."""


@dataclass(frozen=True, eq=False)
class Log:
    """Logged decisions. The arrays are shared by all who load them: do not write to them.

    Attributes:
        name: of the log, or the user's file.
        context: [N, D], what was known before each decision.
        action: arms that were played, int64 in 0..A-1 [N].
        reward: what they paid, float64 [N].
        propensity: probability with which the logging policy played that arm, float64 [N].
        arm_names: A of them.
        feature_names: D of them.
        arm_features: [A, F], where arms have any.
        notes: what was done to the rows.
        told_by: where the propensities come from, in words.
        matched: by what arms and columns were matched with those of an environment, see `data.matching`; "" if they
            were not.
        rows: where they stood in their file, counted from 0 [N], if some were left out.
    """

    name: str
    context: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    arm_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    arm_features: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    told_by: str = ""
    matched: str = ""
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.action)

    def __repr__(self) -> str:
        low, high = (float(end) for end in (self.propensity.min(), self.propensity.max())) if len(self) else (0.0, 0.0)
        chance = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        columns = f" ({shortened(', '.join(self.feature_names), SHOWN)})" if self.feature_names else ""
        return (
            f"Log {self.name!r}: {len(self):,} rows, {self.arms} arms ({shortened(', '.join(self.arm_names), SHOWN)}), "
            f"contexts of {self.context.shape[1]} numbers{columns}, propensities {chance}"
            f"{f' ({self.told_by})' if self.told_by else ''}"
        )

    @property
    def arms(self) -> int:
        """A."""
        return len(self.arm_names)

    @property
    def uniform(self) -> bool:
        """Whether every arm was as likely as any other in every decision."""
        return bool(np.allclose(self.propensity, 1 / self.arms, rtol=1e-6))

    def digest(self) -> str:
        """Returns the SHA-256 of the rows, with types and shapes, and of the names of the arms."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        found = hashlib.sha256("\0".join(self.arm_names).encode())
        for part in (self.context, self.action, self.reward, self.propensity, self.arm_features):
            if part is not None:
                found.update(f"{part.dtype} {part.shape}".encode())
                found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()

    def arm(self, name: Any) -> int:
        """Returns the number of an arm, by its name or its number.

        Raises:
            ValueError: if there is none.
        """
        if str(name) in self.arm_names:
            return self.arm_names.index(str(name))
        raise ValueError(unknown("arm", str(name), self.arm_names))

    def truth(self, arm: int) -> float:
        """Returns what always playing an arm pays: the plain mean of its rewards, where every decision played it with
        the same probability; else NaN, since the rows of an arm are then others than those of the log.

        Its rows tell that probability where it was played. Where it was not, its share of all rows does, but for
        chance: an arm that some decisions could not play has a smaller one.
        """
        own = self.action == arm
        if not own.any() or not np.allclose(self.propensity[own], self.propensity[own][:1]):
            return float("nan")
        chance = float(self.propensity[own][0])
        error = np.sqrt(chance * (1 - chance) / len(self))
        return float(self.reward[own].mean()) if abs(own.mean() - chance) <= CHANCE * error + SHARE else float("nan")

    def require_valid(self) -> None:
        """Raises a ValueError that says all that is wrong with it."""
        found, rows = [], len(self.action)
        if not (self.context.ndim == 2 and len(self.context) == rows and np.isfinite(self.context).all()):
            found.append(f"context: expected finite numbers [{rows}, D], got {self.context.shape}")
        if not rows:
            found.append("expected rows, got none")
        for name, part in (("reward", self.reward), ("propensity", self.propensity)):
            if part.shape != (rows,) or not np.isfinite(part).all():
                found.append(f"{name}: expected {rows:,} finite numbers, got {part.shape} with others")
        wrong = ~((self.propensity > 0) & (self.propensity <= 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            where = place(self.name, row if self.rows is None else int(self.rows[row]))
            found.append(
                f"propensity: expected probabilities above 0 and at most 1, got {self.propensity[row]} in {where} (and "
                f"{int(wrong.sum()) - 1:,} more)"
            )
        if not 2 <= self.arms <= ARMS:
            found.append(f"action: expected 2 to {ARMS:,} arms, got {self.arms:,}")
        if rows and not (self.action.min() >= 0 and self.action.max() < self.arms):
            found.append(f"action: expected arms in 0..{self.arms - 1}, got {self.action.min()}..{self.action.max()}")
        if self.arm_features is not None and len(self.arm_features) != self.arms:
            found.append(f"arm_features: expected a row for each of {self.arms} arms, got {len(self.arm_features)}")
        if found:
            raise ValueError(f"{self.name}: " + "; ".join(found))


def load_log(
    log: Any,
    *,
    action: str | int | None = None,
    reward: str | int | None = None,
    propensity: str | float | None = None,
    drop: Sequence[str | int] | None = None,
    policy: str | Sequence[str] | None = None,
    campaign: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Log:
    """Returns logged decisions.

    Args:
        log: a name in `NAMES`; a CSV or Parquet file, or a folder of Parquet files; a data frame of pandas or Polars;
            arrays (context [N, D], action [N], reward [N], propensity [N] or a number), whole actions being numbers of
            arms, from 0; a folder of the Open Bandit Dataset; or a `Log`.
        action: column of the arm, by default "action"; its levels, sorted, are the arms.
        reward: column of the reward, by default "reward"; of "hillstrom" visit (the default), conversion or spend.
        propensity: column of the probability with which the arm was chosen, by default "propensity", or the number
            itself, where it is the same in all rows.
        drop: columns to leave out.
        policy: whose log of the Open Bandit Dataset: "random" (the default), "bts", or both in a list.
        campaign: of the Open Bandit Dataset: "men" (the default), "women" or "all".
        data_dir: where the files of logs with a name lie.

    Raises:
        ValueError: for a log that is not there, options that do not go with it, and rows that are no logged decisions.
    """
    given = {"action": action, "reward": reward, "propensity": propensity, "drop": drop}
    obd = {"policy": policy, "campaign": campaign}
    name = os.fspath(log) if isinstance(log, str | os.PathLike) else None
    if name is not None and (name == open_bandit.NAME or open_bandit.is_folder(name)):
        _refuse(given, (), "the Open Bandit Dataset, whose columns are set")
        return _valid(_open_bandit(name, policy or "random", campaign or "men", data_dir))
    _refuse(obd, (), "anything but the Open Bandit Dataset")
    if isinstance(log, Log):
        _refuse(given, (), "a Log, which has them")
        return _valid(log)
    if name in PUBLISHED and PUBLISHED[name].log:
        _refuse(given, ("reward",), f"{name}, whose columns are set")
        return _valid(_published(name, None if reward is None else str(reward), data_dir))
    if (name is not None and is_file(name)) or memory.is_frame(log):
        return _valid(_table(log if name is None else name, given))
    if isinstance(log, tuple | list) and len(log) == 4:
        _refuse(given, (), "arrays, which are in order")
        return _valid(_arrays(*log))
    if name is not None:
        raise ValueError(unknown("log", name, NAMES) + "; or give a file, such as decisions.csv")
    raise ValueError(
        "log: expected a name, a file, a data frame or arrays (context, action, reward, propensity), got "
        f"{type(log).__name__}"
    )


def _refuse(given: Mapping[str, Any], allowed: Sequence[str], what: str) -> None:
    wrong = [f"{name}={value!r}" for name, value in given.items() if value is not None and name not in allowed]
    if wrong:
        raise ValueError(f"log: expected no {', '.join(wrong)} with {what}")


def _valid(log: Log) -> Log:
    log.require_valid()
    return log


def _published(name: str, reward: str | None, data_dir: Any) -> Log:
    found = load(name, data_dir)
    logged = found.logged
    assert logged is not None
    reward = next(iter(logged.rewards)) if reward is None else reward
    if reward not in logged.rewards:
        raise ValueError(f"{name}: " + unknown("reward", reward, logged.rewards))
    return Log(
        name,
        found.features,
        logged.actions,
        logged.rewards[reward],
        logged.propensity,
        logged.arm_names,
        found.feature_names,
        notes=found.notes,
        told_by="as it was published",
    )


def _table(source: Any, given: Mapping[str, Any]) -> Log:
    drop = tuple(map(str, given["drop"] or ()))
    where, table, index = user.columns(source, drop)
    if given["action"] is None and open_bandit.COLUMNS.keys() <= set(table.column_names):
        return _from_open_bandit(open_bandit.of_table(where, table.drop_columns(list(drop))))
    constant = given["propensity"] if isinstance(given["propensity"], float | int) else None
    chosen = {name: str(given[name] or usual) for name, usual in COLUMNS.items()}
    if constant is not None:
        del chosen["propensity"]
    user.require_columns(
        where,
        table.column_names,
        [*((role, own) for role, own in chosen.items()), *(("column to drop", d) for d in drop)],
    )
    valid = {own: pc.call_function("is_valid", [user.plain(table.column(own))]) for own in chosen.values()}
    present = functools.reduce(lambda one, other: pc.call_function("and", [one, other]), valid.values())
    rows = np.flatnonzero(present.to_numpy())
    features, notes = user.context(where, table, index, (*chosen.values(), *drop))
    if len(rows) < len(table):
        lacking = " or ".join(own for own, known in valid.items() if not pc.call_function("all", [known]).as_py())
        notes.append(f"{len(table) - len(rows):,} of {len(table):,} rows lack {lacking} and are left out")
    table = table.filter(present)
    numbers = {
        role: user.numbers_of(where, chosen[role], table.column(chosen[role])) for role in chosen if role != "action"
    }
    levels, action = np.unique(np.array(table.column(chosen["action"]).to_pylist()), return_inverse=True)
    x, names = np.zeros((len(table), 0), np.float32), ()
    if features:
        x, names, said = user.encoded(where, table, features, rows)
        notes += said
    propensity = numbers.get("propensity", np.full(len(table), float(constant or 0)))
    arms = tuple(str(int(one) if isinstance(one, float) and one.is_integer() else one) for one in levels.tolist())
    told = "the number that was given" if constant is not None else f"column {chosen['propensity']!r}"
    return Log(
        where,
        x,
        action.astype(np.int64),
        numbers["reward"],
        propensity,
        arms,
        names,
        notes=tuple(notes),
        told_by=told,
        rows=rows,
    )


def _arrays(context: Any, action: Any, reward: Any, propensity: Any) -> Log:
    x, names = user.read_context(context) if memory.is_frame(context) else (unmasked(context), ())
    if x.dtype.kind not in "fiub":
        raise ValueError(f"log: context: expected numbers [N, D], got {x.dtype} {x.shape}")
    chosen = unmasked(action)
    if chosen.dtype.kind == "f" and np.isfinite(chosen).all() and (chosen == np.trunc(chosen)).all():
        chosen = chosen.astype(np.int64)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iubUSO":
        raise ValueError(f"log: action: expected whole numbers or text [N], got {chosen.dtype} {chosen.shape}")
    if chosen.dtype.kind in "iub":
        arms, number = _numbered("arrays", int(chosen.max(initial=0)) + 1), chosen.astype(np.int64)
    else:
        levels, number = np.unique(chosen.astype(np.str_), return_inverse=True)
        arms = tuple(levels.tolist())
    paid, chance = (unmasked(part).astype(np.float64) for part in (reward, propensity))
    told = "the number that was given" if chance.ndim == 0 else "as given"
    chance = np.full(len(number), float(chance)) if chance.ndim == 0 else chance
    return Log("arrays", compact(x), number.astype(np.int64), paid, chance, arms, names, told_by=told)


def _open_bandit(name: str, policy: str | Sequence[str], campaign: str, data_dir: Any) -> Log:
    policies = (policy,) if isinstance(policy, str) else tuple(policy)
    folder = open_bandit.folder(name, data_dir)
    return _from_open_bandit(open_bandit.read(folder, policies, campaign))


def _from_open_bandit(found: open_bandit.Impressions) -> Log:
    return Log(
        found.name,
        found.context,
        found.item,
        found.click,
        found.propensity,
        _numbered(found.name, found.items),
        found.feature_names,
        found.item_context,
        found.notes,
        f"column {open_bandit.PROPENSITY!r}",
    )


def _numbered(where: str, arms: int) -> tuple[str, ...]:
    """Returns the names of arms that are numbers, of which some may never have been played."""
    if arms > ARMS:
        raise ValueError(
            f"{where}: action: expected arms in 0..{ARMS - 1:,}, got {arms - 1:,}: give names, as text, where numbers "
            "are those of things"
        )
    return tuple(map(str, range(arms)))
