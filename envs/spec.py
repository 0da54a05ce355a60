"""Environments as an experiment declares them, and how they are opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vbandits.envs.base import NativeBandit


@dataclass(frozen=True)
class EnvironmentSpec:
    """The declaration of an environment.

    Attributes:
        label: how reports call it.
        source: an id of gymnasium's registry, or a class or function that makes an environment.
        kwargs: handed to the environment.
    """

    label: str
    source: str | Callable[..., Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def open(self, lanes: int, device: str = "cpu") -> Any:
        """Returns the environment with a number of lanes: a vector environment of tensors on the device."""
        from vbandits.registry import ENVIRONMENTS, load
        native: type[NativeBandit] = load(ENVIRONMENTS[self.source][0])
        return native(num_envs=lanes, device=device, **self.kwargs)
