"""The laws of a posterior (`vbandits.types.Posterior`), each a function that takes one.

A law is held against every small task that the posterior takes, a regression and a problem with classes: `init` says
with a ValueError which of the two it does not.
"""

import functools
from collections.abc import Callable, Sequence
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
from vbandits.testing.comparing import ALONE, GLOBAL, expect, expect_same, expect_shape, global_seed
from vbandits.types import Data, Optimizer, Posterior, Scaling, Schedule, Task

SEEDS = (3, 1, 7)
FEATURES, OUTPUTS, ROWS, DRAWS = 4, 3, 12, 6
Law = Callable[[Posterior], None]


def each_task(law: Callable[[Posterior, Task], None]) -> Law:
    """Holds a law against every task that a posterior takes; an error says which it was."""

    @functools.wraps(law)
    def held(posterior: Posterior) -> None:
        for task in tasks(posterior):
            try:
                law(posterior, task)
            except AssertionError as error:
                error.add_note(f"in a task with likelihood {task.likelihood}")
                raise

    return held


def tasks(posterior: Posterior) -> list[Task]:
    """Returns the small tasks that a posterior takes.

    Raises:
        AssertionError: if it takes none.
    """
    taken, refused = [], []
    for likelihood in (Gaussian(), Categorical()):
        task = Task(
            SEEDS,
            FEATURES,
            OUTPUTS,
            MLP((8,)).build(FEATURES, OUTPUTS),
            likelihood,
            Schedule(gradient_steps=3, batch_size=8),
            Optimizer(learning_rate=0.1),
            dtype=torch.float64,
        )
        try:
            posterior.init(task)
            taken.append(task)
        except ValueError as error:
            refused.append(str(error))
    expect(
        taken, "init to take a regression or classes", refused, "raise a ValueError only where the task asks too much"
    )
    return taken


def it_has_all_methods_and_takes_a_task(posterior: Any) -> None:
    """Law: there are init, update, draw, mean and predict, and `init` takes a regression or classes."""
    try:
        require_methods(posterior)
    except ValueError as error:
        raise AssertionError(str(error)) from error
    tasks(posterior)


def it_plays_in_an_agent(posterior: Posterior) -> None:
    """Law: an agent that has this posterior passes what every agent is asked before a run; needs a regression."""
    if any(not classes(task) for task in tasks(posterior)):
        try:
            dry_run(Agent(AgentSpec("it", posterior, Thompson(), network=MLP((8,))), (0,), ObservationSpec(2, 3), 10))
        except ValueError as error:
            raise AssertionError(str(error)) from error


@each_task
def shapes_are_those_of_the_contract(posterior: Any, task: Task) -> None:
    """Law: draws are [R, S, N, K], the mean [R, 1, N, K], scores of predictions [R, N], before any data and after."""
    replicas, given = len(SEEDS), rows(task)
    for state in (posterior.init(task), trained(posterior, task)):
        for count in (1, ROWS):
            x = given.x[:, :count]
            values = posterior.draw(state, DRAWS)(x)
            expect_shape("draw", values, (replicas, DRAWS, count, OUTPUTS), "[R, S, N, K]")
            expect_shape("mean", posterior.mean(state)(x), (replicas, 1, count, OUTPUTS), "[R, S, N, K]")
            for name, part in predicted(posterior, task, state, given, slice(count)).items():
                shape = (replicas, count, OUTPUTS) if classes(task) else (replicas, count)
                expect_shape(name, part, shape, "[R, N, K]" if classes(task) else "[R, N]")
            if hasattr(posterior, "embed"):
                features = posterior.embed(state, x)
                expect_shape("embed", features, (replicas, count, features.shape[-1]), "[R, N, H]")


