import numpy as np
import pandas as pd
import pytest

from tests.active_results import BATCH, INITIAL, METHODS, PURSUITS, SECONDS, problem, results
from vbandits.benchmarks.active.results import ActiveResults, Trace
from vbandits.metrics import intervals, learning

PURSUED = ("bald", "random")
BOTH = (problem("digits"), problem("boston", "regression"))


def row(given, learner, place="digits"):
    return given.summary().query("problem == @place and learner == @learner").iloc[0]


def curve(method, pursuit, budget=200):
    """Labels bought, and accuracy without noise."""
    bought = np.arange(0, budget + 1, BATCH)
    return bought, METHODS[method] - (METHODS[method] - 0.3) * np.exp(-bought / PURSUITS[pursuit])


def test_without_noise_the_summary_is_in_closed_form():
    given = results(noise=0)
    _, accuracy = curve("deterministic", "bald")
    found = row(given, "deterministic bald")
    assert found.accuracy == pytest.approx(accuracy[-1])
    assert found.accuracy_low == found.accuracy_high == pytest.approx(accuracy[-1])  # every seed is the same
    assert found.area == pytest.approx((accuracy[:-1] + accuracy[1:]).sum() * BATCH / 2 / 200)
    assert found.simple_regret == pytest.approx(METHODS["ibvi"] - accuracy[-1])  # the best fit is the other method's
    _, other = curve("deterministic", "random")
    random = (other[:-1] + other[1:]).mean() / 2
    assert found.gain == pytest.approx(found.area - random)
    assert found.learned == pytest.approx((found.area - 0.3) / (METHODS["ibvi"] - 0.3))  # in parts of the problem's
    assert found.relative_area == pytest.approx(found.gain / (METHODS["ibvi"] - 0.3))
    assert row(given, "deterministic random")[["gain", "relative_area", "labels_saved"]].tolist() == [0, 0, 0]
    assert found.nll == pytest.approx(2 * (1 - accuracy[-1]))
    assert found.pool_ece_debiased == pytest.approx(found.ece_debiased + 0.03)
    assert found[["labels", "bought", "cost"]].tolist() == [INITIAL + 200, 200, 400]
    assert np.isnan(found[["rmse", "crps", "coverage_90", "pool_rmse", "seen", "reward"]].astype(float)).all()
    assert "steps" not in given.summary()


def test_labels_to_an_accuracy_and_the_labels_saved():
    given = results(noise=0)
    bought, accuracy = curve("ibvi", "bald")
    best = row(given, "ibvi bald")
    assert best.labels_90 == INITIAL + bought[accuracy >= 0.9][0]
    assert best.labels_95 == np.inf  # it is never reached
    # bald is there in half of random's labels: half of -60 log(1 - q) over q from 0 to where random ends, 1 - e^(-20/6)
    end = 1 - np.exp(-200 / 60)
    assert best.labels_saved == pytest.approx(30 * (1 + (1 - end) * np.log(1 - end) / end), rel=0.01)
    assert (best.labels_saved_low, best.labels_saved_high) == pytest.approx((best.labels_saved,) * 2)  # no seed differs
    alone = results(noise=0, pursuits=("bald",))
    assert np.isnan(row(alone, "ibvi bald")[["labels_saved", "gain"]].astype(float)).all()  # nothing to compare with


def test_who_buys_worse_than_random_loses_labels_and_area():
    given = results(noise=0, pursuits=("random", "bald"))
    swapped = {"ibvi random": "ibvi bald", "ibvi bald": "ibvi random"}
    records = given.records.assign(learner=given.records["learner"].replace(swapped))
    found = row(ActiveResults(given.experiment, given.jobs, records), "ibvi bald")
    better = row(given, "ibvi bald")
    assert found.gain == pytest.approx(-better.gain)
    assert found.labels_saved < -better.labels_saved + 1
    assert found.relative_area_high < 0


def test_without_random_for_every_method_the_headline_is_what_was_learned():
    given = results(noise=0, pursuits=("bald", "epig"))
    assert not given.paired
    assert results().paired
    found = given.summary()
    np.testing.assert_allclose(found["relative_area"], found["learned"])
    assert list(found["learner"]) == ["ibvi epig", "ibvi bald", "deterministic epig", "deterministic bald"]


