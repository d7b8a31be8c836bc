"""One run against another on the same cases: Wilcoxon's test, its effect size, and an interval of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999
EQUAL_DECIMALS = 9  # to which differences count as equal: 2.1 - 1.4 is not 0.7 to a computer
MOST_FOR_EXACT_TEST = 50  # cases that differ


@dataclass(frozen=True)
class PairedComparison:
    """A variant against a baseline on the same cases.

    Attributes:
        n: number of pairs.
        mean_difference: mean of variant minus baseline, in the metric's unit.
        low: lower end of the bootstrap interval of the mean difference; nan with fewer than two pairs.
        high: its upper end.
        statistic: Wilcoxon's T, the smaller of the two sums of signed ranks.
        p_value: two-sided, of Wilcoxon's signed-rank test; not corrected for several comparisons.
        effect_size: matched-pairs rank-biserial correlation, -1 to 1: 1 if the variant is better in every case
            that differs, -1 if it is worse in every one, 0 if both balance.
        better: cases in which the variant is better.
        equal: cases in which both have the same value.
        worse: cases in which the variant is worse.
    """

    n: int
    mean_difference: float
    low: float
    high: float
    statistic: float
    p_value: float
    effect_size: float
    better: int
    equal: int
    worse: int


def compare_paired(
    values: ArrayLike,
    baseline: ArrayLike,
    *,
    higher_is_better: bool,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedComparison:
    r"""Compare a variant with a baseline, case by case.

    The differences :math:`d_i`, rounded to 9 decimals, are ranked by size, and :math:`R_+`, :math:`R_-` are the sums
    of the ranks of the better and of the worse cases. Cases without a difference are ranked, then left out of both
    sums (Pratt, 1959), so that many of them speak against a difference. The test is exact, whatever the ties, where up
    to 50 cases differ; above, it takes the normal approximation (scipy.stats.wilcoxon). The effect size is

    .. math:: r = \frac{R_+ - R_-}{R_+ + R_-}

    (King, Rosopa and Minium, 2011; Kerby, 2014). The interval of the mean difference is a bias-corrected and
    accelerated bootstrap (Efron, 1987), in which whole cases are drawn.

    Args:
        values: (n,) metric of the variant, one finite number a case.
        baseline: (n,) metric of the baseline, in the same order of cases.
        higher_is_better: True for Dice, False for a distance; sets the signs of the effect size and what counts as
            better, not the sign of the mean difference.
        confidence: of the interval, between 0 and 1.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: the two differ in length, are empty, or hold a value that is not finite.
    """
    differences = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if np.shape(values) != np.shape(baseline) or differences.ndim != 1 or not differences.size:
        raise ValueError("a paired comparison needs two equally long rows of numbers, and at least one pair")
    if not np.isfinite(differences).all():
        raise ValueError("a paired comparison needs finite numbers")
    gains = np.round(differences if higher_is_better else -differences, EQUAL_DECIMALS)
    ranks = stats.rankdata(np.abs(gains))
    for_variant, against = float(ranks[gains > 0].sum()), float(ranks[gains < 0].sum())
    moved = for_variant + against
    low, high = _bootstrap_interval(differences, confidence=confidence, resamples=resamples, seed=seed)
    return PairedComparison(
        n=differences.size,
        mean_difference=float(differences.mean()),
        low=low,
        high=high,
        statistic=min(for_variant, against),
        p_value=_wilcoxon_p(gains) if moved else 1.0,
        effect_size=(for_variant - against) / moved if moved else 0.0,
        better=int((gains > 0).sum()),
        equal=int((gains == 0).sum()),
        worse=int((gains < 0).sum()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Holm's adjusted p-values: :math:`\tilde p_{(i)} = \max_{j\le i} \min(1, (m-j+1)\,p_{(j)})` (Holm, 1979).

    Rejecting where one is at most a level keeps the probability of any false rejection among the m hypotheses
    at that level, whatever their dependence.

    Args:
        p_values: of m hypotheses, each from 0 to 1.

    Returns:
        The adjusted p-values, in the same order.
    """
    order = np.argsort(p_values)
    scaled = np.minimum(1.0, np.asarray(p_values)[order] * np.arange(len(order), 0, -1))
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(scaled)
    return [float(p) for p in adjusted]


def _wilcoxon_p(gains: NDArray[np.float64]) -> float:
    differ = gains != 0
    if differ.sum() > MOST_FOR_EXACT_TEST:
        return float(stats.wilcoxon(gains, zero_method="pratt", method="approx").pvalue)
    doubled = (2 * stats.rankdata(np.abs(gains))[differ]).astype(int)  # ranks of ties are halves
    of_better = int(doubled[gains[differ] > 0].sum())
    smaller = min(of_better, int(doubled.sum()) - of_better)
    ways = np.ones(1)  # of choosing better cases, by the sum of their ranks
    for rank in doubled:
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    return min(1.0, 2 * float(ways[: smaller + 1].sum() / ways.sum()))


def _bootstrap_interval(
    differences: NDArray[np.float64], *, confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    if differences.size < 2:
        return float("nan"), float("nan")
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, 10**6 // differences.size),
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
