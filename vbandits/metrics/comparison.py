"""Which methods are told apart by their losses, over seeds and over problems. A loss is lower = better."""

from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from vbandits.metrics.intervals import KEPT, RESAMPLES, mean_interval, resampled, resampled_in_blocks

STRATIFIED = RESAMPLES // 2
NAN = float("nan")


def confidence_set(losses: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Returns which methods are not excluded as the one of lowest mean loss.

    A method is excluded only if some other beats it by a paired one-sided t test at (1 - level) / (M - 1), Bonferroni's
    correction over those that might: so the truly best is excluded with probability 1 - level at most. It is the
    "multiple comparisons with the best" of J. Hsu ("Constrained simultaneous confidence intervals for multiple
    comparisons with the best", 1984) for paired losses, which need not spread alike. Methods in the set are not
    "tied": two of them may well be told apart from each other. Of two methods the test is at (1 - level) / 2, so that
    whoever is excluded has a two-sided interval that excludes 0.

    Args:
        losses: methods by seeds [M, R]. A method with a NaN is never in the set, and excludes none.
        level: probability that the best is in the set.

    Returns:
        One flag per method [M]. With a single seed none with values is excluded.
    """
    losses = np.asarray(losses, dtype=float)
    known, size = _known(losses), losses.shape[1]
    kept, found = losses[known], known.copy()
    if size < 2 or len(kept) < 2:
        return found
    worse = paired_p(kept) <= (1 - level) / max(len(kept) - 1, 2)
    found[known] = ~worse.any(1)
    return found


def paired_p(losses: np.ndarray) -> np.ndarray:
    """Returns p-values [M, M] of paired one-sided t tests: small where the row's mean loss is above the column's.

    Args:
        losses: methods by seeds [M, R], finite, R >= 2. A difference that is the same in all seeds has p = 0, or 1
            where it is not above zero.
    """
    size = losses.shape[1]
    difference = losses[:, None] - losses[None]
    mean, spread = difference.mean(2), difference.std(2, ddof=1)
    rounding = 1e-13 * np.maximum(np.abs(losses).max(1)[:, None], np.abs(losses).max(1)[None])
    mean = np.where(np.abs(mean) > rounding, mean, 0.0)
    constant = spread <= rounding
    t = mean * np.sqrt(size) / np.where(constant, 1.0, spread)
    return np.where(constant, np.where(mean > 0, 0.0, 1.0), special.stdtr(size - 1, -t))


def paired_difference(own: np.ndarray, reference: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Returns the mean of own - reference over seeds, both [R] of the same seeds, and the two ends of its interval.

    The interval is Student's t, as the test of `confidence_set` is: the difference of two equal methods is symmetric,
    however skewed their losses are. All three are NaN where a value is missing: the caller leaves out seeds that one of
    the two lacks, or imputes them.
    """
    difference = np.asarray(own, dtype=float) - np.asarray(reference, dtype=float)
    if not len(difference) or not np.isfinite(difference).all():
        return NAN, NAN, NAN
    return float(difference.mean()), *mean_interval(difference, level, symmetric=True)


def rank_intervals(losses: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Returns the first and the last rank that each method may have, 1 the best; all hold at once with the probability.

    M. Mogstad, J. Romano, A. Shaikh and D. Wilhelm, "Inference for Ranks with Applications to Mobility across
    Neighbourhoods and Academic Achievement across Countries", 2024: a method ranks behind all that are told
    better and before all that are told worse. Told by paired t tests of all pairs in both directions, with Holm's
    correction ("A Simple Sequentially Rejective Multiple Test Procedure", 1979).

    Args:
        losses: methods by seeds [M, R]. Methods with a NaN share the ranks behind all others.
        level: probability that all ranks lie in their intervals.

    Returns:
        First and last rank [M, 2].
    """
    losses = np.asarray(losses, dtype=float)
    known, ranks = _known(losses), _all_behind(losses)
    kept = losses[known]
    if losses.shape[1] < 2 or len(kept) < 2:
        ranks[known] = 1, len(kept)
        return ranks
    pairs = ~np.eye(len(kept), dtype=bool)
    worse = np.zeros(pairs.shape, dtype=bool)
    worse[pairs] = _holm(paired_p(kept)[pairs]) <= 1 - level
    ranks[known] = np.stack([1 + worse.sum(1), len(kept) - worse.sum(0)], axis=1)
    return ranks


def problem_rank_intervals(scores: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Returns the first and the last rank of each method's mean over problems, when problems are drawn anew.

    The percentile bootstrap over problems (Efron and Tibshirani, 1993, chapter 13). It shows how far the choice of
    problems decides the ranking, and no more: few problems, chosen by hand, are no sample of all problems.

    Args:
        scores: of methods on problems [M, P], lower is better. Methods with a NaN share the ranks behind all others.
        level: of the interval of each rank by itself.

    Returns:
        First and last rank [M, 2], 1 the best; methods of equal mean share the best rank of theirs.
    """
    scores = np.asarray(scores, dtype=float)
    known, ranks = _known(scores), _all_behind(scores)
    kept = scores[known]
    if not kept.size:
        return ranks
    # one product by one, not a matrix product: what ties in one resample must tie on every machine
    sums = sum(count[:, None] * score for count, score in zip(resampled(kept.shape[1]).T, kept.T, strict=True))
    found = stats.rankdata(sums, method="min", axis=1)
    tail = (1 - level) / 2
    ranks[known, 0] = np.quantile(found, tail, axis=0, method="inverted_cdf")
    ranks[known, 1] = np.quantile(found, 1 - tail, axis=0, method="inverted_cdf")
    return ranks


def performance_profile(
    runs: np.ndarray, thresholds: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the share of runs whose loss is at most each threshold, with its pointwise interval.

    Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", 2021, section 4.2 (score
    distributions): seeds are resampled in each problem by itself, and the percentiles hold at each threshold alone.

    Args:
        runs: seeds by problems [R, P], problems on one scale. A NaN is a failed run, which reaches no threshold.
        thresholds: increasing [G].
        level: of the interval at each threshold.

    Returns:
        Share, low and high, each [G]; ends are NaN below two seeds.
    """
    size, problems = runs.shape
    reached = (runs[..., None] <= thresholds).transpose(1, 0, 2).reshape(problems * size, -1).astype(np.float32)
    share = reached.mean(0, dtype=float)
    if size < 2:
        return share, np.full_like(share, NAN), np.full_like(share, NAN)
    at_once = STRATIFIED if STRATIFIED * len(reached) <= KEPT else 1
    counts = resampled_in_blocks(size, at_once * problems, STRATIFIED // at_once)
    sums = [own.reshape(at_once, -1).astype(np.float32) @ reached for own in counts]
    found = np.concatenate(sums).astype(float) / (problems * size)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return share, low, high


def probability_of_improvement(own: np.ndarray, other: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Returns how probable it is that a run of one method has a lower loss than one of another, with its interval.

    Agarwal et al., 2021, section 4.3: the Mann-Whitney statistic of each problem, ties counting one half, averaged over
    problems. Seeds are resampled in each problem by itself and in each method by itself; the ends are percentiles.

    Args:
        own: seeds by problems [R, P]. A NaN is a failed run, which loses to any other and ties with a failed one.
        other: of the other method [R', P].
        level: of the interval.

    Returns:
        Probability, low and high; ends are NaN below two seeds.
    """
    size, problems = own.shape
    own, other = (np.where(np.isnan(runs), np.inf, runs) for runs in (own, other))
    among, total, found = 2 * len(own) * len(other) * problems, 0.0, np.zeros(STRATIFIED)
    mine = resampled_in_blocks(size, STRATIFIED, problems)
    theirs = resampled_in_blocks(len(other), STRATIFIED, problems, 1)
    for one, another, ours, others in zip(own.T, other.T, mine, theirs, strict=True):
        # twice the wins, so that sums are of whole numbers
        wins = 2.0 * (one[:, None] < another) + (one[:, None] == another)  # [R, R']
        total += wins.sum()
        found += ((ours @ wins) * others).sum(1)
    if min(size, len(other)) < 2:
        return float(total / among), NAN, NAN
    low, high = np.quantile(found / among, [(1 - level) / 2, (1 + level) / 2])
    return float(total / among), float(low), float(high)


class CriticalDifference(NamedTuple):
    """What a critical-difference diagram shows of M methods."""

    ranks: np.ndarray
    """Mean rank over problems [M], 1 the best; ties share their mean."""
    p: float
    """Of the hypothesis that all methods are equal: Friedman's test, of two methods Wilcoxon's."""
    cliques: tuple[tuple[int, ...], ...]
    """Largest groups of methods, neighbours in mean rank, of which no two are told apart; best first."""


def critical_difference(scores: np.ndarray, level: float = 0.95) -> CriticalDifference:
    """Returns mean ranks over problems and which methods problems do not tell apart.

    J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", 2006, with Friedman's test first; then
    not Nemenyi's test of mean ranks, which depends on what other methods are there, but Wilcoxon's signed-rank test of
    every pair with Holm's correction: A. Benavoli, G. Corani and F. Mangili, "Should We Really Use Post-Hoc Tests Based
    on Mean-Ranks?", 2016. Few problems tell nothing: Wilcoxon's p is at least 2^(1 - P), so that two methods need 6
    problems, four need 8 and twelve need 12 before any can be told apart.

    Args:
        scores: of methods on problems [M, P], lower is better, without NaN (see `imputed`).
        level: 1 - level is the probability that equal methods are told apart.

    Raises:
        ValueError: a score is not finite, or there are no problems.
    """
    scores = np.asarray(scores, dtype=float)
    methods, problems = scores.shape
    if not problems or not np.isfinite(scores).all():
        raise ValueError(
            f"Expected finite scores of methods on at least one problem, got {scores.shape} with "
            f"{int((~np.isfinite(scores)).sum())} that are not finite. Impute failed runs first."
        )
    ranks = stats.rankdata(scores, axis=0).mean(1)
    apart = np.zeros((methods, methods), dtype=bool)
    first, second = np.triu_indices(methods, 1)
    each = np.array([_wilcoxon(scores[i] - scores[j]) for i, j in zip(first, second, strict=True)])
    p = _friedman(scores) if methods > 2 else float(each.min(initial=1.0))
    if p <= 1 - level:
        apart[first, second] = apart[second, first] = _holm(each) <= 1 - level
    order, cliques = np.argsort(ranks, kind="stable"), []
    for start in range(methods):
        end = start + 1
        while end < methods and not apart[np.ix_(order[start : end + 1], order[start : end + 1])].any():
            end += 1
        if end - start > 1 and not (cliques and end <= cliques[-1][1]):
            cliques.append((start, end))
    return CriticalDifference(ranks, p, tuple(tuple(map(int, order[start:end])) for start, end in cliques))


def seeds_to_tell(differences: np.ndarray, level: float = 0.05, power: float = 0.8, most: int = 10_000) -> int | None:
    """Returns how many seeds a paired, two-sided t test needs to tell two methods apart, were these seeds the truth.

    The power is that of the noncentral t (J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988,
    chapter 2). The observed mean and spread are estimates, and so is the number: of two methods that hardly differ, it
    is a matter of chance.

    Args:
        differences: of losses, paired by seed [R].
        level: probability that equal methods are told apart.
        power: probability that these are.
        most: seeds to consider.

    Returns:
        Seeds, at least 2; None where `most` are too few, and below two seeds or where one is not finite.
    """
    differences = np.asarray(differences, dtype=float)
    if len(differences) < 2 or not np.isfinite(differences).all():
        return None
    mean, spread = abs(differences.mean()), differences.std(ddof=1)
    if spread <= 1e-13 * np.abs(differences).max():
        return 2 if mean > 0 else None

    def enough(size: int) -> bool:
        beyond = stats.t.ppf(1 - level / 2, size - 1)
        away = min(np.sqrt(size) * mean / spread, 1e8)  # beyond that, the function has no value
        return bool(special.nctdtr(size - 1, away, beyond) <= 1 - power)

    few, many = 1, 2
    while not enough(many):  # from below: far beyond what is needed, the function has no value in places
        if many >= most:
            return None
        few, many = many, min(2 * many, most)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def imputed(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns runs whose failures have the worst loss of any method and seed on that problem, and which those are.

    A failure so costs a method as much as the worst that anyone made of the problem, and not more.

    Args:
        runs: methods by seeds by problems [M, R, P]; a failed run is NaN (or infinite).

    Returns:
        Runs [M, R, P], and a mask [M, R, P] of those imputed; problems in which all runs failed keep NaN.
    """
    runs = np.asarray(runs, dtype=float)
    failed = ~np.isfinite(runs)
    worst = np.where(failed, -np.inf, runs).max(axis=(0, 1), initial=-np.inf)
    return np.where(failed, np.where(np.isfinite(worst), worst, NAN), runs), failed


def _known(losses: np.ndarray) -> np.ndarray:
    """Returns which methods have losses [M, R], and none that is not finite."""
    return np.logical_and.reduce(np.isfinite(losses), axis=1) & (losses.shape[1] > 0)


def _all_behind(losses: np.ndarray) -> np.ndarray:
    """Returns ranks [M, 2] of methods without losses: any of those behind all methods that have some."""
    return np.tile([int(_known(losses).sum()) + 1, len(losses)], (len(losses), 1))


def _holm(p: np.ndarray) -> np.ndarray:
    """Returns p-values [N] that are corrected for there being N of them (Holm, 1979)."""
    order = np.argsort(p, kind="stable")
    found = np.empty(len(p))
    found[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return found


def _wilcoxon(difference: np.ndarray) -> float:
    """Returns the two-sided p-value of Wilcoxon's signed-rank test of differences over problems [P]."""
    if not difference.any():
        return 1.0
    found: Any = stats.wilcoxon(difference, zero_method="zsplit")
    return float(found.pvalue)


def _friedman(scores: np.ndarray) -> float:
    """Returns the p-value of Friedman's test of scores [M, P]; 1 where all methods tie on every problem."""
    if (scores == scores[0]).all():
        return 1.0
    return float(stats.friedmanchisquare(*scores).pvalue)
