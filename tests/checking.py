"""What checks annotations while tests run, see `conftest.pytest_configure`.

Types are for beartype to check, shapes for jaxtyping, whose axes are told apart by call. jaxtyping has a decorator for
both, which binds arguments by name and checks them twice at every call, and compiles its checks where a function is
defined, also where that is inside another: that took three quarters of the tests' time. Here checks are compiled at the
first call, once for every piece of code, and each argument is checked once.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache, wraps
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, FrozenDict, beartype

AXES = jaxtyping.jaxtyped("context")
"""A call in which the sizes of axes are known by name."""
COMPILED: dict[int, tuple[CodeType, FunctionType, bool]] = {}
"""Of functions that are defined in others, by the identity of their code: the code, and what `compiled` returns."""

bound_and_checked = jaxtyping.jaxtyped
"""jaxtyping's own decorator."""


def install(modules: str | list[str]) -> None:
    """Has every function and every dataclass be checked in modules that are imported from now on."""
    jaxtyping.install_import_hook(modules, f"{__name__}.configured")
    jaxtyping.jaxtyped = lambda typechecker: checked  # by this name the hook decorates


@cache
def configuration() -> BeartypeConf:
    """Returns beartype's configuration.

    A whole number will do where a real one is expected, as type checkers have it. Of tables by problem and method only
    that they are a mapping is checked: a look at the first reads it from its file, which may be missing or damaged.
    What is wrong is a TypeError.
    """
    import pandas as pd  # here: the process that only hands out tests does not wait for it

    tables: Any = Mapping[tuple[str, str], pd.DataFrame]
    return BeartypeConf(
        is_pep484_tower=True, hint_overrides=FrozenDict({tables: Mapping}), violation_type=jaxtyping.TypeCheckError
    )


def configured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function whose types beartype checks."""
    return beartype(conf=configuration())(function)


def checked(thing: Any) -> Any:
    """Returns a function that checks its arguments and what it returns, or a dataclass that checks its fields."""
    if inspect.isclass(thing):
        if is_dataclass(thing) and "__init__" in vars(thing) and not hasattr(thing.__init__, "__wrapped__"):
            thing.__init__ = checked(thing.__init__)
        return thing
    if not thing.__annotations__:
        return thing
    if inspect.isgeneratorfunction(thing):  # beartype would check its arguments only when the first is asked for
        return bound_and_checked(thing, typechecker=configured)
    call, axes = None, False

    @wraps(thing)
    def function(*args, **kwargs):
        nonlocal call, axes
        if call is None:
            call, axes = compiled(thing)
        if not axes:
            return call(*args, **kwargs)
        with AXES:
            return call(*args, **kwargs)

    return function


def compiled(function: FunctionType) -> tuple[Callable[..., Any], bool]:
    """Returns a function with beartype's checks around it, and whether its annotations name axes."""
    code, inner = function.__code__, "<locals>" in function.__qualname__
    if inner and id(code) in COMPILED:
        _, pattern, axes = COMPILED[id(code)]
        return around(pattern, function), axes
    hints = {name: resolved(hint, function) for name, hint in function.__annotations__.items()}
    named = copied(function)
    named.__annotations__ = hints
    pattern, axes = configured(named), any(map(has_axes, hints.values()))
    if inner:
        COMPILED[id(code)] = code, pattern, axes
    return around(pattern, function), axes


def around(pattern: FunctionType, function: FunctionType) -> FunctionType:
    """Returns the checks that beartype has put around one function around another of the same code."""
    if not hasattr(pattern, "__wrapped__"):  # nothing is to be checked
        return function
    other = copied(pattern)
    other.__kwdefaults__ = {**pattern.__kwdefaults__, "__beartype_func": function}
    return other


def copied(function: FunctionType) -> FunctionType:
    code, names = function.__code__, function.__globals__
    other = FunctionType(code, names, function.__name__, function.__defaults__, function.__closure__)
    other.__kwdefaults__ = function.__kwdefaults__
    other.__module__, other.__qualname__ = function.__module__, function.__qualname__
    return other


def resolved(hint: Any, function: FunctionType) -> Any:
    """Returns an annotation without names in quotes; anything will do where one is for type checkers alone."""
    try:
        holder = SimpleNamespace(__annotations__={"it": hint})
        return get_type_hints(holder, function.__globals__, include_extras=True)["it"]
    except NameError:
        return Any


def has_axes(hint: Any) -> bool:
    """Says whether a type, or one that it is made of, is one of jaxtyping's."""
    return isinstance(hint, type(jaxtyping.AbstractArray)) or any(map(has_axes, get_args(hint)))
