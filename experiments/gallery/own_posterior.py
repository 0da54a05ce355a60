"""A posterior of your own: Bayesian linear regression on random cosine features, which approximates a Gaussian process.

Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", 2007. A posterior is a frozen dataclass with five
methods (vbandits/types.py); replicas, one for each seed, are the first axis of everything.

Run it: python own_posterior.py
"""

from dataclasses import dataclass

import torch

import vbandits
from vbandits.agents import Thompson
from vbandits.predictive import Mixture
from vbandits.streams import Stream


@dataclass(frozen=True)
class RandomFeatures:
    """y = w . cos(F x + b) + noise, w of every output normal; `features` of them, for functions of a length scale."""

    features: int = 100
    length: float = 2.0

    def init(self, task):
        """Draws the features; each seed has its own random numbers, alone and beside others."""
        if not task.likelihood.squared_loss:
            raise ValueError(
                f"expected the squared error with given noise, got {task.likelihood}: use ibvi for classes"
            )
        normal = Stream(task.seeds, "frequencies", dtype=torch.float64).normal(task.features, self.features)
        phase = 2 * torch.pi * Stream(task.seeds, "phases").uniform(1, self.features)
        state = {"frequencies": normal / self.length, "phase": phase, "draws": Stream(task.seeds, "draws")}
        eye = torch.eye(self.features, dtype=torch.float64).repeat(len(task.seeds), task.outputs, 1, 1)
        return state | {"root": eye, "mean": torch.zeros_like(eye[..., 0])}

    def update(self, state, data):
        """Solves for all rows again: data.rows gives some of them, standardised."""
        every = torch.arange(data.x.shape[1]).expand(len(data.x), -1)
        rows, outputs = data.rows(every), state["mean"].shape[1]
        h = self._inputs(state, rows.x)  # [R, N, H]
        taken = torch.nn.functional.one_hot(rows.output, outputs).double().mT  # [R, K, N]: each row is of one output
        noise = data.noise.double()[:, None, None, None]
        gram = torch.einsum("rkn,rnh,rng->rkhg", taken, h, h) / noise + torch.eye(self.features)
        cross = torch.einsum("rkn,rnh,rn->rkh", taken, h, rows.y.double()) / noise[..., 0]
        factor = torch.linalg.cholesky(gram)
        state["mean"] = torch.cholesky_solve(cross.unsqueeze(3), factor).squeeze(3)
        state["root"] = torch.linalg.inv(factor).mT  # the covariance of w is root root^T

    def draw(self, state, draws):
        """Returns functions, one for each draw of w."""
        normal = state["draws"].normal(draws, *state["mean"].shape[1:]).double()
        w = state["mean"].unsqueeze(1) + torch.einsum("rkhg,rskg->rskh", state["root"], normal)
        return lambda x: torch.einsum("rnh,rskh->rsnk", self._inputs(state, x), w)

    def mean(self, state):
        """Returns the mean function, as one draw."""
        return lambda x: torch.einsum("rnh,rkh->rnk", self._inputs(state, x), state["mean"]).unsqueeze(1)

    def predict(self, state, x, output, noise):
        """Returns the exact normal distribution of the targets: a mixture of one."""
        replica, h = torch.arange(len(x)).unsqueeze(1), self._inputs(state, x)
        mean = (h * state["mean"][replica, output]).sum(2)
        spread = torch.einsum("rnh,rnhg->rng", h, state["root"][replica, output]).square().sum(2)
        return Mixture(mean.unsqueeze(1), spread + noise.double().unsqueeze(1), spread)

    def _inputs(self, state, x):
        return (x.double() @ state["frequencies"] + state["phase"]).cos() * (2 / self.features) ** 0.5


if __name__ == "__main__":
    mine = vbandits.AgentSpec("random features", RandomFeatures(), Thompson())
    results = vbandits.run(
        environments=["vbandits/Wheel-v0"], agents=[mine, "linear-ts"], seeds=4, steps=300, workers=1
    )
    print(results.summary()[["agent", "relative_regret", "crps", "coverage_95"]])
