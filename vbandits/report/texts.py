"""What the reports of all benchmarks say in the same words."""

from vbandits.report.comparison import FEW
from vbandits.report.formats import plural
from vbandits.report.ranking import LOPSIDED

NO_RESULTS = "There are no results here: all runs have failed, or none has been made yet."
COMPARISON = [
    (
        "IQM",
        "Interquartile mean: of all runs, seeds times problems, the mean of the middle half, which no single run moves "
        "much; its interval resamples the seeds of each problem (Agarwal et al., 2021).",
    ),
    (
        "Lost runs",
        "Runs that failed or diverged; where acting by chance is known, also those that are nearer to it than to the "
        "median run of the best method on the same problem.",
    ),
    (
        "Rank intervals",
        "The ranks that these seeds leave a method, with 95% confidence for all methods at once (Mogstad, Romano, "
        "Shaikh and Wilhelm, 2024); and those that it takes when the problems are drawn again, which says how far the "
        "choice of problems decides.",
    ),
    (
        "Seeds to exclude a method",
        "How many seeds the paired t test that excludes methods would need to exclude one in 8 of 10 experiments, were "
        "its difference to the best and the spread of it what they are here.",
    ),
]
LIMITS = (
    "Limits",
    "What is said here is of these problems, settings and seeds. Not excluded as best is not the same as best. "
    "Intervals know nothing of how settings were chosen, nor of what was not run; where a method was tuned on the "
    "problems that are shown, it looks better than it is.",
)
BAND = "the mean over seeds and, from four seeds on, its 95% band, which holds at all points at once."


def comparison(noun: str, seeds: int) -> str:
    """Returns what bold numbers say of agents, learners or methods, or why there are none.

    Args:
        noun: what a method is called.
        seeds: of the experiment.
    """
    if seeds < 2:
        several = plural(noun)
        return f"There is a single seed, and so no interval: no difference between {several} is more than an anecdote."
    few = f" {seeds} seeds are few: differences are hints." if seeds < FEW else ""
    return (
        f"Bold: every {noun} that is not excluded as best. One is excluded where some other has a lower loss by a "
        f"paired one-sided t test at 0.05 divided by the number of others (and no more than 0.025).{few} Brackets are "
        f"95% intervals of means over seeds; {LOPSIDED}: rests on one seed."
    )


def intervals(more: str) -> tuple[str, str]:
    """Returns how intervals are made, and what more is to be said of those of a benchmark."""
    return (
        "Intervals",
        "95% intervals of means over seeds, everywhere the same: the studentised bootstrap of whole seeds, never of "
        "steps, within what is possible (Efron and Tibshirani, 1993, chapter 12); of paired differences Student's t, "
        "the test by which methods are excluded. With few seeds, or where a seed in ten goes wrong, no interval can be "
        f"trusted, which is why every run is shown. {more} Bands of curves hold at "
        f"all points at once unless they are called pointwise. A number with {LOPSIDED} rests on one seed: without it, "
        "the mean would move by more than half of the others' interval.",
    )


def failures(diverged: str, imputed: str) -> tuple[str, str]:
    """Returns what counts as a failure, and what becomes of runs that failed.

    Args:
        diverged: what a method does that diverged.
        imputed: what its run counts as.
    """
    return (
        "Failures",
        f"Seeds that diverged ({diverged}), and seeds whose job stopped with an error. Predictions of a method that "
        f"diverged are scored as nothing. {imputed} In the verdict, the overview, the ranking and under robustness a "
        "run without a result counts as the worst run of any method on the same problem; a problem's own table is of "
        "the runs that there are.",
    )


def cost(parts: str) -> tuple[str, str]:
    """Returns what seconds and memory are, and which parts the seconds are counted in."""
    return (
        "Cost",
        f"Wall time, apart for {parts}; all seeds of a block run in lockstep. Memory is the largest of the process "
        "while it ran, libraries and data included (on a GPU, of the GPU).",
    )
