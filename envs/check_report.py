"""What a check of an environment found, in words."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from vbandits.source_hash import told

Status = Literal["passed", "advice", "missing", "failed"]


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

    def close(self, environment: Any) -> None:
        """Closes an environment; that it fails to is no more than advice."""
        try:
            environment.close()
        except Exception as error:
            found = Line("advice", f"close: {words(error)}")
            if found not in self.lines:
                self.lines.append(found)

    def __str__(self) -> str:
        width = max(len(status) for status in ("passed", "advice", "missing", "failed"))
        found = [f"  {line.status:<{width}}  {line.text}" for line in self.lines]
        verdict = "It works." if self.works else "It does not work yet: mend what failed, then check again."
        return "\n".join([self.name, *found, verdict])


def words(error: Exception) -> str:
    """Returns what an error says, with its name where that is news."""
    expected = isinstance(error, ValueError | AssertionError | RuntimeError)
    return plain(told(error, str(error) if expected and str(error) else f"{type(error).__name__}: {error}"))


def plain(text: str) -> str:
    """Returns a message without colours, "WARN:" and line breaks."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text)
    return re.sub(r"\s+", " ", text).strip().removeprefix("WARN: ")
