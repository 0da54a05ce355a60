"""Linear regressions of every replica and output, in float64: solved from sums over rows, or a row at a time."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vbandits.types import Batch

LARGE = 256
"""Inputs beyond which matrices are used where they stand, one at a time, instead of in a copy of all."""


def outer_sums(z: Float[Tensor, "R N M"], batch: Batch, outputs: int) -> Float[Tensor, "R K M M"]:
    """Returns the sum of z z^T over the rows of each output, weighted as they are.

    Every replica's rows are sorted by output and each output's multiplied by themselves: no row is multiplied more than
    once, and a sum does not depend on what other replicas took.
    """
    order = batch.output.argsort(dim=1, stable=True)
    counts = torch.nn.functional.one_hot(batch.output, outputs).sum(1).tolist()
    z = z if batch.weight is None else z * batch.weight.sqrt().unsqueeze(1)
    sums = [
        own.mT @ own for rows, index, sizes in zip(z, order, counts, strict=True) for own in rows[index].split(sizes)
    ]
    return torch.stack(sums).view(len(z), outputs, *sums[0].shape)


def solve(precision: Float[Tensor, "*C W W"], cross: Float[Tensor, "*C W"]) -> tuple[Tensor, Tensor]:
    """Returns precision^-1 cross [*C, W], and a root [*C, W, W] of the inverse, root root^T = precision^-1.

    Both are NaN for a matrix that is not positive definite.
    """
    factor, failed = torch.linalg.cholesky_ex(precision)
    if failed.any():
        factor = torch.where(failed[..., None, None] > 0, float("nan"), factor)
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    root = torch.linalg.solve_triangular(factor.mT, eye.expand_as(factor), upper=True)
    return torch.cholesky_solve(cross.unsqueeze(-1), factor).squeeze(-1), root


def evaluated(inputs: Float[Tensor, "R k N W"], location: Float[Tensor, "R K W"]) -> Float[Tensor, "R 1 N K"]:
    """Returns the mean functions at rows of inputs: the same for all outputs (k = 1), or each output's own."""
    return (inputs * location.unsqueeze(2)).sum(3).mT.unsqueeze(1)


def drawn(
    inputs: Float[Tensor, "R k N W"], root: Float[Tensor, "R K W W"], normal: Float[Tensor, "R S K W"]
) -> Float[Tensor, "R S N K"]:
    """Returns draws of the deviations from the mean functions, root normal, at rows of inputs as above."""
    columns = normal.permute(0, 2, 3, 1).to(root).contiguous()  # for the same products whatever R is
    return ((inputs @ root) @ columns).permute(0, 3, 2, 1)


def variance(
    inputs: Float[Tensor, "R N W"], root: Float[Tensor, "R K W W"], output: Int64[Tensor, "R N"]
) -> Float[Tensor, "R N"]:
    """Returns h^T precision^-1 h of every row's inputs, at its output."""
    if root.shape[3] > LARGE and output.shape[1] > 1:  # a row's own root at a time
        each = zip(inputs.split(1, 1), output.split(1, 1), strict=True)
        return torch.cat([variance(own, root, index) for own, index in each], 1)
    replica = torch.arange(len(inputs), device=inputs.device).unsqueeze(1)
    return (inputs.unsqueeze(2) @ root[replica, output]).squeeze(2).square().sum(2)


def add_row(
    location: Float[Tensor, "R K W"],
    root: Float[Tensor, "R K W W"],
    output: Int64[Tensor, " R"],
    inputs: Float[Tensor, "R W"],
    target: Float[Tensor, " R"],
) -> Float[Tensor, " R"]:
    """Adds one row h, y to the regression of one output per replica, in place, as `solve` would have it with the row.

    With v = root^T h and d = 1 + |v|^2 (Potter's square-root filter: Bierman, "Factorization Methods for Discrete
    Sequential Estimation", 1977, section II.7):
        location += root v (y - h . location) / d,   root -= root v v^T / (d + sqrt(d)).

    Returns:
        What the row adds to y^T y - location^T precision location: (y - h . location)^2 / d, [R].
    """
    replica = torch.arange(len(inputs), device=inputs.device)
    own = root[replica, output] if root.shape[3] <= LARGE else None
    if own is None:
        whitened = torch.stack([inputs[r] @ root[r, k] for r, k in enumerate(output.tolist())])
        gain = torch.stack([root[r, k] @ whitened[r] for r, k in enumerate(output.tolist())])
    else:
        whitened = (inputs.unsqueeze(2) * own).sum(1)  # products of a batch of one would have other last bits
        gain = (own * whitened.unsqueeze(1)).sum(2)
    divisor = 1 + whitened.square().sum(1)
    residual = target - (inputs * location[replica, output]).sum(1)
    location[replica, output] += gain * (residual / divisor).unsqueeze(1)
    shrunk = whitened / (divisor + divisor.sqrt()).unsqueeze(1)
    if own is None:
        for r, k in enumerate(output.tolist()):
            root[r, k].addr_(gain[r], shrunk[r], alpha=-1)
    else:
        root[replica, output] = own.addcmul_(gain.unsqueeze(2), shrunk.unsqueeze(1), value=-1)
    return residual.square() / divisor
