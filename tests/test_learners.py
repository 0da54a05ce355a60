"""Learners: what they know, how they train, what they show to acquisitions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.learners import arrays, begun, job, play, same, spec
from tests.registries import cells
from vbandits.agents.acquisition import BALD, EPIG, PosteriorSampling, Random, Rows
from vbandits.agents.learner import Training, standardiser
from vbandits.benchmarks.active.evaluation import Evaluator
from vbandits.benchmarks.active.run import run_job
from vbandits.data.pool import Pool
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ensemble import Ensemble
from vbandits.posteriors.ibvi import IBVI
from vbandits.posteriors.linear import Linear
from vbandits.registry import ACQUISITIONS, POSTERIORS, load
from vbandits.streams import derived
from vbandits.types import Optimizer

EXACT = ("linear", "neural_linear", "ibvi_limit")
"""Posteriors of a regression alone."""
TASKS = {3: "classes", 0: "regression"}
PAIRS = [
    (kind, name, classes)
    for kind in POSTERIORS
    for name, place in ACQUISITIONS.items()
    for classes in TASKS
    if TASKS[classes] in load(place).tasks and not (classes and kind in EXACT)
]


@cells(("kind", "name", "classes"), PAIRS)
def test_every_acquisition_works_with_every_posterior(kind, name, classes):
    learner = spec(load(ACQUISITIONS[name])(), load(POSTERIORS[kind])())
    environment, player, mask = begun(learner, classes=classes, batch=3)
    for _ in range(2):
        rows = player.query(mask, 3)
        assert mask.gather(1, rows).all()
        observation, _, _, _, info = environment.step(rows)  # refuses a row twice
        mask = info["action_mask"]
        player.add_labels(rows, observation["labels"].gather(1, rows))
        player.fit()
    assert player.known.shape == (2, (3 if classes else 4) + 6)
    assert not player.model.diverged.any()


@pytest.mark.parametrize("classes", [3, 0])
@pytest.mark.parametrize("acquisition", [BALD(draws=8), EPIG(draws=8, targets=5), PosteriorSampling(), Random()])
def test_a_seed_has_the_same_records_alone_and_in_a_block(acquisition, classes):
    learner = spec(acquisition, candidates=20)
    together = play(learner, (3, 8, 5), classes=classes, batch=2)
    for seed in (3, 8, 5):
        assert same(play(learner, (seed,), classes=classes, batch=2), together[together["seed"] == seed])
    assert together[together["round"] == 2]["nll"].nunique() == 3


@pytest.mark.parametrize("classes", [3, 0])
def test_answers_that_were_not_bought_change_nothing(classes):
    x, y = arrays(classes)
    bought = []

    class Watched(BALD):
        def select(self, view, count):
            places = super().select(view, count)
            bought.append(view.candidates.index.gather(1, places))
            return places

    def played(targets, test):
        bought.clear()
        pool = Pool("mine", x, targets, x[:9], test, classes)
        initial = list(range(6))
        play(spec(Watched(draws=8)), (0, 1), classes=classes, pool=pool, budget=8, batch=2, initial=initial)
        return torch.cat(bought[-4:], 1)

    y = np.concatenate([np.arange(6) % 3, y[6:]]) if classes else y  # every class is there at the start
    first = played(y, y[:9])
    known = {*range(6), *first.flatten().tolist()}
    hidden = [row for row in range(len(y)) if row not in known]
    other = y.copy()
    other[hidden] = (other[hidden] + 1) % 3 if classes else 1000.0
    assert torch.equal(played(other, other[:9] * 0), first)
    assert len(known) < len(y)


def test_from_scratch_only_the_labels_count_and_warm_also_the_way():
    def trained(start, updates):
        _, player, _ = begun(spec(training=Training(gradient_steps=10, batch_size=8, start=start)))
        for _ in range(updates):
            player.fit()
        return player.model.draw(1)(player.inputs.pool.expand(2, -1, -1))

    steps = {start: (trained(start, 1), trained(start, 1), trained(start, 2)) for start in ("scratch", "warm")}
    for first, again, later in steps.values():
        assert torch.equal(first, again)
        assert not torch.equal(first, later)  # other initial weights, or more steps
    assert not torch.equal(steps["scratch"][0], steps["warm"][0])


def test_training_from_scratch_forgets_and_warm_training_goes_on():
    _, fresh, _ = begun(spec(posterior=Deterministic(), training=Training(gradient_steps=5, start="scratch")))
    _, warm, _ = begun(spec(posterior=Deterministic(), training=Training(gradient_steps=5, start="warm")))
    for _ in range(20):
        fresh.fit()
        warm.fit()
    x = fresh.inputs.pool[fresh.known]
    losses = [
        float(-player.model.draw(1)(x)[:, 0].log_softmax(2).gather(2, player.labels.long().unsqueeze(2)).mean())
        for player in (fresh, warm)
    ]
    assert losses[1] < 0.5 * losses[0]


def test_derived_seeds_follow_from_a_seed_and_a_number():
    assert derived((4, 9), 0) == (4, 9)
    assert derived((4, 9), 2) == (derived((4,), 2)[0], derived((9,), 2)[0])
    assert len({*derived((4, 9), 1), *derived((4, 9), 2), 4, 9}) == 6


def test_the_schedule_says_after_how_many_purchases_to_train():
    environment, player, mask = begun(spec(training=Training(every=3, gradient_steps=1)))
    dues = []
    for _ in range(6):
        rows = player.query(mask, 1)
        observation, _, _, _, info = environment.step(rows[:, 0])
        mask = info["action_mask"]
        player.add_labels(rows, observation["labels"].gather(1, rows))
        dues.append(player.due)
        if player.due:
            player.fit()
    assert dues == [False, False, True, False, False, True]


def test_candidates_are_a_fresh_sample_without_replacement():
    _, player, mask = begun(spec(candidates=7))
    first, second = player._candidates(mask, 1), player._candidates(mask, 1)
    for sample in (first, second):
        assert sample.shape == (2, 7)
        assert mask.gather(1, sample).all()
        assert all(len(set(lane)) == 7 for lane in sample.tolist())
    assert not torch.equal(first, second)
    assert player._candidates(mask, 9).shape == (2, 9)  # never fewer than are bought


def test_lanes_with_other_numbers_of_open_rows_are_refused():
    _, player, mask = begun(spec())
    mask[0, mask[0].argmax()] = 0
    with pytest.raises(ValueError, match="as many rows that may be queried in every sub-environment, got"):
        player.query(mask, 1)


def test_a_replica_that_diverges_queries_at_random_and_leaves_others_alone():
    player, mask = begun(spec(BALD(draws=8)))[1:]
    for leaf in player.model.state.parameters.detached.values():
        leaf[0] = torch.nan
    player.model.posterior, player.spec = Still(rank=2), replace(player.spec, training=Training(start="warm"))
    player.fit()
    assert player.model.diverged.tolist() == [True, False]
    rows = torch.cat([player.query(mask, 3) for _ in range(20)], 1)
    assert len(set(rows[0].tolist())) > 20  # of 29: anything
    assert mask.gather(1, rows).all()
    view = player.view(Rows(player.inputs.pool, player._candidates(mask, 1)))
    assert torch.isfinite(view.draw(2)(player.inputs.pool[player.known])).all()


class Still(IBVI):
    """Stays where it is."""

    def update(self, state, data):
        """Does nothing."""


@pytest.mark.parametrize("classes", [3, 0])
def test_failures_are_counted_and_scored_as_nothing(classes):
    wild = Optimizer(learning_rate=1e30, clip=1e30)
    outcome = run_job(job(spec(optimizer=wild, posterior=Deterministic()), classes=classes))
    assert outcome.diverged == (0, 1)
    last = outcome.records[outcome.records["round"] == 4]
    assert last[["accuracy", "ece_debiased"] if classes else ["rmse", "coverage_90"]].isna().to_numpy().all()
    assert last["nll"].isna().all()  # scored as nothing
    assert last["bought"].tolist() == [4, 4]


def test_the_last_evaluation_tells_the_calibration_error_of_a_perfect_model():
    records = run_job(job(spec(posterior=Deterministic()), classes=3)).records
    last = records["round"] == records["round"].max()
    band = records[["ece_null_low", "ece_null", "ece_null_high"]]
    assert band[~last].isna().to_numpy().all()
    assert (np.diff(band[last]) > 0).all()
    assert records[["nll_median", "ece_debiased"]].notna().to_numpy().all()


@pytest.mark.parametrize("classes", [3, 0])
def test_large_values_are_a_failure_even_where_they_are_finite(classes):
    environment, player, _ = begun(spec(posterior=Deterministic()), classes=classes)
    for leaf in player.model.state.parameters.detached.values():
        leaf[0] *= 1e8
    player.model.posterior, player.spec = Frozen(), replace(player.spec, training=Training(start="warm"))
    player.fit()
    evaluator = Evaluator(player, environment.test_targets)
    measured = evaluator.measure()
    assert player.model.diverged.tolist() == evaluator.diverged.tolist() == [True, False]
    for name, values in measured.items():
        assert np.isnan(values).tolist() == [True, False], name


def test_evaluation_changes_no_learner_and_a_reference_is_no_failure_of_its_own():
    environment, player, _ = begun(
        spec(posterior=Deterministic(), training=Training(gradient_steps=10, full_steps=200))
    )
    evaluator = Evaluator(player, environment.test_targets, environment.targets)
    evaluator.measure()
    reference = player.reference(environment.answers())
    sound = evaluator.full(reference)["full_accuracy"]
    player.model.diverged[0] = True
    assert evaluator.full(reference)["full_accuracy"].tolist() == sound.tolist()
    for leaf in reference.state.parameters.detached.values():
        leaf[1] = torch.nan
    assert np.isnan(evaluator.full(reference)["full_accuracy"]).tolist() == [False, True]
    assert player.model.diverged.tolist() == [True, False]
    assert not evaluator.diverged.any()


class Frozen(Deterministic):
    """Stays where it is."""

    def update(self, state, data):
        """Does nothing."""


@pytest.mark.parametrize("start", ["scratch", "warm"])
def test_no_digits_are_lost_where_targets_are_large(start):
    training = Training(gradient_steps=200, batch_size=16, start=start)
    found = []
    for far in (0.0, 1e8):
        x, y = arrays(0)
        records = play(spec(posterior=Linear(), training=training), classes=0, pool=(x, y + far), initial=10, budget=6)
        found.append(records[records["round"] == 6][["rmse", "nll", "crps"]].to_numpy())
    np.testing.assert_allclose(*found, rtol=1e-3)
    assert (found[0][:, 0] < 0.4).all()


def test_rows_are_standardised_one_by_one_and_pixels_together():
    x = torch.tensor([[0.0, 5.0, 7.0], [2.0, 5.0, 9.0]])
    apart = standardiser(x, None, torch.float32)(x)
    assert torch.equal(apart, torch.tensor([[-1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]))
    whole = standardiser(x, (1, 1, 3), torch.float32)(x)
    assert float(whole.mean()) == pytest.approx(0, abs=1e-6)
    assert float(whole.std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert torch.equal(whole[0, 1:2], whole[1, 1:2])


def test_the_reference_is_the_fit_to_every_label_of_the_pool():
    learner = spec(posterior=Linear())
    environment, player, _ = begun(learner, classes=0)
    model = player.reference(environment.answers())
    x = environment.features.double()
    design = torch.cat([player.inputs.pool.double(), torch.ones(len(x), 1)], 1)
    weights = torch.linalg.lstsq(design, environment.targets.unsqueeze(1)).solution
    expected = (design @ weights).squeeze(1)
    mean = model.predict(player.inputs.pool.expand(2, -1, -1)).mean()
    np.testing.assert_allclose(mean[0], expected.numpy(), atol=0.08)  # a prior, and the targets' own units
    assert not np.allclose(mean[0], mean[0].mean(), atol=0.5)


def test_what_full_data_gives_is_in_every_record_and_better_than_the_start():
    records = play(spec(posterior=Ensemble(members=3), training=Training(gradient_steps=30, full_steps=300)), budget=8)
    assert (records.groupby("seed")["full_accuracy"].nunique() == 1).all()
    start = records[records["round"] == 0]
    assert start["full_accuracy"].mean() > start["accuracy"].mean()


def test_the_noise_of_a_regression_comes_from_labels_before_they_were_learned():
    environment, player, mask = begun(spec(posterior=Linear()), classes=0, budget=20)
    for _ in range(20):
        rows = player.query(mask, 1)
        observation, _, _, _, info = environment.step(rows[:, 0])
        mask = info["action_mask"]
        player.add_labels(rows, observation["labels"].gather(1, rows))
        player.fit()
    scale = player.model.scaling.y_scale[:, 0]
    noise = (player.model.noise * scale.square()).sqrt()
    assert ((noise > 0.02) & (noise < 0.4)).all()  # it is 0.1; a first guess would be 1


def test_features_of_posteriors_are_the_inputs_of_their_last_layer():
    for kind, place in POSTERIORS.items():
        classes = 0 if kind in EXACT else 3
        _, player, _ = begun(spec(posterior=load(place)()), classes=classes)
        x = player.inputs.pool[:6].expand(2, -1, -1)
        found = player.model.embed(x)
        width = {"linear": 4, "ensemble": 40}.get(kind, 8)
        assert found.shape == (2, 6, width)
        if kind in ("deterministic", "laplace"):  # the mean function is linear in them
            values = player.model.mean()(x)[:, 0]
            design = torch.cat([found, torch.ones(2, 6, 1)], 2).double()
            solution = torch.linalg.lstsq(design, values.double(), driver="gelsd").solution
            torch.testing.assert_close(design @ solution, values.double(), rtol=0, atol=1e-4)


def test_rows_are_judged_on_the_test_and_on_what_is_left_of_the_pool():
    records = play(spec(), budget=29, batch=29, evaluations=1)
    assert records["pool_nll"].isna().tolist() == [False, False, True, True]  # nothing is left in the end
    assert records["bought"].tolist() == [0, 0, 29, 29]
    assert records["labels"].tolist() == [3, 3, 32, 32]
    assert records["cost"].tolist() == [0, 0, 29, 29]
