import pytest
import torch

from tests.tables import classes, enumerated_information, means, view
from vbandits.agents.acquisition import BALD, BatchBALD, IntegratedVariance, MaxDet, joint
from vbandits.agents.acquisition.covariance import Belief
from vbandits.agents.acquisition.joint import Outcomes, expected_entropy
from vbandits.agents.acquisition.scores import entropy


def greedy(p, count):
    """The batch of one replica [S, N, K] by enumeration."""
    chosen = []
    for _ in range(count):
        free = [row for row in range(p.shape[1]) if row not in chosen]
        chosen.append(max(free, key=lambda row: enumerated_information(p, [*chosen, row], None)))
    return chosen


def joint_information(log_p):
    """Information between the labels of all rows [R, S, b, K] and the function, by the chain rule of `BatchBALD`."""
    outcomes, total = Outcomes.none(*log_p.shape[:2]), 0.0
    for p in log_p.exp().split(1, 2):
        total = total + (expected_entropy([p], outcomes) - entropy(p).mean(1)).squeeze(1)
        outcomes = outcomes.enumerated(p.squeeze(2))
    return total


def test_joint_information_is_that_of_all_joint_outcomes():
    table = classes(rows=4)
    expected = [enumerated_information(p, [0, 1, 2, 3], None) for p in table.softmax(3)]
    torch.testing.assert_close(
        joint_information(table.log_softmax(3)), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10
    )
    apart = sum(BALD(draws=5).score(view(table)).unbind(1))
    assert (apart - joint_information(table.log_softmax(3)) > 0.1).all()  # labels repeat what others have told


def test_batch_bald_takes_what_adds_most_to_the_joint_information():
    table = classes(rows=7)
    places = BatchBALD(draws=5).select(view(table), 4)
    assert places.tolist() == [greedy(p, 4) for p in table.softmax(3)]


def test_batch_bald_of_one_label_is_bald():
    for seed in range(5):
        table = classes(seed=seed)
        assert torch.equal(BatchBALD(draws=5).select(view(table), 1)[:, 0], BALD(draws=5).score(view(table)).argmax(1))


def test_sampled_outcomes_estimate_the_entropy_over_all():
    p = classes(rows=6).softmax(3)
    exact = Outcomes.none(2, 5)
    random = torch.Generator().manual_seed(0)
    drawn = Outcomes.sampled(20_000, 5, torch.rand(2, 1, generator=random, dtype=torch.float64))
    for row in range(3):
        exact = exact.enumerated(p[:, :, row])
        drawn = drawn.drawn(p[:, :, row], torch.rand(2, 20_000, generator=random, dtype=torch.float64))
    full, estimate = expected_entropy([p], exact), expected_entropy([p], drawn)
    spread = (full - torch.special.entr(p.mean(1)).sum(2)).abs()
    assert spread.max() > 0.1  # knowing three labels changes much
    # entropies lie in [0, log 3]: their deviation is below 0.55, and four standard errors of 20,000 are 0.016
    assert (full - estimate).abs().max() < 0.016


def test_sampled_outcomes_come_from_every_draw_alike():
    for start in (0.0, 0.37, 1 - 1e-16):
        outcomes = Outcomes.sampled(500, 100, torch.full((2, 1), start, dtype=torch.float64))
        assert outcomes.origin is not None
        counts = torch.stack([lane.bincount(minlength=100) for lane in outcomes.origin])
        assert ((counts - 5).abs() <= 1).all()


def test_batch_bald_with_sampled_outcomes_is_nearly_as_good():
    table = classes(rows=12, seed=3)
    log_p = table.log_softmax(3)
    lanes = torch.arange(2).unsqueeze(1)
    exact = BatchBALD(draws=5).select(view(table), 5)
    worth = [joint_information(log_p[lanes, :, exact].transpose(1, 2))]
    for enumerated in (1, 9):  # outcomes are drawn from the second label on, or from the fourth
        places = BatchBALD(draws=5, exact=enumerated, samples=4000).select(view(table), 5)
        worth.append(joint_information(log_p[lanes, :, places].transpose(1, 2)))
    assert (worth[1] > 0.99 * worth[0]).all()
    assert (worth[2] > 0.99 * worth[0]).all()
    assert (joint_information(log_p[:, :, :5]) < 0.97 * worth[0]).all()


