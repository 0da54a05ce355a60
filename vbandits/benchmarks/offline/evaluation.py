"""Every estimate of a policy's value from a log: of an experiment's policies, and of probabilities of your own."""

from typing import Any

import numpy as np
import pandas as pd

from vbandits.data.logs import Log, load_log
from vbandits.data.precision import unmasked
from vbandits.errors import shortened
from vbandits.metrics import off_policy
from vbandits.metrics.off_policy import Estimate
from vbandits.metrics.reward_model import cross_fitted
from vbandits.registry import unknown
from vbandits.streams import generator

NAMES = {
    "dr": "doubly robust",
    "snips": "self-normalised IPS",
    "ips": "inverse propensity",
    "replay": "replay",
    "dm": "direct method",
}
"""Estimators, the one that policies are compared by first, and what they are called."""
SHOWN = 200
"""Letters of the names of arms in a message."""


def estimates(
    probabilities: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    propensity: np.ndarray,
    model: np.ndarray,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Returns what every estimator says, by its name in `NAMES`.

    Args:
        probabilities: of the policy [N, A].
        action: arms that were logged [N].
        reward: what they paid [N].
        propensity: probabilities with which they were logged [N].
        model: what every arm is expected to pay, fitted on other rows [N, A].
        seed: of the arms that a policy that plays by chance is taken to have chosen, for replay.
    """
    weight = off_policy.weights(probabilities, action, propensity)
    luck = generator(seed, "replay of a policy").random((len(action), 1))
    chosen = (probabilities.cumsum(1) > luck * probabilities.sum(1, keepdims=True)).argmax(1)
    return {
        "dr": off_policy.doubly_robust(probabilities, action, reward, propensity, model),
        "snips": off_policy.self_normalised(weight, reward),
        "ips": off_policy.inverse_propensity(weight, reward),
        "replay": off_policy.replay(chosen, action, reward),
        "dm": off_policy.direct(probabilities, model),
    }


def evaluate_policy(log: Any, probabilities: Any, model: Any = None, seed: int = 0) -> pd.DataFrame:
    """Returns what a policy of your own would have earned in the decisions of a log.

        log = vbandits.load_log("hillstrom", reward="visit")
        vbandits.evaluate_policy(log, probabilities)

    Args:
        log: a `Log`, or what `load_log` takes without options.
        probabilities: with which the policy plays each arm in each decision [N, A], arms in the order of
            `log.arm_names`; or the arms that it plays, by their place there or by name [N], np.full(len(log), "mail")
            for always the same. It must not have been chosen by looking at these rows: evaluate it on others than it
            was learned from.
        model: what every arm is expected to pay [N, A], by a model that was fitted on other rows; by default linear
            models of five parts of the log, each for the rows of the other parts.
        seed: of the arms that a policy that plays by chance is taken to have chosen, for replay.

    Returns:
        A row for each estimator: value, standard_error, low and high (the 95% interval), effective_sample_size. Beside
        the estimates, in `attrs`: largest_weight, and mean_weight, which is 1 but for chance if the propensities are
        right.

    Raises:
        ValueError: for a log that is none, and probabilities that are none or of another shape.
    """
    log = load_log(log)
    given = _given(log, probabilities)
    if model is None:
        model = cross_fitted(log.context, log.action, log.reward, log.arms, seed=seed)
    expected = unmasked(model).astype(np.float64)
    if expected.shape != (len(log), log.arms) or not np.isfinite(expected).all():
        raise ValueError(f"model: expected finite numbers [{len(log)}, {log.arms}], got {expected.shape}")
    weight = off_policy.weights(given, log.action, log.propensity)
    found = estimates(given, log.action, log.reward, log.propensity, expected, seed)
    columns = ["value", "standard_error", "low", "high", "effective_sample_size"]
    frame = pd.DataFrame(found.values(), index=pd.Index([NAMES[name] for name in found], name="estimator"))
    frame.columns = pd.Index(columns)
    frame.attrs |= {"largest_weight": float(weight.max()), "mean_weight": float(weight.mean())}
    return frame


def _given(log: Log, probabilities: Any) -> np.ndarray:
    given = unmasked(probabilities)
    if given.shape == (len(log), log.arms):
        return given.astype(np.float64)
    names = shortened(", ".join(map(repr, log.arm_names)), SHOWN)
    if given.shape != (len(log),):
        raise ValueError(
            f"probabilities: expected one for each arm in each decision [{len(log)}, {log.arms}], arms in the order "
            f"{names}, or the arm of each decision [{len(log)}], by name or by its place in that order, got "
            f"{f'the shape {given.shape}' if given.ndim else repr(given.item())}: a policy that always plays one arm "
            f"is np.full({len(log)}, {log.arm_names[0]!r})"
            + (f" ({len(log.rows)} of the log's rows are used: log.rows tells which)" if log.rows is not None else "")
        )
    if given.dtype.kind in "iu":
        if not (given.min() >= 0 and given.max() < log.arms):
            raise ValueError(
                f"probabilities: expected arms in 0..{log.arms - 1}, the places of {names}, got "
                f"{given.min()}..{given.max()}: where numbers are names, give them as text, arms.astype(str)"
            )
        return np.eye(log.arms)[given.astype(np.int64)]
    chosen = given.astype(np.str_)
    if others := [name for name in np.unique(chosen).tolist() if name not in log.arm_names]:
        wrong = unknown("arm", others[0], log.arm_names)
        raise ValueError(f"probabilities: expected names of arms ({names}), or their places as integers, got {wrong}")
    places = {name: place for place, name in enumerate(log.arm_names)}
    return np.eye(log.arms)[[places[name] for name in chosen.tolist()]]
