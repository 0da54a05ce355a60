"""What a report concludes, where little is known or numbers are odd: sentences stay true, and the page is drawn."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.bandit_results import results
from vbandits.benchmarks.bandits.report import report
from vbandits.benchmarks.bandits.results import Results
from vbandits.report import page
from vbandits.report.comparison import Measure, compared
from vbandits.report.verdict import verdict

SEEDS = tuple(range(20))


def told(values, measure=None, seeds=SEEDS, baseline="", problems=("one", "two"), failed=None):
    """Returns the verdict on losses of methods [R, P]."""
    import pandas as pd

    losses = {
        (problem, method): pd.Series(np.asarray(own, float)[:, p], list(seeds))
        for method, own in values.items()
        for p, problem in enumerate(problems)
    }
    measure = measure or Measure("regret", "% of uniform", bounds=(0.0, np.inf), chance=100.0)
    return verdict(
        compared(measure, list(values), problems, seeds, losses, losses, failed or {}, {}, baseline),
        "agent",
        "environment",
        [],
    )


def noise(seed, spread=1.0):
    return spread * np.random.default_rng(seed).normal(size=(20, 2))


def test_whoever_is_excluded_is_behind_by_an_interval_without_zero():
    """Of two methods, too, where nothing is corrected for many comparisons."""
    own = 20 + noise(0)
    for gap in np.linspace(0, 1.5, 40):
        found = told({"a": own, "b": own + gap + noise(1, 2.0) - noise(1, 2.0).mean()})
        only = "the only agent that is not excluded" in found.sentences[0]
        behind: Any = dict(found.evidence)["Second behind first"]
        low = float(behind.split("[")[1].split(",")[0].replace("\N{MINUS SIGN}", "-"))
        assert only == (low > 0) or abs(low) < 0.05


def test_it_is_said_where_nobody_is_better_than_chance():
    found = told({"a": 130 + noise(0), "b": 131 + noise(1)})
    assert "do not show that it is better than acting by chance (100)" in found.sentences[0]
    assert "chance" not in told({"a": 30 + noise(0), "b": 31 + noise(1)}).sentences[0]


def test_differences_of_what_is_better_higher_are_told_as_being_behind():
    gain = Measure("gain", "points", sign=-1.0)
    found = told({"a": -10 + noise(0, 0.1), "b": -7 + noise(1, 0.1)}, gain)
    assert found.sentences[0].startswith("a is the only agent")
    assert "the next, b, is 3.0" in found.sentences[0]
    assert dict(found.evidence)["Second behind first"].startswith("3.0")


def test_small_values_keep_their_digits():
    nll = Measure("negative log-likelihood", "nats")
    found = told({"a": 0.0812 + noise(0, 1e-5), "b": 0.0843 + noise(1, 1e-5)}, nll)
    assert "0.0812" in found.sentences[0]
    assert "is 0.0031" in found.sentences[0]


def test_one_method_that_can_be_ranked_is_not_called_the_only_one_that_learns():
    found = told({"a": 10 + noise(0), "b": np.full((20, 2), np.nan)})
    assert found.sentences[0].startswith("a is the only agent that can be ranked")
    assert "Not ranked, for want of results in every environment: b." in found.sentences[1]


def test_why_nothing_can_be_compared_is_said():
    given = results(failed=[(environment, "uniform", "broke") for environment in ("wheel", "linear")])
    said: Any = report(given).opening[0].items[0]
    assert "There is nothing to compare." in said.sentences[0]
    assert "linear is left out" in said.sentences[0]


def test_a_problem_whose_runs_have_all_failed_is_left_out():
    values = {
        name: np.column_stack([level + noise(0)[:, 0], np.full(20, np.nan)]) for name, level in (("a", 1), ("b", 5))
    }
    failed = {("two", name): frozenset(SEEDS) for name in values}
    found = told(values, failed=failed)
    assert "a is the only agent that is not excluded as best in one" in found.sentences[0]
    assert "two is left out: all of its runs that are compared have failed" in found.sentences[1]


def test_fewer_seeds_than_planned_are_said():
    short = np.where(np.arange(20)[:, None] < 12, 5 + noise(1), np.nan)
    found = told({"a": 2 + noise(0), "b": short})
    assert "Compared on 12 of 20 seeds" in found.sentences[1]


@pytest.mark.parametrize(
    ("what", "kwargs"),
    [
        ("letters that no font of ours has", {"slopes": {"深い": 0.1, "浅い": 0.5, "uniform": 1.0}}),
        ("one agent", {"slopes": {"good": 0.1, "uniform": 1.0}}),
        ("all alike", {"slopes": {"a": 0.1, "b": 0.1, "uniform": 1.0}, "seeds": range(3)}),
        ("no regret at all", {"slopes": {"a": 0.0, "b": 0.0, "uniform": 1.0}}),
        ("two seeds", {"seeds": range(2)}),
    ],
)
def test_the_page_is_drawn(what, kwargs):
    assert "Verdict" in page.render(report(results(**kwargs))), what


@pytest.mark.parametrize("scale", [1e-12, 1e17])
def test_the_page_is_drawn_for_numbers_of_any_size(scale):
    given = results(slopes={"a": 0.1, "b": 0.3, "uniform": 1.0})
    columns = ["reward", "regret", "cumulative_reward", "cumulative_regret"]
    records = given.records.assign(**{name: scale * given.records[name] for name in columns})
    found = Results(given.experiment, given.jobs, records)
    assert found.comparison.ranked == given.comparison.ranked
    assert "Verdict" in page.render(report(found))


def test_a_seed_that_diverged_before_it_was_scored_is_left_out_of_calibration():
    given = results()
    lost = (given.records["agent"] == "good") & (given.records["seed"] == 0)
    names = ("nll", "crps", "pit")
    records = given.records.assign(**{name: given.records[name].where(~lost) for name in names})
    assert "Verdict" in page.render(report(replace(given, data=records)))
