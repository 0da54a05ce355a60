"""What checks annotations while tests run, see `conftest.pytest_configure`."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from beartype import BeartypeConf, FrozenDict, beartype


@cache
def configuration() -> BeartypeConf:
    """Returns beartype's configuration.

    A whole number will do where a real one is expected, as type checkers have it. Of tables by problem and method only
    that they are a mapping is checked: a look at the first reads it from its file, which may be missing or damaged.
    """
    import pandas as pd  # here: the process that only hands out tests does not wait for it

    tables: Any = Mapping[tuple[str, str], pd.DataFrame]
    return BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({tables: Mapping}))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that checks its arguments and what it returns."""
    return beartype(conf=configuration())(function)
