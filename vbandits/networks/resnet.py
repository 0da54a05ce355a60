"""ResNet-18 with group normalisation, whose rows do not influence each other."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from vbandits.networks.images import Image, shape_of
from vbandits.networks.module import from_module
from vbandits.networks.parametrization import Parametrization
from vbandits.types import Network

GROUPS = 16


@dataclass(frozen=True)
class ResNet18:
    """Configuration of ResNet-18 (He et al., 2016) with GroupNorm (Wu and He, 2018) in place of BatchNorm.

    Images of up to 64 pixels keep their resolution in the first layer, a 3 x 3 convolution; larger ones are reduced
    fourfold by a 7 x 7 convolution and a maximum.

    Attributes:
        image: channels, height and width; by default 3 x 32 x 32 for 3,072 features, 1 x 28 x 28 for 784.
        width: channels of the first stage; doubled in each of the three others.
        parametrization: "mup", "sp" or "ntp".
    """

    image: Image | None = None
    width: Annotated[int, Field(ge=1)] = 64
    parametrization: Parametrization = "mup"

    def build(self, features: int, outputs: int) -> Network:
        """Returns the network for flattened images, channels first."""
        module = _Module(shape_of(features, self.image), self.width, outputs)
        return from_module(module, self.parametrization, features=features)


class _Module(nn.Module):
    def __init__(self, image: Image, width: int, outputs: int) -> None:
        super().__init__()
        self.image = image
        if max(image[1:]) <= 64:
            self.stem = nn.Sequential(nn.Conv2d(image[0], width, 3, padding=1, bias=False), _norm(width), nn.ReLU())
        else:
            self.stem = nn.Sequential(
                nn.Conv2d(image[0], width, 7, 2, 3, bias=False), _norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
            )
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(_Block(inside, outside, 1 if stage == 0 else 2), _Block(outside, outside, 1))
                for stage, (inside, outside) in enumerate(pairwise(widths))
            )
        )
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x.unflatten(1, self.image))).mean((2, 3)))


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
            _norm(outside),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False),
            _norm(outside),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or inside != outside:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), _norm(outside))

    def forward(self, x: Tensor) -> Tensor:
        return (self.path(x) + self.shortcut(x)).relu()


def _norm(channels: int) -> nn.GroupNorm:
    """Returns a group normalisation with at most 16 groups, as many as divide the channels."""
    return nn.GroupNorm(next(groups for groups in range(GROUPS, 0, -1) if channels % groups == 0), channels)
