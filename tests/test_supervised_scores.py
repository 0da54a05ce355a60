"""What a supervised experiment says of methods that are calibrated, too sure, too unsure, or diverged."""

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest

from tests.test_report import words
from vbandits.benchmarks.supervised import figures, tables
from vbandits.benchmarks.supervised.report import report
from vbandits.benchmarks.supervised.results import SupervisedResults
from vbandits.benchmarks.supervised.run import scores_of
from vbandits.metrics import classification
from vbandits.report import page, palette

POWERS = {"honest": 1.0, "sure": 2.0, "unsure": 0.6}
"""Methods, and the power to which they raise the true probabilities of the classes."""
SETTINGS = (("none", 0), ("noise", 1), ("noise", 5), ("blur", 5))


@cache
def records(seeds=range(6), rows=1000):
    """Records of every method on labels drawn from the true probabilities, which corruptions flatten."""
    rng, frames = np.random.default_rng(0), []
    for corruption, severity in SETTINGS:
        truth = rng.dirichlet(np.full(5, 0.2 + 0.1 * severity), rows)
        labels = (rng.random((len(seeds), rows, 1)) > truth.cumsum(1)[:, :4]).sum(-1)
        for method, power in POWERS.items():
            found = np.broadcast_to(truth**power / (truth**power).sum(1, keepdims=True), (len(seeds), rows, 5))
            parts = [scores_of(found[[i]], labels[i], {"noise": found[[i], :50]}) for i in range(len(seeds))]
            columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            names = {"dataset": "made", "method": method, "corruption": corruption, "severity": severity, "seed": seeds}
            before = classification.negative_log_likelihood(truth[None].repeat(len(seeds), 0), labels)
            fitted = {"nll_unscaled": before if method == "sure" else np.nan, "temperature": 1 / power}
            frames.append(pd.DataFrame(names | columns | fitted))
    return pd.concat(frames, ignore_index=True)


def results(given=None):
    given = records() if given is None else given
    seeds = sorted(given["seed"].unique().tolist())
    lost = given[given["error"].isna()].groupby("method")["seed"].nunique()
    jobs = [
        {
            "dataset": "made",
            "method": method,
            "seeds": seeds,
            "status": "done",
            "failures": int(lost.get(method, 0)),
            "seconds": {"training": 1.0, "prediction": 1.0},
            "memory_mb": 100.0,
        }
        for method in POWERS
    ]
    experiment = {
        "name": "made",
        "seeds": seeds,
        "steps": 10,
        "batch_size": 8,
        "datasets": [{"label": "made"}],
        "methods": [{"label": method} for method in POWERS],
    }
    return SupervisedResults(experiment, jobs, given)


@pytest.fixture(scope="module")
def made():
    return results()


def test_each_method_is_shown_as_what_it_is(made):
    found = made.summary().set_index("method")
    part = {method: made.parts["made", method].query("severity == 0") for method in POWERS}
    for name in ("ece", "smooth_ece"):
        honest = part["honest"]
        inside = (honest[name] >= honest[f"{name}_null_low"]) & (honest[name] <= honest[f"{name}_null_high"])
        assert inside.sum() >= 5
        for method in ("sure", "unsure"):
            assert (part[method][name] > part[method][f"{name}_null_high"]).all()
            assert found.loc[method, name] > found.loc[method, f"{name}_null_high"]
    assert abs(found.loc["honest", "ece_debiased"]) < 0.01
    assert (found.loc[["sure", "unsure"], "ece_debiased"] > 0.04).all()
    for score in ("nll", "brier"):
        calibration, refinement = found[f"{score}_calibration"], found[f"{score}_refinement"]
        assert (calibration[["sure", "unsure"]] > 2 * calibration["honest"]).all()
        assert np.ptp(refinement) < 0.1 * refinement.mean()  # they rank and share out alike
    assert made.summary()["method"].iloc[0] == "honest"
    shown = figures.reliabilities(made, "made", palette.styles([*POWERS]), "salt")
    described = [re.search(r'aria-label="([^"]*)"', svg).group(1) for svg in shown[0].svgs]
    said = {}
    for text in described:
        method, gap, outside = re.search(r"with (\w+)\. .*: ([^ ]+) points; (\d+) of", text).groups()
        said[method] = (float(gap.replace("\N{MINUS SIGN}", "-")), int(outside))
    assert list(said) == list(made.summary()["method"])
    assert abs(said["honest"][0]) < 2
    assert said["honest"][1] <= 1
    assert said["sure"][0] > 5
    assert said["unsure"][0] < -5
    assert min(said["sure"][1], said["unsure"][1]) >= 3


