"""The whole contract on one page: axis letters, the records that travel, and what each part must offer.

Axis letters, the same everywhere, in this order:
    R replica (one per seed)   S posterior draw   N row   D feature   A arm   K output   T step
A replica is one seed of an experiment. All replicas are trained and evaluated in lockstep, as one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, Shaped
from pydantic import Field
from torch import Tensor

from vbandits.blocks import rows_of, values_of
from vbandits.forgetting import Forgetting
from vbandits.likelihoods import Gaussian
from vbandits.predictive import Predictive

Weights = Mapping[str, Any]
"""Weights of a network by name, each [R, S, *shape] (S = 1 where all draws share the weight), or a
`networks.weights.Factored` that `networks.weights.dense` multiplies out."""


@dataclass(frozen=True)
class Layer:
    """A group of parameters that are modelled jointly: a weight and its bias, or the parameters of a norm layer."""

    name: str
    shapes: Mapping[str, tuple[int, ...]]
    """Shape of each parameter by its full name, in the order in which they are flattened."""
    fan_in: int
    fan_out: int
    role: str
    """"input", "hidden", "output" (layers with a weight matrix) or "norm"."""
    biases: frozenset[str] = frozenset()
    """The names among `shapes` that are biases."""
    inputs_first: bool = False
    """Whether the weight is [fan_in, fan_out]; torch's own layers have [fan_out, ...]."""
    start: Mapping[str, Tensor] = field(default_factory=dict)
    """Initial values of parameters that do not start around zero (norm layers)."""


@runtime_checkable
class Network(Protocol):
    """A pure function of its weights."""

    layers: tuple[Layer, ...]
    parametrization: str

    def apply(self, weights: Weights, x: Float[Tensor, "R s N D"]) -> Float[Tensor, "R S N K"]:
        """Evaluates the network at `x`; `s` is 1 or S."""
        ...


@runtime_checkable
class HeadedNetwork(Network, Protocol):
    """A network whose last layer is linear in its features, so that expectations over it have a closed form."""

    def features(self, weights: Weights, x: Float[Tensor, "R s N D"]) -> Float[Tensor, "R S N H"]:
        """Evaluates all but the last layer."""
        ...

    def head(
        self, weights: Weights, features: Float[Tensor, "R s N H"], output: Int64[Tensor, "R N"] | None = None
    ) -> Float[Tensor, "R S N *K"]:
        """Evaluates the last layer, in each row only at the output given, or at all [R, S, N, K]."""
        ...


@runtime_checkable
class Likelihood(Protocol):
    """How the target of a row follows from the network's values, and what training and prediction need to know of it.

    One of your own is a frozen dataclass with these attributes (of the class will do) and methods. It may have another,
    with which MLPs are trained without autograd: `gradient(values [R, S, N, K], variance, output [R, N], y [R, 1, N])`
    returns those of each row's loss in the values [R, S, N, K] and in their variance, of a shape that broadcasts to it.
    `variance()` returns the variance [R, S, N, K], or None where there is none; not every loss needs to look at it.
    """

    @property
    def standardised(self) -> bool:
        """Whether targets are numbers that are learned at mean 0 and variance 1; `affine` turns predictions back."""
        ...

    @property
    def squared_loss(self) -> bool:
        """Whether `loss` is the squared error alone, so that a linear last layer has a solution in closed form."""
        ...

    @property
    def learned_noise(self) -> bool:
        """Whether the noise variance is learned from the training error, by a term that is added to `loss`."""
        ...

    @property
    def predictive_type(self) -> type:
        """What a posterior's `predict` must return: one that returns something else cannot learn such targets."""
        ...

    def targets(self, labels: Shaped[Tensor, "R N"]) -> tuple[Int64[Tensor, "R N"], Shaped[Tensor, "R N"]]:
        """Returns the output that each row's label speaks of, and the target y there."""
        ...

    def output_index(self, output: Int64[Tensor, "R N"]) -> Int64[Tensor, "R N"] | None:
        """Returns the one output that the loss of each row looks at, or None if it looks at all."""
        ...

    def loss(
        self, values: Tensor, variance: Tensor | None, output: Int64[Tensor, "R N"], y: Float[Tensor, "R s N"]
    ) -> Float[Tensor, "R S N"]:
        """Returns each row's loss at `values`, [R, S, N] at the selected output or [R, S, N, K] at all.

        With a `variance` of the same shape it is the expectation over normal values, or an upper bound of it.
        """
        ...

    def nll_scale(self, noise: Float[Tensor, " R"]) -> Float[Tensor, " R"]:
        """Returns what a negative log-likelihood of 1 nat adds to the loss."""
        ...

    def curvature(
        self, values: Float[Tensor, "R N K"], output: Int64[Tensor, "R N"], noise: Float[Tensor, " R"]
    ) -> tuple[Float[Tensor, "R N K"], Float[Tensor, "R N K"] | None]:
        """Returns d and v: each row's negative log-likelihood has the Hessian diag(d) - v v^T in the values.

        Without a v, which is None, d is 0 at all outputs but that of the row.
        """
        ...

    def predictive(self, values: Float[Tensor, "R S N K"], output: Tensor, noise: Float[Tensor, " R"]) -> object:
        """Returns the equal mixture over draws of the targets' distribution."""
        ...


