"""How the laws of a module are found, and held against the tasks of a thing."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

SEEDS = (3, 1, 7)
"""Of the replicas."""
Law = Callable[[Any], None]


def laws(module: Mapping[str, Any]) -> tuple[Law, ...]:
    """Returns the laws of a module in their order: the functions whose docstring begins with "Law:"."""
    functions = filter(inspect.isfunction, module.values())
    return tuple(function for function in functions if (function.__doc__ or "").startswith("Law:"))


def of_each(tasks: Callable[[Any], Iterable[Any]]) -> Callable[[Callable[[Any, Any], None]], Law]:
    """Returns a decorator that holds a law against each of the tasks of a thing; an error says which it was."""

    def decorator(law: Callable[[Any, Any], None]) -> Law:
        @functools.wraps(law)
        def held(thing: Any) -> None:
            for task in tasks(thing):
                try:
                    law(thing, task)
                except AssertionError as error:
                    error.add_note(f"in a task of {getattr(task, 'likelihood', task)}")
                    raise

        return held

    return decorator


@contextmanager
def accepted() -> Iterator[None]:
    """Makes the ValueError of a check that runs do too an AssertionError."""
    try:
        yield
    except ValueError as error:
        raise AssertionError(str(error)) from error
