from dataclasses import replace

import pytest
import torch

from tests.tables import classes, view
from vbandits.agents.acquisition import BADGE, CoreSet, Coverage, TypiClust
from vbandits.agents.acquisition.diversity import gradient_distance, residuals
from vbandits.agents.acquisition.features import squared_distances
from vbandits.agents.acquisition.typical import clustered, pure_radius, typicality

F64 = torch.float64


def random_features(rows=20, size=4, replicas=2, seed=0):
    return torch.randn(replicas, rows, size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def blobs(*sizes, replicas=2, seed=0):
    """Features of well separated groups of rows, one after the other."""
    centre = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).double()
    return random_features(len(centre), 2, replicas, seed) + 100 * centre[:, None]


def gradients(h, weight):
    """Returns the gradient [N, K H] of each row's cross-entropy in the last layer's weights, by differentiation."""
    found = []
    for row in h:
        weight = weight.detach().requires_grad_()
        logits = weight @ row
        torch.nn.functional.cross_entropy(logits, logits.argmax()).backward()
        found.append(weight.grad.flatten())
    return torch.stack(found)


def test_distances_of_badge_are_those_between_gradients_of_the_last_layer():
    h = random_features()
    weight = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1), dtype=F64)
    residual = residuals((h @ weight.mT).softmax(2))
    for place in (0, 7):
        distance = gradient_distance(residual, h, torch.tensor([place, place + 1]))
        for lane in range(2):
            g = gradients(h[lane], weight[lane])
            expected = (g - g[place + lane]).square().sum(1)
            torch.testing.assert_close(distance[lane], expected, rtol=1e-10, atol=1e-12)
            assert distance[lane, place + lane] == 0


def test_badge_starts_with_the_longest_gradient_and_goes_on_in_proportion_to_squared_distances():
    lanes, table, h = 4000, classes(1, 5, 4), random_features(4, replicas=1)
    random = torch.Generator().manual_seed(0)
    seen = replace(
        view(table.expand(lanes, -1, -1, -1), features=h.expand(lanes, -1, -1), lanes=[0]),
        uniform=lambda *shape: torch.rand(lanes, *shape, generator=random, dtype=F64),
    )
    places = BADGE(draws=5).select(seen, 2)
    residual = residuals(table.softmax(3).mean(1))[0]
    g = (residual.unsqueeze(2) * h[0].unsqueeze(1)).flatten(1)
    first = int(g.norm(dim=1).argmax())
    assert (places[:, 0] == first).all()
    chance = (g - g[first]).square().sum(1)
    counts, expected = places[:, 1].bincount(minlength=4).double(), lanes * chance / chance.sum()
    assert counts[first] == 0
    others = expected > 0
    assert ((counts - expected)[others].square() / expected[others]).sum() < 13.82  # chi-square, 2 degrees, 1 in 1,000


def test_badge_takes_equal_rows_last():
    table, h = classes(rows=6), random_features(6)
    table[:, :, 4:], h[:, 4:] = table[:, :, 3:4], h[:, 3:4]
    for seed in range(5):
        places = BADGE(draws=5).select(view(table, features=h, seed=seed), 6)
        assert ((places[:, :4] >= 3).sum(1) == 1).all()


def test_core_set_takes_the_row_farthest_from_all_centres():
    h, labelled = random_features(), [3, 11]
    places = CoreSet().select(view(classes(rows=20), features=h, labelled=labelled), 5)
    candidates = torch.tensor([row for row in range(20) if row not in labelled])
    for lane in range(2):
        centres = list(labelled)
        for place in places[lane]:
            distance = torch.cdist(h[lane, candidates], h[lane, centres]).amin(1)
            assert place == distance.argmax()
            centres.append(int(candidates[place]))


def test_core_set_without_labels_starts_anywhere():
    h = random_features()
    starts = {int(CoreSet().select(view(classes(rows=20), features=h, seed=s), 1)[0, 0]) for s in range(30)}
    assert len(starts) > 10


def test_typicality_is_the_inverse_mean_distance_to_the_nearest():
    x = random_features(30)[0]
    distance = torch.cdist(x, x).sort(1).values
    torch.testing.assert_close(typicality(x, 5), 1 / distance[:, 1:6].mean(1))
    torch.testing.assert_close(typicality(x, 50), 1 / distance[:, 1:].mean(1))


