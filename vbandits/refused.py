"""How bad input is refused."""


class Refused(Exception):
    """Bad input, found before any work; `faults` holds one message per fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
