"""Parametrisations at growing width: what the prior is worth, and which learning rate is best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from vbandits.posteriors.common import network_of
from vbandits.posteriors.covariances import LowRank
from vbandits.posteriors.ibvi import IBVI, IBVIState
from vbandits.posteriors.prior import function_std
from vbandits.streams import Stream, generator
from vbandits.theory.check import Check, Finding, Measure
from vbandits.theory.setting import DTYPE, UNCLIPPED, largest, normal, sgd, slope, task, times, trained
from vbandits.types import Data, Layer, Optimizer

WIDTHS = (64, 128, 256, 512, 1024)
FEATURES, RANK = 6, 5
GRID = {"mup": 2.0 ** np.arange(-3, 1.25, 0.5), "sp": 2.0 ** np.arange(-7, -0.75, 0.5)}
"""Learning rates tried, a factor of the root of 2 apart."""
STEPS, SEEDS = 100, 4


@dataclass(frozen=True)
class Sweep:
    """Expected loss after training, by width and learning rate [W, G]; infinite where training diverged."""

    rates: np.ndarray
    losses: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """The best learning rate of each width [W]: the least of a parabola through the three best in logarithms."""
        logs = np.log2(self.rates)
        return np.array([2 ** vertex(logs, np.log(row)) for row in self.losses])

    @property
    def outside(self) -> int:
        """Widths whose best learning rate is the first or the last that was tried: nothing is known of them."""
        last = len(self.rates) - 1
        return sum(int(np.argmin(row)) in (0, last) for row in self.losses)

    @property
    def regret(self) -> float:
        """Loss at the largest width with the rate that is best at the smallest, over the best there."""
        taken = self.losses[-1, int(np.argmin(self.losses[0]))]
        return float(taken / self.losses[-1].min())


def vertex(x: np.ndarray, y: np.ndarray) -> float:
    """Returns where y is least, between equally spaced x, or the x of the least y if its neighbours are not finite."""
    i = int(np.argmin(y))
    if i in (0, len(y) - 1) or not np.isfinite(y[i - 1 : i + 2]).all():
        return float(x[i])
    before, least, after = y[i - 1 : i + 2]
    return float(x[i] + (x[1] - x[0]) * (before - after) / (2 * (before - 2 * least + after)))


def transfer() -> Finding:
    """Trains MLPs of growing width for a fixed number of steps at every learning rate of a grid."""
    from vbandits.theory.figures import learning_rates

    sweeps = {form: sweep(form, WIDTHS, grid) for form, grid in GRID.items()}
    measures = []
    for form, low, high in (("mup", -0.2, 0.2), ("sp", -1.2, -0.5)):
        drift = slope(WIDTHS, sweeps[form].best)
        measures.append(Measure(f"{form}: slope of log best learning rate against log width", drift, low, high))
        measures.append(Measure(f"{form}: widths whose best rate is an end of the grid", sweeps[form].outside, 0, 0))
    return Finding(
        (
            *measures,
            Measure(
                "mup: loss at 1,024 with the rate that is best at 64, over the best", sweeps["mup"].regret, high=1.3
            ),
            Measure("sp: the same", sweeps["sp"].regret, low=2.0),
            *(
                Measure(f"{form}: best learning rate at {width}", best)
                for form, found in sweeps.items()
                for width, best in zip(WIDTHS, found.best, strict=True)
            ),
        ),
        partial(learning_rates, WIDTHS, sweeps),
    )


def sweep(form: str, widths: Sequence[int], grid: Iterable[float]) -> Sweep:
    """Returns the losses of a parametrisation, in float32: divergence is far beyond its precision."""
    rates = np.array([*grid])
    losses = np.array([[final_loss(form, width, float(rate)) for rate in rates] for width in widths])
    return Sweep(rates, losses)


def final_loss(form: str, width: int, rate: float) -> float:
    """Returns the mean expected loss over seeds of an MLP with two hidden layers; infinite where one diverged."""
    random = generator(8, "theory")
    x, direction = normal(random, 1, 256, FEATURES), normal(random, FEATURES, 3)[:, 0] / FEATURES**0.5
    y = times(x, direction).sin()
    x, y = (part.float().expand(SEEDS, *part.shape[1:]) for part in (x, (y - y.mean()) / y.std()))
    data = Data.of(x, torch.zeros(y.shape, dtype=torch.long), y)
    optimizer = Optimizer(0.1 * rate, 0.9, clip=UNCLIPPED, decay_steps=STEPS)
    single = task(
        FEATURES,
        (width, width),
        bias=True,
        parametrization=form,
        seeds=range(SEEDS),
        optimizer=optimizer,
        steps=STEPS,
        batch=64,
        dtype=torch.float32,
    )
    state: IBVIState = trained(IBVI(rank=RANK), single, data)
    noise = state.noise.normal(8, state.family.noise_size)
    with torch.no_grad():
        loss = float(state.family.expected_loss(state.parameters.detached, next(data.batches()), noise).mean())
    return loss if np.isfinite(loss) and loss < 1e6 else np.inf


def prior_widths() -> Finding:
    """Measures the prior's standard deviation in function space, and the posterior's beside the data, by width."""
    from vbandits.theory.figures import function_widths

    rank = LowRank(RANK)
    stds = {
        (form, depth): [
            function_std(
                task(FEATURES, (width,) * depth, bias=True, parametrization=form, dtype=torch.float32),
                "first_last",
                rank,
                1.0,
            )
            for width in (16, *WIDTHS)
        ]
        for form, depth in (("mup", 1), ("mup", 2), ("sp", 1), ("ntp", 1), ("ntp", 2))
    }
    slopes = {key: slope((16, *WIDTHS), values) for key, values in stds.items()}
    wanted = [
        IBVI(rank=RANK, function_std=0.5).init(task(FEATURES, (width,), bias=True, parametrization="mup"))
        for width in WIDTHS
    ]
    fresh = normal(generator(9, "theory"), 1, 64, FEATURES).expand(2, -1, -1)
    restored = [dependent_std(IBVI().draw(state, 512)(fresh)) for state in wanted]
    scales = [state.scale for state in wanted]
    after: dict[str, dict[int, float]] = {"mup": {}, "sp": {}, "ntp": {}}
    errors = []
    for form, own in after.items():
        for width in WIDTHS[::2]:
            own[width], error = posterior_std(form, width)
            errors.append(error)
    before: dict[str, dict[int, float]] = {form: dict(zip(WIDTHS, stds[form, 1][1:], strict=True)) for form in after}
    named = {1: "one hidden layer", 2: "two"}
    measures = [
        Measure(f"mup, {named[depth]}: slope of log std against log width", slopes["mup", depth], -0.56, -0.44)
        for depth in named
    ]
    measures += [
        Measure(f"{form}, {named[depth].split()[0]}: slope", slopes[form, depth], -0.06, 0.06)
        for form, depth in stds
        if form != "mup"
    ]
    measures += [
        Measure(f"mup, {depth} hidden: std at width {width}", std)
        for depth in named
        for width, std in zip((16, *WIDTHS), stds["mup", depth], strict=True)
        if width in (16, 64, 256, 1024)
    ]
    ntp = [std for depth in named for std in stds["ntp", depth][1:]]
    worst = "after training on 12 rows: largest root mean squared error of draws at them, of all forms"
    return Finding(
        (
            *measures,
            Measure("ntp: least std at widths 64 to 1,024", min(ntp), 0.3, 3),
            Measure("ntp: largest", max(ntp), 0.3, 3),
            Measure(worst, max(errors), high=0.5),
            Measure("mup, function_std = 0.5: least std of fresh draws at fresh inputs", min(restored), 0.35, 0.65),
            Measure("largest", max(restored), 0.35, 0.65),
            Measure("slope of the scale that it takes against width", slope(WIDTHS, scales), 0.2, 0.55),
        ),
        partial(function_widths, before, after, dict(zip(WIDTHS, restored, strict=True))),
    )


def dependent_std(values: Tensor) -> float:
    """Returns the standard deviation over draws of what varies with inputs [R, S, N, K]."""
    return float((values - values.mean(2, keepdim=True)).var(1).mean().sqrt())


def posterior_std(form: str, width: int) -> tuple[float, float]:
    """Returns the posterior standard deviation at new inputs after training on twelve rows, and the error at those."""
    random = generator(10, "theory")
    x, y = normal(random, 1, 12, FEATURES).expand(2, -1, -1), normal(random, 1, 12).expand(2, -1)
    rate = {"mup": 0.2, "sp": 1.0 / width, "ntp": 1.5}[form]
    single = task(
        FEATURES,
        (width,),
        bias=True,
        parametrization=form,
        optimizer=sgd(rate, 0.9, decay_steps=3000),
        steps=3000,
        batch=12,
    )
    data = Data.of(x, torch.zeros(2, 12, dtype=torch.long), y)
    draws = IBVI().draw(trained(IBVI(rank=RANK), single, data), 512)
    fresh = draws(normal(random, 1, 64, FEATURES).expand(2, -1, -1))
    return float(fresh.var(1).mean().sqrt()), float((draws(x).squeeze(3) - y.unsqueeze(1)).square().mean().sqrt())


def neural_tangent() -> Finding:
    """Trains the neural-tangent parametrisation as the suite does, and in plain PyTorch with a forward multiplier."""
    single = task(
        3,
        (16, 16),
        outputs=2,
        bias=True,
        parametrization="ntp",
        sampled=True,
        seeds=(0,),
        optimizer=Optimizer(0.05, 0.9, clip=UNCLIPPED),
        steps=100,
        batch=8,
    )
    random = generator(11, "theory")
    x, y = normal(random, 1, 40, 3), normal(random, 1, 40)
    data = Data.of(x, torch.from_numpy(random.integers(2, size=(1, 40))), y)
    method = IBVI(rank=RANK, layers="all")
    state = method.init(single)
    plain = Explicit(state)
    before = plain(x[0]).clone()
    method.update(state, data)
    plain.fit(data, single.optimizer, single.schedule.gradient_steps, single.schedule.batch_size)
    with torch.no_grad():
        ours, theirs = method.mean(state)(x)[0, 0], plain(x[0])
        factor = max(
            largest(state.parameters.detached[f"factor/{layer.name}"][0] - plain.factors[i] * plain.scales[i])
            for i, layer in enumerate(network_of(single).layers)
        )
    return Finding(
        (
            Measure("largest difference of values after 100 steps", largest(ours - theirs), high=1e-10),
            Measure("of factors", factor, high=1e-10),
            Measure("how far values moved", largest(theirs - before), low=0.1),
        )
    )


class Explicit(nn.Module):
    """IBVI over an MLP whose weights are N(0, 1) and multiplied by 1 / sqrt(fan_in) in the forward pass, by hand."""

    def __init__(self, state: IBVIState) -> None:
        super().__init__()
        self.layers: tuple[Layer, ...] = network_of(state.task).layers
        leaves = state.parameters.detached
        self.scales = [
            torch.cat(
                [
                    torch.full((layer.fan_in * layer.fan_out, 1), layer.fan_in**-0.5, dtype=DTYPE),
                    torch.ones(layer.fan_out, 1, dtype=DTYPE),
                ]
            )
            for layer in self.layers
        ]
        named = list(zip(self.layers, self.scales, strict=True))
        self.means = nn.ParameterList(leaves[f"mean/{layer.name}"][0] / scale[:, 0] for layer, scale in named)
        self.factors = nn.ParameterList(leaves[f"factor/{layer.name}"][0] / scale for layer, scale in named)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Returns values [N, K] at a draw, or at the mean."""
        parts = [None] * len(self.layers) if noise is None else noise.split(RANK)
        for i, (layer, mean, factor, own) in enumerate(zip(self.layers, self.means, self.factors, parts, strict=True)):
            flat = mean if own is None else mean + factor @ own
            weight, bias = flat.split([layer.fan_in * layer.fan_out, layer.fan_out])
            x = x @ weight.view(layer.fan_in, layer.fan_out) / layer.fan_in**0.5 + bias
            x = torch.relu(x) if i + 1 < len(self.layers) else x
        return x

    def fit(self, data: Data, optimizer: Optimizer, steps: int, batch: int) -> None:
        """Trains with torch's own SGD on the minibatches and the noise of seed 0."""
        groups = [{"params": [*self.means]}, {"params": [*self.factors], "lr": optimizer.learning_rate / RANK}]
        torch_sgd = torch.optim.SGD(groups, lr=optimizer.learning_rate, momentum=optimizer.momentum)
        rows, noise = Stream((0,), "minibatches"), Stream((0,), "training noise", dtype=DTYPE)
        for _ in range(steps):
            index = rows.integers(data.x.shape[1], batch)[0]
            values = self(data.x[0, index], noise.normal(1, RANK * len(self.layers))[0, 0])
            taken = values.gather(1, data.output[0, index].unsqueeze(1)).squeeze(1)
            torch_sgd.zero_grad()
            cast(Tensor, (data.y[0, index] - taken).square().mean()).backward()
            torch_sgd.step()