@dataclass(frozen=True)
class Schedule:
    """When and how long an agent trains, and on what.

    Attributes:
        every: outcomes between two updates; where they come in batches, as many updates as have become due.
        gradient_steps: steps of SGD in one update (exact posteriors ignore it).
        batch_size: rows in a minibatch.
        initial_pulls: pulls of each arm, in turn, before the agent decides; where arms have features, of any arm.
        forgetting: how rows lose their weight with age; without it they keep it for good.
    """

    every: Annotated[int, Field(ge=1)] = 10
    gradient_steps: Annotated[int, Field(ge=0)] = 20
    batch_size: Annotated[int, Field(ge=1)] = 64
    initial_pulls: Annotated[int, Field(ge=0)] = 5
    forgetting: Forgetting | None = None


@dataclass(frozen=True)
class Optimizer:
    """How weights move; the network's parametrisation multiplies the rate per layer.

    Attributes:
        learning_rate: the base rate.
        momentum: decay of the velocity (of Adam's first moment).
        clip: largest norm of a replica's gradient.
        kind: "sgd" with momentum, or "adam", which has no implicit bias towards the prior.
        decay_steps: gradient steps over which the rate falls to zero along a cosine; 0 keeps it constant.
        anchor: holds the means of weights at their start: adds to the negative log-likelihood, over N rows, anchor / 2
            times the squared distance in units of the prior (1 / sqrt(fan_in), biases 1). At 1 the trained network is
            a draw of the posterior where targets are perturbed ("randomise, then optimise"), else its mode.
        weight_decay: adds weight_decay / 2 times the squared distance of the weights' means to their start to the loss,
            however many rows there are (L2-SP: Li, Grandvalet and Davoine, 2018).
    """

    learning_rate: Annotated[float, Field(ge=0)] = 0.03
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    clip: Annotated[float, Field(gt=0)] = 10.0
    kind: Literal["sgd", "adam"] = "sgd"
    decay_steps: Annotated[int, Field(ge=0)] = 0
    anchor: Annotated[float, Field(ge=0)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if self.kind != "sgd" and (self.anchor or self.weight_decay):
            raise ValueError(
                f"expected the kind 'sgd' where weights are held at their start, got {self.kind!r}, whose steps end "
                "elsewhere: set anchor and weight_decay to 0"
            )

    def rate(self, step: int) -> float:
        """Returns the rate of the step with this number, from 0."""
        if not self.decay_steps:
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * min(step / self.decay_steps, 1))) / 2


