"""What the reports of all benchmarks say in the same words."""

NO_RESULTS = "There are no results here: all runs have failed, or none has been made yet."
BAND = "the mean over seeds and its 95% band, pointwise."


def comparison(noun: str, seeds: int) -> str:
    """Returns what bold numbers say of agents, learners or methods, or why there are none.

    Args:
        noun: what a method is called.
        seeds: of the experiment.
    """
    if seeds < 2:
        return f"There is a single seed, and so no interval: no difference between {noun}s is more than an anecdote."
    return (
        f"Bold: the best, and every {noun} whose mean difference from it, paired by seed, has a 95% interval that "
        f"includes 0. {noun.capitalize()}s in bold are tied: these seeds do not tell them apart. Brackets are 95% "
        "intervals over seeds."
    )


def intervals(more: str) -> tuple[str, str]:
    """Returns how intervals are made, and what more is to be said of those of a benchmark."""
    return (
        "Intervals",
        "95% intervals of the mean over seeds: Student's t for fewer than 10 seeds, else a bootstrap that resamples "
        f"whole seeds, never steps. {more} Nothing is corrected for many comparisons.",
    )


def failures(diverged: str) -> tuple[str, str]:
    """Returns what counts as a failure, and what becomes of seeds that diverged."""
    return (
        "Failures",
        f"Seeds that diverged ({diverged}, and stay in every mean) or whose job stopped with an error (no results).",
    )


def cost(parts: str) -> tuple[str, str]:
    """Returns what seconds and memory are, and which parts the seconds are counted in."""
    return (
        "Cost",
        f"Wall time, apart for {parts}; all seeds of a block run in lockstep. Memory is the largest of the process "
        "while it ran, libraries and data included (on a GPU, of the GPU).",
    )