def test_settings_that_are_tuned_are_compared_with_the_same_random():
    whole = results(methods=("ibvi", "dropout"), noise=0)
    names = [["ibvi random", "ibvi bald"], ["dropout random", "dropout bald"]]
    tuning = {"settings": 2, "methods": {"net": {"trials": [{"methods": own} for own in names]}}}
    given = ActiveResults(whole.experiment | {"tuning": tuning}, whole.jobs, whole.records)
    assert given.paired
    level = whole.summary().set_index("learner")["area"]
    tuned = given.summary().set_index("learner")["gain"]
    np.testing.assert_allclose(tuned, level[tuned.index] - level[["ibvi random", "dropout random"]].mean())
    by_seed = -given.headline_loss("digits", "ibvi bald")
    assert by_seed.mean() == pytest.approx(given.summary().set_index("learner").loc["ibvi bald", "relative_area"])


def test_a_seed_that_diverged_is_scored_as_nothing_and_stands_as_the_worst_of_all():
    given = results(seeds=range(4))
    lost = (given.records["learner"] == "ibvi bald") & (given.records["seed"] == 2) & (given.records["round"] >= 6)
    measured = [name for name in given.records if name in ("accuracy", "nll", "ece_debiased", "pool_nll")]
    records = given.records.assign(**{name: given.records[name].where(~lost) for name in measured})
    broken = ActiveResults(given.experiment, given.jobs, records)
    found, before = row(broken, "ibvi bald"), row(given, "ibvi bald")
    finals = [given.final("digits", learner) for learner in given.labels("learner")]
    worst = min(values.min() for values in finals)
    own = given.final("digits", "ibvi bald").drop(2)
    assert found.accuracy == pytest.approx((own.sum() + worst) / 4)
    areas = [given.area("digits", learner) for learner in given.labels("learner")]
    assert broken.area("digits", "ibvi bald")[2] == min(values.min() for values in areas)
    assert found.gain < before.gain
    assert found.nll == pytest.approx(given.traces["digits", "ibvi bald"].last("nll").drop(2).mean())
    assert np.isnan(broken.loss("digits", "ibvi bald", "nll")[2])  # and so it is never among the best
    assert np.isnan(found.labels_saved)
    everything = records.assign(accuracy=records["accuracy"].where(records["learner"] != "ibvi bald"))
    found = row(ActiveResults(given.experiment, given.jobs, everything), "ibvi bald")
    assert np.isnan(found[["accuracy", "area", "gain", "learned", "relative_area"]].astype(float)).all()


def test_labels_to_an_accuracy_are_a_median_over_seeds_that_counts_those_who_never_reach_it():
    given = results(noise=0, seeds=range(4))
    own = given.records["learner"] == "ibvi bald"
    for seeds, expected in (((0,), INITIAL + 80), ((0, 1, 2), np.inf)):
        spoiled = own & given.records["seed"].isin(seeds)
        records = given.records.assign(accuracy=given.records["accuracy"].where(~spoiled, 0.5))
        assert row(ActiveResults(given.experiment, given.jobs, records), "ibvi bald").labels_90 == expected


def test_intervals_are_of_means_and_ratios_over_whole_seeds():
    given = results(seeds=range(8))
    found, trace = row(given, "ibvi bald"), given.traces["digits", "ibvi bald"]
    final = trace["accuracy"][:, -1]
    assert (found.accuracy_low, found.accuracy_high) == intervals.mean_interval(final)
    area = given.area("digits", "ibvi bald")
    assert list(area.index) == list(range(8))
    assert (found.area_low, found.area_high) == intervals.mean_interval(area.to_numpy())
    gain = area - given.area("digits", "ibvi random")
    assert (found.gain_low, found.gain_high) == intervals.mean_interval(gain.to_numpy(), symmetric=True)
    assert found.gain_low < found.gain < found.gain_high
    (labels, own), (_, other) = (given.traces["digits", f"ibvi {name}"].curves("accuracy") for name in PURSUED)
    saved = learning.labels_saved(labels, own, labels, other)
    assert (found.labels_saved_low, found.labels_saved_high) == intervals.mean_interval(saved, symmetric=True)
    assert found.labels_saved == pytest.approx(saved.mean())


