"""What a run costs by its length and by its seeds, as a figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vbandits.bench.measure import Row

SIZE = (10.0, 4.2)
"""Width and height in inches."""


def draw(parts: Mapping[str, list[Row]], path: Path) -> None:
    """Draws CPU time against decisions, of one seed, and the time of a step of all seeds against seeds, as SVG.

    Args:
        parts: rows of `bench.history` and of `bench.decisions`.
        path: of the figure.
    """
    import seaborn
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    frame: Any = pd.DataFrame  # whose attributes type checkers take for what columns hold
    history, decisions = (frame(parts[name]) for name in ("history", "decisions"))
    order = history.groupby("agent")["seconds"].max().sort_values(ascending=False).index
    whole = decisions[decisions["agent"].isin(["ibvi", "deterministic"])]
    whole = whole[whole["steps"] == whole["steps"].max()]
    whole = whole.assign(step=1e3 * whole["seeds"] / whole["decisions per second"])
    style: Any = {**seaborn.axes_style("whitegrid"), "svg.hashsalt": "cost", "svg.fonttype": "none"}
    with rc_context(style):
        figure = Figure(figsize=SIZE, layout="constrained")
        left, right = figure.subplots(1, 2)
        seaborn.lineplot(
            history, x="step", y="seconds", hue="agent", hue_order=order, palette="husl", linewidth=1.2, ax=left
        )
        left.set(xlabel="decisions of one seed", ylabel="CPU time, in seconds")
        left.legend(fontsize=7, framealpha=1)
        seaborn.lineplot(whole, x="seeds", y="step", hue="agent", marker="o", ax=right)
        most = whole[whole["agent"] == "ibvi"].nlargest(1, "seeds").iloc[0]
        seeds = sorted({*whole["seeds"]})
        linear = [most["step"] * count / most["seeds"] for count in seeds]
        right.plot(seeds, linear, color="grey", linestyle=":", label="in proportion to seeds")
        right.set(xscale="log", yscale="log", xlabel="seeds in lockstep", ylabel="CPU time of a decision of all, in ms")
        right.legend(fontsize=8, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})
