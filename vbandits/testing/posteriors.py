"""The laws of a posterior (`vbandits.types.Posterior`), each a function that takes one.

A law is held against every small task that the posterior takes, a regression and a problem with classes: `init` says
with a ValueError which of the two it does not.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.dry_run import dry_run, require_methods
from vbandits.agents.rules import Thompson
from vbandits.envs.spaces import ObservationSpec
from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import MLP
from vbandits.predictive import Classes
from vbandits.streams import Stream
from vbandits.testing import expect
from vbandits.testing.laws import SEEDS, accepted, laws, of_each
from vbandits.types import Data, Optimizer, Posterior, Scaling, Schedule, Task

FEATURES, OUTPUTS, ROWS, DRAWS = 4, 3, 12, 6


def tasks(posterior: Posterior) -> list[Task]:
    """Returns the small tasks that a posterior takes, or raises an AssertionError if it takes none."""
    taken, refused = [], []
    network, schedule = MLP((8,)).build(FEATURES, OUTPUTS), Schedule(gradient_steps=3, batch_size=8)
    regression = Task(
        SEEDS, FEATURES, OUTPUTS, network, Gaussian(), schedule, Optimizer(learning_rate=0.1), dtype=torch.float64
    )
    for task in (regression, replace(regression, likelihood=Categorical())):
        try:
            posterior.init(task)
            taken.append(task)
        except ValueError as error:
            refused.append(str(error))
    mend = "raise a ValueError only where the task asks too much"
    expect.that(taken, "init to take a regression or classes", refused, mend)
    return taken


each_task = of_each(tasks)


def it_has_all_methods_and_takes_a_task(posterior: Any) -> None:
    """Law: there are init, update, draw, mean and predict, and `init` takes a regression or classes."""
    with accepted():
        require_methods(posterior)
    tasks(posterior)


@each_task
def it_plays_in_an_agent(posterior: Posterior, task: Task) -> None:
    """Law: an agent that has this posterior passes what every agent is asked before a run; needs a regression."""
    if not classes(task):
        with accepted():
            dry_run(Agent(AgentSpec("it", posterior, Thompson(), network=MLP((8,))), (0,), ObservationSpec(2, 3), 10))


@each_task
def shapes_are_those_of_the_contract(posterior: Any, task: Task) -> None:
    """Law: draws are [R, S, N, K], the mean [R, 1, N, K], scores of predictions [R, N], before any data and after."""
    replicas, given = len(SEEDS), rows(task)
    for state in (posterior.init(task), trained(posterior, task)):
        for count in (1, ROWS):
            found = answers(posterior, task, state, given, part=slice(count))
            expect.shape("draw", found.pop("draw"), (replicas, DRAWS, count, OUTPUTS), "[R, S, N, K]")
            expect.shape("mean", found.pop("mean"), (replicas, 1, count, OUTPUTS), "[R, S, N, K]")
            if "embed" in found:
                features = found.pop("embed")
                expect.shape("embed", features, (replicas, count, features.shape[-1]), "[R, N, H]")
            for name, part in found.items():
                shape = (replicas, count, OUTPUTS) if classes(task) else (replicas, count)
                expect.shape(name, part, shape, "[R, N, K]" if classes(task) else "[R, N]")


@each_task
def values_are_finite(posterior: Posterior, task: Task) -> None:
    """Law: whatever is drawn or predicted is finite, before any data and after; probabilities sum to 1."""
    for state, when in ((posterior.init(task), "before any data"), (trained(posterior, task), "after an update")):
        found = answers(posterior, task, state, rows(task))
        for name, part in found.items():
            expect.finite(f"{name} {when}", part)
        if classes(task):
            total = found["log_probabilities"].exp().sum(2)
            sums = torch.allclose(total, torch.ones_like(total))
            expect.that(sums, "probabilities that sum to 1", total.unique().tolist(), "give logits, not probabilities")


@each_task
def one_draw_is_one_function(posterior: Posterior, task: Task) -> None:
    """Law: a draw has the same value at a row whenever and beside whatever rows it is evaluated.

    Thompson sampling compares one function at all arms, EPIG at candidates and targets: wrong otherwise.
    """
    x = rows(task).x
    draw = posterior.draw(trained(posterior, task), DRAWS)
    whole = draw(x)
    same = {"a second evaluation": whole, "rows 3 to 5": whole[:, :, 3:5], "rows in reverse": whole.flip(2)}
    again = dict(zip(same, (draw(x), draw(x[:, 3:5]), draw(x.flip(1))), strict=True))
    mend = "draw weights (or all noise) once in `draw`, and only evaluate in the function that it returns"
    expect.same("one draw to be one function", same, again, mend, 1e-9)


@each_task
def draws_are_fresh_at_every_call(posterior: Posterior, task: Task) -> None:
    """Law: the functions of one call differ, and so do those of the next; or all are the same, if nothing is random."""
    state, x = trained(posterior, task), rows(task).x
    first, again = (posterior.draw(state, 16)(x) for _ in range(2))
    differ = (first[:, :1] != first[:, 1:]).flatten(1).any(1)
    fresh = (first != again).flatten(1).any(1)
    if not differ.any():
        mend = "draw noise for each of the S functions, not once for all"
        expect.that(not fresh.any(), "functions of one call that differ, as two calls do", "16 that are the same", mend)
    else:
        mend = "advance the random numbers of the state at every call"
        expect.that((differ & fresh).all(), "fresh functions at every call", "those of the last call again", mend)


@each_task
def predictions_are_the_same_at_every_call(posterior: Posterior, task: Task) -> None:
    """Law: `predict` and `mean` are deterministic given the state, whatever is drawn in between."""
    state = trained(posterior, task)
    first = answers(posterior, task, state, rows(task), draws=0)
    posterior.draw(state, DRAWS)
    again = answers(posterior, task, state, rows(task), draws=0)
    mend = "predict from random numbers that `init` draws once and keeps, as all our posteriors do"
    expect.same("the same predictions at every call", first, again, mend)


@each_task
def looking_changes_nothing(posterior: Posterior, task: Task) -> None:
    """Law: `predict`, `mean` and `embed` change neither the draws to come nor what is learned: scores cost no run."""
    found = []
    for looks in (False, True):
        state = posterior.init(task)
        for updates in (1, 1, 0):
            if looks:
                answers(posterior, task, state, rows(task), draws=0)
            if updates:
                posterior.update(state, rows(task))
        found.append({"draw": posterior.draw(state, DRAWS)(rows(task).x)})
    mend = "let predict and mean use no random numbers that draw or update use, and write nothing into the state"
    expect.same("draws that do not depend on what was predicted before", found[0], found[1], mend)


@each_task
def a_prediction_is_of_its_row_alone(posterior: Posterior, task: Task) -> None:
    """Law: what is predicted of a row does not depend on the rows that are asked for beside it."""
    state, some = trained(posterior, task), slice(2, 4)
    whole = predicted(posterior, task, state, rows(task))
    own = {name: part[:, some] for name, part in whole.items()}
    mend = "no mean, norm or batch statistic over the rows N of a prediction, and no look at which others are asked for"
    alone = predicted(posterior, task, state, rows(task), some)
    expect.same("predictions of single rows", own, alone, mend, 1e-9)


@each_task
def a_seed_is_the_same_alone_and_in_a_block(posterior: Posterior, task: Task) -> None:
    """Law: a replica's draws and predictions are the same bits alone as beside others, who learn from other rows."""
    expect.same_alone(lambda seeds: learned(posterior, replace(task, seeds=seeds)), expect.ALONE)


