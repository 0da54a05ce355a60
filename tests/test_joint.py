"""Joint predictions: closed forms, and what marginals cannot tell."""

import numpy as np
import pytest
import torch
from scipy import stats

from vbandits.metrics import joint

random = np.random.default_rng(0)


def gaussian(draws, batches=300, features=5, noise=0.25):
    """A Gaussian linear posterior: rows [B, tau, D] of dyadic batches, targets, and draws of weights [S, D]."""
    root = random.normal(size=(features, features)) / 2
    x = random.normal(size=(40, features))
    dyads = joint.dyads(random.random((batches, joint.ANCHORS + joint.TAU)), len(x))
    rows = x[dyads.take(dyads.inputs)]
    truth = random.normal(size=(batches, features)) @ root.T  # one world for each batch
    y = np.einsum("btd,bd->bt", rows, truth) + noise**0.5 * random.normal(size=rows.shape[:2])
    return rows, y, random.normal(size=(draws, features)) @ root.T, root, noise


def likelihood(rows, y, weights, noise):
    f = np.einsum("btd,sd->bst", rows, weights)
    return torch.from_numpy(stats.norm.logpdf(y[:, None], f, noise**0.5))


def test_every_row_of_a_batch_repeats_one_of_two_inputs():
    dyads = joint.dyads(random.random((1000, 12)), 7)
    rows = dyads.take(dyads.inputs)
    assert rows.shape == (1000, 10)
    assert np.unique(dyads.inputs).tolist() == list(range(7))
    assert all(set(own) <= set(two) for own, two in zip(rows.tolist(), dyads.inputs.tolist(), strict=True))
    assert (dyads.rows == 0).mean() == pytest.approx(0.5, abs=0.02)


def test_the_exact_joint_is_that_of_the_multivariate_normal():
    rows, y, _, root, noise = gaussian(1, batches=3)
    covariance = np.einsum("btd,de,bue->btu", rows, root @ root.T, rows)
    found = joint.gaussian_joint_nll(0 * y, covariance, np.full_like(y, noise), y)
    expected = [
        -stats.multivariate_normal.logpdf(own, np.zeros(10), part + noise * np.eye(10)) / 10
        for own, part in zip(y, covariance, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_mixture_over_draws_converges_to_the_exact_value():
    rows, y, weights, root, noise = gaussian(20_000, batches=100, features=2)
    covariance = np.einsum("btd,de,bue->btu", rows, root @ root.T, rows)
    exact = joint.gaussian_joint_nll(0 * y, covariance, np.full_like(y, noise), y)
    errors = [
        np.abs(joint.joint_nll(likelihood(rows, y, weights[:draws], noise)).numpy() - exact).mean()
        for draws in (20, 500, 20_000)
    ]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 0.005


def test_it_prefers_the_exact_posterior_to_one_with_the_same_marginals_and_independent_draws():
    rows, y, weights, _, noise = gaussian(64)
    exact = likelihood(rows, y, weights, noise)
    # each row has draws of its own: the same marginals
    shuffled = torch.from_numpy(random.permuted(exact.numpy(), axis=1))
    np.testing.assert_allclose(joint.marginal_nll(shuffled), joint.marginal_nll(exact))
    assert joint.joint_nll(exact).mean() < joint.joint_nll(shuffled).mean() - 0.05


def test_a_single_draw_makes_rows_independent():
    rows, y, weights, _, noise = gaussian(1, batches=20)
    found = likelihood(rows, y, weights, noise)
    np.testing.assert_allclose(joint.joint_nll(found), joint.marginal_nll(found))
    np.testing.assert_allclose(joint.joint_nll(found), -found[:, 0].mean(1))
