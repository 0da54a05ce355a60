"""The command line itself, which commands are added to, and its exit codes."""

from cyclopts import App

from vbandits import __version__

app = App(
    name="vbandits",
    version=__version__,
    help="Benchmark uncertainty-aware networks on decisions: regret, labels bought, calibration, cost.",
    help_epilogue="Start with: vbandits run experiments/quickstart.toml",
)
app.register_install_completion_command(help="Have the shell complete commands and options: bash, zsh, fish.")
INVALID, FAILED, INTERRUPTED = 2, 1, 130
