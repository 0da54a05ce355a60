"""A look at a posterior and a rule before any work: do they keep the contract's shapes, and can they be trained?"""

import torch

from vbandits.agents.agent import Agent
from vbandits.agents.rules import UNAVAILABLE
from vbandits.types import Data

METHODS = ("init", "update", "draw", "mean", "predict")
ROWS, DRAWS = 3, 2


def rehearse(agent: Agent) -> None:
    """Draws from the posterior of an agent with one replica, lets its rule choose once, and trains it on a few rows.

    Raises:
        ValueError: if a method is missing, or what it returns has another shape than `vbandits.types` says.
    """
    posterior, rule, outputs = agent.spec.posterior, agent.spec.rule, agent.task.outputs
    if posterior is None:
        return
    name = type(posterior).__name__
    missing = [method for method in METHODS if not callable(getattr(posterior, method, None))]
    if missing:
        raise ValueError(f"expected {name} to have the methods {', '.join(METHODS)}, got no {', '.join(missing)}")
    x = torch.zeros(1, ROWS, agent.task.features, dtype=agent.task.dtype)
    for method, functions, draws in (
        ("draw", posterior.draw(agent.state, DRAWS), DRAWS),
        ("mean", posterior.mean(agent.state), 1),
    ):
        _expect(f"{name}.{method}", functions(x), (1, draws, ROWS, outputs), "[R, S, N, K]")
    arms = agent.encoding.form.arms
    decision = torch.zeros(1, arms if agent.encoding.rows_are_arms else 1, agent.task.features, dtype=agent.task.dtype)
    values = agent.encoding.values(posterior.draw(agent.state, max(rule.draws, 1))(decision))
    action = rule.choose(values, torch.full((1, 2), 0.5, dtype=torch.float64))
    _expect(f"{type(rule).__name__}.choose", action, (1,), "[R]")
    if not 0 <= int(action) < arms:
        raise ValueError(
            f"expected {type(rule).__name__}.choose to return an arm from 0 to {arms - 1}, got {int(action)}"
        )
    if agent.encoding.form.masked:
        there = torch.arange(arms) == arms - 1
        values = values.where(there, UNAVAILABLE)
        action = int(rule.choose(values, torch.full((1, 2), 0.5, dtype=torch.float64)))
        if action != arms - 1:
            raise ValueError(
                f"expected {type(rule).__name__}.choose to return the one arm that is available, {arms - 1} (the "
                f"values of all others are -inf), got {action}"
            )
    nothing = torch.zeros(1, ROWS, dtype=agent.task.dtype)
    posterior.update(agent.state, Data.of(x, nothing.long(), nothing))


def _expect(what: str, values: torch.Tensor, shape: tuple[int, ...], letters: str) -> None:
    if tuple(values.shape) != shape:
        raise ValueError(f"expected {what} to give a tensor {letters} = {list(shape)}, got {list(values.shape)}")
