"""Any `torch.nn.Module` as a network of the suite."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vbandits.networks.layers import group
from vbandits.networks.mlp import affine, taken
from vbandits.networks.parametrization import Parametrization
from vbandits.networks.weights import dense
from vbandits.types import Layer, Network, Weights


@dataclass(frozen=True)
class Module:
    """Configuration of a network that the user writes in PyTorch.

    Attributes:
        factory: called with D features and K outputs, returns an `nn.Module` that maps [N, D] to [N, K]; or
            "my_networks:make", the place of such a function.
        parametrization: "mup", "sp" or "ntp"; it initialises the weights, the module's own values are not used.
        input: name of the submodule that sees the input, if it is not the first one called that has a weight matrix.
        output: name of the submodule that gives the output, if it is not the last one called.
    """

    factory: Callable[[int, int], nn.Module] | str
    parametrization: Parametrization = "mup"
    input: str | None = None
    output: str | None = None

    def build(self, features: int, outputs: int) -> Network:
        """Returns the network for D features and K outputs."""
        from vbandits.registry import load

        factory = load(self.factory, "network") if isinstance(self.factory, str) else self.factory
        with torch.random.fork_rng(devices=[]):  # what it draws by itself is the same in every process
            torch.manual_seed(0)
            module = factory(features, outputs)
        return from_module(module, self.parametrization, features=features, input=self.input, output=self.output)


def from_module(
    module: nn.Module,
    parametrization: str = "mup",
    *,
    features: int | None = None,
    input: str | None = None,
    output: str | None = None,
) -> Network:
    """Returns any module that maps [N, D] to [N, K] as a network.

    Args:
        module: its parameters that need no gradient, and its buffers, stay as they are.
        parametrization: "mup", "sp" or "ntp".
        features: D. With it the module is called once, which tells in what order its layers come and whether its
            output is that of a linear layer, over which expectations have a closed form; without it, D is that of the
            first submodule if it is linear, or else layers come in the order in which they were defined.
        input: name of the submodule that sees the input, where it is not the first that has a weight matrix.
        output: name of the submodule that gives the output, where it is not the last.

    Raises:
        ValueError: where rows of a batch would influence each other (BatchNorm), there is no weight matrix, no
            submodule of a name, a parameter without influence, or one whose fans are not known.
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"expected a network whose rows do not influence each other, got {type(part).__name__} at {name!r}: "
                "use GroupNorm or LayerNorm"
            )
    parts = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.modules.dropout._DropoutNd)]
    if off := [name for name, part in parts if part.p > 0]:
        warnings.warn(
            f"{type(module).__name__}: dropout ({', '.join(off)}) is off here, in training too, as each draw of a "
            "posterior is one function: use the posterior dropout, which drops the inputs of layers",
            stacklevel=2,
        )
    module = copy.deepcopy(module).eval()  # the caller's own stays as it is
    example = _example(module, features)
    layers = group(module, _called(module, example), input, output)
    body = _body(module, layers[-1], example)
    if body is None:
        return ModuleNetwork(module, layers, parametrization)
    return HeadedModuleNetwork(module, layers, parametrization, body)


class ModuleNetwork:
    """The pure function of a module, mapped over replicas and draws."""

    def __init__(self, module: nn.Module, layers: tuple[Layer, ...], parametrization: str) -> None:
        self.parametrization = parametrization
        self.layers = layers
        self._module = module
        self._fixed: dict[tuple[int, torch.device, torch.dtype], dict[str, Tensor]] = {}
        # one convolution with other weights per model is slow on a CPU, and attention has no such form: a model at a
        # time
        parts = [type(part) for part in module.modules()]
        self._in_turn_on_cpu = any(issubclass(part, nn.modules.conv._ConvNd) for part in parts)
        self._in_turn = any(issubclass(part, nn.MultiheadAttention) for part in parts)

    def apply(self, weights: Weights, x: Float[Tensor, "R s N D"]) -> Float[Tensor, "R S N K"]:
        """Returns the network's outputs."""
        return self._map(self._module, weights, x)

    def _map(self, module: nn.Module, weights: Weights, x: Tensor) -> Tensor:
        weights = {name: dense(weight) for name, weight in weights.items()}
        replicas = x.shape[0]
        draws = max([x.shape[1], *(weight.shape[1] for weight in weights.values())])
        fixed = self._fixed_as(module, x)

        def call(model: Mapping[str, Tensor], rows: Tensor) -> Tensor:
            return torch.func.functional_call(module, {**fixed, **model}, (rows,))

        if self._in_turn or (self._in_turn_on_cpu and x.device.type == "cpu"):
            models = zip(*(_models(value, replicas, draws) for value in (*weights.values(), x)), strict=True)
            with _differentiable_attention():
                values = torch.stack([call(dict(zip(weights, own, strict=True)), rows) for *own, rows in models])
        else:
            flat = {
                name: weight.expand(replicas, draws, *weight.shape[2:]).flatten(0, 1)
                for name, weight in weights.items()
            }
            values = torch.vmap(call)(flat, x.expand(replicas, draws, *x.shape[2:]).flatten(0, 1))
        return values.unflatten(0, (replicas, draws))

    def _fixed_as(self, module: nn.Module, x: Tensor) -> dict[str, Tensor]:
        """Returns what is not trained, on the device and in the precision of the inputs."""
        key = (id(module), x.device, x.dtype)
        if key not in self._fixed:
            self._fixed[key] = {
                name: value.to(x.device, x.dtype if value.is_floating_point() else value.dtype)
                for name, value in _fixed(module).items()
            }
        return self._fixed[key]


