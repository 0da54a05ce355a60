"""Every claim is as expected, and none would be if what it rests on were broken."""

import csv
import math
import re
from dataclasses import replace
from functools import partial

import pytest
import torch

from vbandits.cli import main
from vbandits.likelihoods import Categorical, Gaussian
from vbandits.networks import mlp, weights
from vbandits.posteriors import elbo, ensemble, gaussian, ibvi
from vbandits.posteriors.covariances import LowRank
from vbandits.posteriors.layers import Divergence
from vbandits.theory import bayes, figures, linear, logistic, methods, running, sampling, setting, toy, widths
from vbandits.theory.check import Check, Finding, Measure
from vbandits.training import Parameters
from vbandits.types import Optimizer

CHECKS = {check.id: check for check in running.CHECKS}


def cases(checks):
    return [pytest.param(check, id=check.id, marks=pytest.mark.slow if check.slow else ()) for check in checks]


@pytest.mark.slow
@pytest.mark.parametrize("check", cases(running.CHECKS))
def test_the_claim_is_as_expected(check):
    found = running.outcome(check)
    assert found.error == ""
    assert found.passed, [(each.name, each.value, each.expected) for each in found.measures if not each.passed]
    assert all(drawing.svg.startswith("<svg") and drawing.caption for drawing in found.drawings)


def with_adam(patch, module):
    patch.setattr(module, "sgd", lambda rate, *_, **__: Optimizer(0.01, clip=1e12, kind="adam", decay_steps=2000))


def with_weight_decay(patch):
    step = Parameters._sgd

    def decaying(self, *arguments):
        step(self, *arguments)
        self.values.mul_(1 - 1e-4)

    patch.setattr(Parameters, "_sgd", decaying)


def with_uneven_rates(patch):
    def uneven(network, task):
        return {name: rate * torch.linspace(0.5, 1, len(rate)) for name, rate in weights.rates(network, task).items()}

    patch.setattr(gaussian, "rates", uneven)


def without_own_rates(patch, module):
    patch.setattr(module, "with_rates", lambda state, rates: state)


def without_anchor(patch):
    pull = ibvi._pull
    patch.setattr(ibvi, "_pull", lambda *given: 0 * pull(*given))


def without_transport(patch):
    patch.setattr(LowRank, "transport", lambda self, leaves, *_: leaves["mean/0"].new_zeros(2))


def with_a_wider_ensemble(patch):
    patch.setattr(ensemble, "initial", lambda *given: {k: 1.1 * w for k, w in weights.initial(*given).items()})


def without_divergence(patch):
    patch.setattr(elbo, "Divergence", lambda weight, scale: Divergence(0 * weight, scale))


def with_variance_times(patch, likelihood, factor):
    loss = likelihood.loss
    patch.setattr(
        likelihood,
        "loss",
        lambda self, values, variance, *rest: loss(
            self, values, None if variance is None else factor * variance, *rest
        ),
    )


def without_bias(patch):
    factored = mlp._factored
    patch.setattr(mlp, "_factored", lambda x, weight, bias: factored(x, weight, None))


def without_division_by_rank(patch):
    patch.setattr(LowRank, "rates", lambda self, layer, rate, closed: {"factor": rate.unsqueeze(1)})


def with_rates_of(patch, form):
    rate = weights.rate
    patch.setattr(weights, "rate", lambda layer, name, parametrization, optimizer: rate(layer, name, form, optimizer))


def with_wide_output(patch):
    std = weights.std
    patch.setattr(weights, "std", lambda layer, name, parametrization: std(layer, name, "sp"))


