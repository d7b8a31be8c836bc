"""Several runs on the same cases: mean ranks, Friedman's test, and Nemenyi's critical difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt

import numpy as np
import pandas as pd
from scipy import stats

ALPHA = 0.05


@dataclass(frozen=True)
class Ranks:
    """Variants ranked in every case; 1 is the best.

    Attributes:
        mean_rank: variant -> mean of its ranks over the cases, from 1 to the number of variants; best first.
        critical_difference: variants whose mean ranks differ by less are not told apart at level alpha.
        cliques: the largest groups of two or more variants that are not told apart, best first: the bars of a
            critical-difference picture. Groups may overlap.
        n: number of cases that every variant has.
        friedman: Friedman's statistic, corrected for ties; nan for two variants.
        p_value: of Friedman's test, that all variants rank alike; nan for two variants.
        alpha: level of the critical difference.
    """

    mean_rank: Mapping[str, float]
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    n: int
    friedman: float
    p_value: float
    alpha: float = ALPHA


def ranks(frame: pd.DataFrame, metric: str, *, higher_is_better: bool, alpha: float = ALPHA) -> Ranks:
    """Rank the variants within each case; equal values share the mean of their ranks.

    Friedman's test (1937) asks whether any variant ranks differently, Nemenyi's critical difference (1963) which
    pairs do; both as Demsar describes them (Journal of Machine Learning Research 7, 2006).

    Args:
        frame: one row a case and variant, with the columns `case`, `variant` and `metric`, of one region. Cases
            that a variant lacks are left out.
        metric: column to rank by.
        higher_is_better: True for Dice, False for a distance.
        alpha: level of the critical difference.

    Raises:
        ValueError: fewer than two variants, no case that all of them have, a case twice, or a value that is not
            finite.
    """
    if frame.duplicated(["case", "variant"]).any():
        raise ValueError("ranks need one row a case and variant")
    table = frame.pivot_table(metric, index="case", columns="variant", sort=False).dropna()
    n, k = table.shape
    if k < 2 or n < 1:
        raise ValueError(f"ranks need two variants or more with a case in common, not {k} with {n}")
    values = table.to_numpy()
    if not np.isfinite(values).all():
        raise ValueError(f"{metric}: ranks need finite numbers")
    means = stats.rankdata(-values if higher_is_better else values, axis=1).mean(axis=0)
    order = np.argsort(means, kind="stable")
    mean_rank = {str(table.columns[i]): float(means[i]) for i in order}
    difference = critical_difference(k, n, alpha=alpha)
    statistic, p_value = _friedman(values)
    return Ranks(mean_rank, difference, _cliques(mean_rank, difference), n, statistic, p_value, alpha)


def critical_difference(k: int, n: int, *, alpha: float = ALPHA) -> float:
    r"""Nemenyi's critical difference of mean ranks, :math:`q_\alpha\sqrt{k(k+1)/(6n)}`.

    Args:
        k: number of variants, at least two.
        n: number of cases.
        alpha: level; :math:`q_\alpha` is the quantile of the studentised range with infinitely many degrees of
            freedom, divided by the square root of two.
    """
    return _studentized_range(k, alpha) / sqrt(2) * sqrt(k * (k + 1) / (6 * n))


@lru_cache
def _studentized_range(k: int, alpha: float) -> float:
    return float(stats.studentized_range.ppf(1 - alpha, k, inf))


def _friedman(values: np.ndarray) -> tuple[float, float]:
    """Statistic and p-value; variants that tie in every case rank alike for certain."""
    if values.shape[1] < 3:
        return float("nan"), float("nan")
    if (values == values[:, :1]).all():
        return 0.0, 1.0
    outcome = stats.friedmanchisquare(*values.T)
    return float(outcome.statistic), float(outcome.pvalue)


def _cliques(mean_rank: Mapping[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    names, means = list(mean_rank), list(mean_rank.values())
    cliques: list[tuple[str, ...]] = []
    reached = 0
    for first in range(len(names)):
        end = first + sum(mean - means[first] < difference for mean in means[first:])
        if end - first > 1 and end > reached:
            cliques.append(tuple(names[first:end]))
        reached = max(reached, end)
    return tuple(cliques)
