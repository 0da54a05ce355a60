from dataclasses import replace
from math import e, log, pi

import pytest
import torch

from tests.tables import classes, enumerated_information, means, view
from vbandits.agents.acquisition import (
    BALD,
    EPIG,
    Entropy,
    LeastConfidence,
    Margin,
    MeanStd,
    PosteriorSampling,
    Variance,
    VoteEntropy,
)
from vbandits.agents.acquisition.information import information_about

F64 = torch.float64
POINTWISE = [Entropy, LeastConfidence, Margin, VoteEntropy, MeanStd, Variance, BALD]


def probabilities(table):
    return table.softmax(3)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_bald_is_the_information_between_label_and_function():
    table = classes()
    p = probabilities(table)
    expected = torch.tensor([[enumerated_information(q, [row], None) for row in range(12)] for q in p], dtype=F64)
    assert expected.min() > 0.01
    close(BALD(draws=5).score(view(table)), expected)


@pytest.mark.parametrize("source", ["pool", "test"])
def test_epig_is_the_mean_information_between_two_labels(source):
    table, targets = classes(rows=7), [2, 3, 3, 6]
    p = probabilities(table)
    between = [[sum(enumerated_information(q, [c], [t]) for t in targets) / 4 for c in range(7)] for q in p]
    # a row that is its own target: two labels of it, both drawn from one function
    close(EPIG(draws=5, targets=4, source=source).score(view(table, targets=targets)), torch.tensor(between, dtype=F64))


def test_epig_asks_for_targets_of_its_source_and_as_many_as_it_says():
    asked = []
    seen = view(classes())
    seen = replace(seen, targets=lambda *wanted: asked.append(wanted) or seen.candidates)
    EPIG(draws=5, targets=17, source="test").score(seen)
    assert asked == [("test", 17)]


def test_epig_needs_the_same_functions_at_candidates_and_targets():
    random = torch.Generator().manual_seed(0)
    lines, x = 3 * torch.randn(2, 400, 3, 2, generator=random, dtype=F64), torch.tensor([[-1.0, 0.3, 1], [1, 1, 1]])
    log_p = torch.einsum("rskd,dn->rsnk", lines, x.to(F64)).log_softmax(3)
    shared = information_about(log_p, log_p)
    apart = information_about(log_p, log_p[:, torch.randperm(400, generator=torch.Generator().manual_seed(1))])
    assert shared.min() > 0.05
    assert apart.max() < 0.15 * shared.min()  # what remains is chance, of order (K - 1)^2 / 2S
    assert apart.max() < 0.02


def test_scores_of_classes_are_what_they_say():
    table = classes()
    p = probabilities(table)
    mean = p.mean(1)
    ordered = mean.sort(2, descending=True).values
    votes = torch.stack([(p.argmax(3) == k).double().mean(1) for k in range(3)], 2)
    centred = p - mean.unsqueeze(1)
    seen = view(table)
    close(Entropy(draws=5).score(seen), -(mean * mean.log()).sum(2))
    close(LeastConfidence(draws=5).score(seen), 1 - ordered[:, :, 0])
    close(Margin(draws=5).score(seen), 1 - ordered[:, :, 0] + ordered[:, :, 1])
    close(VoteEntropy(draws=5).score(seen), -torch.xlogy(votes, votes).sum(2))
    close(MeanStd(draws=5).score(seen), centred.square().mean(1).sqrt().mean(2))
    close(Variance(draws=5).score(seen), centred.square().mean(1).sum(2))


def test_scores_of_a_regression_are_what_they_say():
    table = means()
    f = table.squeeze(3)
    variance = (f - f.mean(1, keepdim=True)).square().mean(1)
    seen = view(table, regression=True, noise=0.3)
    close(Variance(draws=5).score(seen), variance)
    close(Entropy(draws=5).score(seen), 0.5 + 0.5 * log(2 * pi) + 0.5 * (variance + 0.3).log())
    close(BALD(draws=5).score(seen), 0.5 * (variance + 0.3).log() - 0.5 * log(0.3))
    assert abs(0.5 * log(2 * pi * e) - 0.5 - 0.5 * log(2 * pi)) < 1e-15


def test_epig_of_a_regression_is_the_information_of_a_normal_pair():
    table, targets = means(), [1, 4, 4]
    f = table.squeeze(3)
    expected = torch.zeros(2, 12, dtype=F64)
    for lane in range(2):
        for c in range(12):
            for t in targets:
                pair = torch.cov(torch.stack([f[lane, :, c], f[lane, :, t]]), correction=0) + 0.3 * torch.eye(
                    2, dtype=F64
                )
                expected[lane, c] += 0.5 * (pair[0, 0] * pair[1, 1] / pair.det()).log() / 3
    close(EPIG(draws=5, targets=3).score(view(table, regression=True, noise=0.3, targets=targets)), expected)


def test_posterior_sampling_scores_how_two_draws_disagree():
    table = classes()
    p = probabilities(table)[:, :2]
    middle = p.mean(1, keepdim=True)
    close(PosteriorSampling().score(view(table)), (p * (p / middle).log()).sum(3).mean(1))
    f = means()
    close(PosteriorSampling().score(view(f, regression=True)), (f[:, 0] - f[:, 1]).abs().squeeze(2))


def test_posterior_sampling_takes_fresh_draws_for_every_label():
    table, calls = means(draws=8, rows=30), []
    seen = view(table, regression=True)
    draw = seen.draw

    def fresh(draws):
        calls.append(draws)
        both = table[:, 2 * len(calls) - 2 : 2 * len(calls)]
        return lambda x: both + 0 * draw(2)(x)

    places = PosteriorSampling().select(replace(seen, draw=fresh), 4)
    assert calls == [2, 2, 2, 2]
    taken = torch.zeros(2, 30, dtype=torch.bool)
    for j in range(4):
        gap = (table[:, 2 * j] - table[:, 2 * j + 1]).abs().squeeze(2).masked_fill(taken, -1)
        assert torch.equal(places[:, j], gap.argmax(1))
        taken[torch.arange(2), places[:, j]] = True


@pytest.mark.parametrize("kind", [*POINTWISE[3:], lambda draws: EPIG(draws=draws, targets=8)])
def test_what_a_certain_posterior_can_learn_is_exactly_nothing(kind):
    table = classes(draws=1, rows=8).expand(-1, 7, -1, -1)
    assert torch.equal(kind(draws=7).score(view(table)), torch.zeros(2, 8, dtype=F64))
    if kind not in (VoteEntropy, MeanStd):
        table = means(draws=1, rows=8).expand(-1, 7, -1, -1)
        assert torch.equal(kind(draws=7).score(view(table, regression=True)), torch.zeros(2, 8, dtype=F64))


def test_a_probability_of_zero_is_no_obstacle():
    table = torch.tensor([[0.0, -torch.inf], [0.0, 0.0], [-torch.inf, 0.0]]).double()  # [S, K] at one row
    seen = view(table[None, :, None].expand(2, -1, 4, -1))
    close(Entropy(draws=3).score(seen), torch.full((2, 4), log(2), dtype=F64))
    close(BALD(draws=3).score(seen), torch.full((2, 4), log(2) * 2 / 3, dtype=F64))
    assert EPIG(draws=3, targets=4).score(seen).min() > 0.1
