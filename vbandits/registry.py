"""Everything that has a name: benchmarks, environments, posteriors, ...; and how a user's own are found."""

import importlib
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from vbandits.named import require_kind
from vbandits.source_hash import told

BANDITS = {
    "vbandits/Wheel-v0": "vbandits.envs.wheel:Wheel",
    "vbandits/LinearBandit-v0": "vbandits.envs.synthetic:LinearBandit",
    "vbandits/SparseLinearBandit-v0": "vbandits.envs.synthetic:SparseLinearBandit",
    "vbandits/NeuralBandit-v0": "vbandits.envs.synthetic:NeuralBandit",
    "vbandits/GaussianBandit-v0": "vbandits.envs.synthetic:GaussianBandit",
    "vbandits/LogisticBandit-v0": "vbandits.envs.noise:LogisticBandit",
    "vbandits/HeteroscedasticBandit-v0": "vbandits.envs.noise:HeteroscedasticBandit",
    "vbandits/AbruptBandit-v0": "vbandits.envs.nonstationary:AbruptBandit",
    "vbandits/DriftingBandit-v0": "vbandits.envs.nonstationary:DriftingBandit",
    "vbandits/ArmFeaturesBandit-v0": "vbandits.envs.arm_features:ArmFeaturesBandit",
    "vbandits/Classification-v0": "vbandits.envs.classification:Classification",
    "vbandits/RewardTable-v0": "vbandits.envs.reward_table:RewardTable",
    "vbandits/Mushroom-v0": "vbandits.envs.logged:Mushroom",
    "vbandits/Jester-v0": "vbandits.envs.logged:Jester",
    "vbandits/Financial-v0": "vbandits.envs.logged:Financial",
}
"""Native bandits: id, and the class, which batches seeds."""
ACTIVE = {
    "vbandits/PoolActiveLearning-v0": "vbandits.envs.active.environment:PoolActiveLearning",
    "vbandits/StreamActiveLearning-v0": "vbandits.envs.active.stream:StreamActiveLearning",
}
"""Native problems of active learning."""
ENVIRONMENTS = BANDITS | ACTIVE

POSTERIORS = {
    "deterministic": "vbandits.posteriors.deterministic:Deterministic",
    "dropout": "vbandits.posteriors.dropout:Dropout",
    "elbo": "vbandits.posteriors.elbo:ELBO",
    "ensemble": "vbandits.posteriors.ensemble:Ensemble",
    "ibvi": "vbandits.posteriors.ibvi:IBVI",
    "ibvi_limit": "vbandits.posteriors.ibvi_limit:IBVILimit",
    "laplace": "vbandits.posteriors.laplace:Laplace",
    "linear": "vbandits.posteriors.linear:Linear",
    "neural_linear": "vbandits.posteriors.neural_linear:NeuralLinear",
    "swag": "vbandits.posteriors.swag:SWAG",
    "wasserstein": "vbandits.posteriors.wasserstein:WassersteinVI",
}
RULES = {
    "epsilon_greedy": "vbandits.agents.rules:EpsilonGreedy",
    "greedy": "vbandits.agents.rules:Greedy",
    "thompson": "vbandits.agents.rules:Thompson",
    "uniform": "vbandits.agents.rules:Uniform",
}
NETWORKS = {
    "lenet5": "vbandits.networks.lenet:LeNet5",
    "mlp": "vbandits.networks.mlp:MLP",
    "module": "vbandits.networks.module:Module",
    "resnet18": "vbandits.networks.resnet:ResNet18",
}

ACQUISITIONS = {
    "badge": "vbandits.agents.acquisition.diversity:BADGE",
    "bald": "vbandits.agents.acquisition.information:BALD",
    "batch_bald": "vbandits.agents.acquisition.joint:BatchBALD",
    "core_set": "vbandits.agents.acquisition.diversity:CoreSet",
    "coverage": "vbandits.agents.acquisition.typical:Coverage",
    "entropy": "vbandits.agents.acquisition.scores:Entropy",
    "epig": "vbandits.agents.acquisition.information:EPIG",
    "integrated_variance": "vbandits.agents.acquisition.covariance:IntegratedVariance",
    "least_confidence": "vbandits.agents.acquisition.scores:LeastConfidence",
    "margin": "vbandits.agents.acquisition.scores:Margin",
    "max_det": "vbandits.agents.acquisition.covariance:MaxDet",
    "mean_std": "vbandits.agents.acquisition.scores:MeanStd",
    "posterior_sampling": "vbandits.agents.acquisition.information:PosteriorSampling",
    "random": "vbandits.agents.acquisition.batches:Random",
    "typi_clust": "vbandits.agents.acquisition.typical:TypiClust",
    "variance": "vbandits.agents.acquisition.scores:Variance",
    "vote_entropy": "vbandits.agents.acquisition.scores:VoteEntropy",
}

