from dataclasses import dataclass, replace
from itertools import permutations
from typing import ClassVar

import pytest
import torch

from tests.tables import classes, view
from vbandits.agents.acquisition import BALD, Acquisition, Entropy, Random, Rows, Scored
from vbandits.agents.acquisition.batches import ByScore, best, ranking

LANES = 4000


@dataclass(frozen=True)
class Given(ByScore):
    """Scores that are given."""

    scores: tuple[float, ...] = ()
    tasks: ClassVar[frozenset[str]] = frozenset({"classes"})

    def score(self, view):
        return torch.tensor(self.scores, dtype=torch.float64).expand(len(view.candidates.index), -1)


def many(count, seed=0):
    """A view of thousands of replicas, each with its own chance."""
    random = torch.Generator().manual_seed(seed)
    seen = view(classes(2, 1, count))
    candidates = Rows(seen.candidates.pool, torch.arange(count).expand(LANES, -1))
    uniform = lambda *shape: torch.rand(LANES, *shape, generator=random, dtype=torch.float64)  # noqa: E731
    return replace(seen, candidates=candidates, uniform=uniform)


def agrees(places, probability):
    """Whether how often each place came first agrees with its probability, by chi-square at 1 in 1,000."""
    counts = places.bincount(minlength=len(probability)).double()
    probability = torch.as_tensor(probability, dtype=torch.float64)
    assert counts[probability == 0].sum() == 0
    expected = len(places) * probability[probability > 0]
    critical = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47}[len(expected) - 1]
    assert ((counts[probability > 0] - expected).square() / expected).sum() < critical


def test_top_takes_the_largest_in_their_order():
    places = Given(scores=(0.1, 0.5, 0.3, 0.4)).select(many(4), 3)
    assert (places == torch.tensor([1, 3, 2])).all()


def test_equals_are_told_by_chance_and_so_are_those_that_rounding_tells_apart():
    places = Given(scores=(0.1, 0.3, 0.3 + 1e-13, 0.3 - 1e-14)).select(many(4), 3)
    agrees(places[:, 0], [0, 1 / 3, 1 / 3, 1 / 3])
    agrees(places[:, 2], [0, 1 / 3, 1 / 3, 1 / 3])


def test_equals_in_a_greedy_batch_are_told_by_chance_and_never_taken_twice():
    score = torch.tensor([0.3, 0.2, 0.3, 0.3 + 1e-13, 0.9]).double().expand(LANES, -1)
    taken = torch.tensor([False, False, False, False, True]).expand(LANES, -1)
    uniform = torch.rand(LANES, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    agrees(best(score, taken, uniform), [1 / 3, 0, 1 / 3, 1 / 3, 0])
    agrees(best(torch.full_like(score, torch.nan), taken, uniform), [1 / 4, 1 / 4, 1 / 4, 1 / 4, 0])


SCORES = (0.5, 1.0, 2.0, 4.0)


@pytest.mark.parametrize("coldness", [0.0, 1.0, 2.5])
@pytest.mark.parametrize(
    ("batch", "weight"),
    [
        ("power", lambda score, rank: score),
        ("softmax", lambda score, rank: score.exp()),
        ("softrank", lambda score, rank: 1 / rank),
    ],
)
def test_a_random_batch_of_one_has_the_probabilities_of_its_closed_form(batch, weight, coldness):
    places = Given(batch=batch, coldness=coldness, scores=SCORES).select(many(4), 1)
    chance = weight(torch.tensor(SCORES).double(), torch.tensor([4.0, 3.0, 2.0, 1.0]).double()) ** coldness
    agrees(places[:, 0], chance / chance.sum())


def test_a_random_batch_is_drawn_one_after_another_without_replacement():
    places = Given(batch="power", scores=(1.0, 2.0, 4.0)).select(many(3), 2)
    chance = {(a, b): 2.0**a / 7 * 2.0**b / (7 - 2.0**a) for a, b in permutations(range(3), 2)}
    codes = torch.tensor([3 * a + b for a, b in chance])
    counts = (places[:, :1] * 3 + places[:, 1:] == codes).sum(0).double()
    expected = LANES * torch.tensor(list(chance.values())).double()
    assert counts.sum() == LANES
    assert ((counts - expected).square() / expected).sum() < 20.52  # chi-square with 5 degrees, 1 in 1,000


def test_power_takes_what_has_no_score_last_and_by_chance():
    seen = many(5)
    places = Given(batch="power", scores=(0.0, 1e-3, 0.0, 5.0, 0.0)).select(seen, 3)
    assert torch.equal(places[:, :2].sort(1).values, torch.tensor([1, 3]).expand(LANES, -1))
    agrees(places[:, 2], [1 / 3, 0, 1 / 3, 0, 1 / 3])


def test_softrank_ranks_equals_by_chance():
    places = Given(batch="softrank", scores=(2.0, 2.0, 1.0)).select(many(3), 1)
    share = (1 + 1 / 2) / 2 / (1 + 1 / 2 + 1 / 3)
    agrees(places[:, 0], [share, share, 1 - 2 * share])


def test_random_takes_all_batches_equally_often():
    places = Random().select(many(3), 2)
    agrees(places[:, 0], [1 / 3, 1 / 3, 1 / 3])
    agrees(places[places[:, 0] == 0][:, 1], [0, 1 / 2, 1 / 2])


def test_a_ranking_holds_every_place_once():
    score = torch.tensor([[1.0, torch.nan, -torch.inf, torch.inf, 1.0]]).double()
    order = ranking(score, torch.tensor([[0.5, 0.1, 0.2, 0.3, 0.4]]).double())
    assert order.tolist() == [[3, 4, 0, 1, 2]]


def test_more_labels_than_candidates_are_refused():
    for acquisition in (Random(), Entropy(draws=5)):
        with pytest.raises(ValueError, match="expected to buy from 1 to 12 labels, all candidates, got 13"):
            acquisition.select(view(classes()), 13)


def test_scores_of_a_diverged_replica_leave_it_to_chance():
    table = classes(replicas=3, draws=5, rows=40)
    table[1] = torch.nan
    first, second = (BALD(draws=5).select(view(table, seed=seed), 6) for seed in (0, 1))
    assert torch.equal(first[[0, 2]], second[[0, 2]])
    assert not torch.equal(first[1], second[1])
    assert len(set(first[1].tolist())) == 6


def test_they_keep_the_contract():
    assert isinstance(Entropy(), Acquisition)
    assert isinstance(Entropy(), Scored)
    assert isinstance(Random(), Scored)
