"""The only SGD loop: replicas train in lockstep, each as if it were alone."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from vbandits.streams import Stream
from vbandits.types import Data, Optimizer, Schedule

Loss = Callable[[Mapping[str, Tensor], tuple[Tensor, Tensor, Tensor]], Float[Tensor, " L"]]
"""Loss per lane of the trained blocks, given their leaves and a minibatch (x [R, B, D], output [R, B], y [R, B])."""


class Parameters:
    """Everything a posterior trains, in one matrix [L, P], so that a step of SGD is a handful of operations.

    A lane is what is clipped as one: a replica, or a member of an ensemble (L = R * members).

    Attributes:
        values: the matrix; `leaves` are views of it.
        leaves: each block by name, [L, *shape], as autograd sees it.
        detached: the same without autograd.
    """

    def __init__(self, blocks: Mapping[str, Tensor], rates: Mapping[str, Tensor]) -> None:
        """Takes initial values [L, *shape] and learning-rate factors (broadcast to shape) by name."""
        self.values = torch.cat([block.flatten(1) for block in blocks.values()], 1)
        self.rates = torch.cat([rates[name].expand(block.shape[1:]).flatten() for name, block in blocks.items()])
        self.velocity = torch.zeros_like(self.values)
        self.detached: dict[str, Tensor] = {}
        start = 0
        for name, block in blocks.items():
            self.detached[name] = self.values[:, start : start + block[0].numel()].view(block.shape)
            start += block[0].numel()
        self.leaves = {name: view.detach().requires_grad_() for name, view in self.detached.items()}

    def descend(self, losses: Tensor, optimizer: Optimizer) -> None:
        """Takes one step of SGD with momentum on the losses [L], clipping the gradient of each lane by its norm.

        Losses are summed: a mean would divide every lane's step by L. A lane whose loss is not finite turns to NaN for
        good and touches no other.
        """
        gradients = torch.autograd.grad(losses.sum(), list(self.leaves.values()))
        gradient = torch.cat([block.flatten(1) for block in gradients], 1)
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        self.velocity.mul_(optimizer.momentum).addcmul_(gradient, optimizer.clip / norm.clamp(min=optimizer.clip))
        self.values.addcmul_(self.velocity, self.rates, value=-optimizer.learning_rate)


def train(
    parameters: Parameters, loss: Loss, data: Data, schedule: Schedule, optimizer: Optimizer, minibatches: Stream
) -> None:
    """Runs `schedule.gradient_steps` steps on minibatches drawn with replacement from all rows of `data`."""
    for _ in range(schedule.gradient_steps):
        index = minibatches.integers(data.x.shape[1], schedule.batch_size)
        parameters.descend(loss(parameters.leaves, data.rows(index)), optimizer)
