"""How bad input is refused."""


class ConfigError(Exception):
    """Bad input, found before any work; `errors` holds the messages, one for each thing that is wrong."""

    def __init__(self, *errors: str) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Raises a ValueError that says what a parameter should have been, unless `condition` holds."""
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {got!r}")