@each_task
def the_same_seeds_give_the_same_again(posterior: Posterior, task: Task) -> None:
    """Law: all chance follows from the task's seeds."""
    expect.same_again("the same seeds to give the same again", lambda: learned(posterior, task), expect.GLOBAL)


@each_task
def seeds_differ(posterior: Posterior, task: Task) -> None:
    """Law: if draws are random at all, so are they of two seeds with the same rows, and what is random in them."""
    same = rows(task, (0, 0, 0))
    state = trained(posterior, task, same)
    draws = posterior.draw(state, DRAWS)(same.x)
    if (draws[:, :1] != draws[:, 1:]).any():
        for part in (draws, draws - posterior.mean(state)(same.x)):
            differ = not any(torch.allclose(part[0], other) for other in part[1:])
            mend = "seed each replica's generator by its task.seeds"
            expect.that(differ, "other draws for other seeds", "the same", mend)


@each_task
def rows_are_seen_standardised(posterior: Posterior, task: Task) -> None:
    """Law: rows with a scaling teach what the same rows teach that were standardised before."""
    plain, one = rows(task), torch.ones(len(SEEDS), 1, dtype=task.dtype)
    wide = one.unsqueeze(1).expand(-1, -1, FEATURES)
    scaling = Scaling(2 * wide, 3 * wide, -one, one / 2)
    x, y = scaling.x_shift + scaling.x_scale * plain.x, scaling.y_shift + scaling.y_scale * plain.y
    found = []
    for data in (plain, replace(plain, x=x, y=y, scaling=scaling)):
        posterior.update(state := posterior.init(task), data)
        found.append({"mean": posterior.mean(state)(plain.x)})
    mend = "read rows through data.rows(...) or data.batches(), which standardise them; data.x and data.y are raw"
    expect.same("rows that are standardised before they are learned from", found[0], found[1], mend, 1e-6)