def test_no_interval_leaves_what_is_possible():
    given = results(BOTH, seeds=range(4))
    shift = given.records["seed"].map({0: 0.0, 1: 0.0, 2: 0.0, 3: 1.0})
    records = given.records.assign(accuracy=1 - 0.2 * shift, rmse=0.1 + 5 * shift)
    given = ActiveResults(given.experiment, given.jobs, records)
    assert (row(given, "ibvi bald").accuracy_high, row(given, "ibvi bald").area_high) == (1, 1)
    assert (row(given, "ibvi bald", "boston").rmse_low, row(given, "ibvi bald", "boston").area_low) == (0, 0)


def test_what_there_was_to_learn_is_the_problems_not_the_learners():
    given = results(noise=0, seeds=range(2))
    full = given.records["full_accuracy"] + np.where(given.records["seed"] == 0, 0.02, -0.04)
    start = given.records["accuracy"].where(given.records["round"] > 0, given.records["seed"] * 0.1)
    given = ActiveResults(given.experiment, given.jobs, given.records.assign(full_accuracy=full, accuracy=start))
    assert given.best("digits") == pytest.approx(METHODS["ibvi"] - 0.01)  # the mean over seeds, of the best learner
    # bald is better at the end than the best fit to all labels, and so that is what there was to learn
    _, accuracy = curve("ibvi", "bald")
    assert accuracy[-1] > given.best("digits")
    for learner in ("ibvi bald", "deterministic random"):
        expected = (given.area("digits", learner) - 0.05) / (accuracy[-1] - 0.05)
        np.testing.assert_allclose(given.learned("digits", learner), expected)


def test_of_a_regression_less_is_better():
    given = results(BOTH, noise=0)
    summary = given.summary()
    assert list(summary["problem"]) == ["digits"] * 4 + ["boston"] * 4
    digits, boston = (part for _, part in summary.groupby("problem", sort=False))
    for part, best in ((digits, [1.0, -1.0]), (boston, [1.0, 1.0])):
        assert part["relative_area"].is_monotonic_decreasing
        assert (part["gain"].iloc[:2] > 0).all()
        assert list(part["learner"].iloc[2:]) == ["ibvi random", "deterministic random"]  # equals, by area
        assert best[1] * part["area"].iloc[2] < best[1] * part["area"].iloc[3]
    assert boston["learner"].iloc[0] == "ibvi bald"
    found, full = row(given, "ibvi bald", "boston"), 6 * (1 - METHODS["ibvi"] + 0.02)
    rmse = full + (5 - full) * np.exp(-np.arange(0, 201, BATCH) / PURSUITS["bald"])
    assert found.rmse == pytest.approx(rmse[-1])
    assert found.area == pytest.approx((rmse[:-1] + rmse[1:]).mean() / 2)
    assert found.learned == pytest.approx((5 - found.area) / (5 - full))
    assert found.gain == pytest.approx(row(given, "ibvi random", "boston").area - found.area)
    assert found.gain > 0
    assert found.simple_regret == pytest.approx(rmse[-1] - full)
    assert found.labels_saved == pytest.approx(row(given, "ibvi bald").labels_saved, rel=1e-6)  # a curve of one shape
    assert found.pool_coverage_90 == pytest.approx(found.coverage_90 - 0.02)
    assert np.isnan(found[["accuracy", "labels_90", "labels_95", "ece", "brier"]].astype(float)).all()
    assert np.isnan(row(given, "ibvi bald").rmse)


def test_seeds_of_a_stream_buy_at_their_own_pace():
    given = results((problem("clicks", family="stream"),), noise=0, seeds=range(6))
    trace = given.traces["clicks", "ibvi bald"]
    ends = trace.labels[:, -1]
    assert len(set(ends)) > 1
    most = max(t.labels.max() for t in given.traces.values())
    # the last quality is held up to the most labels that any learner bought
    labels, accuracy = trace.labels[0], trace["accuracy"][0]
    area = (np.diff(labels) * (accuracy[:-1] + accuracy[1:]) / 2).sum() + (most - ends[0]) * accuracy[-1]
    assert given.area("clicks", "ibvi bald")[0] == pytest.approx(area / (most - INITIAL))
    found = row(given, "ibvi bald", "clicks")
    assert found.bought == pytest.approx(ends.mean() - INITIAL)
    assert found.seen == 600
    assert found.reward == pytest.approx(480 - 0.5 * found.bought)
    assert found.reward_low < found.reward < found.reward_high
    grid, curves = trace.curves("accuracy")
    assert list(grid) == sorted(set(trace.labels.ravel()))
    np.testing.assert_allclose(curves[0, grid >= ends[0]], accuracy[-1])
    np.testing.assert_allclose(curves[0, grid <= ends[0]], accuracy[: (grid <= ends[0]).sum()])


