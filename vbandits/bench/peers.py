"""What decisions cost elsewhere: one seed, as one writes it by hand."""

import importlib
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

WHEEL = "vbandits/Wheel-v0"
BATCH = 64


def plain_loop(steps: int) -> Callable[[], object]:
    """Returns the work of one seed, one network and no uncertainty: greedy, a step of SGD after each decision."""
    network = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 5))
    return _loop(steps, network, torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9))


def inferno_loop(steps: int) -> Callable[[], object] | None:
    """Returns the same by a variational network of `inferno-torch`, the authors' own: low-rank Gaussians over the first
    and the last layer, one draw for a decision and one for a step; None where it is not installed."""
    try:
        inferno: Any = importlib.import_module("inferno")
    except ImportError:
        return None
    low_rank = inferno.bnn.params.LowRankCovariance
    network = inferno.models.MLP(2, [50, 50], 5, cov=[low_rank(5), None, low_rank(5)])
    rates = network.parameters_and_lrs(lr=0.03, optimizer="SGD")

    def drawn(x: torch.Tensor) -> torch.Tensor:
        return network(x, sample_shape=torch.Size([1]))[0]

    return _loop(steps, drawn, torch.optim.SGD(rates, lr=0.03, momentum=0.9))


def _loop(
    steps: int, network: Callable[[torch.Tensor], torch.Tensor], optimizer: torch.optim.Optimizer
) -> Callable[[], object]:
    environment = gymnasium.make(WHEEL)
    contexts, actions, rewards = (
        np.empty((steps, 2), np.float32),
        np.empty(steps, np.int64),
        np.empty(steps, np.float32),
    )

    def loop() -> None:
        random = np.random.default_rng(0)
        context, _ = environment.reset(seed=0)
        for step in range(steps):
            with torch.no_grad():
                action = int(network(torch.from_numpy(context)[None])[0].argmax())
            contexts[step], actions[step] = context, action
            context, rewards[step], *_ = environment.step(action)
            rows = random.integers(step + 1, size=BATCH)
            values = network(torch.from_numpy(contexts[rows]))[torch.arange(BATCH), torch.from_numpy(actions[rows])]
            loss = nn.functional.mse_loss(values, torch.from_numpy(rewards[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return loop