@each_task
def it_learns_the_output_taken(posterior: Posterior, task: Task) -> None:
    """Law: an update is seen by all that follows, and a target counts for the output that it belongs to.

    Output 1 pays 1 and output 0 pays -1; or all rows are of class 1.
    """
    given = rows(task)
    output = torch.ones_like(given.output) if classes(task) else torch.arange(ROWS).expand(len(SEEDS), -1) % 2
    data = replace(given, output=output, y=given.y * 0 if classes(task) else 2.0 * output - 1)
    state = posterior.init(replace(task, schedule=Schedule(gradient_steps=20, batch_size=16)))
    before = answers(posterior, task, state, data)
    posterior.update(state, data)
    after = answers(posterior, task, state, data)
    for name, part in before.items():
        changed = name == "embed" or (after[name] != part).any()
        expect.that(changed, f"an update to change {name}", "what it was before", "forget what is kept")
    mean = after["mean"].mean((0, 1, 2))  # [K], over replicas too: one may take longer
    for other in (0, 2) if classes(task) else (0,):
        apart = float(mean[1] - mean[other])
        mend = "let each row's target count for data.output alone, and let update change `state`"
        expect.that(apart > 0, f"output 1 above output {other} once taught so", f"{apart:.3g}", mend)


@each_task
def data_are_left_as_they_were(posterior: Posterior, task: Task) -> None:
    """Law: neither `update` nor `predict` writes into the rows: they are the memory of the agent."""
    given = rows(task)
    parts = {name: getattr(given, name) for name in ("x", "output", "y", "noise")}
    expect.untouched("data to be", parts, lambda: learned(posterior, task, given))


LAWS = laws(globals())


def classes(task: Task) -> bool:
    """Returns whether targets are classes."""
    return isinstance(task.likelihood, Categorical)


def rows(task: Task, seeds: Sequence[int] = ()) -> Data:
    """Returns random rows for replicas, each its own by its seed; by default those of the task."""
    x = Stream(seeds or task.seeds, "x", dtype=task.dtype).normal(ROWS, FEATURES)
    output = Stream(seeds or task.seeds, "output").integers(OUTPUTS, ROWS)
    y = x.sum(2) + Stream(seeds or task.seeds, "noise", dtype=task.dtype).normal(ROWS)
    return Data.of(x, output, y * 0 if classes(task) else y)


def trained(posterior: Any, task: Task, data: Data | None = None) -> Any:
    """Returns a state that has learned; if the posterior can, also from rows that came after the update."""
    state, data, some = posterior.init(task), data or rows(task), ROWS // 2
    if hasattr(posterior, "condition_on"):
        posterior.update(state, replace(data, x=data.x[:, :some], output=data.output[:, :some], y=data.y[:, :some]))
        posterior.condition_on(state, data)
    else:
        posterior.update(state, data)
    return state


def predicted(posterior: Posterior, task: Task, state: Any, data: Data, part: slice = slice(None)) -> dict[str, Tensor]:
    """Returns what is predicted of rows, by name: log probabilities of classes, or mean and scores."""
    x, output, y = data.x[:, part], data.output[:, part], data.y[:, part]
    found: Any = posterior.predict(state, x, output, data.noise)
    if classes(task):
        of_classes, kind = isinstance(found, Classes), type(found).__name__
        make = "task.likelihood.predictive(values, output, noise) makes it"
        mend = f"{make}; or refuse classes in `init` with a ValueError"
        expect.that(of_classes, "predict to return vbandits.predictive.Classes", kind, mend)
        return {"log_probabilities": found.log_probabilities()}
    with np.errstate(all="ignore"):  # what is not finite is told by a law
        scores = {"mean": found.mean(), "nll": found.nll(y), "crps": found.crps(y), "cdf": found.cdf(y)}
    return {f"predict's {name}": torch.as_tensor(values) for name, values in scores.items()}


def answers(
    posterior: Any, task: Task, state: Any, data: Data, draws: int = DRAWS, part: slice = slice(None)
) -> dict[str, Tensor]:
    """Returns all that a posterior says of rows, or of part of them, by name."""
    x = data.x[:, part]
    found = {"draw": posterior.draw(state, draws)(x)} if draws else {}
    if hasattr(posterior, "embed"):
        found["embed"] = posterior.embed(state, x)
    return found | {"mean": posterior.mean(state)(x)} | predicted(posterior, task, state, data, part)


def learned(posterior: Posterior, task: Task, data: Data | None = None) -> dict[str, Tensor]:
    """Returns all that a posterior says of rows once it has learned from them."""
    data = data or rows(task)
    return answers(posterior, task, trained(posterior, task, data), data)