@dataclass(frozen=True)
class Task:
    """What a posterior is asked to model, and with what means.

    Attributes:
        seeds: one per replica, R of them.
        features: D.
        outputs: K, one per arm (1 where a row is an arm).
        network: of the network posteriors; exact ones ignore it.
        likelihood: how targets follow from outputs.
    """

    seeds: tuple[int, ...]
    features: int
    outputs: int
    network: Network | None = None
    likelihood: Likelihood = field(default_factory=Gaussian)
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Optimizer = field(default_factory=Optimizer)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Scaling:
    """Shift and scale of contexts [R, 1, D] and targets [R, 1]: standardised = (raw - shift) / scale.

    Those of targets are float64, and so are those of contexts that come as float64: no digits are lost where numbers
    are far from zero. An agent renews it when rows have grown by a share, and hands on the same object until then:
    exact regressions add rows to what they have for as long as it is the same, and sum all rows anew when it is
    another.

    What has not varied yet has no scale, 1 stands in: a context that comes to be another is 1 above or below it.

    Attributes:
        x_constant: which contexts have not varied yet [R, 1, D]; None if all have.
        y_constant: which targets have not [R, 1]; None if all have, or are as they should be.
        x_anchor: of rows of blocks, all zero but one, which alone is shifted: where the block's constant 1 is [D].
    """

    x_shift: Tensor
    x_scale: Tensor
    y_shift: Tensor
    y_scale: Tensor
    x_constant: Tensor | None = None
    y_constant: Tensor | None = None
    x_anchor: Tensor | None = None

    @classmethod
    def identity(cls, replicas: int, features: int, device: torch.device | str = "cpu", dtype=torch.float32) -> Scaling:
        """Returns the scaling that changes nothing."""
        zero = torch.zeros(replicas, 1, features, device=device, dtype=dtype)
        level = torch.zeros(replicas, 1, device=device, dtype=torch.float64)
        return cls(zero, torch.ones_like(zero), level, torch.ones_like(level))

    def x(self, raw: Float[Tensor, "*G R N D"]) -> Float[Tensor, "*G R N D"]:
        """Standardises contexts."""
        shift = self.x_shift if self.x_anchor is None else self.x_shift * raw[..., self.x_anchor]
        found = (raw - shift).div_(self.x_scale)
        return found if self.x_constant is None else torch.where(self.x_constant, found.sign(), found)

    def y(self, raw: Float[Tensor, "*G R N"]) -> Float[Tensor, "*G R N"]:
        """Standardises targets."""
        return (raw - self.y_shift) / self.y_scale


class Batch(NamedTuple):
    """Some rows of each replica, as a posterior learns from them: standardised."""

    x: Float[Tensor, "*G R B D"]
    output: Int64[Tensor, "*G R B"]
    y: Float[Tensor, "*G R B"]
    rows: Int64[Tensor, "*G R B"]
    """Which ones they are."""
    weight: Float[Tensor, " B"] | None = None
    """Of each row, where rows lose theirs with age."""


@dataclass(frozen=True)
class Data:
    """All rows observed so far, raw, with the scaling that a posterior sees them through.

    Attributes:
        x: raw contexts [R, N, D], float64 where they need its digits.
        output: the output that each row's target belongs to [R, N].
        y: raw targets [R, N], float64.
        scaling: of contexts and targets.
        noise: variance of the observation noise [R], in standardised units, of the type that is learned in.
        forgetting: how rows lose their weight with age.
    """

    x: Float[Tensor, "R N D"]
    output: Int64[Tensor, "R N"]
    y: Float[Tensor, "R N"]
    scaling: Scaling
    noise: Float[Tensor, " R"]
    forgetting: Forgetting | None = None

    @classmethod
    def of(cls, x: Tensor, output: Tensor, y: Tensor, noise: float = 1.0) -> Data:
        """Returns data that is used as it stands, unscaled."""
        replicas, _, features = x.shape
        scaling = Scaling.identity(replicas, features, x.device, x.dtype)
        return cls(x, output, y, scaling, torch.full((replicas,), noise, device=x.device, dtype=x.dtype))

    @property
    def count(self) -> float:
        """N, the sum of the rows' weights."""
        rows = self.x.shape[1]
        return float(rows) if self.forgetting is None else self.forgetting.count(min(rows, self.forgetting.rows))

    def rows(self, index: Int64[Tensor, "*G R B"]) -> Batch:
        """Returns some rows of each replica, standardised."""
        x, y = self.scaling.x(rows_of(self.x, index)), self.scaling.y(values_of(self.y, index))
        return Batch(x.to(self.noise.dtype), values_of(self.output, index), y.to(self.noise.dtype), index)

    def between(self, first: int, last: int) -> Batch:
        """Returns the rows from one up to another, standardised."""
        x, y = self.scaling.x(self.x[:, first:last]), self.scaling.y(self.y[:, first:last])
        index = torch.arange(first, last, device=self.x.device).expand(len(self.x), -1)
        return Batch(x.to(self.noise.dtype), self.output[:, first:last], y.to(self.noise.dtype), index)

    def batches(self, rows: int = 512) -> Iterator[Batch]:
        """Returns all rows that have a weight in their order, standardised, a block at a time."""
        last = self.x.shape[1]
        begin = 0 if self.forgetting is None else max(last - self.forgetting.rows, 0)
        for first in range(begin, last, rows):
            batch = self.between(first, min(first + rows, last))
            yield batch._replace(weight=self.forgetting and self.forgetting.weights(last - 1 - batch.rows[0]))


