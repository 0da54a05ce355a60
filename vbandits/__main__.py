"""`python -m vbandits`."""

from vbandits.cli import main

main()
