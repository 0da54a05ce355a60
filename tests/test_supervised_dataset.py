"""Which rows a supervised dataset trains on, fits temperatures on, and is judged on."""

import numpy as np
import pytest

from vbandits.data.pools import load_pool
from vbandits.data.splits import DatasetSpec, Options, load


def test_settings_are_chosen_on_rows_that_are_neither_trained_on_nor_tested():
    split, tuning = (
        DatasetSpec("d", "digits", Options(rows=300, validation_rows=200, tuning=chosen)).load()
        for chosen in (False, True)
    )
    assert np.array_equal(split.train[0], tuning.train[0])
    assert len(tuning.test[0]) == len(load("digits").train_x) - 500
    seen = {row.tobytes() for part in (split.test, split.train, split.validation) for row in part[0]}
    assert not seen & {row.tobytes() for row in tuning.test[0]}
    with pytest.raises(ValueError, match="left over to evaluate on"):
        DatasetSpec("d", "digits", Options(tuning=True)).load()


def test_digits_are_held_out_alike_where_they_are_bought_and_where_they_are_given():
    images, pool = load("digits"), load_pool("digits", pool_seed=0, test_part=0.2)
    assert len(images.test_x) == 359
    np.testing.assert_array_equal(images.test_x * 16, pool.test_features)
    np.testing.assert_array_equal(images.train_x * 16, pool.features)
    np.testing.assert_array_equal(images.test_y, pool.test_targets)
    np.testing.assert_array_equal(images.train_y, pool.targets)
    assert DatasetSpec("d", "digits").describe()["data"] == pool.digest()[:16]
    assert "data" not in DatasetSpec("d", "mnist").describe()
