"""LeNet-5, for small images."""

from dataclasses import dataclass

from torch import Tensor, nn

from vbandits.networks.images import Image, shape_of
from vbandits.networks.module import from_module
from vbandits.networks.parametrization import Parametrization
from vbandits.types import Network


@dataclass(frozen=True)
class LeNet5:
    """Configuration of LeNet-5 (LeCun et al., 1998) as it is used today: ReLU and maximum pooling.

    Attributes:
        image: channels, height and width; by default 1 x 28 x 28 for 784 features, 3 x 32 x 32 for 3,072.
        parametrization: "mup", "sp" or "ntp".
    """

    image: Image | None = None
    parametrization: Parametrization = "mup"

    def build(self, features: int, outputs: int) -> Network:
        """Returns the network for flattened images, channels first."""
        image = shape_of(features, self.image)
        if min(image[1:]) < 12:
            raise ValueError(
                f"expected images of at least 12 x 12 pixels for LeNet-5, got {image[1]} x {image[2]}: use another "
                "network, such as network = { kind = 'mlp' }"
            )
        return from_module(_Module(image, outputs), self.parametrization, features=features)


class _Module(nn.Module):
    def __init__(self, image: Image, outputs: int) -> None:
        super().__init__()
        channels, *sides = image
        height, width = ((side // 2 - 4) // 2 for side in sides)
        self.image = image
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.dense = nn.Sequential(
            nn.Linear(16 * height * width, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.convolutions(x.unflatten(1, self.image)).flatten(1))
