"""A rehearsal: a run of four steps of an agent or a policy, on made-up numbers, through the very loop that runs use."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vbandits.agents.agent import AgentSpec
from vbandits.agents.dry_run import brief, dry_run
from vbandits.agents.player import Player, PlayerSpec
from vbandits.benchmarks.bandits.game import KNOWN, Game
from vbandits.benchmarks.bandits.run import job, play
from vbandits.envs.base import HeldOut
from vbandits.envs.spaces import Observation, ObservationSpec
from vbandits.envs.spec import EnvironmentSpec
from vbandits.experiment.benchmark import UNHEARD
from vbandits.experiment.checkpoints import Checkpoints
from vbandits.metrics import joint

STEPS, CONTEXTS = 4, 3
"""Decisions, enough to train, to take a single new row, and to decide after both; and contexts that are held out."""
SEEDS = (0, 1)


class MadeUp:
    """An environment of a form that pays noise; some arms come and go if it has a mask."""

    def __init__(self, form: ObservationSpec, kind: Any = np.float32) -> None:
        """Takes the form of observations and the type of their numbers."""
        self._form, self._kind = form, kind
        self._random = np.random.default_rng(0)

    def reset(self, *, seed: Sequence[int]) -> tuple[Any, dict[str, Any]]:
        """Shows the first contexts."""
        return self._observation(len(seed)), {}

    def step(self, actions: torch.Tensor) -> tuple[Any, ...]:
        """Pays noise, and shows the next contexts."""
        never = torch.zeros(len(actions), dtype=torch.bool)
        rewards = torch.from_numpy(self._random.normal(size=len(actions)))
        return self._observation(len(actions)), rewards, never, never, {"regret": torch.zeros(len(actions))}

    def held_out(self, seeds: Sequence[int], played: int) -> HeldOut:
        """Returns contexts, and rewards of all arms."""
        seen = [Observation.of(self._observation(len(seeds))) for _ in range(CONTEXTS)]
        observed = (None if own[0] is None else torch.stack(own, 1) for own in zip(*seen, strict=True))
        size = (len(seeds), joint.TAU, CONTEXTS, self._form.arms)
        return HeldOut(Observation(*observed), np.zeros((size[0], *size[2:])), self._random.normal(size=size))

    def _observation(self, count: int) -> Any:
        form = self._form
        sizes = {"context": (form.features,), "arms": (form.arms, form.arm_features)}
        parts = {
            name: torch.from_numpy(self._random.normal(size=(count, *size)).astype(self._kind))
            for name, size in sizes.items()
            if size[-1]
        }
        if not form.nested:
            return parts["context"]
        if form.masked:
            mask = self._random.random((count, form.arms)) < 0.5
            mask[:, self._random.integers(form.arms)] = True
            parts["mask"] = torch.from_numpy(mask.astype(np.int8))
        return parts


def rehearse(spec: PlayerSpec, form: ObservationSpec, kind: Any = np.float32) -> Player:
    """Plays four steps and scores them, and returns what has played.

    Everything that a run calls is called here: act, observe, learn, and all that is asked of predictions.

    Args:
        spec: of an agent or a policy; an agent trains as little as it can.
        form: of what is observed.
        kind: of the numbers in it.

    Raises:
        Exception: of any kind, where a user's code raises it; ValueError for what it should not have returned.
    """
    if isinstance(spec, AgentSpec):
        spec = brief(spec)
        dry_run(spec.player((0,), form, 1))
    rehearsed = job(EnvironmentSpec("rehearsal", MadeUp), spec, SEEDS, STEPS)
    environment, player = MadeUp(form, kind), spec.player(SEEDS, form, STEPS)
    game, checkpoints = Game(rehearsed, player, environment), Checkpoints(rehearsed, None, KNOWN)
    game.contexts, _ = environment.reset(seed=SEEDS)
    play(environment, game, rehearsed, UNHEARD, checkpoints)
    game.recorder.frame()
    return player
