"""What a comparison of runs over the same cases says: tests, effect sizes, intervals and ranks of plain numbers."""

from gsl_experiments.statistics.paired import PairedComparison, compare_paired, holm
from gsl_experiments.statistics.ranks import Ranks, critical_difference, ranks
from gsl_experiments.statistics.summary import Summary, summarize

__all__ = [
    "PairedComparison",
    "Ranks",
    "Summary",
    "compare_paired",
    "critical_difference",
    "holm",
    "ranks",
    "summarize",
]