def test_typi_clust_takes_the_most_typical_row_of_clusters_without_labels_the_largest_first():
    h, labelled = blobs(10, 40, 25), [15]
    candidates = [row for row in range(75) if row not in labelled]
    places = TypiClust(clusters=3).select(view(classes(rows=75), features=h, labelled=labelled), 5)
    for lane in range(2):
        taken = torch.tensor(candidates)[places[lane]]
        small, large, middle = (typicality(h[lane, a:b], 20) for a, b in ((0, 10), (10, 50), (50, 75)))
        large[5] = 0  # is labelled
        second = middle.topk(2).indices[1]
        assert taken.tolist() == [
            50 + middle.argmax(),
            small.argmax(),
            10 + large.argmax(),
            50 + second,
            small.topk(2).indices[1],
        ]


def test_typi_clust_makes_as_many_clusters_as_there_will_be_labels():
    h = blobs(10, 20, 30, 40)
    places = TypiClust().select(view(classes(rows=100), features=h), 4)
    group = torch.bucketize(places, torch.tensor([10, 30, 60]), right=True)
    assert group.tolist() == [[3, 2, 1, 0]] * 2


def test_coverage_takes_the_ball_with_most_rows_not_covered():
    h, labelled, radius = random_features(120, 2), [3, 11], 0.6
    places = Coverage(radius=radius).select(view(classes(rows=120), features=h, labelled=labelled), 20)
    candidates = torch.tensor([row for row in range(120) if row not in labelled])
    for lane in range(2):
        inside = torch.cdist(h[lane, candidates], h[lane, candidates]) <= radius
        covered = (torch.cdist(h[lane, candidates], h[lane, labelled]) <= radius).any(1)
        assert covered.any()
        for place in places[lane]:
            gain = (inside & ~covered).sum(1)
            assert gain[place] == gain.max()
            covered = covered | inside[place]


@pytest.mark.parametrize("rows", [200, 1500])
def test_the_radius_leaves_95_in_100_balls_pure(rows):
    x = blobs(rows // 2, rows // 2, replicas=1)[0] * torch.tensor([0.03, 1.0], dtype=F64)  # two groups that touch
    uniform = torch.rand(rows, generator=torch.Generator().manual_seed(0), dtype=F64)
    radius = pure_radius(x, 2, uniform)
    group = clustered(x, 2, float(uniform[0]))
    order = uniform.argsort()[:1000]
    distance = torch.cdist(x[order], x).masked_fill(group[order].unsqueeze(1) == group, torch.inf).amin(1)
    assert 0.94 < (distance >= radius - 1e-9).double().mean() <= 0.96
    assert radius > torch.cdist(x, x).fill_diagonal_(torch.inf).amin(1).median()


def test_the_radius_is_not_less_than_what_holds_a_neighbour():
    x = random_features(21, 2)[0]
    uniform = torch.rand(21, generator=torch.Generator().manual_seed(0), dtype=F64)
    neighbour = torch.cdist(x, x).fill_diagonal_(torch.inf).amin(1)
    assert neighbour.min() < 0.9 * neighbour.median()
    radius = pure_radius(x, 21, uniform)  # every row has a cluster of its own
    torch.testing.assert_close(torch.tensor(radius, dtype=F64), neighbour.median())


def test_a_row_in_two_balls_is_covered_once():
    places = [(-0.8, 0), (0.8, 0), (0, 1.2)]  # the first two balls overlap where the third one reaches
    counts = {(-1.5, 0): 10, (1.5, 0.6): 4, (1.5, -0.6): 4, (0, 0.3): 4, (-0.6, 1.9): 2, (0.6, 1.9): 2, (10, 0): 4}
    x = torch.tensor(places + [place for place, count in counts.items() for _ in range(count)], dtype=F64)
    seen = view(classes(rows=len(x)), features=x.expand(2, -1, -1))
    assert Coverage(radius=1.0).select(seen, 3).tolist() == [[0, 1, 2]] * 2


def test_equal_rows_have_no_distance():
    x = random_features(50, 64).repeat(1, 2, 1)
    distance = squared_distances(x, x)
    torch.testing.assert_close(distance, torch.cdist(x, x).square(), rtol=1e-10, atol=1e-10)
    assert (distance.diagonal(dim1=1, dim2=2) == 0).all()
    assert (distance[:, :50, 50:].diagonal(dim1=1, dim2=2) == 0).all()


def test_a_diverged_replica_has_no_features_and_chooses_by_chance():
    sound = random_features(replicas=3)
    broken = sound.clone()
    broken[1, 4, 2] = torch.nan
    for kind in (BADGE(draws=5), CoreSet(), TypiClust(), Coverage()):
        batches = set()
        for seed in range(6):
            table = classes(3, rows=20)
            options = {"labelled": [0], "seed": seed}
            places = kind.select(view(table, features=broken, **options), 4)
            assert torch.equal(places[[0, 2]], kind.select(view(table, features=sound, **options), 4)[[0, 2]])
            assert len(set(places[1].tolist())) == 4
            batches.add(tuple(places[1].tolist()))
        assert len(batches) > 4
