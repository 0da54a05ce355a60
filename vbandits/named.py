"""What may be called of all that has a place "module:name": a text that names it is no reason to trust it.

An experiment file names environments, posteriors, ... by their places, and they are called while it is checked. A class
must therefore have the methods of what it is named as. A function must be the user's own, written in a file that is not
installed, or say by its return annotation that it makes such a thing: `os:system` is neither. What is given in Python
as an object is not looked at.
"""

import inspect
import typing
from typing import Any

from vbandits.source_hash import defined, reference, source_hash, unbound

KINDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "environment": (("reset", "step"),),
    "posterior": (("init", "update", "draw", "mean"),),
    "rule": (("choose",),),
    "acquisition": (("select",),),
    "network": (("build",), ("forward",)),
    "agent": (("player", "describe"),),
    "policy": (("act", "observe"),),
    "dataset": (("train_x", "train_y", "test_x", "test_y"),),
    "callback": (("on_step",), ("on_update",), ("on_job_end",)),
    "benchmark": (("sections", "config", "run", "results", "report"),),
}
"""The methods or attributes that it has, or else others, by what it is."""


def require_kind(what: str, place: str, found: Any) -> None:
    """Raises a ValueError unless what was found at a place may be called as what it is named.

    Args:
        what: of `KINDS`.
        place: "module:name".
        found: there. Tables, texts and objects that have the methods are used, and not called.
    """
    if fits(what, found) or not callable(found):
        return
    methods = " or ".join(" and ".join(names) for names in KINDS[what])
    expected = f"{place}: expected {'an' if what[0] in 'aeiou' else 'a'} {what}, a class with {methods}"
    if inspect.isclass(found):
        wanted = KINDS[what][0]
        lacks = " and ".join(name for name in wanted if not hasattr(found, name))
        raise ValueError(
            f"{expected}, or a function that makes one, got {reference(found)} without {lacks}{defined(found)}"
        )
    if source_hash(found) is None and not fits(what, returned(found)):
        raise ValueError(
            f"{expected}, or a function that makes one: of your own, or one that is annotated to return such a class; "
            f"got {reference(found)}, which is neither: write a function of your own that calls it, if you mean it"
        )


def name_of(source: Any) -> str:
    """Returns what is called by no label: the name of a class, a function, an instance's class, or in "module:name"."""
    source = unbound(source)
    if isinstance(source, str):
        return source.partition(":")[2] or source
    return getattr(source, "__name__", type(source).__name__)


def fits(what: str, found: Any) -> bool:
    """Says whether a class or an object has the methods of what it is named as."""
    return any(all(hasattr(found, name) for name in names) for names in KINDS[what])


def returned(function: Any) -> Any:
    """Returns the class that a function is annotated to return; None where that is not known."""
    try:
        hint = typing.get_type_hints(inspect.unwrap(function)).get("return")
    except Exception:  # annotations are a user's code as well
        return None
    hint = typing.get_origin(hint) or hint
    return hint if inspect.isclass(hint) else None
