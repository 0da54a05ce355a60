"""Estimates of a policy's value from another's log: closed forms, enumeration, and intervals that cover."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tests.logs import hillstrom
from vbandits.metrics import off_policy
from vbandits.metrics.off_policy import Estimate
from vbandits.metrics.reward_model import RewardModel, cross_fitted

RANDOM = np.random.default_rng(0)
SIZE, ARMS = 400, 3
POLICY = RANDOM.dirichlet(np.ones(ARMS), SIZE)
LOGGED = RANDOM.dirichlet(2 * np.ones(ARMS), SIZE)
ACTION = np.array([RANDOM.choice(ARMS, p=own) for own in LOGGED])
PROPENSITY = LOGGED[np.arange(SIZE), ACTION]
REWARD = RANDOM.gamma(2.0, size=SIZE) * (1 + ACTION)
WEIGHT = POLICY[np.arange(SIZE), ACTION] / PROPENSITY
MODEL = RANDOM.random((SIZE, ARMS))


def test_values_and_errors_are_their_definitions():
    ips = off_policy.inverse_propensity(WEIGHT, REWARD)
    assert ips.value == pytest.approx(np.mean(WEIGHT * REWARD), rel=1e-12)
    assert ips.error == pytest.approx(stats.sem(WEIGHT * REWARD), rel=1e-12)
    snips = off_policy.self_normalised(WEIGHT, REWARD)
    assert snips.value == pytest.approx(np.sum(WEIGHT * REWARD) / np.sum(WEIGHT), rel=1e-12)
    robust = off_policy.doubly_robust(POLICY, ACTION, REWARD, PROPENSITY, MODEL)
    by_hand = (POLICY * MODEL).sum(1) + WEIGHT * (REWARD - MODEL[np.arange(SIZE), ACTION])
    assert robust.value == pytest.approx(by_hand.mean(), rel=1e-12)
    assert robust.error == pytest.approx(stats.sem(by_hand), rel=1e-12)
    direct = off_policy.direct(POLICY, MODEL)
    assert direct.value == pytest.approx((POLICY * MODEL).sum(1).mean(), rel=1e-12)
    for found in (ips, snips, robust):
        assert found.effective == pytest.approx(WEIGHT.sum() ** 2 / (WEIGHT**2).sum(), rel=1e-12)
    assert direct.effective == SIZE


def test_replay_is_the_mean_of_the_decisions_that_agree():
    chosen = POLICY.argmax(1)
    found, own = off_policy.replay(chosen, ACTION, REWARD), REWARD[chosen == ACTION]
    assert found.value == pytest.approx(own.mean(), rel=1e-12)
    assert found.effective == len(own)
    # that of a mean of so many, but for the chance of how many agree
    assert found.error == pytest.approx(stats.sem(own), rel=0.01)


def test_the_error_of_a_ratio_is_the_delta_methods():
    """Against the gradient of sum(w r) / sum(w), with the covariance of its two means."""
    found = off_policy.self_normalised(WEIGHT, REWARD)
    covariance = np.cov(WEIGHT * REWARD, WEIGHT) / SIZE
    gradient = np.array([1.0, -found.value]) / WEIGHT.mean()
    assert found.error == pytest.approx(np.sqrt(gradient @ covariance @ gradient), rel=1e-9)


def test_without_a_model_doubly_robust_is_ips_and_with_the_truth_it_has_no_noise_of_rewards():
    none = off_policy.doubly_robust(POLICY, ACTION, REWARD, PROPENSITY, np.zeros((SIZE, ARMS)))
    assert none == off_policy.inverse_propensity(WEIGHT, REWARD)
    exact = off_policy.doubly_robust(POLICY, ACTION, MODEL[np.arange(SIZE), ACTION], PROPENSITY, MODEL)
    assert exact[:4] == pytest.approx(off_policy.direct(POLICY, MODEL)[:4], rel=1e-9)


def test_ips_and_doubly_robust_are_unbiased_whatever_the_model():
    """Every log of two decisions with three arms and rewards of 0 and 1, with its probability."""
    logged = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
    policy = np.array([[0.2, 0.2, 0.6], [0.7, 0.0, 0.3]])
    paid = np.array([[0.1, 0.5, 0.9], [0.4, 0.2, 0.3]])
    model = np.array([[0.3, 0.1, 0.2], [0.9, 0.5, 0.1]])
    mean = np.zeros(2)
    for action in itertools.product(range(3), repeat=2):
        for reward in itertools.product((0.0, 1.0), repeat=2):
            arms, rows = np.array(action), np.arange(2)
            propensity, chance = logged[rows, arms], paid[rows, arms]
            probability = np.prod(propensity * np.where(reward, chance, 1 - chance))
            weight = off_policy.weights(policy, arms, propensity)
            ips = off_policy.inverse_propensity(weight, np.array(reward)).value
            robust = off_policy.doubly_robust(policy, arms, np.array(reward), propensity, model).value
            mean += probability * np.array([ips, robust])
    np.testing.assert_allclose(mean, (policy * paid).sum(1).mean(), rtol=1e-12)


def test_self_normalised_does_not_mind_where_zero_is():
    found, moved = (off_policy.self_normalised(WEIGHT, REWARD + shift) for shift in (0.0, 1000.0))
    assert moved.value - 1000 == pytest.approx(found.value, rel=1e-9)
    assert (moved.error, moved.high - moved.low) == pytest.approx((found.error, found.high - found.low), rel=1e-6)
    shifted = off_policy.inverse_propensity(WEIGHT, REWARD + 1000.0)
    assert shifted.error > 100 * found.error, "IPS minds"


def test_intervals_mirror_and_scale_with_rewards():
    found = off_policy.inverse_propensity(WEIGHT, REWARD)
    assert found.high - found.value > found.value - found.low, "longer on the side to which it is skewed"
    mirrored = off_policy.inverse_propensity(WEIGHT, -REWARD)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high), rel=1e-9)
    tiny = off_policy.inverse_propensity(WEIGHT, 1e-9 * REWARD)
    assert tuple(tiny[:4]) == pytest.approx(tuple(1e-9 * part for part in found[:4]), rel=1e-9)


def test_the_interval_of_values_without_skewness_is_students():
    values = np.concatenate([np.arange(20.0), -np.arange(20.0)])
    found = off_policy.inverse_propensity(np.ones(40), values)
    assert found[2:4] == pytest.approx(stats.t.interval(0.95, 39, values.mean(), stats.sem(values)), rel=1e-9)


def test_the_interval_solves_halls_transformation():
    found = off_policy.inverse_propensity(WEIGHT, REWARD)
    values = WEIGHT * REWARD
    skewness = stats.skew(values)
    quantile = stats.t.ppf(0.975, SIZE - 1)
    for end, sign in ((found.low, 1), (found.high, -1)):
        t = (values.mean() - end) / (values.std(ddof=1))
        turned = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * SIZE)
        assert np.sqrt(SIZE) * turned == pytest.approx(sign * quantile, rel=1e-6)


def test_where_nothing_varies_there_is_no_interval():
    found = off_policy.replay(np.zeros(5, int), np.zeros(5, int), np.zeros(5))
    assert found.value == 0
    assert np.isnan([found.low, found.high]).all()
    nobody = off_policy.replay(np.zeros(5, int), np.ones(5, int), np.ones(5))
    assert np.isnan(nobody[:4]).all()
    assert nobody.effective == 0


def test_rows_needed_are_those_of_two_samples():
    """A test of 5% with a power of 80%: 2 (1.96 + 0.84)^2 = 15.7 rows for a difference of one standard deviation."""
    assert off_policy.rows_needed(1.0, 1.0, 1.0) == pytest.approx(15.698, abs=1e-3)
    assert off_policy.rows_needed(0.1, 1.0, 2.0) == pytest.approx(100 * 5 / 2 * 15.698, rel=1e-4)
    assert off_policy.rows_needed(0.0, 1.0, 1.0) == float("inf")
    size, random = int(off_policy.rows_needed(0.5, 1.0, 1.0)), np.random.default_rng(0)
    first, second = random.standard_normal((2, 4000, size))
    z = (first.mean(1) + 0.5 - second.mean(1)) / np.sqrt(2 / size)
    assert (z > 1.96).mean() == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(
    ("probabilities", "propensity", "told"),
    [
        (POLICY[:, :2], PROPENSITY, r"sum over arms is 1, got .* in row 0 \(and 399 more\)"),
        (-POLICY, PROPENSITY, "expected numbers of at least 0"),
        (POLICY[:9], PROPENSITY, r"one for each arm in each of 400 decisions, got \(9, 3\)"),
        (POLICY, 0 * PROPENSITY, r"above 0 and at most 1, got 0.0 to 0.0"),
        (POLICY, 2 + PROPENSITY, "above 0 and at most 1"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities, propensity, told):
    with pytest.raises(ValueError, match=told):
        off_policy.weights(probabilities, ACTION, propensity)


def test_the_model_of_rewards_finds_what_is_linear_and_keeps_arms_without_rows_at_what_all_pay():
    random = np.random.default_rng(1)
    x, arm = random.standard_normal((3000, 4)) * [1, 10, 100, 0] + [0, 5, 1e6, 3], random.integers(3, size=3000)
    slopes = random.standard_normal((4, 4)) / np.array([1, 10, 100, 1])[:, None]
    paid = (x @ slopes + [0, 1, 2, 3])[np.arange(3000), arm]
    model = RewardModel.fitted(x, arm, paid, 4)
    found = model.predict(x)
    assert np.corrcoef(found[np.arange(3000), arm], paid)[0, 1] > 0.999
    assert found.min() >= paid.min()
    assert found.max() <= paid.max()
    shared = model.coefficients[:, 3]  # of the arm that was never played
    assert shared[0] == pytest.approx(paid.mean(), rel=1e-6)


def test_a_row_is_no_part_of_what_its_model_was_fitted_on():
    random = np.random.default_rng(2)
    x, arm, paid = random.standard_normal((60, 2)), random.integers(2, size=60), random.standard_normal(60)
    before = cross_fitted(x, arm, paid, 2)
    paid[17] += 5
    after = cross_fitted(x, arm, paid, 2)
    np.testing.assert_array_equal(after[17], before[17])
    assert (np.abs(after - before).sum(1) > 0).sum() >= 40


def estimates(log, rows, arm, model):
    policy = np.zeros((len(rows), log.arms))
    policy[:, arm] = 1
    action, reward, propensity = log.action[rows], log.reward[rows], log.propensity[rows]
    weight = off_policy.weights(policy, action, propensity)
    return {
        "IPS": off_policy.inverse_propensity(weight, reward),
        "SNIPS": off_policy.self_normalised(weight, reward),
        "DR": off_policy.doubly_robust(policy, action, reward, propensity, model[rows]),
        "replay": off_policy.replay(np.full(len(rows), arm), action, reward),
    }


@pytest.mark.parametrize("reward", ["visit", "conversion", "spend"])
def test_hillstroms_arms_are_found_within_two_standard_errors(reward):
    """Customers were sent e-mails by chance: what an arm pays is the plain mean of those who were sent it."""
    log = hillstrom(reward)
    model = cross_fitted(log.context, log.action, log.reward, log.arms)
    for arm in range(log.arms):
        truth = log.reward[log.action == arm].mean()
        for name, found in estimates(log, np.arange(len(log)), arm, model).items():
            assert abs(found.value - truth) < 2 * found.error, (name, arm)
            assert found.low < truth < found.high


@pytest.mark.slow
@pytest.mark.parametrize("reward", ["visit", "conversion"])
def test_intervals_cover_hillstroms_rates(reward):
    """In 1,000 samples of 5,000 rows, with replacement; of a rate of 0.6% (10 events) a little too often."""
    log, random = hillstrom(reward), np.random.default_rng(0)
    model = cross_fitted(log.context, log.action, log.reward, log.arms)
    truth = [log.reward[log.action == arm].mean() for arm in range(log.arms)]
    hits: dict[tuple[str, int], int] = {}
    for _ in range(1000):
        rows = random.integers(len(log), size=5000)
        for arm in range(log.arms):
            for name, found in estimates(log, rows, arm, model).items():
                hits[name, arm] = hits.get((name, arm), 0) + int(found.low <= truth[arm] <= found.high)
    least, most = (930, 970) if reward == "visit" else (930, 985)
    assert all(least <= count <= most for count in hits.values()), hits


def test_an_estimate_has_the_parts_that_are_documented():
    assert Estimate._fields == ("value", "error", "low", "high", "effective")
