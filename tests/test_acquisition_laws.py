"""What every acquisition of ours does beyond the public laws (tests/test_laws.py)."""

import pytest
import torch

from tests.tables import classes, means, view
from vbandits.agents import acquisition
from vbandits.agents.acquisition import Acquisition, Scored, base

F64 = torch.float64
S = 6
KINDS = [
    acquisition.Random(),
    acquisition.Entropy(draws=S),
    acquisition.LeastConfidence(draws=S),
    acquisition.Margin(draws=S),
    acquisition.VoteEntropy(draws=S),
    acquisition.MeanStd(draws=S),
    acquisition.Variance(draws=S),
    acquisition.BALD(draws=S),
    acquisition.BALD(draws=S, batch="power"),
    acquisition.BALD(draws=S, batch="softmax", coldness=10),
    acquisition.BALD(draws=S, batch="softrank"),
    acquisition.EPIG(draws=S, targets=40),
    acquisition.PosteriorSampling(),
    acquisition.BatchBALD(draws=S),
    acquisition.BatchBALD(draws=S, exact=4, samples=20),
    acquisition.BADGE(draws=S),
    acquisition.CoreSet(),
    acquisition.TypiClust(),
    acquisition.Coverage(),
    acquisition.Coverage(radius=1.0),
    acquisition.MaxDet(draws=S),
    acquisition.IntegratedVariance(draws=S),
]
CASES = [(kind, task) for kind in KINDS for task in sorted(kind.tasks)]
CHANCE = (acquisition.Random, acquisition.VoteEntropy, acquisition.BADGE, acquisition.TypiClust, acquisition.Coverage)
DEFINITE = [
    case
    for case in CASES  # all whose batch does not depend on chance; votes of six draws are often equal
    if not isinstance(case[0], CHANCE) and getattr(case[0], "batch", "top") == "top" and case[0] != KINDS[14]
]


def over(cases):
    """Runs a test for every acquisition and task."""
    return pytest.mark.parametrize(
        ("kind", "task"), cases, ids=lambda part: part if isinstance(part, str) else repr(part)
    )


each = over(CASES)


def problem(task, replicas=5, rows=40):
    """Returns a table of draws and features."""
    features = torch.randn(replicas, rows, 3, generator=torch.Generator().manual_seed(7), dtype=F64)
    if task == "regression":
        return means(replicas, S, rows), features
    return classes(replicas, S, rows), features


def seen(task, table, features, **options):
    options = {"labelled": [1, 5, 30]} | options
    return view(table, regression=task == "regression", features=features, **options)


def test_every_acquisition_is_here_and_says_what_it_can_be_used_for():
    names = set(acquisition.__all__) - {"Acquisition", "Rows", "Scored", "View", "ranking"}
    kinds = {getattr(acquisition, name) for name in names}
    assert kinds == {type(kind) for kind in KINDS}
    for kind in KINDS:
        assert isinstance(kind, Acquisition)
        assert kind.tasks
        assert kind.tasks <= {"classes", "regression"}


@each
def test_the_size_of_blocks_changes_nothing(kind, task, monkeypatch):
    table, features = problem(task, 2)
    places = kind.select(seen(task, table, features), 6)
    scores = kind.score(seen(task, table, features)) if isinstance(kind, Scored) else None
    for values in (1, 130):
        monkeypatch.setattr(base, "VALUES", values)
        assert torch.equal(kind.select(seen(task, table, features), 6), places)
        if scores is not None:
            again = kind.score(seen(task, table, features))
            torch.testing.assert_close(again, scores, rtol=0, atol=1e-13)


@over(DEFINITE)
def test_the_order_of_candidates_changes_nothing(kind, task):
    table, features = problem(task, 2)
    candidates = torch.tensor([row for row in range(40) if row not in (1, 5, 30)])
    order = torch.randperm(37, generator=torch.Generator().manual_seed(3))
    first, second = (seen(task, table, features, candidates=rows) for rows in (candidates, candidates[order]))
    if isinstance(kind, Scored):
        torch.testing.assert_close(kind.score(second), kind.score(first)[:, order], rtol=0, atol=1e-13)
    bought = candidates[kind.select(first, 6)]
    assert torch.equal(bought, candidates[order][kind.select(second, 6)])
    assert bought.unique().numel() > 6  # two replicas differ


@each
def test_never_the_same_place_twice_and_in_the_end_every_place(kind, task):
    for table in (problem(task, 2, 12)[0], problem(task, 2, 12)[0][:, :1, :1].expand(-1, S, 12, -1)):
        features = problem(task, 2, 12)[1]
        for rows in (features, torch.ones_like(features)):
            places = kind.select(seen(task, table, rows, labelled=[3, 4]), 10)
            assert torch.equal(places.sort(1).values, torch.arange(10).expand(2, -1))


@over(DEFINITE)
def test_chance_decides_nothing_where_scores_do(kind, task):
    table, features = problem(task, 2)
    batches = [kind.select(seen(task, table, features, seed=seed), 6) for seed in range(3)]
    assert all(torch.equal(batch, batches[0]) for batch in batches)


@over([case for case in CASES if case not in DEFINITE])
def test_chance_decides_where_it_should(kind, task):
    table, features = problem(task, 2)
    batches = {str(kind.select(seen(task, table, features, seed=seed), 6).tolist()) for seed in range(8)}
    assert len(batches) > 1


@each
def test_more_labels_than_candidates_are_refused(kind, task):
    with pytest.raises(ValueError, match="expected to buy from 1 to 37 labels, all candidates, got 38"):
        kind.select(seen(task, *problem(task, 2)), 38)
