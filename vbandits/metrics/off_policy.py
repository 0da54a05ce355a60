"""What a policy would have earned, from the log of another one: pure functions of arrays of N logged decisions.

In each decision x the logging policy played the arm a with a probability p (the propensity) and was paid r. A policy
that plays a with probability pi(a | x) is evaluated by these, w = pi(a | x) / p being the weight of a decision:

* `replay`: the mean reward of the decisions in which it would have done the same. L. Li, W. Chu, J. Langford and
  X. Wang, "Unbiased Offline Evaluation of Contextual-bandit-based News Article Recommendation Algorithms", WSDM 2011.
  Unbiased only where every arm was equally likely to be logged.
* `inverse_propensity` (IPS): mean(w r). D. Horvitz and D. Thompson, "A Generalization of Sampling Without Replacement
  from a Finite Universe", JASA 1952; for logged bandit feedback A. Strehl, J. Langford, L. Li and S. Kakade, "Learning
  from Logged Implicit Exploration Data", NeurIPS 2010. Unbiased, however wide.
* `self_normalised` (SNIPS): sum(w r) / sum(w). A. Swaminathan and T. Joachims, "The Self-Normalized Estimator for
  Counterfactual Learning", NeurIPS 2015. A little biased, mostly narrower; rewards may be shifted by a constant.
* `direct`: mean(sum_a pi(a | x) q(x, a)), q being a model of rewards. As biased as the model; its interval knows
  nothing of that.
* `doubly_robust` (DR): the direct method, plus mean(w (r - q(x, a))). M. Dudik, J. Langford and L. Li, "Doubly Robust
  Policy Evaluation and Learning", ICML 2011. Unbiased whatever the model, if this was fitted on other rows; the better
  it is, the narrower.

Each is a mean over decisions, or the ratio of two (then linearised: the delta method), and has the standard error of
it. Rewards are often rare and weights large, so that the mean is skewed: intervals are those of the mean after its
skewness is removed by a monotone cubic transformation, P. Hall, "On the Removal of Skewness by Transformation", JRSS B
1992. Where nothing varies, as where no decision was paid, there is no interval.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

NAN = float("nan")
SUM = 1e-6
"""By how much probabilities of a decision may miss 1."""


class Estimate(NamedTuple):
    """The value of a policy.

    Attributes:
        value: the estimate, in units of the reward.
        error: its standard error.
        low: end of its 95% interval.
        high: the other end.
        effective: decisions of equal weight that would tell as much, sum(w)^2 / sum(w^2) (L. Kish, "Survey Sampling",
            1965); of the direct method, which weighs nothing, all of them; of replay those that count.
    """

    value: float
    error: float
    low: float
    high: float
    effective: float


def replay(chosen: np.ndarray, action: np.ndarray, reward: np.ndarray, level: float = 0.95) -> Estimate:
    """Returns the mean reward where the arm that a policy chooses [N] is the one that was logged [N].

    Args:
        chosen: arms of the policy, one drawn for each decision if it plays by chance.
        action: arms that were logged.
        reward: what they paid [N].
        level: of the interval.
    """
    same = np.asarray(chosen) == np.asarray(action)
    return _ratio(same.astype(float), np.asarray(reward, dtype=float), level)


def inverse_propensity(weight: np.ndarray, reward: np.ndarray, level: float = 0.95) -> Estimate:
    """Returns IPS from weights pi(a | x) / p and rewards, both [N]."""
    weight, reward = (np.asarray(part, dtype=float) for part in (weight, reward))
    return _mean(weight * reward, kish(weight), level)


def self_normalised(weight: np.ndarray, reward: np.ndarray, level: float = 0.95) -> Estimate:
    """Returns SNIPS from weights pi(a | x) / p and rewards, both [N]."""
    return _ratio(np.asarray(weight, dtype=float), np.asarray(reward, dtype=float), level)


def direct(probabilities: np.ndarray, model: np.ndarray, level: float = 0.95) -> Estimate:
    """Returns the direct method's value from pi(. | x) and a model of rewards, both [N, A]."""
    return _mean((probabilities * model).sum(1), float(len(model)), level)