class HeadedModuleNetwork(ModuleNetwork):
    """A module whose output is that of a linear layer."""

    def __init__(self, module: nn.Module, layers: tuple[Layer, ...], parametrization: str, body: nn.Module) -> None:
        super().__init__(module, layers, parametrization)
        self._body = body
        self._weight, *bias = layers[-1].shapes
        self._bias = bias[0] if bias else None

    def features(self, weights: Weights, x: Float[Tensor, "R s N D"]) -> Float[Tensor, "R S N H"]:
        """Returns the inputs of the last layer."""
        own = {name: weight for name, weight in weights.items() if name not in self.layers[-1].shapes}
        return self._map(self._body, own, x)

    def head(
        self, weights: Weights, features: Float[Tensor, "R s N H"], output: Int64[Tensor, "R N"] | None = None
    ) -> Float[Tensor, "R S N *K"]:
        """Returns the last layer's outputs given its inputs, or only the one taken in each row."""
        weight, bias = weights[self._weight], weights[self._bias] if self._bias else None
        if output is None:
            return affine(features, weight.mT, bias)
        return taken(dense(weight), None if bias is None else dense(bias), features, output)

    def apply(self, weights: Weights, x: Float[Tensor, "R s N D"]) -> Float[Tensor, "R S N K"]:
        """Returns the network's outputs; what all draws share is evaluated once."""
        return self.head(weights, self.features(weights, x))


def _models(value: Tensor, replicas: int, draws: int) -> Iterable[Tensor]:
    if value.shape[1] == draws:
        return value.flatten(0, 1).unbind()
    return [own for own in value.squeeze(1).unbind() for _ in range(draws)]


def _fixed(module: nn.Module) -> dict[str, Tensor]:
    """Returns what is not trained."""
    frozen = {name: value for name, value in module.named_parameters() if not value.requires_grad}
    return {**frozen, **dict(module.named_buffers())}


@contextlib.contextmanager
def _differentiable_attention() -> Iterator[None]:
    """Keeps attention in evaluation mode from a shortcut of torch's that has no derivative."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _example(module: nn.Module, features: int | None) -> Tensor | None:
    """Returns two rows of zeros to call the module with, or None where their width is not known."""
    first = next((part for part in module.modules() if any(True for _ in part.parameters(recurse=False))), None)
    if features is None and isinstance(first, nn.Linear):
        features = first.in_features
    if features is None or first is None:
        return None
    parameter = next(module.parameters())
    return torch.zeros(2, features, dtype=parameter.dtype, device=parameter.device)


def _called(module: nn.Module, example: Tensor | None) -> list[str]:
    """Returns the names of the submodules with parameters of their own, in the order in which they are called.

    Those that are never called themselves, though their parameters are used, come before the last one called.

    Raises:
        ValueError: if the module cannot be called, or has trainable parameters that its output does not depend on.
    """
    owners = {name: part for name, part in module.named_modules() if any(True for _ in part.parameters(recurse=False))}
    if example is None:
        return list(owners)
    order: dict[str, None] = {}
    hooks = [
        part.register_forward_pre_hook(lambda *_, name=name: order.setdefault(name)) for name, part in owners.items()
    ]
    try:
        with _differentiable_attention():
            values = module(example)
    except Exception as error:
        raise ValueError(
            f"expected a module that maps {list(example.shape)} to [2, K], got from {type(module).__name__}: "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    _refuse_unused(module, values)
    called = list(order)
    return [*called[:-1], *(name for name in owners if name not in order), *called[-1:]]


def _refuse_unused(module: nn.Module, values: Tensor) -> None:
    named = {name: value for name, value in module.named_parameters() if value.requires_grad}
    gradients = torch.autograd.grad(values.sum(), list(named.values()), allow_unused=True) if named else ()
    unused = [name for name, gradient in zip(named, gradients, strict=True) if gradient is None]
    if unused:
        raise ValueError(
            f"expected an output that depends on every trainable parameter, got one that does not on "
            f"{', '.join(map(repr, unused))}: remove them, or set requires_grad_(False)"
        )


def _body(module: nn.Module, last: Layer, example: Tensor | None) -> nn.Module | None:
    """Returns the module without its last layer, if that is linear and what it gives is what the module returns."""
    head = dict(module.named_modules()).get(last.name)
    if example is None or not isinstance(head, nn.Linear) or head is module:
        return None
    if len(last.shapes) != sum(1 for _ in head.parameters()):  # some of it is frozen
        return None
    calls: list[tuple[Tensor, Tensor]] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
        calls.append((inputs[0], result))

    hook = head.register_forward_hook(note)
    try:
        with torch.no_grad():
            values = module(example)
    finally:
        hook.remove()
    if len(calls) != 1 or calls[0][1] is not values or calls[0][0].dim() != 2:
        return None
    body = copy.deepcopy(module)
    body.set_submodule(last.name, nn.Identity())
    return body
