"""Implicit-bias variational inference: the expected loss alone, regularised by nothing but SGD.

Wenger, Coker, Marusic and Cunningham, "Variational Deep Learning via Implicit Regularization", ICLR 2026.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from vbandits.blocks import rows_of
from vbandits.networks.weights import prior_std
from vbandits.posteriors import variational
from vbandits.posteriors.common import network_of
from vbandits.posteriors.covariances import Family, covariance
from vbandits.posteriors.gaussian import GaussianFamily, Layers
from vbandits.posteriors.prior import scale_for
from vbandits.posteriors.variational import Variational, VariationalState
from vbandits.streams import Stream
from vbandits.training import prior_pull
from vbandits.types import Batch, Data, Task


@dataclass
class IBVIState(VariationalState):
    """Adds what the noise-aware form needs.

    Attributes:
        scale: of the prior.
        directions: stream of the rows' directions.
        perturbations: directions c of the rows so far [R, N, noise_rank], of length 1.
    """

    scale: float
    directions: Stream
    perturbations: Tensor
    grows: ClassVar = ("perturbations",)


@dataclass(frozen=True)
class IBVI(Variational):
    """A Gaussian over the weights, started at the prior and trained on the expected loss.

        minimise over (mean, F):  E[loss(f_w(x), y)],  w ~ N(mean, F F^T) per layer,
        from  mean ~ N(0, s^2),  F ~ N(0, s^2 / rank).

    There is no divergence to a prior. In the overparametrised linear model, SGD ends at the minimiser that is closest
    to the prior in 2-Wasserstein distance: the mean at X^+ y + P0 mean0 and the factor at P0 F0, P0 = I - X^+ X.

    With noisy targets that limit takes noise for knowledge: no variance is left at an observation. The noise-aware form
    (`noise_rank` > 0) perturbs targets and holds weights at the prior, draw by draw:

        minimise  E[(y + sigma c_n . z - f_w(x))^2] + sigma^2 / N E[|(w - w0) / s|^2],
        w = mean + F z' + G z,  w0 = mean0 + F0 z',

    where c_n is a fixed direction of observation n and G starts at 0. In the linear model with F0 F0^T = s^2 I and
    orthogonal c_n its minimum is the exact Bayesian posterior ("randomise, then optimise": Bardsley et al., 2014;
    Osband et al., 2018, Lemma 3); with fewer columns than observations directions are orthogonal on average. The
    distance to the prior is the mean squared one of draws with the same z, not the shorter one of the 2-Wasserstein
    distance, whose rotations of z would undo that the noise of targets and the prior are independent. With the last
    layer alone all of it has a closed form; where other layers are stochastic too, z is sampled, and the perturbed
    targets make gradients noisier.

    Attributes:
        family: "low_rank", "mean_field", "low_rank_plus_diagonal", "kronecker" or "full" (small layers). Mean-field
            ends without variance in a linear model: where a diagonal covariance vanishes at a row, it does so at every
            weight that the row touches. In networks it is early stopping that leaves it some.
        rank: columns of the factor F; ranks of 2 to 20 made no difference on the tuning problems, and cost does grow.
        layers: which layers are stochastic, by place or by name; the others are points.
        prior_scale: multiplies the prior's standard deviation in F; 0 is the deterministic network.
        function_std: sets the prior's scale in function space instead of `prior_scale`, see `posteriors.prior`. It is
            about 0.1 at a `prior_scale` of 1 with two hidden layers of 50; 1 is as much as all standardised rewards
            vary, and takes more data to learn from than a short run has.
        samples: draws of the weights per minibatch, for all but the last layer, whose expectation is in closed form
            (squared error) or bounded by Jensen's inequality (cross-entropy).
        noise_rank: columns of G; 0 is the plain form.
    """

    family: Family = "low_rank"
    rank: Annotated[int, Field(ge=1)] = 5
    layers: Layers = "first_last"
    prior_scale: Annotated[float, Field(ge=0)] = 1.0
    function_std: Annotated[float, Field(gt=0)] | None = None
    samples: Annotated[int, Field(ge=1)] = 1
    noise_rank: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.noise_rank and (self.family == "kronecker" or not self.prior_scale):
            raise ValueError(
                "expected a prior_scale above 0 and a family other than kronecker for noise_rank > 0, got "
                f"{self.prior_scale} and {self.family}"
            )
        if self.function_std is not None and not self.prior_scale:
            raise ValueError(f"expected a prior_scale above 0 with function_std = {self.function_std}, got 0")

    def init(self, task: Task) -> IBVIState:
        """Starts at the prior; the means are the deterministic network's initial weights."""
        if self.noise_rank:
            _refuse(task)
        form = covariance(self.family, self.rank)
        layers = self.layers if self.prior_scale else ()
        scale = self.prior_scale
        if self.function_std is not None:
            scale = scale_for(task, layers, form, self.function_std)
        family = GaussianFamily.over(task, layers, form, self.noise_rank)
        directions = Stream(task.seeds, "directions", device=task.device, dtype=task.dtype)
        nothing = torch.zeros(len(task.seeds), 0, self.noise_rank, device=task.device, dtype=task.dtype)
        state = variational.state(task, family, scale)
        return IBVIState(**vars(state), scale=scale, directions=directions, perturbations=nothing)

    def update(self, state: IBVIState, data: Data) -> None:
        """Trains on the expected loss."""
        if not self.noise_rank:
            return variational.minimise(state, data, self.samples)
        _extend(state, data.x.shape[1])
        deviation = data.noise.sqrt()[:, None, None]

        def perturbation(batch: Batch) -> Tensor:
            return deviation * rows_of(state.perturbations, batch.rows)

        return variational.minimise(state, data, self.samples, pull=_pull(state, data), perturbation=perturbation)


def _refuse(task: Task) -> None:
    """Refuses what the noise-aware form cannot do."""
    if not task.likelihood.squared_loss:
        raise ValueError(
            f"expected the squared error with given noise for noise_rank > 0, got {task.likelihood}: set noise_rank = 0"
        )
    if task.optimizer.kind != "sgd":
        raise ValueError(
            "expected the optimizer kind 'sgd' for noise_rank > 0, got 'adam', whose steps end elsewhere: set "
            "noise_rank = 0"
        )


def _extend(state: IBVIState, rows: int) -> None:
    """Draws the directions of rows not seen yet."""
    missing = rows - state.perturbations.shape[1]
    if missing > 0:
        fresh = state.directions.normal(missing, state.perturbations.shape[2])
        fresh = fresh / torch.linalg.vector_norm(fresh, dim=2, keepdim=True)
        state.perturbations = torch.cat([state.perturbations, fresh], 1)


def _pull(state: IBVIState, data: Data) -> Tensor:
    """Returns the pull of stochastic layers to their start: sigma^2 / N over the prior's variance."""
    prior = prior_std(network_of(state.task), state.task)
    stochastic = {layer.name for layer in state.family.stochastic}
    weights = {}
    for name, leaf in state.parameters.detached.items():
        layer = name.partition("/")[2]
        precision = torch.zeros_like(leaf[:1])
        if layer in stochastic:
            precision = (state.scale * prior[layer]).pow(-2)
            precision = precision if leaf.dim() == 2 else precision.unsqueeze(1)
        weights[name] = precision
    return prior_pull(state, data, state.parameters.gather(weights))
