"""A grammar of experiment files and command lines, whole and malformed."""

import copy
import datetime
import inspect
import json
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from vbandits.registry import ACQUISITIONS, ACTIVE, BANDITS, NETWORKS, POSTERIORS, RULES, load
from vbandits.types import Optimizer, Schedule

FILE = "experiment.toml"
LINEAR, WHEEL = "vbandits/LinearBandit-v0", "vbandits/Wheel-v0"
SMALL = {"hidden": [4]}
MODULES = {
    "my_tools.py": "import gymnasium\ndef make(): return gymnasium.make('CartPole-v1')\nAGENT = {'id': 'linear-ts'}\n",
    "my_policies.py": """
class First:
    def __init__(self, arm=0):
        self.arm = arm

    def act(self, observation):
        return self.arm

    def observe(self, action, reward):
        pass
""",
    "broken.py": "def f(:\n",
    "lacking.py": "import no_such_module\n",
    "leaving.py": "exit(0)\n",
    "loud.py": "raise RuntimeError('\\x1b[2J' + 'a' * 100_000)\n",
}
WHOLE = [
    {"name": "e", "seeds": 1, "steps": 3, "environments": [LINEAR], "agents": ["uniform"]},
    {
        "name": "e",
        "seeds": [3, 5],
        "steps": 4,
        "block": 1,
        "delay": 1,
        "batch": 2,
        "environments": [{"id": LINEAR, "label": "here", "kwargs": {"arms": 3, "features": 4}, "delay": 2}],
        "agents": [
            {
                "id": "ibvi",
                "label": "mine",
                "posterior": {"kind": "ibvi", "rank": 2, "prior_scale": 1.0},
                "rule": {"kind": "thompson"},
                "network": {"kind": "mlp", "hidden": [4], "activation": "tanh"},
                "schedule": {"every": 2, "gradient_steps": 1, "batch_size": 2, "initial_pulls": 1},
                "optimizer": {"learning_rate": 0.1},
                "standardize": True,
            }
        ],
    },
    {
        "name": "e",
        "seeds": 2,
        "steps": 3,
        "environments": [{"id": WHEEL, "kwargs": {"delta": [0.5, 0.9]}}, "my_tools:make", "CartPole-v1"],
        "agents": [
            {"policy": "my_policies:First", "kwargs": {"arm": 0}},
            {"id": "linear-ts"},
            {"posterior": {"kind": "linear"}, "rule": {"kind": "epsilon_greedy"}},
            "my_tools:AGENT",
        ],
        "callbacks": ["my_tools:make"],
    },
    {
        "name": "e",
        "seeds": 1,
        "evaluations": 2,
        "problems": [{"kwargs": {"pool": "digits", "rows": 50, "test_rows": 20, "budget": 12}}],
        "learners": [{"id": "ibvi", "acquisition": ["bald", "random"], "network": SMALL, "candidates": 5}],
    },
    {
        "name": "e",
        "seeds": 1,
        "steps": 2,
        "batch_size": 4,
        "datasets": [{"id": "digits", "kwargs": {}}],
        "methods": [{"id": "ibvi", "network": {"kind": "mlp", "hidden": [4]}, "temperature": 1.0}],
    },
    {
        "name": "e",
        "seeds": 1,
        "steps": 2,
        "settings": 2,
        "environments": [LINEAR],
        "agents": [{"id": "ibvi", "network": SMALL, "search": {"optimizer.learning_rate": [0.1, 0.2, 0.3]}}],
    },
    {"name": "e", "seeds": 1, "folds": 2, "logs": ["log.csv"], "policies": ["uniform"]},
]
WORDS = ["kind", "id", "label", "kwargs", "posterior", "rule", "network", "seeds", "steps", "agents", "search", "save"]
NAMES = ["ibvi", "uniform", "greedy", "linear-ts", "deterministic", "thompson", "mlp", LINEAR, WHEEL, "CartPole-v1"]
PLACES = [f"{name[:-3]}:{attribute}" for name in MODULES for attribute in ("make", "AGENT", "x")] + [
    "os:system",
    "subprocess:run",
    "shutil:rmtree",
    "builtins:exec",
    "pathlib:Path",
    "torch.nn:Linear",
    "gymnasium:make",
    "vbandits.envs.wheel:Wheel",
    "../x:y",
    ".x:y",
    ":",
    "a:",
    "::",
    "my_tools:acme/Ads-v0",
]
TEXTS = ["", " ", "\x00", "\x1b[2J", "a" * 300, "é" * 200, "../x", "/", "=1+1", "<script>", "nan", "inf", "[]", "1e400"]
NUMBERS = [0, -1, 1, 2, 7, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**12, 10**30, -(10**30), 10**400]
FLOATS = [0.0, -0.0, 0.5, 1.0, -1.0, 1e-320, 1e308, -1e308, float("inf"), -float("inf"), float("nan")]


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