@each_task
def values_are_finite(posterior: Posterior, task: Task) -> None:
    """Law: whatever is drawn or predicted is finite, before any data and after; probabilities sum to 1."""
    for state, when in ((posterior.init(task), "before any data"), (trained(posterior, task), "after an update")):
        for name, part in answers(posterior, task, state, rows(task)).items():
            count = int((~part.isfinite()).sum())
            expect(
                not count, f"finite values of {name} {when}", f"{count} that are not", "mind log(0), 0 / 0 and overflow"
            )
        if classes(task):
            total = predicted(posterior, task, state, rows(task))["log_probabilities"].exp().sum(2)
            sums = bool(torch.allclose(total, torch.ones_like(total)))
            expect(sums, "probabilities that sum to 1", total.unique().tolist(), "give logits, not probabilities")


@each_task
def one_draw_is_one_function(posterior: Posterior, task: Task) -> None:
    """Law: a draw has the same value at a row whenever and beside whatever rows it is evaluated.

    Thompson sampling compares one function at all arms, EPIG at candidates and targets: wrong otherwise.
    """
    x = rows(task).x
    draw = posterior.draw(trained(posterior, task), DRAWS)
    whole = draw(x)
    mend = "draw weights (or all noise) once in `draw`, and only evaluate in the function that it returns"
    expected = "one draw to be one function"
    expect_same(expected, {"a second evaluation": draw(x)}, {"a second evaluation": whole}, mend, 1e-9)
    expect_same(expected, {"rows 3 to 5": draw(x[:, 3:5])}, {"rows 3 to 5": whole[:, :, 3:5]}, mend, 1e-9)
    expect_same(expected, {"rows in reverse": draw(x.flip(1))}, {"rows in reverse": whole.flip(2)}, mend, 1e-9)


@each_task
def draws_are_fresh_at_every_call(posterior: Posterior, task: Task) -> None:
    """Law: the functions of one call differ, and so do those of the next; or all are the same, if nothing is random."""
    state, x = trained(posterior, task), rows(task).x
    first, again = (posterior.draw(state, 16)(x) for _ in range(2))
    differ = (first[:, :1] != first[:, 1:]).flatten(1).any(1)
    fresh = (first != again).flatten(1).any(1)
    if not differ.any():
        mend = "draw noise for each of the S functions, not once for all"
        expect(not fresh.any(), "functions of one call that differ, as two calls do", "16 that are the same", mend)
    else:
        mend = "advance the random numbers of the state at every call"
        expect(bool((differ & fresh).all()), "fresh functions at every call", "those of the last call again", mend)


@each_task
def predictions_are_the_same_at_every_call(posterior: Posterior, task: Task) -> None:
    """Law: `predict` and `mean` are deterministic given the state, whatever is drawn in between."""
    state, given = trained(posterior, task), rows(task)
    first = predicted(posterior, task, state, given) | {"mean": posterior.mean(state)(given.x)}
    posterior.draw(state, DRAWS)
    again = predicted(posterior, task, state, given) | {"mean": posterior.mean(state)(given.x)}
    mend = "predict from random numbers that `init` draws once and keeps, as all our posteriors do"
    expect_same("the same predictions at every call", first, again, mend)


@each_task
def looking_changes_nothing(posterior: Posterior, task: Task) -> None:
    """Law: `predict`, `mean` and `embed` change neither the draws to come nor what is learned: scores cost no run."""
    found = []
    for looks in (False, True):
        state = posterior.init(task)
        for _ in range(2):
            if looks:
                answers(posterior, task, state, rows(task), draws=0)
            posterior.update(state, rows(task))
        if looks:
            answers(posterior, task, state, rows(task), draws=0)
        found.append({"draw": posterior.draw(state, DRAWS)(rows(task).x)})
    mend = "let predict and mean use no random numbers that draw or update use, and write nothing into the state"
    expect_same("draws that do not depend on what was predicted before", found[0], found[1], mend)


