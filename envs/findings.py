"""What is found out about an environment, in words, and what gymnasium's own checker says of it."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from gymnasium.utils.env_checker import check_env

Status = Literal["passed", "advice", "missing", "failed"]
NOT_MEANT = ("is probably too low", "is probably too high", "is different from the unwrapped version")
"""Warnings of gymnasium's checker that say nothing here: contexts are standardised, and wrappers are welcome."""


class Line(NamedTuple):
    """One finding: "passed", "advice" (works, could be better), "missing" (works without) or "failed"."""

    status: Status
    text: str


@dataclass
class CheckReport:
    """What was found about an environment.

    Attributes:
        name: the environment's source.
        lines: the findings, in the order in which they were made.
        works: whether runs accept the environment. It may fail gymnasium's own checker and work all the same.
    """

    name: str
    lines: list[Line] = field(default_factory=list)
    works: bool = False

    def add(self, status: Status, text: str) -> None:
        """Appends a finding."""
        self.lines.append(Line(status, text))

    def __str__(self) -> str:
        width = max(len(status) for status in ("passed", "advice", "missing", "failed"))
        found = [f"  {line.status:<{width}}  {line.text}" for line in self.lines]
        verdict = "It works." if self.works else "It does not work yet: mend what failed, then check again."
        return "\n".join([self.name, *found, verdict])


def close(environment: Any, report: CheckReport) -> None:
    """Closes an environment; that it fails to is no more than advice."""
    try:
        environment.close()
    except Exception as error:
        text = f"close: {words(error)}"
        if Line("advice", text) not in report.lines:
            report.add("advice", text)


def passes_gymnasium(make: Callable[[], Any], report: CheckReport) -> None:
    """Says what gymnasium's own checker finds in an environment that `make` returns."""
    environment = make()
    failure = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(environment, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            failure = words(error)
    close(environment, report)
    told = dict.fromkeys(_plain(str(warning.message)) for warning in caught)
    advice = [text for text in told if not any(phrase in text for phrase in NOT_MEANT)]
    for text in advice:
        report.add("advice", f"gymnasium's own checker warns: {text}")
    if failure is not None:
        report.add(
            "advice",
            f"gymnasium's own checker: {failure} (other libraries may need this mended; what runs "
            "here need is checked below)",
        )
    elif not advice:
        report.add("passed", "gymnasium's own checker has nothing to say")


def words(error: Exception) -> str:
    """Returns what an error says, with its name where that is news."""
    expected = isinstance(error, ValueError | AssertionError | RuntimeError)
    return _plain(str(error) if expected and str(error) else f"{type(error).__name__}: {error}")


def _plain(text: str) -> str:
    """Returns a message without colours, "WARN:" and line breaks."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text)
    return re.sub(r"\s+", " ", text).strip().removeprefix("WARN: ")
