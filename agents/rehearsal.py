"""A look at a posterior and a rule before any work: do they keep the contract's shapes, and can they be trained?"""

from dataclasses import replace
from typing import Any

import torch

from vbandits.agents.acquisition.base import Rows
from vbandits.agents.agent import Agent
from vbandits.agents.learner import Inputs, Learner, standardiser
from vbandits.agents.model import LearnerSpec
from vbandits.agents.rules import UNAVAILABLE
from vbandits.envs.active.spaces import STREAM, family
from vbandits.types import Data

METHODS = ("init", "update", "draw", "mean", "predict")
ROWS, DRAWS, SMALL = 3, 2, 60


def rehearse(agent: Agent) -> None:
    """Draws from the posterior of an agent with one replica, lets its rule choose once, and trains it on a few rows.

    Raises:
        ValueError: if a method is missing, or what it returns has another shape than `vbandits.types` says.
    """
    posterior, rule, outputs = agent.spec.posterior, agent.spec.rule, agent.task.outputs
    if posterior is None:
        return
    _require_methods(posterior)
    name = type(posterior).__name__
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


def rehearse_learner(spec: LearnerSpec, environment: Any) -> None:
    """Lets a learner with one replica train and buy once, on a few rows of an environment with made-up labels.

    Raises:
        ValueError: if a method of the posterior is missing, or what the acquisition returns is not what it should be.
    """
    _require_methods(spec.posterior)
    count = getattr(environment, "batch", 1)
    rows = min(len(environment.features), SMALL + count)
    features, classes = environment.features[:rows], environment.classes
    standard = standardiser(features, environment.image, torch.float32)
    inputs = Inputs(standard(features), standard(environment.test_features[:SMALL]), classes, environment.image)
    small = replace(spec, training=replace(spec.training, gradient_steps=min(spec.training.gradient_steps, 1)))
    learner = Learner(small, (0,), inputs, environment.features.device)
    known = torch.arange(min(rows - count, max(classes, ROWS)), device=environment.features.device).unsqueeze(0)
    learner.know(known, known % classes if classes else known.double())
    learner.learn()
    mask = torch.ones(1, rows, dtype=torch.int8, device=known.device).scatter(1, known, 0)
    if family(environment) == STREAM:
        score = learner.acquisition.score(learner.view(Rows(inputs.pool, known[:, :1])))
        _expect(f"{type(spec.acquisition).__name__}.score", score, (1, 1), "[R, C]")
    bought = learner.query(mask, count)
    name = f"{type(spec.acquisition).__name__}.select"
    _expect(name, bought, (1, count), "[R, b]")
    if len(set(bought.flatten().tolist())) < count:
        raise ValueError(f"expected {name} to return {count} different rows, got {bought.flatten().tolist()}")
    for _ in learner.model.predict(Rows(inputs.test, known[:, :1] * 0).blocks):
        pass


def _require_methods(posterior: Any) -> None:
    name = type(posterior).__name__
    missing = [method for method in METHODS if not callable(getattr(posterior, method, None))]
    if missing:
        raise ValueError(f"expected {name} to have the methods {', '.join(METHODS)}, got no {', '.join(missing)}")


def _expect(what: str, values: torch.Tensor, shape: tuple[int, ...], letters: str) -> None:
    if tuple(values.shape) != shape:
        raise ValueError(f"expected {what} to give a tensor {letters} = {list(shape)}, got {list(values.shape)}")