@runtime_checkable
class Functions(Protocol):
    """Draws from a posterior: S functions per replica, each the same function wherever it is evaluated, until the
    posterior learns again.

    Contexts and values are in the units that the posterior learns in, which the agent standardises.
    """

    def __call__(self, x: Float[Tensor, "R N D"]) -> Float[Tensor, "R S N K"]:
        """Evaluates every function at every row."""
        ...


@runtime_checkable
class Posterior(Protocol):
    """A distribution over functions x -> K outputs, one per replica. It knows rows and outputs, nothing of bandits.

    An implementation is a frozen dataclass (its fields are the configuration) with these five methods. `state` is
    whatever `init` returns; `update` may change it in place. `update` gets raw rows with their scaling (`Data.rows`
    gives them standardised); everything else goes in and comes out standardised, and the agent turns it back.

    A posterior may have a sixth method, `condition_on(state, data)`: it learns from the rows that are new, and is
    called after each decision between two updates, with the scaling and the noise of the last one. And a seventh,
    `embed(state, x [R, N, D]) -> [R, N, H]`: the features of rows that its outputs are linear in, for acquisitions that
    look at how alike rows are; without it they compare the rows themselves. And an eighth,
    `mixture(state) -> Functions`: the functions that `predict` is the equal mixture of; without it, scores of joint
    predictions are of 64 draws.
    """

    def init(self, task: Task) -> Any:
        """Returns the state before any data."""
        ...

    def update(self, state: Any, data: Data) -> None:
        """Learns from `data`: every row so far, of which only the output taken has a target."""
        ...

    def draw(self, state: Any, draws: int) -> Functions:
        """Draws functions, fresh ones at every call."""
        ...

    def mean(self, state: Any) -> Functions:
        """Returns the mean function as one draw (S = 1): exact, or that of the mean weights."""
        ...

    def predict(self, state: Any, x: Tensor, output: Tensor, noise: Tensor) -> Predictive:
        """Returns the predictive distribution of the targets of rows `x` [R, N, D] at `output` [R, N].

        Posteriors with no noise model of their own use `noise` [R], a variance. Deterministic given the state.
        """
        ...


@runtime_checkable
class Rule(Protocol):
    """Draws in, action out.

    Attributes:
        draws: posterior draws it looks at; 0 asks for the mean function instead.

    A rule may have `with_mean`: if true it is given the mean function as well, as the last of S = draws + 1.
    """

    draws: ClassVar[int]

    def choose(self, values: Float[Tensor, "R S A"], random: Float[Tensor, "R 2"]) -> Int64[Tensor, " R"]:
        """Chooses an arm per replica, given draws of all arms' values and two uniform numbers.

        The value of an arm that is not available is -inf in every draw; at least one arm is available.
        """
        ...
