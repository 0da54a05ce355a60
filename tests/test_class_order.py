"""What classes are called, and so their order, does not matter: least of all to a learner that predicts nothing."""

import numpy as np
import pytest
from learners import arrays

import vbandits

NAMES = {"as they are": ["a", "b", "c"], "the other way round": ["c", "b", "a"], "in turn": ["b", "c", "a"]}


def run(names, learning_rate):
    x, y = arrays(3, rows=60)
    pool = (x, np.array(names)[y])
    learner = {
        "id": "deterministic",
        "acquisition": "random",
        "optimizer": {"learning_rate": learning_rate},
        "training": {"gradient_steps": 30, "batch_size": 8, "full_steps": 30},
    }
    problems = [{"id": "vbandits/PoolActiveLearning-v0", "kwargs": {"pool": pool, "budget": 4, "initial": 1}}]
    return vbandits.run(problems=problems, learners=[learner], seeds=2, evaluations=2)


def test_a_learner_that_diverged_scores_the_same_whatever_classes_are_called():
    found = [run(names, 1e8) for names in NAMES.values()]
    for results in found:
        assert results.summary().failures.tolist() == [2]
        records = results.records
        assert records[["accuracy", "nll", "brier", "full_accuracy"]].isna().all(axis=None)
    accuracies = {str(results.summary().accuracy.tolist()) for results in found}
    assert len(accuracies) == 1


@pytest.mark.parametrize("rate", [1e-3])
def test_the_same_learner_that_did_not_diverge_predicts(rate):
    results = run(NAMES["in turn"], rate)
    assert results.summary().failures.tolist() == [0]
    assert results.records[["accuracy", "nll", "full_accuracy"]].notna().all(axis=None)
