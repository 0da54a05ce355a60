"""A log's arms and columns in the order that an environment has them in: by name wherever both have names."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from vbandits.data.logs import Log
from vbandits.errors import shortened

Found = TypeVar("Found")
SHOWN = 200
"""Letters of a list of names in a message."""
NAME, POSITION, NUMBER = "name", "position", "number"
"""By what arms and columns are matched."""
NUMERAL = re.compile("0|[1-9][0-9]{0,8}")
"""A number as it is written in only one way: "01" may be another arm than "1"."""


def matched(
    log: Log,
    arms: int,
    features: int,
    arm_names: Iterable[Any] | None = None,
    feature_names: Iterable[Any] | None = None,
    told: Sequence[str | int] | None = None,
) -> Log:
    """Returns a log whose arms and columns stand where the environment's do.

    Where both sides have names, names count, whatever their order. Arms that the log never played, and indicators of
    levels that it never saw, may be missing. Where one side has none (names that merely count are none), positions do,
    or the numbers of arms.

    Args:
        log: logged decisions.
        arms: of the environment, A.
        features: of its contexts, D.
        arm_names: A of them, texts or numbers; none where it has none.
        feature_names: D of them; none where it has none.
        told: what the log calls the environment's arms, in their order, where names differ.

    Returns:
        The log, with `matched`, which says by what arms and columns were matched, and a note that tells a person. Its
        arms have its own names, and no features.

    Raises:
        ValueError: for arms or columns that cannot be matched, with the names that each side has, and for names of the
            environment's that are not one for each of its arms or columns.
    """
    errors: list[str] = []
    own_arms = _tried(errors, _texts, "arm_names", "arms", arm_names, arms)
    own_columns = _tried(errors, _texts, "feature_names", "columns", feature_names, features)
    if own_arms is None or own_columns is None:
        raise ValueError("; ".join(errors))
    of_arms = _tried(errors, _arms, log, arms, own_arms, told)
    of_columns = _tried(errors, _columns, log, features, own_columns)
    if of_arms is None or of_columns is None:
        raise ValueError(f"log: {'; and '.join(errors)}")
    (places, by_arms, which), (columns, by_columns, lacking) = of_arms, of_columns
    names = [*map(str, told if told is not None else own_arms or [f"arm {arm}" for arm in range(arms)])]
    for place, name in zip(places, log.arm_names, strict=True):
        names[place] = name
    context = log.context
    if columns != [*range(features)]:
        context = np.zeros((len(log), features), log.context.dtype)
        context[:, columns] = log.context
    notes = [f"arms by {by_arms}{which}", f"columns by {by_columns}"] if features else [f"arms by {by_arms}{which}"]
    if by_columns == POSITION and features:
        notes[1] += f", as {'the log' if _named(own_columns, 'x') else 'the environment'} has no names of them"
    if never := [names[place] for place in range(arms) if place not in places]:
        notes.append(f"arms that it never played: {_listed(never)}")
    if lacking:
        notes.append(f"columns that it has not, which are 0 in all its rows: {_listed(lacking)}")
    return replace(
        log,
        context=context,
        action=np.array(places)[log.action],
        arm_names=tuple(names),
        feature_names=own_columns or log.feature_names,
        arm_features=None,  # environments whose arms have features take no log
        matched=f"arms by {by_arms}, columns by {by_columns}",
        notes=(*log.notes, f"agents start from the {len(log):,} decisions of {log.name}: {'; '.join(notes)}"),
    )


def _tried(errors: list[str], find: Callable[..., Found], *given: Any) -> Found | None:
    """Returns what is found, or None and the reason among the errors."""
    try:
        return find(*given)
    except ValueError as error:
        errors.append(str(error))
        return None


def _texts(attribute: str, what: str, given: Iterable[Any] | None, count: int) -> tuple[str, ...]:
    """Returns the names that an environment has of its arms or columns as texts, none where it has none."""
    if given is None:
        return ()
    names = (given,) if isinstance(given, str) else tuple(map(str, given))
    if names and (len(names) != count or len(set(names)) != count):
        raise ValueError(
            f"{attribute}: expected a name for each of the {count} {what} of the environment, all different, got "
            f"{len(names)} ({_listed(names)})"
        )
    return names


def _arms(log: Log, arms: int, own: tuple[str, ...], told: Sequence[str | int] | None) -> tuple[list[int], str, str]:
    """Returns the place of each of the log's arms among the environment's, by what it was found, and which is which."""
    given = log.arm_names
    if told is not None:
        own = tuple(map(str, told))
        if isinstance(told, str) or len(own) != arms or len(set(own)) != arms:
            raise ValueError(
                f"arms: expected what the log calls each of the environment's {arms} arms, in their order, got {told!r}"
            )
    if set(given) <= set(own):
        return [own.index(name) for name in given], NAME, ""
    if told is not None or (_named(own) and not _counting(given)):
        others = [name for name in given if name not in own]
        what = "are listed in arms = [...]" if told is not None else "the environment has"
        raise ValueError(
            f"expected arms that {what} ({_listed(own)}), got {_listed(given)}, of which {_listed(others)} "
            f"{'is' if len(others) == 1 else 'are'} not among them: say which is which with arms = [...], what the log "
            f"calls each of the {arms} arms of the environment, in their order"
        )
    if _counting(given) and all(int(name) < arms for name in given):
        places, how = [int(name) for name in given], NUMBER
    elif len(given) == arms:
        places, how = [*range(arms)], POSITION
    else:
        raise ValueError(
            f"expected the {arms} arms of the environment, got {len(given)} ({_listed(given)}): say which is "
            "which with arms = [...], what the log calls each of them, in their order"
        )
    named = own or [f"arm {arm}" for arm in range(arms)]
    pairs = [f"{name} is {named[place]}" for name, place in zip(given, places, strict=True)]
    nobody = "the log" if _named(own) else "the environment"
    return places, how, f", as {nobody} has no names of them ({_listed(pairs)})"


def _columns(log: Log, features: int, own: tuple[str, ...]) -> tuple[list[int], str, list[str]]:
    """Returns the place of each of the log's columns, by what it was found, and the names of those that it has not."""
    given, count = log.feature_names, log.context.shape[1]
    if own and given and (set(own) == set(given) or (_named(own, "x") and _named(given, "x"))):
        lacking = [name for name in own if name not in given]
        foreign = [name for name in given if name not in own]
        gone = [name for name in lacking if not _may_lack(name, given)]
        if foreign or gone:
            found = [f"the environment alone has {_listed(gone)}"] if gone else []
            found += [f"the log alone has {_listed(foreign)}"] if foreign else []
            raise ValueError(
                f"expected the columns of the environment's contexts ({_listed(own)}), got {_listed(given)}: "
                f"{'; '.join(found)}: rename columns, or leave them out, with drop = [...] in the log or in the "
                "environment"
            )
        return [own.index(name) for name in given], NAME, lacking
    if count != features:
        raise ValueError(
            f"expected decisions in contexts of {features} numbers, as the environment has"
            f"{f' ({_listed(own)})' if own else ''}, got {count} numbers{f' ({_listed(given)})' if given else ''}"
        )
    return [*range(features)], POSITION, []


def _named(names: Sequence[str], prefix: str = "") -> bool:
    """Says whether there are names, and not such that merely count."""
    return bool(names) and [*names] != [f"{prefix}{place}" for place in range(len(names))]


def _counting(names: Sequence[str]) -> bool:
    return all(NUMERAL.fullmatch(name) for name in names)


def _may_lack(name: str, given: Sequence[str]) -> bool:
    """Says whether an indicator is 0 in rows without it: of a level of a column that they have, or of missing numbers
    where they miss none."""
    text, _, level = name.partition("=")
    number = name.removesuffix(" missing")
    of_text = bool(level) and any(other.startswith(f"{text}=") for other in given)
    return of_text or (number != name and number in given)


def _listed(names: Sequence[str]) -> str:
    return shortened(", ".join(names), SHOWN)
