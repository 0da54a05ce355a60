"""Agents to be kept, and a posterior, a rule and a network as a user writes them, with state of many kinds."""

import random
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from vbandits.agents.agent import Agent
from vbandits.envs.spaces import ObservationSpec

FORM = {
    "contexts": ObservationSpec(4, 3),
    "arms": ObservationSpec(2, 5, 3, masked=True),
}


def life(agent: Agent, start: int, steps: int, delay: int = 0, binary: bool = False) -> list[list[int]]:
    """Lets an agent play: contexts and rewards are told by the seed and the step alone. Returns its actions."""
    form, replicas, found = agent.encoding.form, len(agent.task.seeds), []
    for step in range(start, start + steps):
        dice = np.random.default_rng(step)
        seen = {
            "context": dice.normal(3, 2, (replicas, form.features)),
            "arms": dice.normal(0, 1, (replicas, form.arms, form.arm_features)),
            "mask": np.ones((replicas, form.arms), bool) & (dice.random((replicas, form.arms)) < 0.7),
        }
        seen["mask"][:, step % form.arms] = True
        parts = {name: torch.from_numpy(part) for name, part in seen.items()}
        actions = agent.act(parts if form.nested else parts["context"])
        found.append(actions.tolist())
        if step >= delay:
            paid = np.random.default_rng((step - delay, 1)).normal(5, 2, replicas) + actions.numpy()
            agent.observe(torch.from_numpy((paid > 6).astype(float) if binary else paid))
        if agent.due:
            agent.learn()
    return found


@dataclass(frozen=True)
class Frozen:
    """A part of a state that is replaced as a whole."""

    mean: torch.Tensor
    count: int


@dataclass
class Sums:
    """A state of many kinds."""

    now: Frozen
    dice: np.random.Generator
    coins: torch.Generator
    net: nn.Module
    trained: torch.optim.Optimizer
    last: deque = field(default_factory=lambda: deque(maxlen=3))
    table: dict = field(default_factory=dict)
    best: float | None = None
    arrays: list = field(default_factory=list)


@dataclass(frozen=True)
class Mine:
    """A posterior over constants, one for each output: a user's own, with a network and an optimiser of its own."""

    width: float = 1.0

    def init(self, task):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = nn.Linear(1, task.outputs)
        mean = torch.zeros(len(task.seeds), task.outputs)
        trained = torch.optim.Adam(net.parameters(), 0.1)
        return Sums(Frozen(mean, 0), np.random.default_rng(1), torch.Generator().manual_seed(1), net, trained)

    def update(self, state, data):
        mean = torch.stack([data.scaling.y(data.y).float().mean(1)] * state.now.mean.shape[1], 1)
        state.now = Frozen(mean, state.now.count + 1)
        state.last.append(float(mean[0, 0]))
        state.table[data.x.shape[1], "rows"] = np.float32(mean[0, 0])
        state.best = max(state.best or -np.inf, state.last[-1])
        state.arrays.append(np.arange(state.now.count) + 0.5)
        state.trained.zero_grad()
        (state.net(torch.ones(1, 1)) - mean[:1]).square().sum().backward()
        state.trained.step()

    def draw(self, state, draws):
        noise = torch.randn(len(state.now.mean), draws, state.now.mean.shape[1], generator=state.coins)
        noise = noise + float(state.dice.normal()) + state.net(torch.ones(1, 1)).detach()
        values = state.now.mean.unsqueeze(1) + self.width * noise
        return lambda x: values.unsqueeze(2).expand(-1, -1, x.shape[1], -1)

    def mean(self, state):
        return lambda x: state.now.mean[:, None, None].expand(-1, 1, x.shape[1], -1)

    def predict(self, state, x, output, noise):
        from vbandits.predictive import Mixture

        values = state.now.mean.gather(1, output).unsqueeze(1)
        return Mixture(values, noise.unsqueeze(1).expand(output.shape))


@dataclass(frozen=True)
class Forgetful(Mine):
    """One whose state has a part that only a class of its own could make again."""

    def update(self, state, data):
        super().update(state, data)
        state.table["later"] = Later()


class Later:
    """Made when it is needed."""

    def __init__(self):
        self.number = random.random()


def network(features, outputs):
    """A network with a frozen part and norm layers."""
    net = nn.Sequential(
        nn.Linear(features, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, outputs)
    )
    net[3].requires_grad_(False)
    return net
