"""A metric over cases in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Summary:
    """A metric over cases, in its own unit.

    Attributes:
        n: number of cases.
        mean: arithmetic mean.
        std: standard deviation with ddof 0, as in the paper's tables.
        median: half of the cases lie below it.
        quartile1: a quarter of the cases lies below it.
        quartile3: three quarters of the cases lie below it.
    """

    n: int
    mean: float
    std: float
    median: float
    quartile1: float
    quartile3: float


def summarize(values: ArrayLike) -> Summary:
    """Mean, standard deviation, median and quartiles (linear between cases: type 7 of Hyndman and Fan, 1996).

    Args:
        values: (n,) one finite number a case.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError("a summary needs one finite number a case, and at least one case")
    quartile1, median, quartile3 = np.percentile(numbers, (25, 50, 75))
    return Summary(
        numbers.size,
        float(numbers.mean()),
        float(numbers.std()),
        float(median),
        float(quartile1),
        float(quartile3),
    )
