"""What problems on pools share: the rows, once for all sub-environments, and answers that come of a sub-environment's
seed."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from vbandits.data.pool import Pool
from vbandits.envs.base import Native
from vbandits.errors import require
from vbandits.streams import generator


class ActiveLearning(Native):
    """Labels of a pool's rows for sale. All sub-environments share the rows; whom they ask, and what is answered, is
    their own.

    Attributes:
        pool: as it was loaded.
        features: [N, D] on the device, float32 or uint8, in memory once.
        targets: true ones [N], for evaluation from outside: int64 classes, or float64.
        test_features: [M, D].
        test_targets: [M].
        classes: K; 0 for a regression.
        image: channels, height and width, where a row is an image.
        num_rows: N.
        budget: labels that can be bought.
        cost: of a label.
        label_noise: probability of a wrong class, or standard deviation of the noise on a number.
        notes: what was done to the rows.
    """

    shown: ClassVar[tuple[str, ...]] = (
        "pool",
        "features",
        "targets",
        "test_features",
        "test_targets",
        "classes",
        "image",
        "num_rows",
        "budget",
        "cost",
        "label_noise",
        "notes",
    )
    purpose: ClassVar[str]
    """Of the random numbers that decide an episode, beside those of its label noise."""

    def __init__(
        self,
        num_envs: int,
        device: torch.device | str,
        observation: gymnasium.Space,
        action: gymnasium.Space,
        *,
        pool: Pool,
        budget: int,
        cost: float,
        label_noise: float,
    ) -> None:
        require(0 <= cost < np.inf, "cost", "a finite number of at least 0", cost)
        if pool.classes:
            require(0 <= label_noise <= 1, "label_noise", "a probability of a wrong class", label_noise)
        else:
            require(
                0 <= label_noise < np.inf, "label_noise", "a standard deviation, finite and at least 0", label_noise
            )
        super().__init__(num_envs, device, observation, action)
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": []}
        self.pool, self.classes, self.image, self.notes = pool, pool.classes, pool.image, pool.notes
        self.features, self.targets = self._held(pool.features), self._held(pool.targets)
        self.test_features, self.test_targets = self._held(pool.test_features), self._held(pool.test_targets)
        self.num_rows, self.budget = len(pool.features), budget
        self.cost, self.label_noise = cost, label_noise
        self._unknown = -1 if pool.classes else float("nan")
        self._randoms: list[tuple[np.random.Generator, np.random.Generator]] = []
        self._every = torch.arange(num_envs, device=self.device)
        self._over = True

    @classmethod
    def described(cls, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments without the rows of a pool that was given as arrays: its digest stands for them."""
        given = super().described(kwargs)
        if isinstance(given.get("pool"), Pool | tuple | list):
            given["pool"] = given["pool"].name if isinstance(given["pool"], Pool) else "arrays"
        return given

    def _begin(self, seed: int | Sequence[int] | None) -> None:
        """Starts an episode in every sub-environment: the first of the seeds, or the next one of the sub-environments
        that are there."""
        seeds = self._seeds(seed, started=bool(self._randoms))
        if seeds is not None:
            self._randoms = [(generator(own, self.purpose), generator(own, "label noise")) for own in seeds]
        self._answers = self.targets.expand(self.num_envs, -1)  # [R, N], a view
        if self.label_noise:
            self._answers = self._held(np.stack([self._answered(noise) for _, noise in self._randoms]))
        self._over = False

    def _answered(self, random: np.random.Generator) -> np.ndarray:
        """Returns what a sub-environment is answered about each row [N]."""
        targets = self.pool.targets
        if not self.classes:
            return targets + self.label_noise * random.standard_normal(self.num_rows)
        wrong = random.random(self.num_rows) < self.label_noise
        step = random.integers(1, self.classes, self.num_rows)
        return np.where(wrong, (targets + step) % self.classes, targets)

    def _held(self, array: np.ndarray) -> Tensor:
        """Returns an array on the device; on a CPU it is not copied."""
        return torch.from_numpy(array if array.flags.writeable else array.copy()).to(self.device)

    def _require_running(self) -> None:
        if self._over:
            raise ValueError(
                "expected an episode that is running, got a step before reset() or after the end: call reset()"
            )

    def _whole(self, actions: Any, shape: tuple[int, ...]) -> Tensor:
        """Returns actions as int64 of a shape.

        Raises:
            ValueError: for another shape, or numbers that are not whole.
        """
        chosen = torch.as_tensor(actions, device=self.device)
        if chosen.shape != shape or chosen.is_floating_point():
            raise ValueError(
                f"expected whole numbers of shape {shape} as actions, got {chosen.dtype} of shape {tuple(chosen.shape)}"
            )
        return chosen.long()
