"""Outcomes that come late, or in batches."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.helpers import LEARNING, WHEEL, preset
from tests.registries import over
from vbandits.agents.agent import AgentSpec
from vbandits.agents.model import PREDICTIVE_DRAWS
from vbandits.agents.rules import Greedy, Thompson
from vbandits.benchmarks.bandits.run import job, run_job
from vbandits.envs.spec import EnvironmentSpec, fingerprint
from vbandits.errors import ConfigError
from vbandits.experiment.resolve import resolve
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.linear import Linear
from vbandits.types import Schedule

CASES = [(0, 1), (3, 1), (0, 8), (5, 4), (70, 1)]


def run(agent, delay=0, batch=1, steps=60, seeds=(0, 1), **kwargs):
    environment = EnvironmentSpec("wheel", WHEEL, kwargs, delay=delay, batch=batch)
    return run_job(job(environment, agent, seeds, steps)).records


@dataclass(frozen=True)
class Watched(Linear):
    """Notes after how many decisions how many outcomes it was given."""

    seen: list = field(default_factory=list)
    decisions: list = field(default_factory=lambda: [0])

    def draw(self, state, draws):
        self.decisions[0] += draws != PREDICTIVE_DRAWS  # that many only score what was decided
        return super().draw(state, draws)

    def update(self, state, data):
        self.seen.append((self.decisions[0], data.x.shape[1]))
        super().update(state, data)


def test_how_many_outcomes_are_known_when():
    late = EnvironmentSpec("it", WHEEL, delay=3)
    assert [late.known(n) for n in range(6)] == [0, 0, 0, 0, 1, 2]
    batched = EnvironmentSpec("it", WHEEL, batch=4)
    assert [batched.known(n) for n in range(9)] == [0, 0, 0, 0, 4, 4, 4, 4, 8]
    both = EnvironmentSpec("it", WHEEL, delay=2, batch=3)
    assert [both.known(n) for n in range(9)] == [0, 0, 0, 0, 0, 3, 3, 3, 6]


@pytest.mark.parametrize(("delay", "batch"), CASES)
def test_the_posterior_learns_from_what_is_known_and_from_nothing_later(delay, batch):
    watched = Watched()
    schedule = Schedule(every=1, initial_pulls=0)
    run(AgentSpec("it", watched, Thompson(), schedule=schedule), delay, batch)
    environment = EnvironmentSpec("it", WHEEL, delay=delay, batch=batch)
    known = [environment.known(decisions) for decisions in range(1, 60)]
    expected = [(n + 1, rows) for n, rows in enumerate(known) for _ in range(rows - (known[n - 1] if n else 0))]
    assert watched.seen == expected, "as many updates as outcomes, with every = 1, whenever they come"


@pytest.mark.parametrize(("delay", "batch"), CASES)
def test_a_decision_is_scored_by_the_belief_that_made_it(delay, batch):
    """Scores know nothing that was not known at the decision, and a short run is the beginning of a long one."""
    agent = preset("linear-ts", schedule={"initial_pulls": 1})
    short, long = (run(agent, delay, batch, steps, (0,), std=3.0) for steps in (130, 220))
    columns = ["step", "action", "reward", "nll", "crps", "pit"]
    beginning = long[long["step"] < 130][columns].reset_index(drop=True)
    assert beginning.equals(short[columns])
    first = next(n for n in range(220) if EnvironmentSpec("it", WHEEL, delay=delay, batch=batch).known(n) >= 5)
    scored = long.set_index("step")["nll"].notna()
    assert not scored[: first - 1].any(), "nothing was known"
    assert scored[first:].all()


def test_a_late_score_is_worse_than_a_prompt_one():
    """While nothing is known yet of a change for the better, predictions are as bad as they were."""
    agent = preset("linear-ts", schedule={"initial_pulls": 2})
    early, late = (run(agent, delay, steps=120, std=0.01) for delay in (0, 60))
    part = slice(80, 110)
    assert late.pivot(index="step", columns="seed", values="nll")[part].mean().mean() > (
        early.pivot(index="step", columns="seed", values="nll")[part].mean().mean()
    )


def test_batches_train_as_much_as_single_outcomes():
    steps = []

    class Counting(Deterministic):
        def update(self, state, data):
            super().update(state, data)
            steps.append(state.parameters.steps)

    for batch in (1, 50):
        steps.clear()
        spec = AgentSpec("it", Counting(), Greedy(), schedule=Schedule(every=10, gradient_steps=3, initial_pulls=0))
        run(spec, batch=batch, steps=205)
        assert steps[-1] == 3 * 20


@over("name", LEARNING, quick=["ibvi", "linear-ts"])
def test_late_outcomes_are_all_recorded_and_scored(name):
    records = run(preset(name), delay=7, batch=5, steps=80)
    assert len(records) == 160
    assert np.isfinite(records["cumulative_regret"]).all()
    assert (records["nll"].notna() == (records["step"] >= 32)).all(), "25 pulls are known after 32 decisions"


def test_decisions_that_nothing_is_known_of_yet_go_on_in_turn():
    records = run(preset("ibvi"), delay=40, steps=60, seeds=(0,))
    assert records["action"].tolist() == [step % 5 for step in range(60)]
    prompt = run(preset("ibvi"), steps=60, seeds=(0,))["action"].tolist()
    assert prompt[:25] == [step % 5 for step in range(25)]
    assert prompt[25:] != [step % 5 for step in range(25, 60)]


def test_a_delay_costs_regret():
    prompt, late = (
        run(preset("linear-ts"), delay, steps=400, seeds=tuple(range(8)), delta=0.5)["regret"].sum()
        for delay in (0, 200)
    )
    assert late > 1.3 * prompt


def test_delay_and_batch_are_of_the_file_or_of_an_environment():
    environments = [WHEEL, {"id": WHEEL, "label": "own", "delay": 2}]
    document = {"name": "it", "environments": environments, "agents": ["linear-ts"], "delay": 5, "batch": 3}
    specs = [problem.environment for problem in resolve(document).problems]
    assert [(spec.delay, spec.batch) for spec in specs] == [(5, 3), (2, 3)]
    later = [problem.environment for problem in resolve(document, ["delay=9"]).problems]
    assert [(spec.delay, spec.batch) for spec in later] == [(9, 3), (9, 3)]
    given = resolve({**document, "environments": [EnvironmentSpec("it", WHEEL)]}).problems[0].environment
    assert (given.delay, given.batch) == (5, 3)
    none = (
        resolve({**document, "environments": [EnvironmentSpec("it", WHEEL, delay=0, batch=1)]}).problems[0].environment
    )
    assert (none.delay, none.batch) == (0, 1)


def test_another_delay_is_another_experiment():
    assert fingerprint(EnvironmentSpec("it", WHEEL)) != fingerprint(EnvironmentSpec("it", WHEEL, delay=1))
    assert fingerprint(EnvironmentSpec("it", WHEEL)) != fingerprint(EnvironmentSpec("it", WHEEL, batch=2))


def test_bad_feedback_is_refused():
    document = {"name": "it", "environments": [{"id": WHEEL, "delay": -1}], "agents": ["linear-ts"], "batch": 0}
    with pytest.raises(ConfigError) as refused:
        resolve(document)
    assert any("environments[0].delay: expected greater than or equal to 0, got -1" in f for f in refused.value.errors)
    assert any("batch: expected greater than or equal to 1, got 0" in fault for fault in refused.value.errors)


def test_a_run_too_short_for_its_delay_is_noted():
    document = {"name": "it", "environments": [WHEEL], "agents": ["linear-ts"], "steps": 100, "delay": 90}
    (note,) = resolve(document).notes
    assert "linear-ts: with a delay of 90 and batches of 1, too few outcomes come in 100 steps" in note
    (note,) = resolve({**document, "steps": 20, "delay": 0}).notes
    assert "linear-ts: with 5 arms, they pull each arm in turn for all 20 steps" in note
    assert resolve({**document, "delay": 20}).notes == ()
