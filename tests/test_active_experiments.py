"""Active-learning experiments: what files may say, how they run, are stopped and go on."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import vbandits
from tests.learners import SMALL, arrays, play, same, spec
from vbandits.agents.acquisition import BADGE, BALD, PosteriorSampling, Random
from vbandits.agents.learner import LearnerSpec, Training
from vbandits.api import execute
from vbandits.envs.active.environment import PoolActiveLearning
from vbandits.envs.active.stream import StreamActiveLearning
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve, select
from vbandits.experiment.store import Store
from vbandits.posteriors.ibvi import IBVI
from vbandits.presets import LEARNERS

SHORT = {"gradient_steps": 5, "batch_size": 8, "full_steps": 10}


FEW = [{"id": "ibvi", "acquisition": ["random", "bald"], "training": SHORT}]


def document(problems=None, learners=None, **more):
    """Returns a small experiment."""
    problems = problems or [
        {"label": "small", "kwargs": {"pool": "two_moons", "budget": 4, "rows": 50, "test_rows": 50}}
    ]
    learners = learners or [{"id": ["ibvi", "deterministic"], "acquisition": ["random", "bald"], "training": SHORT}]
    return {"name": "test", "seeds": 2, "problems": problems, "learners": learners} | more


def faults(**content):
    with pytest.raises(ConfigError) as refused:
        resolve(document(**content))
    return "\n".join(refused.value.errors)


def test_every_method_meets_every_acquisition():
    experiment = resolve(document())
    labels = [learner.label for learner in experiment.methods]
    assert labels == ["ibvi random", "ibvi bald", "deterministic random", "deterministic bald"]
    assert [learner.method for learner in experiment.methods] == ["ibvi", "ibvi", "deterministic", "deterministic"]
    assert {learner.training.gradient_steps for learner in experiment.methods} == {5}
    assert experiment.methods[0].optimizer.decay_steps == 5  # falls to zero over a training from scratch
    assert len(list(experiment.jobs())) == 4


def test_fields_are_set_one_by_one_and_from_the_command_line():
    learners = [
        {
            "id": "ibvi",
            "label": "mine",
            "acquisition": [{"kind": "bald", "batch": "power", "label": "power"}],
            "posterior": {"rank": 3},
            "training": SHORT | {"start": "warm"},
            "candidates": 20,
        }
    ]
    settings = ["acquisition.draws=7", "kwargs.budget=2", "training.every=2"]
    found = resolve(document(learners=learners), settings)
    (learner,) = found.methods
    assert (learner.label, learner.method, learner.acquisition_name) == ("mine power", "mine", "power")
    assert learner.acquisition == BALD(draws=7, batch="power")
    assert learner.posterior.rank == 3
    assert (learner.training.every, learner.training.start, learner.candidates) == (2, "warm", 20)
    assert found.problems[0].budget == 2
    assert learner.optimizer.decay_steps == 0  # warm training never ends


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"kwargs": {"pool": "two_moons", "rows": 20, "batch": 30, "budget": 30}},
            "batch: expected at most the 18 labels that can be bought, got 30",
        ),
        (
            {"kwargs": {"pool": "two_moons", "rows": 20, "budget": 100}},
            "budget: expected at most the 18 labels that can be bought, got 100",
        ),
        ({"kwargs": {"pool": "two_moons", "initial": [0]}}, "initial: expected a row of every class, got none of"),
        ({"kwargs": {"pool": "two_moons", "initial": [3, 3]}}, "every row once, got more of 3"),
        ({"kwargs": {"pool": "two_moon"}}, "did you mean 'two_moons'"),
        ({"id": "vbandits/Wheel-v0"}, "expected active learning on a pool"),
    ],
)
def test_a_problem_that_cannot_be_played_is_refused(content, message):
    assert message in faults(problems=[content])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"id": "ibvi"}, "learners[0].acquisition: expected one or a list of badge, bald"),
        ({"id": "ibvi", "acquisition": "bold"}, "unknown kind of acquisition 'bold'; did you mean 'bald'"),
        ({"id": "ibvy", "acquisition": "bald"}, "unknown method of a learner 'ibvy'; did you mean 'ibvi'"),
        ({"acquisition": "bald"}, "expected an id (one of deterministic, dropout"),
        ({"id": ["ibvi", "elbo"], "label": "mine", "acquisition": "bald"}, "the ids are the labels"),
        ({"id": "ibvi", "acquisition": ["bald", "bald"]}, "expected labels that differ, got 'ibvi bald' 2 times"),
        ({"id": "ibvi", "acquisition": {"kind": "bald", "draw": 3}}, "unknown field 'draw'; did you mean 'draws'"),
        ({"id": "linear", "acquisition": "bald"}, "learner 'linear bald' with 'small': expected"),
        ({"id": "ibvi", "acquisition": "max_det"}, "expected an acquisition for classes (one of badge, bald"),
        ({"id": "ibvi", "acquisition": "bald", "training": {"start": "cold"}}, "expected 'scratch' or 'warm'"),
        ({"id": "ibvi", "acquisition": "bald", "candidates": 0}, "learners[0].candidates: expected"),
        ({"id": "ibvi", "acquisition": "bald", "rule": {}}, "unknown key 'rule'"),
        ({"id": "ibvi", "acquisition": {"kind": 5}}, "expected a kind such as 'bald', got 5"),
        ({"id": "ibvi", "acquisition": {"kind": "bald", "draws": 0}}, "acquisition.draws: expected"),
        (
            {"id": "ibvi", "acquisition": "bald", "training": {"start": "warm"}, "optimizer": {"decay_steps": 9}},
            "decay_steps: expected 0 for warm training",
        ),
    ],
)
def test_a_learner_that_cannot_be_is_refused(content, message):
    assert message in faults(learners=[content])


def test_what_compares_rows_is_refused_in_a_stream_and_an_agent_as_a_learner():
    stream = [{"id": "vbandits/StreamActiveLearning-v0", "kwargs": {"pool": "two_moons", "budget": 5, "steps": 20}}]
    told = faults(problems=stream, learners=[{"id": "ibvi", "acquisition": "badge"}])
    assert "expected an acquisition that scores each row by itself for a stream, got badge" in told
    with pytest.raises(ConfigError, match="expected a bandit"):
        resolve({"name": "x", "environments": ["vbandits/PoolActiveLearning-v0"], "agents": ["ibvi"]})


@pytest.mark.parametrize("part", [{"posterior": 5}, {"network": 3}])
def test_a_faulty_learner_that_was_chosen_is_told_as_any_other(part):
    content = select(document(learners=[{"id": "ibvi", "acquisition": "bald"} | part]), {"learners": "ibvi"})
    with pytest.raises(ConfigError, match=rf"learners\[0\] \(ibvi\).{next(iter(part))}: expected a table of fields"):
        resolve(content)


def test_all_faults_are_told_at_once():
    told = faults(problems=[{"kwargs": {"pool": "nothing"}}], learners=[{"id": "ibvi", "acquisition": "bold"}], seedz=3)
    assert all(part in told for part in ("nothing", "bold", "seedz"))


def test_results_have_a_row_per_seed_and_evaluation_and_a_report(tmp_path):
    results = vbandits.run(
        problems=document()["problems"],
        learners=document()["learners"],
        seeds=3,
        evaluations=2,
        out=tmp_path / "out",
        workers=1,
    )
    assert results.axes == ("problem", "learner")
    assert len(results.records) == 4 * 3 * 3
    assert sorted(results.records["labels"].unique()) == [2, 4, 6]
    summary = results.summary()
    assert list(summary["seeds"]) == [3] * 4
    assert summary["accuracy"].between(0, 1).all()
    page = results.report()
    text = page.read_text()
    assert "ibvi" in text
    assert "posterior" in text.lower()
    assert (page.parent / "summary.csv").exists()
    described = json.loads((tmp_path / "out" / "experiment.json").read_text())
    assert described["problems"][0]["initial"] == 2
    assert described["learners"][1]["acquisition"] == {"kind": "bald", "batch": "top", "coldness": 1.0, "draws": 100}


@pytest.fixture(scope="module")
def run_of_one_seed_at_a_time(tmp_path_factory):
    """An experiment, its finished folder and its results."""
    experiment = resolve(document(learners=FEW, block=1, seeds=3))
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return experiment, folder, execute(experiment, Store(folder), command="", workers=1)


def test_a_run_that_was_stopped_goes_on_with_the_same_results(run_of_one_seed_at_a_time, tmp_path):
    experiment, folder, whole = run_of_one_seed_at_a_time
    shutil.copytree(folder, tmp_path / "part")
    cells = [job.key for job in experiment.jobs()]
    for name in cells[::2]:
        (tmp_path / "part" / "cells" / f"{name}.json").unlink()
    before = (tmp_path / "part" / "cells" / f"{cells[1]}.parquet").stat().st_mtime_ns
    again = execute(experiment, Store(tmp_path / "part"), command="", workers=1)
    assert (tmp_path / "part" / "cells" / f"{cells[1]}.parquet").stat().st_mtime_ns == before
    columns = ["problem", "learner", "seed", "round"]
    pd.testing.assert_frame_equal(
        again.records.sort_values(columns).reset_index(drop=True),
        whole.records.sort_values(columns).reset_index(drop=True),
    )


def test_blocks_change_nothing(run_of_one_seed_at_a_time, tmp_path):
    one = run_of_one_seed_at_a_time[2]
    other = execute(resolve(document(learners=FEW, block=3, seeds=3)), Store(tmp_path), command="", workers=1)
    for (_, learner), part in one.parts.items():
        assert same(part, other.parts["small", learner])


def test_another_pool_is_another_experiment():
    first, second = (
        next(resolve(document(problems=[{"label": "a", "kwargs": {"pool": (x, y), "budget": 3}}])).jobs())
        for x, y in (arrays(), arrays(seed=1))
    )
    assert first.key != second.key


def test_ones_own_environment_and_learner_from_python():
    class Mine(PoolActiveLearning):
        def __init__(self, num_envs=1, device="cpu"):
            super().__init__(num_envs, device, pool=arrays(), budget=3)

    learner = LearnerSpec("mine", IBVI(), Random(), training=SMALL)
    results = vbandits.run(problems=[{"id": Mine, "label": "own"}], learners=[learner], seeds=2)
    assert list(results.summary()["learner"]) == ["mine"]
    assert results.experiment["learners"][0]["acquisition_label"] == "Random"


@pytest.mark.parametrize("acquisition", [Random(), BALD(draws=8), PosteriorSampling()])
@pytest.mark.parametrize("classes", [3, 0])
def test_a_stream_spends_its_budget_and_not_more(acquisition, classes):
    records = play(spec(acquisition), (0, 1), classes=classes, steps=30, budget=14, evaluations=30)
    bought = records.pivot(index="round", columns="seed", values="bought").to_numpy()
    assert bought.max() == 14
    assert (np.diff(bought, axis=0) >= 0).all()
    assert (bought[10] == 10).all()  # the first ten are asked for
    assert not records["nll"].isna().any()


def test_a_seed_of_a_stream_is_its_own():
    together = play(spec(BALD(draws=8)), (4, 2), steps=30, budget=14)
    assert same(play(spec(BALD(draws=8)), (2,), steps=30, budget=14), together[together["seed"] == 2])


def test_posterior_sampling_asks_less_the_dearer_a_label_is():
    asked = {}
    for cost in (0.0, 0.3, 2.0):
        records = play(spec(PosteriorSampling()), (0, 1), steps=24, budget=None, predict=True, cost=cost)
        last = records[records["round"] == 24]
        asked[cost] = last["bought"].mean()
        assert (last["reward"] <= -cost * last["bought"] + 1e-9).all()  # mistakes come on top
    assert asked[0.0] > asked[0.3] > asked[2.0] == 10


@pytest.mark.parametrize("name", LEARNERS)
def test_every_preset_can_be_used_for_a_regression(name):
    learners = [{"id": name, "acquisition": "random", "training": SHORT}]
    problems = [{"label": "r", "kwargs": {"pool": "gap", "budget": 2, "initial": 3}}]
    described = resolve(document(problems=problems, learners=learners)).document()["learners"][0]
    assert described["method"] == name
    assert described["optimizer"]["learning_rate"] == LEARNERS[name].get("optimizer", {}).get("learning_rate", 0.03)


class Counting:
    """Buys the row in the place of how often it was asked."""

    tasks = frozenset({"classes"})

    def __init__(self):
        self.calls = 0

    def select(self, view, count):
        self.calls += 1
        return torch.full((len(view.candidates.index), count), self.calls)


def test_what_an_acquisition_remembers_is_of_its_own_replicas(tmp_path):
    mine = Counting()
    learners = [{"id": "ibvi", "acquisition": mine, "training": SHORT}]
    one, other = (
        execute(resolve(document(learners=learners, block=block)), Store(tmp_path / str(block)), command="", workers=1)
        for block in (1, 2)
    )
    assert same(one.records, other.records)
    assert mine.calls == 0


def test_a_method_has_an_acquisition_of_one_name_once():
    learners = [LearnerSpec(label, IBVI(), BALD(draws=draws), method="m") for label, draws in (("a", 5), ("b", 9))]
    assert "under a name of its own, got 'BALD' for 'a' and 'b'" in faults(learners=learners)


def test_images_and_rows_of_the_same_numbers_are_other_pools():
    x, y = arrays()
    pools = [(x, y), (x.reshape(-1, 2, 2), y), (x.astype(np.float64), y)]
    first, image, double = (
        resolve(document(problems=[{"label": "a", "kwargs": {"pool": pool, "budget": 3}}])).problems[0].describe()
        for pool in pools
    )
    assert first != image
    assert first == double  # they are float32 in the pool


class Short(StreamActiveLearning):
    """Ends after 12 rows, and lets nobody ask at every third."""

    def __init__(self, num_envs=1, device="cpu"):
        super().__init__(num_envs, device, pool=arrays(), budget=20, steps=30)
        self.rows = 0

    def reset(self, **options):
        self.rows = 0
        observation, info = super().reset(**options)
        return observation, self._masked(info)

    def step(self, actions):
        assert not (self.rows % 3 == 2 and int(actions[0]) == 1), "asked where the mask says no"
        observation, reward, terminated, truncated, info = super().step(actions)
        self.rows += 1
        return observation, reward, terminated, truncated | (self.rows == 12), self._masked(info)

    def _masked(self, info):
        info["action_mask"][:, 1] = int(self.rows % 3 != 2)
        return info


def test_a_stream_may_end_early_and_its_mask_is_heeded():
    results = vbandits.run(problems=[{"id": Short, "label": "short"}], learners=[spec(Random())], seeds=2, workers=1)
    assert results.summary()["failures"].tolist() == [0]
    last = results.records.groupby("seed").last()
    assert last["seen"].tolist() == [12, 12]
    assert (last["bought"] <= 8).all()


def test_labels_that_came_last_are_learned_from_in_a_stream():
    one, other = (
        play(
            spec(Random(), training=Training(every=every, gradient_steps=5, first=14)),
            (0,),
            steps=16,
            budget=14,
            evaluations=1,
        )
        for every in (1, 100)
    )
    assert one["bought"].max() == other["bought"].max() == 14
    last = other[other["round"] == 16]
    start = other[other["round"] == 0]
    assert float(last["nll"].iloc[0]) != float(start["nll"].iloc[0])


def test_badge_is_not_scored_row_by_row():
    assert not hasattr(BADGE(), "score")
