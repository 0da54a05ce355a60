"""A table of rewards: every arm pays what its column says, and the regret is what the best of the row pays more."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from vbandits.data.reward_table import load_table
from vbandits.envs import RewardTable
from vbandits.envs.spec import EnvironmentSpec, fingerprint

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame({"age": np.arange(50) % 9, "town": ["Ulm", "Bonn"] * 25}).assign(
    mail=RANDOM.random(50), call=RANDOM.random(50), none=RANDOM.random(50)
)
ARMS = ["mail", "call", "none"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "pandas", "polars"])
def test_a_table_pays_what_its_columns_say(tmp_path, kind):
    given = {"pandas": FRAME, "polars": pl.from_pandas(FRAME)}.get(kind, tmp_path / f"table.{kind}")
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    FRAME.to_parquet(tmp_path / "table.parquet")
    environment = RewardTable(2, table=given if kind in ("pandas", "polars") else str(given), rewards=ARMS)
    assert environment.dataset.class_names == tuple(ARMS)
    assert environment.dataset.feature_names == ("age", "town=Bonn", "town=Ulm")
    paid = FRAME[ARMS].to_numpy()
    context, _ = environment.reset(seed=[3, 4])
    for step in range(50):
        actions = torch.tensor([step % 3, (step + 1) % 3])
        following, reward, _, _, info = environment.step(actions)
        for lane in range(2):
            # a context is told by its row alone where the rewards differ: look the row up by what was paid
            row = int(np.flatnonzero(np.isclose(paid.max(1), float(info["optimal_expected_reward"][lane]), 1e-12))[0])
            assert float(context[lane, 0]) == FRAME["age"][row]
            assert float(reward[lane]) == paid[row, actions[lane]] == float(info["expected_reward"][lane])
            assert int(info["optimal_action"][lane]) == paid[row].argmax()
        context = following


def test_every_row_is_played_once_before_any_comes_again():
    environment = RewardTable(1, table=(np.arange(20.0)[:, None], np.eye(20)[:, :2] + 0.5))
    context, _ = environment.reset(seed=[0])
    seen = []
    for _ in range(20):
        seen.append(float(context[0, 0]))
        context, *_ = environment.step(torch.tensor([0]))
    assert sorted(seen) == list(range(20))


def test_rows_that_were_not_played_are_held_out():
    environment = RewardTable(2)
    held = environment.held_out([0, 1], 800)
    assert held is not None
    assert held.expected.shape == (2, 200, 3)
    np.testing.assert_array_equal(held.rewards, np.repeat(held.expected[:, None], 10, 1))
    assert environment.held_out([0], 1000) is None


def test_edited_rewards_are_another_problem():
    edited = FRAME.assign(mail=FRAME["mail"] + 1e-9)
    told = [
        fingerprint(EnvironmentSpec("it", "vbandits/RewardTable-v0", {"table": own, "rewards": ARMS}))["data"]
        for own in (FRAME, pl.from_pandas(FRAME), edited)
    ]
    assert told[0] == told[1] != told[2]


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (FRAME, {}, r"expected at least two columns of rewards, one for each arm, got 0: .* age, town, mail"),
        (FRAME, {"rewards": ["mail", "cal"]}, "unknown column of rewards 'cal'; did you mean 'call'"),
        (FRAME, {"rewards": "mail"}, r"rewards: expected a list of columns, got 'mail': write \['mail'\]"),
        (FRAME, {"rewards": ["mail", "town"]}, "column 'town': expected numbers, got"),
        (FRAME[ARMS], {"rewards": ARMS}, "expected columns beside the rewards"),
        (FRAME.assign(none=None), {"rewards": ARMS}, "column 'none': expected numbers, got null"),
        (
            FRAME.assign(none=[0.5, *[np.nan] * 49]),
            {"rewards": ARMS},
            r"got nan of 'none' in row 1, counted from 0 .* give it as a log",
        ),
        ((np.zeros((4, 2)), np.zeros((3, 2))), {}, "as many as rewards"),
        ((np.zeros((4, 2)), np.zeros((4, 1))), {}, "rewards of at least two arms, got 1"),
        ("exmple", {}, "table: expected a file, a data frame, arrays"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_is_no_table_of_rewards_is_refused(given, options, told):
    with pytest.raises(ValueError, match=told):
        load_table(given, **options)