def test_a_seed_with_fewer_evaluations_keeps_its_last():
    frame = pd.DataFrame(
        {
            "seed": [4, 2, 2, 4, 2],
            "round": [1, 0, 2, 0, 1],
            "labels": [8, 5, 20, 5, 10],
            "accuracy": [0.8, 0.1, 0.3, 0.5, 0.2],
        }
    )
    trace = Trace(frame)
    np.testing.assert_array_equal(trace.labels, [[5, 10, 20], [5, 8, 8]])
    np.testing.assert_array_equal(trace["accuracy"], [[0.1, 0.2, 0.3], [0.5, 0.8, 0.8]])
    assert trace.last("accuracy").to_dict() == {2: 0.3, 4: 0.8}
    assert np.isnan(trace["rmse"]).all()
    grid, values = trace.curves("accuracy")
    np.testing.assert_array_equal(grid, [5, 8, 10, 20])
    np.testing.assert_allclose(values, [[0.1, 0.16, 0.2, 0.3], [0.5, 0.8, 0.8, 0.8]])


def test_an_empty_pool_has_no_scores():
    given = results((problem("digits") | {"pool": 200},), noise=0)
    found = row(given, "ibvi bald")
    assert np.isnan(found[["pool_accuracy", "pool_nll", "pool_ece_debiased"]].astype(float)).all()
    assert found.nll > 0


def test_cost_is_training_and_querying():
    found = row(results(seeds=range(5)), "ibvi bald")
    assert found.training_seconds == SECONDS["training"]
    assert found.seconds == SECONDS["training"] + SECONDS["querying"]
    assert found.seconds_per_query == pytest.approx(SECONDS["querying"] / (5 * 200))
    assert found.memory_mb == 300


def test_failed_jobs_have_a_row_without_numbers_and_lend_nobody_their_reference():
    given = results(noise=0, failed=[("digits", "ibvi bald", "broke"), ("digits", "ibvi random", "broke")])
    summary = given.summary()
    assert list(summary["learner"]) == ["deterministic bald", "deterministic random", "ibvi random", "ibvi bald"]
    assert summary["failures"].tolist() == [0, 0, 5, 5]
    assert np.isnan(summary["area"].to_numpy()[2:]).all()
    assert given.best("digits") == METHODS["deterministic"]
    lonely = results(failed=[("digits", "ibvi random", "broke")])
    assert np.isnan(row(lonely, "ibvi bald")[["labels_saved", "gain"]].astype(float)).all()
    nothing = ActiveResults(given.experiment, [], pd.DataFrame())
    assert len(nothing.summary()) == 4
    assert np.isnan(nothing.summary()["area"].to_numpy()).all()


def test_one_seed_has_no_interval():
    found = row(results(seeds=[3]), "ibvi bald")
    assert np.isfinite([found.area, found.gain, found.labels_saved]).all()
    assert np.isnan([found.area_low, found.gain_high, found.labels_saved_low, found.accuracy_low]).all()


def test_there_is_no_headline_where_nothing_was_to_be_learned():
    given = results(noise=0)
    flat = ActiveResults(given.experiment, given.jobs, given.records.assign(full_accuracy=0.2, accuracy=0.4))
    found = row(flat, "ibvi bald")
    assert np.isnan([found.learned, found.relative_area, found.relative_area_low, found.labels_saved]).all()
    assert found.gain == 0
    assert found.simple_regret < 0  # not clipped


def test_a_grid_of_methods_and_acquisitions():
    given = results()
    assert given.grid["ibvi", "bald"] == "ibvi bald"
    assert given.random_of("ibvi bald") == "ibvi random"
    assert given.random_of("ibvi random") == "ibvi random"
    assert "ibvi bald" in repr(given)
