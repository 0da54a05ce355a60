"""Small active learning, for the tests of learners and of their runs."""

import numpy as np
import torch

from vbandits.agents.acquisition import Random
from vbandits.agents.learner import Inputs, Learner, LearnerSpec, Training
from vbandits.benchmarks.active.run import run_job
from vbandits.envs.active.environment import PoolActiveLearning
from vbandits.envs.spec import EnvironmentSpec
from vbandits.experiment.benchmark import Job
from vbandits.experiment.resolve import resolve
from vbandits.networks import MLP
from vbandits.posteriors.ibvi import IBVI
from vbandits.types import Optimizer

SMALL = Training(gradient_steps=10, batch_size=8, full_steps=20)


def arrays(classes=3, rows=40, features=4, seed=0):
    """Returns x [N, D] and y [N], classes that follow from x, or numbers (0 classes)."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, features)).astype(np.float32)
    if classes:
        return x, (np.argsort(x[:, :classes], 1)[:, -1]).astype(np.int64)
    return x, x[:, 0] + 0.1 * random.standard_normal(rows)


def spec(acquisition=None, posterior=None, **options) -> LearnerSpec:
    """Returns a learner with a small network that trains little."""
    options = {"network": MLP((8,)), "training": SMALL, "optimizer": Optimizer(learning_rate=0.1)} | options
    return LearnerSpec(
        "test", posterior or IBVI(rank=2), acquisition or Random(), method="test", acquisition_name="test", **options
    )


def begun(learner: LearnerSpec, seeds=(0, 1), classes=3, initial=None, **kwargs):
    """Returns an environment, a learner of its initial labels that has trained once, and the mask."""
    initial = initial or (1 if classes else 4)
    environment = PoolActiveLearning(
        len(seeds), pool=arrays(classes), budget=kwargs.pop("budget", 6), initial=initial, **kwargs
    )
    player = Learner(learner, tuple(seeds), Inputs.of(environment))
    observation, info = environment.reset(seed=list(seeds))
    labels = observation["labels"]
    known = ((labels >= 0) if classes else ~labels.isnan()).nonzero()[:, 1].view(len(seeds), -1)
    player.add_labels(known, labels.gather(1, known))
    player.fit()
    return environment, player, info["action_mask"]


def job(learner: LearnerSpec, seeds=(0, 1), evaluations=3, **kwargs) -> Job:
    """Returns a job on a small pool."""
    kwargs = {"pool": arrays(kwargs.pop("classes", 3)), "budget": 4} | kwargs
    source = "vbandits/StreamActiveLearning-v0" if "steps" in kwargs else "vbandits/PoolActiveLearning-v0"
    document = {"name": "test", "problems": [EnvironmentSpec("pool", source, kwargs)], "learners": [learner]}
    experiment = resolve(document | {"seeds": list(seeds), "evaluations": evaluations})
    return next(experiment.jobs())


def play(learner: LearnerSpec, seeds=(0, 1), evaluations=3, **kwargs):
    """Returns the records of a job."""
    return run_job(job(learner, seeds, evaluations, **kwargs)).records


def same(one, other) -> bool:
    """Says whether two tables of records are equal to the last bit, but for the order of their rows."""
    one, other = (part.sort_values(["seed", "round"]).reset_index(drop=True) for part in (one, other))
    return one.equals(other[one.columns])


def linear_values(weights):
    """Returns functions x -> x weights [R, S, D, K]."""
    return lambda x: torch.einsum("rnd,rsdk->rsnk", x, weights)