BUGS = {
    ("limit", "Adam"): lambda patch: with_adam(patch, linear),
    ("limit", "weight decay"): with_weight_decay,
    ("limit", "uneven rates"): with_uneven_rates,
    ("null-space", "weight decay"): with_weight_decay,
    ("null-space", "Adam"): lambda patch: with_adam(patch, linear),
    ("adam", "SGD instead"): lambda patch: patch.setattr(linear, "Optimizer", lambda *_, **__: setting.sgd(0.1)),
    ("metric", "rates ignored"): lambda patch: without_own_rates(patch, linear),
    ("bayes-isotropic", "uneven rates"): with_uneven_rates,
    ("bayes-isotropic", "weight decay"): with_weight_decay,
    ("bayes-anisotropic", "uneven rates"): with_uneven_rates,
    ("bayes-rates", "rates ignored"): lambda patch: without_own_rates(patch, bayes),
    ("noise-weights", "weight decay"): with_weight_decay,
    ("noise-aware", "no anchor"): without_anchor,
    ("wasserstein", "no transport of covariances"): without_transport,
    ("ensemble", "wider start"): with_a_wider_ensemble,
    ("ensemble", "Adam"): lambda patch: with_adam(patch, methods),
    ("divergence", "none"): without_divergence,
    ("gap", "untrained"): lambda patch: patch.setattr(toy, "STEPS", 1),
    ("logistic", "variance not halved"): lambda patch: with_variance_times(patch, logistic.Exponential, 2),
    ("logistic", "no variance"): lambda patch: with_variance_times(patch, logistic.Exponential, 0),
    ("factored", "no bias"): without_bias,
    ("closed-form", "no variance"): lambda patch: with_variance_times(patch, Gaussian, 0),
    ("cross-entropy", "no variance"): lambda patch: with_variance_times(patch, Categorical, 0),
    ("ranks", "not divided"): lambda patch: (
        without_division_by_rank(patch),
        patch.setattr(sampling, "RANKS", (1, 2, 4, 8, 16)),
    ),
    ("ntp", "rates of SP"): lambda patch: with_rates_of(patch, "sp"),
    ("prior-width", "output of SP"): lambda patch: (
        with_wide_output(patch),
        patch.setattr(widths, "WIDTHS", (64, 128)),
    ),
    ("learning-rates", "rates of SP"): lambda patch: (
        with_rates_of(patch, "sp"),
        patch.setattr(widths, "WIDTHS", (64, 128, 256)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bug"), list(BUGS))
def test_the_claim_fails_if_what_it_rests_on_is_broken(name, bug, monkeypatch):
    BUGS[name, bug](monkeypatch)
    found = CHECKS[name].run()
    assert not found.passed


def test_every_claim_has_a_bug_that_breaks_it():
    assert {name for name, _ in BUGS} == set(CHECKS)


def test_with_as_many_rows_as_features_there_is_nothing_to_check():
    with pytest.raises(ValueError, match="more features than rows"):
        setting.linear_problem(5, 5)


def test_a_measure_that_is_no_number_or_expects_nothing_has_not_passed():
    assert not Finding((Measure("a", math.nan, high=1.0),)).passed
    assert not Finding((Measure("a", 1.0),)).passed
    assert Finding((Measure("a", 1.0), Measure("b", 0.0, 0, 0))).passed


def test_the_max_margin_vector_meets_its_conditions():
    x = torch.from_numpy(logistic.SUPPORT)
    vector, duals = logistic.margin(x)
    assert (duals > 0).all()
    assert duals @ x.numpy() == pytest.approx(vector)
    assert x.numpy() @ vector == pytest.approx([1.0, 1.0, 1.0])


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["theory", *arguments])
    return ended.value.code


def test_command_writes_a_page_a_table_and_figures(tmp_path, capsys):
    assert run("--only", "null-space, factored", "--out", str(tmp_path)) == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "2 of 2 claims as expected" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page), "it stands alone"
    rows = list(csv.DictReader((tmp_path / "checks.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["check"] for row in rows} == {"null-space", "factored"}
    assert all(row["as_expected"] == "True" for row in rows)
    shown = capsys.readouterr()
    assert "never moves" in shown.out
    assert "[2/2] factored" in shown.err


def test_a_claim_that_fails_and_one_that_cannot_be_computed(tmp_path, monkeypatch, capsys):
    def broken():
        raise RuntimeError("no such thing")

    fails = replace(CHECKS["factored"], run=lambda: Finding((Measure("difference", 2.0, high=1.0),)))
    figure = partial(figures.rate, [1.0, 10.0], [1.0, 10.0])
    drawn = replace(CHECKS["ranks"], run=lambda: Finding((Measure("difference", 0.0, high=1.0),), figure))
    monkeypatch.setattr(running, "CHECKS", (fails, replace(CHECKS["adam"], run=broken), drawn))
    assert run("--out", str(tmp_path)) == 1
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "1 of 3 claims as expected" in page
    assert "RuntimeError: no such thing" in page
    assert (tmp_path / "ranks.svg").read_text(encoding="utf-8").startswith("<svg xmlns=")
    assert "no such thing" in capsys.readouterr().err


def test_an_unknown_check_is_refused(capsys):
    assert run("--only", "nul-space") == 2
    assert "did you mean 'null-space'" in capsys.readouterr().err
    assert run("--only", ",") == 2


def test_every_check_says_what_and_why():
    for check in running.CHECKS:
        assert isinstance(check, Check)
        assert check.claim.endswith(".")
        assert check.why.endswith(".")