def test_bald_buys_the_same_information_twice_and_batch_bald_does_not():
    table = classes(rows=10, scale=1.0)
    table[:, :, 3] = table[:, :, 8] = 30 * torch.eye(3, dtype=torch.float64)[torch.arange(5) % 3]  # each draw is sure
    assert torch.equal(BALD(draws=5).select(view(table), 2).sort(1).values, torch.tensor([[3, 8], [3, 8]]))
    for exact in (1000, 1):
        places = BatchBALD(draws=5, exact=exact).select(view(table), 4)
        assert (((places == 3) | (places == 8)).sum(1) == 1).all()


def test_batch_bald_is_the_same_whether_probabilities_are_kept_or_made_anew(monkeypatch):
    table = classes(rows=40, draws=20)
    kept = BatchBALD(draws=20, exact=9, samples=50).select(view(table), 6)
    monkeypatch.setattr(joint, "KEPT", 0)
    assert torch.equal(kept, BatchBALD(draws=20, exact=9, samples=50).select(view(table), 6))


def test_batch_bald_with_probabilities_of_zero():
    table = classes(rows=8)
    table[:, ::2, :, 0] = -torch.inf
    table[:, 1::2, :4, 1] = -torch.inf
    table[:, :, 7] = torch.tensor([0.0, -torch.inf, -torch.inf])
    places = BatchBALD(draws=5).select(view(table), 4)
    expected = [greedy(p, 4) for p in table.softmax(3)]
    p = table.softmax(3)
    for lane in range(2):
        found = enumerated_information(p[lane], places[lane].tolist(), None)
        assert abs(found - enumerated_information(p[lane], expected[lane], None)) < 1e-10


def test_conditional_variances_are_those_of_the_joint_distribution():
    f = means().squeeze(3)
    f = f - f.mean(1, keepdim=True)
    belief = Belief.of(f, torch.full((2, 1), 0.3, dtype=torch.float64))
    chosen = torch.tensor([[4, 7], [2, 2]])
    for place in chosen.unbind(1):
        belief = belief.given(place)
    for lane in range(2):
        covariance = torch.cov(f[lane].T, correction=0)
        across = covariance[:, chosen[lane]]
        seen = covariance[chosen[lane]][:, chosen[lane]] + 0.3 * torch.eye(2, dtype=torch.float64)
        expected = (covariance - across @ seen.inverse() @ across.T).diag()
        torch.testing.assert_close(belief.variance()[lane], expected, rtol=0, atol=1e-12)


def test_max_det_takes_the_largest_determinant():
    f, noise = means(draws=8, rows=15), 0.2
    places = MaxDet(draws=8).select(view(f, regression=True, noise=noise), 4)
    for lane in range(2):
        covariance = torch.cov(f[lane].squeeze(2).T, correction=0) + noise * torch.eye(15, dtype=torch.float64)
        chosen = []
        for _ in range(4):
            sets = [[*chosen, row] for row in range(15) if row not in chosen]
            chosen = max(sets, key=lambda rows: float(covariance[rows][:, rows].logdet()))
        assert places[lane].tolist() == chosen
        by_variance = covariance.diag().topk(4).indices
        assert set(chosen) != set(by_variance.tolist())


@pytest.mark.parametrize("noise", [0.05, 2.0])
def test_integrated_variance_leaves_least_at_the_targets(noise):
    f, targets = means(draws=8, rows=15), [0, 3, 3, 9, 14]
    seen = view(f, regression=True, noise=noise, targets=targets)
    places = IntegratedVariance(draws=8, targets=5).select(seen, 3)
    assert (places != MaxDet(draws=8).select(seen, 3)).any(1).all()
    for lane in range(2):
        covariance = torch.cov(f[lane].squeeze(2).T, correction=0)

        def left(rows, covariance=covariance):
            noisy = covariance[rows][:, rows] + noise * torch.eye(len(rows), dtype=torch.float64)
            across = covariance[targets][:, rows]
            return float((covariance[targets][:, targets] - across @ noisy.inverse() @ across.T).diag().mean())

        chosen = []
        for _ in range(3):
            chosen = min(([*chosen, row] for row in range(15) if row not in chosen), key=left)
        assert places[lane].tolist() == chosen