def test_the_band_of_a_perfect_model_stands_beside_its_error(made):
    row = made.summary().set_index("method").loc["sure"]
    table = tables.scores(made, "made")
    place = [head.text for head in table.heads].index("ECE if perfect")
    entry = next(line for line in table.rows if line.label == "sure").entries[place]
    assert entry.text == f"{100 * row.ece_null:.1f}"
    assert entry.interval == f"[{100 * row.ece_null_low:.1f}, {100 * row.ece_null_high:.1f}]"
    assert not any(line.entries[place - 1].strong for line in table.rows)  # no best ECE


def test_the_highest_severity_stands_alone(made):
    row = made.summary().set_index("method").loc["honest"]
    part = made.parts["made", "honest"]
    for prefix, severities in (("corrupted_", (1, 5)), ("severest_", (5,))):
        wanted = part[part["severity"].isin(severities)]
        for name in ("error", "nll", "ece", "auroc_noise", "aurc"):
            assert row[f"{prefix}{name}"] == pytest.approx(wanted[name].mean())
    assert row.severest_error > row.corrupted_error > row.error
    (section,) = (section for section in report(made).sections if section.title == "made")
    assert list(section.tables) == [tables.CLEAN, tables.TRUST, *tables.UNDER.values()]


def test_a_fitted_temperature_that_does_harm_is_said(made):
    row = made.summary().set_index("method").loc["sure"]
    part = made.parts["made", "sure"].query("severity == 0")
    assert row.temperature_loss == pytest.approx((part["nll"] - part["nll_unscaled"]).mean())
    assert row.temperature_loss_low > 0
    (warning,) = tables.warnings(made)
    assert warning.startswith("made: the temperature that sure fitted on rows held out raises the NLL of the test set")
    assert f"to {row.nll:.3f}" in warning
    assert warning in report(made).warnings
    assert np.isnan(made.summary().set_index("method").loc["honest", "temperature_loss"])
    better = records().assign(nll_unscaled=lambda frame: frame["nll"] + 0.01)
    assert not tables.warnings(results(better))


def test_risk_falls_with_coverage_and_ends_at_the_error(made):
    clean, corrupted = figures.risk_coverages(made, "made", palette.styles([*POWERS]), "salt")
    ends = made.summary().set_index("method")["error"]
    assert f"honest {100 * ends['honest']:.1f}" in re.search(r'aria-label="([^"]*)"', clean.svg).group(1)
    assert "under all corruptions" in corrupted.caption
    part = made.parts["made", "honest"].query("severity == 0")
    assert (part["risk_005"] < part["risk_050"]).all()
    assert (part["risk_050"] < part["risk_100"]).all()


def spoiled(seeds, method="honest"):
    """Records in which seeds of a method have diverged, in the last setting or from the start."""
    given = records()
    measured = [name for name in given if name not in ("dataset", "method", "corruption", "severity", "seed")]
    lost = (given["method"] == method) & given["seed"].isin(seeds)
    lost &= (given["corruption"] == "blur") | (given["seed"] != 1)
    return given.assign(**{name: given[name].where(~lost) for name in measured})


def test_a_seed_that_diverged_stands_as_the_worst_and_a_method_of_which_all_did_has_nothing(made):
    given = results(spoiled([0, 1]))
    before, row = (found.summary().set_index("method").loc["honest"] for found in (made, given))
    worst = made.records.query("severity == 0")["nll"].max()
    own = made.by_seed("made", "honest", "nll").drop(0)
    assert row.nll == pytest.approx((own.sum() + worst) / 6)  # seed 1 diverged later
    rows = made.records.query("severity == 5").groupby(["method", "seed"])["nll"].mean()
    own = rows["honest"].drop([0, 1])
    assert row.severest_nll == pytest.approx((own.sum() + 2 * rows.max()) / 6)
    assert row.failures == 2
    assert row.auroc_noise <= before.auroc_noise
    given = results(spoiled(range(6)).query("corruption != 'blur' or seed != 1"))
    everything = results(given.records[(given.records["method"] != "honest") | (given.records["seed"] != 1)])
    summary = everything.summary()
    assert summary["method"].iloc[-1] == "honest"
    assert summary.iloc[-1][["error", "nll", "ece", "ece_null", "corrupted_nll"]].isna().all()
    html = page.render(report(everything))
    assert "5 runs diverged" in words(html)
    assert "in made with honest" not in html
    assert not re.search(r"\bnan\b", words(html), re.IGNORECASE)


def test_records_of_an_earlier_version_are_still_reported(made):
    kept = ["dataset", "method", "seed", "corruption", "severity", "error", "nll", "ece", "brier", "temperature"]
    bins = [name for name in made.records if name[:-3] in ("rows", "confidence", "accuracy")]
    old = results(made.records[kept + bins])
    html = page.render(report(old))
    assert "Under corruption" in html
    assert old.summary()["error"].tolist() == made.summary()["error"].tolist()
    assert old.summary()["smooth_ece"].isna().all()
