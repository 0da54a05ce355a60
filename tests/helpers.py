"""What several test files use."""

from dataclasses import replace

import torch

from vbandits.agents.agent import AgentSpec
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spec import EnvironmentSpec
from vbandits.experiment.resolve import resolve
from vbandits.networks import MLP
from vbandits.presets import PRESETS
from vbandits.types import Data, Optimizer, Schedule, Task

WHEEL = "vbandits/Wheel-v0"
LEARNING = [name for name, preset in PRESETS.items() if "posterior" in preset]
"""Presets that learn."""


def preset(name: str, **sections) -> AgentSpec:
    """Returns a preset with some fields overridden, as an experiment file would."""
    document = {"name": "test", "environments": [WHEEL], "agents": [{"id": name, **sections}]}
    return resolve(document).methods[0]


def task(
    seeds=(0, 1),
    features=3,
    outputs=2,
    hidden=(8,),
    dtype=torch.float64,
    bias=True,
    schedule=None,
    optimizer=None,
    parametrization="mup",
) -> Task:
    """Returns a small task in float64."""
    network = MLP(hidden=tuple(hidden), bias=bias, parametrization=parametrization).build(features, outputs)
    return Task(
        tuple(seeds),
        features,
        outputs,
        network,
        schedule=schedule or Schedule(),
        optimizer=optimizer or Optimizer(),
        dtype=dtype,
    )


def rows(replicas=2, count=20, features=3, outputs=2, dtype=torch.float64, seed=0) -> Data:
    """Returns random rows."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(replicas, count, features, generator=random, dtype=dtype)
    output = torch.randint(outputs, (replicas, count), generator=random)
    y = torch.randn(replicas, count, generator=random, dtype=dtype)
    return Data.of(x, output, y)


def head(data: Data, count: int) -> Data:
    """Returns the first rows."""
    return replace(data, x=data.x[:, :count], output=data.output[:, :count], y=data.y[:, :count])


def play(spec: AgentSpec, seeds, steps=60, environment=WHEEL, kwargs=None, recorded=500):
    """Runs one job and returns its records."""
    cell = job(EnvironmentSpec("test", environment, kwargs or {}), spec, tuple(seeds), steps, recorded)
    return run_job(cell).records


def covariance_of(family, leaves, layer):
    """Returns the covariance [R, P, P] of a layer, from what its draws do to each standard normal number."""
    normals = family.covariance.normals(layer)
    mean = leaves[f"mean/{layer.name}"].unsqueeze(1)
    columns = family.covariance.sample(leaves, layer, mean, torch.eye(normals).to(mean).expand(len(mean), -1, -1))
    columns = columns - mean  # a draw is linear in its noise
    return columns.mT @ columns


def identity_noise(state) -> int:
    """Sets the noise of the predictive draws to the unit vectors: a draw is the mean and one column of the factor."""
    size = state.fixed.shape[2]
    state.fixed = torch.eye(size).to(state.fixed).expand(len(state.fixed), -1, -1)
    return size


def of_replica(data: Data, replica: int) -> Data:
    """Returns the rows of one replica."""
    return Data.of(*(part[replica : replica + 1] for part in (data.x, data.output, data.y)))
