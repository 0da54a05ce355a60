"""The command line. Heavy imports wait until a command needs them, so that `vbandits --help` answers at once."""

import sys

from cyclopts import CycloptsError, CycloptsPanel
from rich.console import Console

from vbandits.cli import computing, listing, reading, running
from vbandits.cli.app import INTERRUPTED, INVALID, app

__all__ = ["app", "computing", "listing", "main", "reading", "running"]
"""The modules add their commands to `app`."""


LONGEST, MOST = 4_000, 40
"""Letters of a message, and messages: an error of a user's own code may hold megabytes."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 some job failed, 2 invalid input, 130 interrupted."""
    for stream in {sys.stdout, sys.stderr} - {None}:  # a terminal that has not our signs shows others in their place
        getattr(stream, "reconfigure", dict)(errors="replace")
    try:
        code = app(arguments, exit_on_error=False, result_action="return_value", error_formatter=_refusal)
    except CycloptsError:
        code = INVALID
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        from vbandits.errors import shortened, told

        if not (messages := told(error)):
            raise
        from vbandits.experiment.progress import print_line

        left = len(messages) - MOST
        for message in [*messages[:MOST], *([f"and {left:,} more of these"] if left > 0 else [])]:
            print_line(Console(stderr=True), f"error: {shortened(message, LONGEST)}", "red")
        code = INVALID
    sys.exit(code or 0)


def _refusal(error: CycloptsError) -> object:
    """Returns what is shown of a command line that is not understood: it may repeat anything that was typed."""
    from vbandits.errors import shortened

    return CycloptsPanel(shortened(str(error), LONGEST))