def doubly_robust(
    probabilities: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    propensity: np.ndarray,
    model: np.ndarray,
    level: float = 0.95,
) -> Estimate:
    """Returns DR.

    Args:
        probabilities: of the policy, pi(. | x) [N, A].
        action: arms that were logged [N].
        reward: what they paid [N].
        propensity: probabilities with which they were logged [N].
        model: what every arm is expected to pay [N, A], fitted on other rows.
        level: of the interval.
    """
    weight = weights(probabilities, action, propensity)
    residual = np.asarray(reward, dtype=float) - model[np.arange(len(action)), action]
    return _mean((probabilities * model).sum(1) + weight * residual, kish(weight), level)


def weights(probabilities: np.ndarray, action: np.ndarray, propensity: np.ndarray) -> np.ndarray:
    """Returns pi(a | x) / p of the logged arms [N]; their mean is 1 but for chance, if the propensities are right.

    Raises:
        ValueError: for probabilities [N, A] that are none, or propensities that are not in (0, 1].
    """
    probabilities, propensity = np.asarray(probabilities, dtype=float), np.asarray(propensity, dtype=float)
    if probabilities.ndim != 2 or len(probabilities) != len(action):
        raise ValueError(
            f"probabilities: expected one for each arm in each of {len(action):,} decisions, got {probabilities.shape}"
        )
    wrong = ~((probabilities >= 0).all(1) & (np.abs(probabilities.sum(1) - 1) < SUM))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"probabilities: expected numbers of at least 0 whose sum over arms is 1, got {probabilities[row]} in row "
            f"{row} (and {int(wrong.sum()) - 1:,} more)"
        )
    if not ((propensity > 0) & (propensity <= 1)).all():
        raise ValueError(
            f"propensity: expected probabilities above 0 and at most 1, got {propensity.min()} to {propensity.max()}"
        )
    return probabilities[np.arange(len(action)), action] / propensity


def kish(weight: np.ndarray) -> float:
    """Returns the effective sample size of weights [N], 0 where all of them are."""
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def rows_needed(difference: float, first: float, second: float, level: float = 0.95, power: float = 0.8) -> float:
    """Returns how many decisions would tell two policies apart: two samples, a test of the level and with the power.

    Args:
        difference: of the two values.
        first: standard deviation of one decision's part in the first value: standard error times sqrt(N).
        second: of the other.
        level: one minus the chance to see a difference where there is none.
        power: chance to see one of this size.
    """
    if not difference or np.isnan(difference):
        return float("inf")
    quantiles = stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power)
    return float(quantiles**2 * (first**2 + second**2) / difference**2)


def _ratio(weight: np.ndarray, reward: np.ndarray, level: float) -> Estimate:
    """Returns sum(w r) / sum(w): its error is that of the mean of w (r - value) / mean(w)."""
    total = weight.sum()
    if total == 0:
        return Estimate(NAN, NAN, NAN, NAN, 0.0)
    value = float((weight * reward).sum() / total)
    influence = weight * (reward - value) * (len(weight) / total)
    return _mean(value + influence, kish(weight), level)


def _mean(values: np.ndarray, effective: float, level: float) -> Estimate:
    """Returns the mean of values [N] with its interval."""
    size, mean = len(values), float(values.mean()) if len(values) else NAN
    centred = values - mean
    spread = float(np.sqrt(np.square(centred).mean())) if size > 1 else 0.0
    if spread <= 1e-12 * float(np.abs(values).max(initial=0.0)):  # rounding alone
        return Estimate(mean, 0.0 if size > 1 else NAN, NAN, NAN, effective)
    skewness = float(((centred / spread) ** 3).mean())
    error = spread / np.sqrt(size - 1)
    tail = stats.t.ppf((1 + level) / 2, size - 1)
    low, high = (mean - error * np.sqrt(size) * _unskewed(end / np.sqrt(size), skewness, size) for end in (tail, -tail))
    return Estimate(mean, float(error), float(low), float(high), effective)


def _unskewed(x: float, skewness: float, size: int) -> float:
    """Returns the t at which Hall's transformation t + s t^2 / 3 + s^2 t^3 / 27 + s / (6 N) is x, s being the skewness.

    t is the error of a mean in standard deviations of one value; what it is turned into is normal but for terms of the
    order 1 / N.
    """
    if abs(skewness) < 1e-8:
        return x
    return float(3 / skewness * (np.cbrt(1 + skewness * (x - skewness / (6 * size))) - 1))