@each_task
def a_prediction_is_of_its_row_alone(posterior: Posterior, task: Task) -> None:
    """Law: what is predicted of a row does not depend on the rows that are asked for beside it."""
    state, given = trained(posterior, task), rows(task)
    whole = predicted(posterior, task, state, given)
    some = predicted(posterior, task, state, given, slice(2, 4))
    mend = "no mean, norm or batch statistic over the rows N of a prediction, and no look at which others are asked for"
    expect_same("predictions of single rows", {name: part[:, 2:4] for name, part in whole.items()}, some, mend, 1e-9)


@each_task
def a_seed_is_the_same_alone_and_in_a_block(posterior: Posterior, task: Task) -> None:
    """Law: a replica's draws and predictions are the same bits alone as beside others, who learn from other rows."""
    together = answers(posterior, task, trained(posterior, task), rows(task))
    for place, seed in enumerate(SEEDS):
        single = replace(task, seeds=(seed,))
        alone = answers(posterior, single, trained(posterior, single, (place,)), rows(task, (place,)))
        own = {name: part[place : place + 1] for name, part in together.items()}
        expect_same(f"seed {seed} to be the same alone as among {SEEDS}", own, alone, ALONE)


@each_task
def the_same_seeds_give_the_same_again(posterior: Posterior, task: Task) -> None:
    """Law: all chance follows from the task's seeds."""
    found = []
    for seed in (0, 1):
        with global_seed(seed):
            found.append(answers(posterior, task, trained(posterior, task), rows(task)))
    expect_same("the same seeds to give the same again", found[0], found[1], GLOBAL)


@each_task
def seeds_differ(posterior: Posterior, task: Task) -> None:
    """Law: if draws are random at all, so are they of two seeds with the same rows, and what is random in them."""
    state, x = trained(posterior, task, (0, 0, 0)), rows(task, (0, 0, 0)).x
    draws = posterior.draw(state, DRAWS)(x)
    if (draws[:, :1] != draws[:, 1:]).any():
        for part in (draws, draws - posterior.mean(state)(x)):
            differ = not any(torch.allclose(part[0], other) for other in part[1:])
            expect(differ, "other draws for other seeds", "the same", "seed each replica's generator by its task.seeds")


@each_task
def rows_are_seen_standardised(posterior: Posterior, task: Task) -> None:
    """Law: rows with a scaling teach what the same rows teach that were standardised before."""
    plain, shape = rows(task), (len(SEEDS), 1)
    shift, scale = torch.full(shape, -1.0).double(), torch.full(shape, 0.5).double()
    scaling = Scaling(
        torch.full((len(SEEDS), 1, FEATURES), 2.0).double(),
        torch.full((len(SEEDS), 1, FEATURES), 3.0).double(),
        shift,
        scale,
    )
    raw = replace(plain, x=scaling.x_shift + scaling.x_scale * plain.x, y=shift + scale * plain.y, scaling=scaling)
    found = []
    for data in (plain, raw):
        posterior.update(state := posterior.init(task), data)
        found.append({"mean": posterior.mean(state)(plain.x)})
    mend = "read rows through data.rows(...) or data.batches(), which standardise them; data.x and data.y are raw"
    expect_same("rows that are standardised before they are learned from", found[0], found[1], mend, 1e-6)


@each_task
def it_learns_the_output_taken(posterior: Posterior, task: Task) -> None:
    """Law: an update is seen by all that follows, and a target counts for the output that it belongs to.

    Output 1 pays 1 and output 0 pays -1; or all rows are of class 1.
    """
    long = replace(task, schedule=Schedule(gradient_steps=20, batch_size=16))
    given = rows(task)
    output = torch.ones_like(given.output) if classes(task) else torch.arange(ROWS).expand(len(SEEDS), -1) % 2
    data = replace(given, output=output, y=given.y * 0 if classes(task) else 2.0 * output - 1)
    state = posterior.init(long)
    before = answers(posterior, task, state, data)
    posterior.update(state, data)
    for name, part in answers(posterior, task, state, data).items():
        if name != "embed":
            expect(
                (part != before[name]).any(), f"an update to change {name}", "what it was before", "forget what is kept"
            )
    mean = posterior.mean(state)(data.x).mean((0, 1, 2))  # [K], over replicas too: one may take longer
    for other in (0, 2) if classes(task) else (0,):
        apart = float(mean[1] - mean[other])
        mend = "let each row's target count for data.output alone, and let update change `state`"
        expect(apart > 0, f"output 1 above output {other} once taught so", f"{apart:.3g}", mend)