plain = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(FLOATS),
    st.booleans(),
    st.sampled_from([*TEXTS, *NAMES, *PLACES]),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from([datetime.date(2020, 1, 1), datetime.time(1, 2), datetime.datetime(2020, 1, 1, 1, 1)]),
)
anything = st.one_of(
    plain,
    st.lists(plain, max_size=4),
    st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), plain, max_size=3),
    st.sampled_from(
        [[], {}, [[]], [{}], {"kind": {}}, deep(50), deep(400), list(range(40)), [0.5] * 300, list(range(200_000))]
    ),
)


@dataclass(frozen=True)
class Case:
    """An experiment file, its bytes, and a command line."""

    content: bytes
    arguments: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{list(self.arguments)}\n{self.content.decode(errors='backslashreplace')}"


def toml(document) -> str:
    return "".join(f"{key(name)} = {value(own)}\n" for name, own in document.items())


def key(name):
    return name if name.isascii() and name.replace("_", "").isalnum() else json.dumps(name, ensure_ascii=False)


def value(own):
    if isinstance(own, bool):
        return str(own).lower()
    if isinstance(own, str):
        return json.dumps(own, ensure_ascii=False)
    if isinstance(own, list):
        return f"[{', '.join(map(value, own))}]"
    if isinstance(own, dict):
        return "{" + ", ".join(f"{key(name)} = {value(one)}" for name, one in own.items()) + "}"
    return own.isoformat() if hasattr(own, "isoformat") else str(own)


def places(document, found=()):
    """Yields where something stands, as a path of keys and indices; deep places, all alike, are left out."""
    if len(found) > 10:
        return
    parts = document.items() if isinstance(document, dict) else enumerate(document)
    for name, own in parts:
        yield (*found, name)
        if isinstance(own, dict | list):
            yield from places(own, (*found, name))


@st.composite
def documents(draw):
    """Content of experiment files: whole ones, of which up to three things are replaced, removed, added or misspelt."""
    document = copy.deepcopy(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from([*places(document)] or [("name",)]))
        inner = document
        for part in path[:-1]:
            inner = inner[part]
        last, how = (
            path[-1],
            draw(st.sampled_from(["replace", "replace", "remove", "add", "misspell", "list", "table"])),
        )
        if how == "replace" or (how == "misspell" and isinstance(inner, list)):
            inner[last] = copy.deepcopy(draw(anything))
        elif how == "remove" and len(document) > 1:
            del inner[last]
        elif how == "list":
            inner[last] = [inner[last], copy.deepcopy(draw(anything))]
        elif how == "table":
            inner[last] = {draw(st.sampled_from(WORDS)): inner[last]}
        elif isinstance(inner, dict):
            name = draw(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)))
            inner[name] = inner.pop(last) if how == "misspell" else copy.deepcopy(draw(anything))
        else:
            inner.append(copy.deepcopy(draw(anything)))
    return document


def fields_of(place):
    """Returns the names of what a registered class is made with."""
    taken = inspect.signature(load(place)).parameters
    return [name for name in taken if name not in ("num_envs", "device", "self", "args", "kwargs")]


