"""How targets follow from a network's outputs, see `types.Likelihood`: the squared error, and classes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.predictive import Classes, Mixture, Predictive


def at_output(values: Float[Tensor, "R S N K"], output: Int64[Tensor, "R N"]) -> Float[Tensor, "R S N"]:
    """Picks one output in each row."""
    index = output[:, None, :, None].expand(*values.shape[:3], 1)
    return values.gather(3, index).squeeze(3)


def indicator(output: Int64[Tensor, "R N"], values: Float[Tensor, "R S N K"]) -> Float[Tensor, "R 1 N K"]:
    """Returns 1 where a row's output has its value, and 0 elsewhere."""
    return (output[:, None, :, None] == _places(values.shape[3], output.device)).to(values.dtype)


@cache
def _places(outputs: int, device: torch.device) -> Int64[Tensor, " K"]:
    """Returns the outputs' numbers, which are asked for in every gradient step."""
    return torch.arange(outputs, device=device)


@dataclass(frozen=True)
class Gaussian:
    """y ~ N(f_output(x), noise): the squared error; each row speaks of one output.

    Attributes:
        learned_noise: whether the posterior learns the noise variance from its own training error, for supervised
            problems with many rows; a bandit's agent estimates it from predictions made before outcomes were seen.
    """

    learned_noise: bool = False
    standardised = True
    predictive_type = Predictive

    @property
    def squared_loss(self) -> bool:
        """True for a noise variance that is given: one that is learned adds a term of its own."""
        return not self.learned_noise

    def targets(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns output 0 and the labels."""
        return torch.zeros_like(labels, dtype=torch.long), labels

    def output_index(self, output: Tensor) -> Tensor | None:
        """Returns `output`: no other is looked at."""
        return output

    def loss(self, values: Tensor, variance: Tensor | None, output: Tensor, y: Tensor) -> Tensor:
        """Returns (y - values)^2 + variance, the exact expectation."""
        error = (y - values).square()
        return error if variance is None else error + variance

    def gradient(
        self, values: Tensor, variance: Callable[[], Tensor | None], output: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns 2 (value - y) and 1 at the output of each row, 0 at the others."""
        taken = indicator(output, values)
        return (values - y.unsqueeze(3)).mul_(2 * taken), taken

    def nll_scale(self, noise: Tensor) -> Tensor:
        """Returns 2 noise: (y - f)^2 = 2 noise * nll + constant."""
        return 2 * noise

    def curvature(self, values: Tensor, output: Tensor, noise: Tensor) -> tuple[Tensor, None]:
        """Returns 1 / noise at the output of each row, 0 at the others."""
        taken = torch.nn.functional.one_hot(output, values.shape[2]).to(values)
        return taken / noise.to(values)[:, None, None], None

    def predictive(self, values: Tensor, output: Tensor, noise: Tensor) -> Mixture:
        """Returns the mixture of N(f_s, noise)."""
        return Mixture(at_output(values, output), noise.unsqueeze(1).expand(output.shape))


@dataclass(frozen=True)
class Categorical:
    """The target is the output itself, a class of K: cross-entropy of the softmax; `y` is not used."""

    standardised = False
    squared_loss = False
    learned_noise = False
    predictive_type = Classes

    def targets(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the labels, and zeros."""
        return labels.long(), torch.zeros_like(labels, dtype=torch.float32)

    def output_index(self, output: Tensor) -> Tensor | None:
        """Returns None: the softmax needs all outputs."""
        return None

    def loss(self, values: Tensor, variance: Tensor | None, output: Tensor, y: Tensor) -> Tensor:
        """Returns the cross-entropy, or with a variance the upper bound log sum_k exp(f_k + v_k / 2) - f_output.

        The bound is Jensen's inequality for the logarithm: E log sum exp f <= log sum E exp f.
        """
        raised = values if variance is None else values + variance / 2
        return raised.logsumexp(3) - at_output(values, output)

    def gradient(
        self, values: Tensor, variance: Callable[[], Tensor | None], output: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns p less 1 at the output, and p / 2, with the probabilities p of the raised values."""
        own = variance()
        probabilities = (values if own is None else values + own / 2).softmax(3)
        return probabilities - indicator(output, values), probabilities / 2

    def nll_scale(self, noise: Tensor) -> Tensor:
        """Returns 1."""
        return torch.ones_like(noise)

    def curvature(self, values: Tensor, output: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Returns p and p, the probabilities: diag(p) - p p^T."""
        probabilities = values.softmax(2)
        return probabilities, probabilities

    def predictive(self, values: Tensor, output: Tensor, noise: Tensor) -> Classes:
        """Returns the mixture of softmax(f_s); `noise` is not used."""
        return Classes(values)
