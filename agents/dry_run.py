"""A dry run of a posterior, and of what acts on it, before any work: are shapes as the contract says, does it train?"""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.agents.acquisition.base import Rows, Scored
from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.learner import Inputs, Learner, LearnerSpec, standardiser
from vbandits.agents.model import Model
from vbandits.agents.rules import UNAVAILABLE, asks_for_mean
from vbandits.envs.spaces import STREAM, family
from vbandits.types import Data, Rule

METHODS = ("init", "update", "draw", "mean", "predict")
ROWS, DRAWS, SMALL = 3, 2, 60
MANY = ("draws", "samples")
"""What an acquisition may be told to make so many of that it takes minutes, however few its rows."""
ENOUGH = 100
"""So many of them are made in a dry run at most."""


def brief(spec: AgentSpec) -> AgentSpec:
    """Returns an agent that trains as little as it can, so that a dry run of it takes no time."""
    if spec.posterior is not None:
        require_methods(spec.posterior)
    steps = min(spec.schedule.gradient_steps, 1)
    return replace(spec, schedule=replace(spec.schedule, every=2, gradient_steps=steps, initial_pulls=0))


def dry_run(agent: Agent) -> None:
    """Draws from the posterior of an agent with one replica, lets its rule choose once, and trains it on a few rows.

    Raises:
        ValueError: if a method is missing, or what it returns has another shape than `vbandits.types` says.
    """
    if agent.model is None:
        return
    require_methods(agent.model.posterior)
    form, task, rule = agent.encoding.form, agent.task, agent.spec.rule
    x = torch.zeros(1, ROWS, task.features, dtype=task.dtype)
    _check(agent.model, x)
    decision = x.new_zeros(1, form.arms if agent.encoding.rows_are_arms else 1, task.features)
    values = agent.encoding.values(agent.model.draw(rule.draws + asks_for_mean(rule))(decision))
    chosen, name = _chosen(rule, values), f"{type(rule).__name__}.choose"
    if not 0 <= chosen < form.arms:
        raise ValueError(f"expected {name} to return an arm from 0 to {form.arms - 1}, got {chosen}")
    if form.masked:
        only = form.arms - 1
        chosen = _chosen(rule, values.where(torch.arange(form.arms) == only, UNAVAILABLE))
        if chosen != only:
            raise ValueError(
                f"expected {name} to return the one arm that is available, {only} (the values of all others are "
                f"-inf), got {chosen}"
            )
    nothing = x.new_zeros(1, ROWS)
    agent.model.update(Data.of(x, nothing.long(), nothing))


def dry_run_learner(spec: LearnerSpec, environment: Any) -> None:
    """Lets a learner with one replica train and buy once, on a few rows of an environment with made-up labels.

    Raises:
        ValueError: if a method of the posterior is missing, or what the acquisition returns is not what it should be.
    """
    require_methods(spec.posterior)
    count = getattr(environment, "batch", 1)
    rows = min(len(environment.features), SMALL + count)
    features, classes = environment.features[:rows], environment.classes
    standard = standardiser(features, environment.image, torch.float32)
    inputs = Inputs(standard(features), standard(environment.test_features[:SMALL]), classes, environment.image)
    training = replace(spec.training, gradient_steps=min(spec.training.gradient_steps, 1))
    small = replace(spec, training=training, acquisition=_frugal(spec.acquisition))
    learner = Learner(small, (0,), inputs, environment.features.device)
    known = torch.arange(min(rows - count, max(classes, ROWS)), device=environment.features.device).unsqueeze(0)
    _check(learner.model, inputs.pool[known])
    learner.add_labels(known, known % classes if classes else known.double())
    learner.fit()
    mask = torch.ones(1, rows, dtype=torch.int8, device=known.device).scatter(1, known, 0)
    name = type(spec.acquisition).__name__
    if family(environment) == STREAM and isinstance(learner.acquisition, Scored):
        score = learner.acquisition.score(learner.view(Rows(inputs.pool, known[:, :1])))
        _expect(f"{name}.score", score, (1, 1), "[R, C]")
    bought = learner.query(mask, count)
    _expect(f"{name}.select", bought, (1, count), "[R, b]")
    if len(set(bought.flatten().tolist())) < count:
        raise ValueError(f"expected {name}.select to return {count} different rows, got {bought.flatten().tolist()}")
    learner.model.predict(inputs.test[known[:, :1] * 0])


def _frugal(acquisition: Any) -> Any:
    """Returns an acquisition that makes few draws, whatever it is told."""
    if not is_dataclass(acquisition):
        return acquisition
    given = {field.name: getattr(acquisition, field.name) for field in fields(acquisition) if field.name in MANY}
    many = [name for name, value in given.items() if isinstance(value, int) and value > ENOUGH]
    try:
        return replace(acquisition, **dict.fromkeys(many, ENOUGH)) if many else acquisition
    except Exception:  # one of a user's own that must have so many
        return acquisition


def _check(model: Model, x: Float[Tensor, "1 N D"]) -> None:
    """Draws from a model of one replica, and takes its mean function, at some rows."""
    name = type(model.posterior).__name__
    for method, functions, draws in (("draw", model.draw(DRAWS), DRAWS), ("mean", model.mean(), 1)):
        _expect(f"{name}.{method}", functions(x), (1, draws, x.shape[1], model.task.outputs), "[R, S, N, K]")


def require_methods(posterior: Any) -> None:
    """Raises a ValueError unless a posterior has the methods of `vbandits.types.Posterior`."""
    name = type(posterior).__name__
    missing = [method for method in METHODS if not callable(getattr(posterior, method, None))]
    if missing:
        raise ValueError(f"expected {name} to have the methods {', '.join(METHODS)}, got no {', '.join(missing)}")
    if hasattr(posterior, "extend") and not hasattr(posterior, "condition_on"):
        raise ValueError(f"expected {name} to learn from new rows by condition_on, got extend: rename it")


def _chosen(rule: Rule, values: Float[Tensor, "1 S A"]) -> int:
    action = rule.choose(values, torch.full((1, 2), 0.5, dtype=torch.float64))
    _expect(f"{type(rule).__name__}.choose", action, (1,), "[R]")
    return int(action)


def _expect(what: str, values: Tensor, shape: tuple[int, ...], letters: str) -> None:
    if tuple(values.shape) != shape:
        raise ValueError(f"expected {what} to give a tensor {letters} = {list(shape)}, got {list(values.shape)}")
