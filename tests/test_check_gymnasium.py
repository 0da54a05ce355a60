"""`vbandits check` of everything that gymnasium registers, and of all environments of the tests: a verdict each."""

import inspect
import subprocess
import sys
import warnings

import arm_envs
import broken_environments
import gymnasium
import outsider_active
import outsider_envs
import pytest

import vbandits
from vbandits.cli import main
from vbandits.envs.check import check

BARE = subprocess.run(
    [sys.executable, "-c", "import gymnasium; print(*sorted(gymnasium.registry), sep='\\n')"],
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
"""What gymnasium itself registers; what many of them need is not installed."""
OF_TESTS = [
    f"{module.__name__}:{name}"
    for module in (outsider_envs, arm_envs, broken_environments, outsider_active)
    for name, kind in vars(module).items()
    if inspect.isclass(kind) and issubclass(kind, gymnasium.Env) and kind.__module__ == module.__name__
]
PLAYED = {"Acrobot", "Blackjack", "CartPole", "CliffWalking", "CliffWalkingSlippery", "FrozenLake", "FrozenLake8x8"}
PLAYED |= {"MountainCar", "Taxi"}
"""Those with actions to choose from and nothing to install."""
REASONS = (
    ("phys2d/", "No module named 'jax': pip install what has jax"),
    ("tabular/", "No module named 'jax': pip install what has jax"),
    ("Gym", "pip install"),
    ("MountainCarContinuous", "expected a Discrete action space, got Box"),
    ("Pendulum-v1", "expected a Discrete action space, got Box"),
    ("BipedalWalker", 'pip install "gymnasium[box2d]"'),
    ("CarRacing", 'pip install "gymnasium[box2d]"'),
    ("LunarLander", 'pip install "gymnasium[box2d]"'),
    ("", "mujoco"),
)
"""Why others do not work where gymnasium is installed alone, by what their ids begin with."""


def verdict(source, capsys):
    """Runs the command; returns whether it works and what was printed, once that is seen to be a verdict."""
    with pytest.raises(SystemExit) as ended:
        main(["check", source])
    shown = capsys.readouterr()
    assert not shown.err
    assert "Traceback" not in shown.out
    lines = shown.out.splitlines()
    assert lines[0] == source
    assert lines[-1] == (
        "It works." if ended.value.code == 0 else "It does not work yet: mend what failed, then check again."
    )
    assert any(line.strip().startswith("failed") for line in lines) == (ended.value.code == 1)
    return ended.value.code == 0, shown.out


def test_there_are_many():
    assert len(BARE) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", BARE)
def test_every_id_of_gymnasium_has_a_verdict(name, capsys):
    works, text = verdict(name, capsys)
    if name.rpartition("-v")[0] in PLAYED:
        assert works
    elif not works:  # it does where what it needs is installed
        assert next(reason for start, reason in REASONS if name.startswith(start)).lower() in text.lower()


@pytest.mark.parametrize("name", ["CartPole-v1", "Ant-v5", "phys2d/CartPole-v1", "Pendulum-v1", "LunarLander-v3"])
def test_some_ids_of_every_kind_have_a_verdict(name, capsys):
    assert verdict(name, capsys)[0] == (name == "CartPole-v1")


@pytest.mark.parametrize("name", OF_TESTS)
def test_every_environment_of_the_tests_has_a_verdict(name, capsys):
    verdict(name, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PLAYED))
def test_what_works_runs(name):
    registered = next(one for one in reversed(BARE) if one.startswith(f"{name}-v"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        results = vbandits.run([registered], ["linear-ts"], seeds=2, steps=30, workers=1)
    assert {job["status"] for job in results.jobs} == {"done"}


def test_a_batch_without_a_single_environment_has_a_verdict():
    gymnasium.register("acme/Batch-v0", vector_entry_point="gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv")
    try:
        report = check("acme/Batch-v0")
    finally:
        del gymnasium.registry["acme/Batch-v0"]
    assert not report.works
    assert "a vector_entry_point that is a subclass of vbandits.envs.NativeBandit" in str(report)


def test_what_fails_in_a_users_code_is_told_with_its_place():
    assert "'user 4711' (outsider_envs.py:" in str(check("outsider_envs:Faulty"))


def test_a_module_that_cannot_be_imported_is_told_with_its_place(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text, message in (
        ("halves", "def f(:\n", r"cannot import 'halves' for 'halves:X': SyntaxError: .*\(halves.py, line 1\)"),
        ("lacks", "import absent_here\n", r"No module named 'absent_here' \(lacks.py:1, in <module>\): pip install"),
        (
            "leaves",
            "\nimport sys; sys.exit(0)\n",
            r"cannot import 'leaves' .*: SystemExit: 0 \(leaves.py:2, in <module>\)",
        ),
    ):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(vbandits.ConfigError, match=message):
            vbandits.run([f"{name}:X"], ["uniform"], seeds=1, steps=3)
        with pytest.raises(vbandits.ConfigError, match=message):
            vbandits.run(["vbandits/Wheel-v0"], [f"{name}:X"], seeds=1, steps=3)
