"""Supervised jobs that are stopped go on from a checkpoint to the same records, bit for bit."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.registries import over
from tests.test_checkpoints import Steps, Stopped
from vbandits.experiment.resolve import resolve
from vbandits.presets import METHODS

DIGITS = {"rows": 80, "validation_rows": 40, "corrupted_rows": 20, "corruptions": ["noise"], "severities": [1, 2]}
STEPS = 60
"""Taken in two pieces."""


class Ends(Steps):
    """Stops at a step, or when so many settings have been predicted."""

    def __init__(self, stop=None, settings=None):
        super().__init__(stop)
        self.settings = settings

    def beat(self, values=None):
        if self.settings is not None:
            self.settings -= 1
            if not self.settings:
                raise Stopped


def made(method="ibvi", seeds=(3, 4), **changed):
    methods = [{"id": method, "network": {"kind": "mlp", "hidden": [12]}, **changed}]
    document = {"name": "x", "datasets": [{"id": "digits", "kwargs": DIGITS}], "methods": methods}
    experiment = resolve(document | {"seeds": list(seeds), "steps": STEPS, "batch_size": 16, "checkpoint": 0})
    return next(experiment.jobs())


@over("method", METHODS, quick=["ibvi", "deterministic", "temperature-scaled"])
def test_a_job_that_was_stopped_goes_on_to_the_same_records(method, tmp_path):
    one, path = made(method), tmp_path / "checkpoint.safetensors"
    whole = one.run()
    for ends, step in ((Ends(STEPS), STEPS // 2), (Ends(settings=2), STEPS)):
        with pytest.raises(Stopped):
            one.run(ends, path)
        told = Steps()
        outcome = one.run(told, path)
        assert told.steps == list(range(step + STEPS // 2, STEPS + 1, STEPS // 2))
        assert outcome.notes == (f"went on from a checkpoint after {step} steps",)
        pd.testing.assert_frame_equal(outcome.records, whole.records, check_exact=True)
        assert outcome.diverged == whole.diverged
        assert min(outcome.seconds.values()) > 0
        path.unlink()


def test_a_job_of_one_seed_with_momentum(tmp_path):
    optimizer = {"learning_rate": 0.05, "momentum": 0.9, "decay_steps": STEPS}
    one, path = made("ensemble", (7,), optimizer=optimizer), tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        one.run(Ends(STEPS), path)
    pd.testing.assert_frame_equal(one.run(Steps(), path).records, one.run().records, check_exact=True)


def test_a_checkpoint_of_another_method_is_told_and_not_used(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        made("deterministic").run(Ends(STEPS), path)
    one = made("ibvi")
    outcome = one.run(Steps(), path)
    assert outcome.notes[0].startswith("began anew, since its checkpoint is of no use: expected one of this job")
    pd.testing.assert_frame_equal(outcome.records, one.run().records, check_exact=True)
    with pytest.raises(Stopped):
        replace(one, checkpoint=300.0).run(Ends(STEPS), tmp_path / "other")
    assert not (tmp_path / "other").exists(), "short jobs write none"