@each_task
def data_are_left_as_they_were(posterior: Posterior, task: Task) -> None:
    """Law: neither `update` nor `predict` writes into the rows: they are the memory of the agent."""
    given, untouched = rows(task), rows(task)
    state = posterior.init(task)
    posterior.update(state, given)
    answers(posterior, task, state, given)
    found = [{name: getattr(data, name) for name in ("x", "output", "y", "noise")} for data in (untouched, given)]
    expect_same(
        "rows that are left as they were", found[0], found[1], "work on a copy: no method that ends in _ on data"
    )


LAWS: tuple[Law, ...] = (
    it_has_all_methods_and_takes_a_task,
    it_plays_in_an_agent,
    shapes_are_those_of_the_contract,
    values_are_finite,
    one_draw_is_one_function,
    draws_are_fresh_at_every_call,
    predictions_are_the_same_at_every_call,
    looking_changes_nothing,
    a_prediction_is_of_its_row_alone,
    a_seed_is_the_same_alone_and_in_a_block,
    the_same_seeds_give_the_same_again,
    seeds_differ,
    rows_are_seen_standardised,
    it_learns_the_output_taken,
    data_are_left_as_they_were,
)


def classes(task: Task) -> bool:
    """Returns whether targets are classes."""
    return isinstance(task.likelihood, Categorical)


def rows(task: Task, numbers: Sequence[int] = (0, 1, 2)) -> Data:
    """Returns random rows for replicas with these numbers, each its own."""
    parts = []
    for number in numbers:
        random = torch.Generator().manual_seed(number)
        x = torch.randn(ROWS, FEATURES, generator=random, dtype=task.dtype)
        output = torch.randint(OUTPUTS, (ROWS,), generator=random)
        parts.append((x, output, x.sum(1) + torch.randn(ROWS, generator=random, dtype=task.dtype)))
    x, output, y = (torch.stack(part) for part in zip(*parts, strict=True))
    return Data.of(x, output, y * 0 if classes(task) else y)


def trained(posterior: Any, task: Task, numbers: Sequence[int] = (0, 1, 2)) -> Any:
    """Returns a state that has learned; if the posterior can, also from rows that came after the update."""
    state, data = posterior.init(task), rows(task, numbers)
    if hasattr(posterior, "condition_on"):
        some = ROWS // 2
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
        mend = (
            "task.likelihood.predictive(values, output, noise) makes it; or refuse classes in `init` with a ValueError"
        )
        expect(isinstance(found, Classes), "predict to return vbandits.predictive.Classes", type(found).__name__, mend)
        return {"log_probabilities": found.log_probabilities()}
    with np.errstate(all="ignore"):  # what is not finite is told by a law
        scores = {"mean": found.mean(), "nll": found.nll(y), "crps": found.crps(y), "cdf": found.cdf(y)}
    return {f"predict's {name}": torch.as_tensor(values) for name, values in scores.items()}


def answers(posterior: Any, task: Task, state: Any, data: Data, draws: int = DRAWS) -> dict[str, Tensor]:
    """Returns all that a posterior says of rows, by name."""
    found = {"draw": posterior.draw(state, draws)(data.x)} if draws else {}
    if hasattr(posterior, "embed"):
        found["embed"] = posterior.embed(state, data.x)
    return found | {"mean": posterior.mean(state)(data.x)} | predicted(posterior, task, state, data)