CALLBACKS = {
    "log": "vbandits.callbacks:Log",
    "mlflow": "vbandits.callbacks:MLflow",
    "tensorboard": "vbandits.callbacks:TensorBoard",
    "trackio": "vbandits.callbacks:Trackio",
    "wandb": "vbandits.callbacks:WandB",
}

BENCHMARKS = {
    "bandits": "vbandits.benchmarks.bandits:BENCHMARK",
    "supervised": "vbandits.benchmarks.supervised:BENCHMARK",
    "active": "vbandits.benchmarks.active:BENCHMARK",
    "offline": "vbandits.benchmarks.offline:BENCHMARK",
}
MOST = 100
"""Names that an error tells."""
DEFAULT_BENCHMARK = "bandits"
"""The one of an `experiment.json` that names none."""


def register_environments() -> None:
    """Registers the native environments with gymnasium."""
    import gymnasium

    for name, place in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            single = f"vbandits.envs.single:{place.partition(':')[2]}"
            gymnasium.register(name, entry_point=single, vector_entry_point=place)


def unknown(what: str, name: str, known: Iterable[str], listed: str = "") -> str:
    """Returns the message for a name that is not known, with the nearest that is, and all that are.

    Args:
        what: it should be a name of.
        name: that was given.
        known: names.
        listed: what `vbandits list` calls them, if it lists them.
    """
    known = sorted(set(known))
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    more = f", and {len(known) - MOST:,} more" if len(known) > MOST else ""
    said = f"; `vbandits list {listed}` says what they are" if listed else ""
    return f"unknown {what} {name!r}{hint} (known: {', '.join(known[:MOST])}{more}{said})"


def load(reference: str, what: str = "", *, imports: bool = True) -> Any:
    """Returns the object at "module:name".

    Args:
        reference: the place.
        what: of `named.KINDS` it must be, if it is going to be called, such as "environment".
        imports: whether the module is imported; if not, it must have been before. Data may name modules, too.

    Raises:
        ValueError: if there is no such module, no such name in it, or if it is no such thing.
    """
    module_name, _, attribute = reference.partition(":")
    file = module_name.endswith(".py")
    if file or not (attribute and all(part.isidentifier() for part in module_name.split("."))):
        mend = ": leave out .py" if file else ""
        raise ValueError(f"expected 'module:name', such as 'my_module:MyClass', got {reference!r}{mend}")
    found = _attribute(_module(module_name, reference, imports), attribute)
    if what:
        require_kind(what, reference, found)
    return found


def _module(name: str, reference: str, imports: bool) -> Any:
    if not imports and name.partition(".")[0] != "vbandits":
        if name not in sys.modules:
            raise ValueError(
                f"expected the module {name!r} of {reference!r} to be imported already, since it is data that name it: "
                "import it before, if it is yours"
            )
        return sys.modules[name]
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name in (name.split(".")[0], name):
            raise ValueError(
                f"no module {name!r} for {reference!r}: expected {name}.py in the current folder, beside "
                "the experiment file, or installed"
            ) from None
        # the module exists: what is written in it, or what it imports, is at fault
        what = told(error, f"{type(error).__name__}: {error}")
        hint = f": pip install what has {error.name}" if isinstance(error, ModuleNotFoundError) else ""
        raise ValueError(f"cannot import {name!r} for {reference!r}: {what}{hint}") from error


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        raise ValueError(unknown(f"name in {module.__name__}", name, [n for n in vars(module) if n[0] != "_"]))
    return getattr(module, name)


def find(what: str, name: Any, known: dict[str, str], *, imports: bool = True) -> Any:
    """Returns what is registered under `name`, or the user's own where it is "module:name", as `load` does."""
    kind = what.removeprefix("kind of ")
    if not isinstance(name, str):
        raise ValueError(f"expected a name of a {kind}, got {name!r}")
    if name in known:
        return load(known[name])
    if ":" in name:
        return load(name, kind, imports=imports)
    raise ValueError(unknown(what, name, known, f"{kind}s" if what != kind else ""))
