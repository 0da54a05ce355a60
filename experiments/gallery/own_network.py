"""A network of your own: any torch.nn.Module, here with residual blocks and layer norms, in the place of the MLP.

Every posterior takes it. The first and last layers are found by calling it. Run it: python own_network.py
"""

from torch import nn

import vbandits
from vbandits.networks import Module


class Block(nn.Module):
    """x + f(x)."""

    def __init__(self, width):
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x):
        """Adds what the block finds to what it is given."""
        return x + self.inner(x)


def residual(features, outputs):
    """Makes the network for rows of so many features, and as many outputs as there are arms."""
    return nn.Sequential(nn.Linear(features, 32), Block(32), nn.LayerNorm(32), nn.Linear(32, outputs))


if __name__ == "__main__":
    agents = ["ibvi", vbandits.preset("ibvi", label="ibvi, residual", network=Module(residual))]
    results = vbandits.run(environments=["vbandits/NeuralBandit-v0"], agents=agents, seeds=2, steps=200, workers=1)
    print(results.summary()[["agent", "relative_regret", "nll", "seconds"]])