CHECKS = (
    Check(
        "ntp",
        "Widths",
        "The neural-tangent parametrisation with its multiplier absorbed into weights and learning rates is the one "
        "with the multiplier 1/√fan_in in the forward pass.",
        "With w' = cw, a gradient is c times smaller and a step c² times: means and factors alike. The reference is "
        "plain PyTorch, with torch's SGD and autograd through the factor.",
        neural_tangent,
    ),
    Check(
        "prior-width",
        "Widths",
        "Under muP with the first and last layer stochastic, the input-dependent standard deviation of the prior falls "
        "as width^−½; function_std holds it where it is wanted; under NTP (and SP) it is of order 1 at every width.",
        "The output layer's weights have standard deviation 1/width: a sum over width units of them is width^−½. Both "
        "depths fall so; their constants differ. The scale s that restores it grows as between width^¼ and width^½: "
        "one layer's deviations give s·width^−½, those of both multiply to s²·width^−½.",
        prior_widths,
        slow=True,
    ),
    Check(
        "learning-rates",
        "Widths",
        "Under muP the best learning rate does not move with the width; under SP it falls.",
        "IBVI on a smooth function of 6 features, two hidden layers, 100 steps, in float32. Slopes are of log best "
        "rate against log width.",
        transfer,
        slow=True,
    ),
)