def registered():
    """Yields documents in which one part is of a registered kind, and the path of each of its fields."""
    agent = {"id": "ibvi", "network": SMALL}
    base = {"name": "e", "seeds": 1, "steps": 2, "environments": [LINEAR]}
    for name, place in BANDITS.items():
        for own in fields_of(place):
            yield base | {"environments": [{"id": name, "kwargs": {}}]}, ("environments", 0, "kwargs", own)
    for section, kinds in (("posterior", POSTERIORS), ("rule", RULES), ("network", NETWORKS)):
        for kind, place in kinds.items():
            for own in fields_of(place):
                yield base | {"agents": [agent | {section: {"kind": kind}}]}, ("agents", 0, section, own)
    for section, cls in (("schedule", Schedule), ("optimizer", Optimizer)):
        for own in inspect.signature(cls).parameters:
            yield base | {"agents": [agent | {section: {}}]}, ("agents", 0, section, own)
    run = ("delay", "batch", "recorded", "block", "device", "precision", "log", "callbacks", "timeout", "save")
    for name in (*run, "checkpoint"):
        yield base, (name,)
    for name in ("label", "kwargs", "delay", "batch", "log", "id"):
        yield base | {"environments": [{"id": LINEAR}]}, ("environments", 0, name)
    pool = {"pool": "digits", "rows": 50, "test_rows": 20, "budget": 12}
    active = {"name": "e", "seeds": 1, "evaluations": 2, "problems": [{"kwargs": pool}]}
    learner = {"id": "ibvi", "acquisition": "random", "network": SMALL}
    for kind, place in ACQUISITIONS.items():
        for own in fields_of(place):
            yield (
                active | {"learners": [learner | {"acquisition": {"kind": kind}}]},
                ("learners", 0, "acquisition", own),
            )
    for own in (*fields_of(ACTIVE["vbandits/PoolActiveLearning-v0"]), "pool", "rows", "test_part", "pool_seed", "task"):
        yield active | {"learners": [learner]}, ("problems", 0, "kwargs", own)
    for own in ("training", "optimizer", "candidates"):
        yield active | {"learners": [learner]}, ("learners", 0, own)


@cache
def parts():
    return [*registered()]


@st.composite
def nearly_whole(draw):
    """Experiment files in which a single field has a value that it may not have."""
    document, path = draw(st.sampled_from(parts()))
    inner = document = copy.deepcopy(document)
    for name in path[:-1]:
        inner = inner[name]
    given = draw(st.one_of(plain, st.lists(plain, max_size=2), anything))
    inner[path[-1]] = copy.deepcopy(given)
    return toml(document).encode(errors="surrogatepass")


@st.composite
def files(draw):
    """Bytes of experiment files, now and then not TOML at all."""
    content = toml(draw(documents())).encode(errors="surrogatepass")
    if draw(st.integers(0, 9)):
        return content
    start = draw(st.integers(0, len(content)))
    end = min(len(content), start + draw(st.integers(0, 20)))
    other = draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"\xff\xfe", b"[[", b"=", b'"""', b"\r", b"\x00"])))
    return content[:start] + other + content[end:]


words = st.one_of(
    st.sampled_from([*NAMES, *PLACES, *TEXTS[:2], *TEXTS[4:], "here", "mine", "0", "1", "-1", "1,2", "0-3", "9" * 50]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12),
    st.just("\udce9"),
)
settings_ = st.one_of(
    st.builds(
        "{}={}".format,
        st.sampled_from(
            ["posterior.rank", "schedule.every", "agents.mine.posterior.rank", "kwargs.arms", "delay", "rule.kind", "."]
        ),
        st.one_of(words, anything.map(lambda own: str(own)[:200])),
    ),
    words,
)
options = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                *("--seeds", "--steps", "--name", "--device", "--workers", "--engine", "--shard", "--agents", "--log"),
                *("--environments", "--datasets", "--methods", "--problems", "--learners", "--data-dir", "--callback"),
                *("--address", "--out", "--nothing"),
            ]
        ),
        words,
    ),
    st.tuples(st.just("--set"), settings_),
    st.sampled_from([("--overwrite",), ("--seeds",), ("--", "x"), ("-h",), ("--seeds=1",)]),
    st.tuples(words),
)
commands = st.one_of(
    st.builds(
        lambda command, file, given: (command, *file, *(part for one in given for part in one)),
        st.sampled_from(["run", "run", "run", "run", "tune"]),
        st.sampled_from([(FILE,), (FILE,), (FILE,), (), ("no.toml",), (".",)]),
        st.lists(options, max_size=3),
    ),
    st.builds(
        lambda command, given: (command, *given),
        st.sampled_from(["report", "compare", "merge", "watch", "list", "repotr", ""]),
        st.lists(st.one_of(words, st.sampled_from([FILE, ".", "--out", "--benchmark", "--every"])), max_size=3),
    ),
)
cases = st.one_of(
    st.builds(Case, nearly_whole(), st.just(("run", FILE))),
    st.builds(Case, nearly_whole(), st.just(("run", FILE))),
    st.builds(Case, files(), st.just(("run", FILE))),
    st.builds(Case, files(), commands),
    st.builds(lambda document, command: Case(toml(document).encode(), command), st.sampled_from(WHOLE), commands),
)
