"""Rows keep the digits that tell them apart, from a file or an array to what an agent sees."""

import numpy as np
import pytest
import torch

from vbandits import data
from vbandits.data.pools import load_pool
from vbandits.data.precision import compact
from vbandits.envs.base import BLOCK, Block, NativeBandit
from vbandits.envs.classification import Classification

Z = np.random.default_rng(0).normal(size=(200, 2))


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (Z, np.float32),
        (Z + 100, np.float32),
        (Z * 1e30, np.float32),
        (np.zeros_like(Z) + 0.1, np.float32),
        ((Z > 0).astype(np.int64), np.float32),
        (Z.astype(np.float32), np.float32),
        ((255 * (Z > 0)).astype(np.uint8), np.uint8),
        (Z + 1e4, np.float64),
        (1.7e9 + 3600 * Z, np.float64),
        (Z * 1e60, np.float64),
        (Z * 1e-60, np.float64),
        (np.column_stack([Z[:, 0], 1.7e9 + Z[:, 1]]), np.float64),
        (1_700_000_000 + (1000 * Z).astype(np.int64), np.float64),
    ],
)
def test_rows_are_single_precision_where_it_tells_them_apart(rows, kind):
    found = compact(rows)
    assert found.dtype == kind
    np.testing.assert_allclose(found, rows, rtol=1e-7, atol=1e-5 * np.ptp(rows.astype(float), 0).max())


def test_time_stamps_of_a_file_reach_the_agent(tmp_path):
    stamps = 1_700_000_000 + np.arange(60) * 7 % 60
    file = tmp_path / "visits.csv"
    file.write_text("at,click\n" + "".join(f"{at},{'yes' if at % 2 else 'no'}\n" for at in stamps))
    assert data.load(file, target="click").features[:, 0].tolist() == stamps.tolist()
    environment = Classification(2, dataset=str(file), target="click")
    context, _ = environment.reset(seed=0)
    assert environment.single_observation_space.dtype == np.float64
    assert context.dtype == torch.float64
    assert set(context.flatten().tolist()) <= set(stamps.tolist())
    pool = load_pool(str(file), target="click")
    assert {*pool.features[:, 0], *pool.test_features[:, 0]} == set(stamps.tolist())


def test_time_stamps_of_arrays_stay_apart():
    x = 1.7e9 + np.arange(50.0)[:, None]
    pool = load_pool((x, np.arange(50) % 2))
    assert len(np.unique(pool.features)) + len(np.unique(pool.test_features)) == 50


def test_a_native_bandit_of_ones_own_says_of_what_type_its_contexts_are():
    class Clock(NativeBandit):
        number_type = np.float64

        def __init__(self, num_envs=1, device="cpu"):
            super().__init__(num_envs, device, features=1, arms=2)

        def blocks(self, seed):
            while True:
                yield Block(1.7e9 + np.arange(BLOCK)[:, None] / 7, *np.zeros((2, BLOCK, 2)))

    environment = Clock()
    context, following = environment.reset(seed=0)[0], environment.step(torch.tensor([0]))[0]
    assert isinstance(context, torch.Tensor)
    assert isinstance(following, torch.Tensor)
    assert environment.single_observation_space.dtype == np.float64
    assert float(following) - float(context) == pytest.approx(1 / 7, rel=1e-5)
