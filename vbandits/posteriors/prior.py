"""The prior in function space: how much the functions of a Gaussian over weights vary with their inputs.

Few stochastic layers under muP have prior functions whose input-dependent part vanishes with the width as width^(-1/2),
and a scale that suits one network does not suit another. The scale can be set by what it does instead:

    function_std^2 = mean over x of Var_w[f_w(x) - mean over x' of f_w(x')],

for the deviations of weights from their mean at initialisation, over standard normal inputs x, which is what
standardised contexts look like, averaged over outputs.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from vbandits.posteriors.common import network_of
from vbandits.posteriors.covariances import Covariance
from vbandits.posteriors.gaussian import GaussianFamily, Layers
from vbandits.streams import Stream
from vbandits.types import Task

SEEDS, ROWS, DRAWS = tuple(range(4)), 32, 32
"""Networks, inputs and draws that the standard deviation is measured with, the same for every task."""
SMALLEST, LARGEST = 1e-4, 1e4


def function_std(
    task: Task, layers: Layers, covariance: Covariance, scale: float, inputs: Float[Tensor, "N D"] | None = None
) -> float:
    """Returns the prior predictive standard deviation of the input-dependent part, at a scale of the prior.

    Args:
        task: its network and parametrisation; its seeds do not matter.
        layers: which are stochastic.
        covariance: of their weights.
        scale: multiplies the prior's standard deviation.
        inputs: standardised rows to measure at, instead of standard normal ones.
    """
    task = replace(task, seeds=SEEDS)
    family = GaussianFamily.over(task, layers, covariance)
    leaves = family.initial(scale)[0]
    if inputs is None:
        inputs = Stream((0,), "prior inputs", dtype=task.dtype).normal(ROWS, task.features)[0]
    noise = Stream(SEEDS, "prior draws", device=task.device, dtype=task.dtype).normal(DRAWS, family.noise_size)
    x = inputs.to(task.device, task.dtype).expand(len(SEEDS), 1, -1, -1)
    network = network_of(task)
    with torch.no_grad():
        values = network.apply(family.sample(leaves, noise, factored=True), x)  # [R, S, N, K]
        dependent = values - values.mean(2, keepdim=True)
        return float(dependent.var(1).mean().sqrt())


def scale_for(task: Task, layers: Layers, covariance: Covariance, wanted: float) -> float:
    """Returns the scale of the prior at which `function_std` is as wanted: the same for every seed.

    Raises:
        ValueError: if no scale within [1e-4, 1e4] does it.
    """

    def excess(logarithm: float) -> float:
        return math.log(function_std(task, layers, covariance, math.exp(logarithm)) + 1e-300) - math.log(wanted)

    try:
        return math.exp(float(brentq(excess, math.log(SMALLEST), math.log(LARGEST), xtol=1e-4)))  # type: ignore[arg-type]
    except ValueError:  # of one sign at both ends
        reached = [function_std(task, layers, covariance, scale) for scale in (SMALLEST, LARGEST)]
        raise ValueError(
            f"expected a function_std between {reached[0]:.3g} and {reached[1]:.3g} for this network and these layers, "
            f"got {wanted}"
        ) from None
