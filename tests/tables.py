"""A posterior that is a table: a row of the pool is its own number, and draws look their values up."""

from itertools import product
from math import log, prod

import torch

from vbandits.agents.acquisition import Rows, View


def classes(replicas=2, draws=5, rows=12, count=3, seed=0, scale=2.0):
    """Returns random logits [R, S, N, K]."""
    random = torch.Generator().manual_seed(seed)
    return scale * torch.randn(replicas, draws, rows, count, generator=random, dtype=torch.float64)


def means(replicas=2, draws=5, rows=12, seed=0):
    """Returns random values of a regression [R, S, N, 1]."""
    return classes(replicas, draws, rows, 1, seed, 1.0)


def view(
    table, *, regression=False, candidates=None, labelled=(), targets=None, features=None, noise=0.5, seed=0, lanes=None
) -> View:
    """Returns what an acquisition sees of a posterior that is a table [R, S, N, K].

    Draws are the S of the table, or the first of them; every later call gives them in another order, so that whoever
    draws twice where one function is meant gets another. Candidates are the rows not labelled, or those given, the same
    for all replicas; targets are all rows, or those given. Random numbers are those of the lanes' own streams.
    """
    replicas, _, count, outputs = table.shape
    lanes = range(replicas) if lanes is None else lanes
    pool = torch.arange(count, dtype=torch.float64).unsqueeze(1)
    features = pool.expand(replicas, -1, -1) if features is None else features
    streams = [torch.Generator().manual_seed(1000 * seed + lane) for lane in lanes]

    def look_up(values, x):  # values [R, ..., N, k] at x [R, n, 1]
        index = x.long().squeeze(2)
        return torch.stack([v.index_select(-2, i) for v, i in zip(values, index, strict=True)])

    def rows(places):
        return Rows(pool, torch.as_tensor(places, dtype=torch.int64).expand(replicas, -1))

    calls = iter(range(1000))

    def draw(draws):
        assert draws <= table.shape[1]
        drawn = table.roll(next(calls), 1)[:, :draws]
        return lambda x: look_up(drawn, x)

    if candidates is None:
        candidates = [place for place in range(count) if place not in set(labelled)]
    return View(
        candidates=rows(candidates),
        labelled=rows(list(labelled)),
        targets=lambda source, wanted: rows(range(count) if targets is None else targets),
        classes=0 if regression else outputs,
        draw=draw,
        embed=lambda x: look_up(features, x),
        noise=torch.full((replicas,), noise, dtype=torch.float64),
        uniform=lambda *shape: torch.stack([torch.rand(shape, generator=s, dtype=torch.float64) for s in streams]),
    )


def enumerated_information(p, *groups):
    """Returns the information between the labels of groups of rows, one replica, by adding up all joint outcomes.

    `p` is [S, N, K]; a group is a list of rows, or None for the function itself.
    """
    draws, _, count = p.shape
    joint = {}
    for s in range(draws):
        sizes = [1 if group is None else len(group) for group in groups]
        for outcome in product(range(count), repeat=sum(n for n, g in zip(sizes, groups, strict=True) if g)):
            left, key, chance = list(outcome), [], 1.0 / draws
            for group in groups:
                if group is None:
                    key.append(s)
                    continue
                labels, left = left[: len(group)], left[len(group) :]
                key.append(tuple(labels))
                for row, label in zip(group, labels, strict=True):
                    chance *= float(p[s, row, label])
            joint[tuple(key)] = joint.get(tuple(key), 0.0) + chance
    marginals = [{} for _ in groups]
    for key, chance in joint.items():
        for part, marginal in zip(key, marginals, strict=True):
            marginal[part] = marginal.get(part, 0.0) + chance
    total = 0.0
    for key, chance in joint.items():
        apart = prod(marginal[part] for part, marginal in zip(key, marginals, strict=True))
        total += chance * log(chance / apart) if chance else 0.0
    return total
