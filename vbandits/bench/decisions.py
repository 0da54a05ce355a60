"""Decisions per second of CPU time: seeds in lockstep, methods, and a plain PyTorch loop."""

from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from vbandits.agents.agent import AgentSpec
from vbandits.agents.rules import Greedy, Thompson
from vbandits.bench.measure import best
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spec import EnvironmentSpec
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ibvi import IBVI
from vbandits.types import Posterior, Rule, Schedule

WHEEL = "vbandits/Wheel-v0"
SEEDS = (1, 8, 32, 128)


def decisions(console: Console, steps: int = 400) -> dict[str, float]:
    """Measures and prints decisions per CPU second, and returns them by name.

    The task: Wheel, two hidden layers of 50, batches of 64, one step of SGD per decision. The plain loop is what one
    writes by hand for one seed: a deterministic `nn.Sequential`, `torch.optim.SGD`, greedy.
    """
    measures: dict[str, Callable[[], object]] = {"plain loop": plain_loop(steps)}
    for seeds in SEEDS:
        measures |= {
            f"deterministic {seeds}": lockstep(Deterministic(), Greedy(), seeds, steps),
            f"ibvi {seeds}": lockstep(IBVI(), Thompson(), seeds, steps),
        }
    seconds = best(console, measures)
    made = {name: steps * int(name.split()[-1]) if name != "plain loop" else steps for name in measures}
    speeds = {name: made[name] / seconds[name] for name in measures}
    console.print(_table(speeds))
    return speeds


def lockstep(posterior: Posterior, rule: Rule, seeds: int, steps: int) -> Callable[[], object]:
    """Returns the work of one job, all of it: agent, environment, records, scores."""
    schedule = Schedule(every=1, gradient_steps=1)
    agent = AgentSpec("bench", posterior, rule, schedule=schedule)
    work = job(EnvironmentSpec("wheel", WHEEL), agent, range(seeds), steps, recorded=10)
    return lambda: run_job(work)


def plain_loop(steps: int) -> Callable[[], object]:
    """Returns the work of one seed, one network and no uncertainty, as one writes it by hand."""
    environment = gymnasium.make(WHEEL)
    network = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 5))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
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
                action = int(network(torch.from_numpy(context)).argmax())
            contexts[step], actions[step] = context, action
            context, rewards[step], *_ = environment.step(action)
            rows = random.integers(step + 1, size=64)
            values = network(torch.from_numpy(contexts[rows]))[torch.arange(64), torch.from_numpy(actions[rows])]
            loss = nn.functional.mse_loss(values, torch.from_numpy(rewards[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return loop


def _table(speeds: dict[str, float]) -> Table:
    plain = speeds["plain loop"]
    table = Table(
        "agent",
        "seeds",
        "decisions per CPU second",
        "times the plain loop",
        "time of ibvi / deterministic",
        title="Wheel, two hidden layers of 50, batch 64, one SGD step per decision, one thread",
    )
    table.add_row("plain loop", "1", f"{plain:,.0f}", "1.00", "")
    for seeds in SEEDS:
        for agent in ("deterministic", "ibvi"):
            speed = speeds[f"{agent} {seeds}"]
            cost = f"{speeds[f'deterministic {seeds}'] / speed:.2f}" if agent == "ibvi" else ""
            table.add_row(agent, str(seeds), f"{speed:,.0f}", f"{speed / plain:.2f}", cost)
    return table
