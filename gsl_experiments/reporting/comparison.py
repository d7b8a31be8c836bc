"""The statistics of one table: every run against the baseline, and all of them ranked, on the same cases."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from gsl_experiments.evaluation import RunResult
from gsl_experiments.reporting.rows import METRICS, Metric, is_complete, region_cases
from gsl_experiments.statistics import (
    PairedComparison,
    Ranks,
    Summary,
    compare_paired,
    holm,
    ranks,
    summarize,
)


@dataclass(frozen=True)
class Settings:
    """How runs are compared, as `tables` of the configuration has it.

    Attributes:
        baseline: name of the run that the others are tested against, without its protocol; None for no tests.
        alpha: level of the tests and of the critical difference; intervals cover 1 - alpha.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    baseline: str | None = "dice_ce"
    alpha: float = 0.05
    resamples: int = 9999
    seed: int = 42


@dataclass(frozen=True, eq=False)
class VariantStatistics:
    """One run in one region and metric.

    Attributes:
        variant: its name in the table.
        summary: over all its cases.
        comparison: with the baseline, over the cases that both have; None for the baseline itself, and where
            there is no baseline or no such case.
        p_holm: the comparison's p-value after Holm's correction over all runs of the table in this region and
            metric; None without a comparison.
        mean_rank: over the cases that all ranked runs have; None for a run that is not ranked.
    """

    variant: str
    summary: Summary
    comparison: PairedComparison | None
    p_holm: float | None
    mean_rank: float | None


@dataclass(frozen=True, eq=False)
class MetricStatistics:
    """All runs of a table in one region and metric.

    `ranks` is None where the ranked runs (see `ranked_runs`) have no case in common.
    """

    region: str
    metric: Metric
    variants: tuple[VariantStatistics, ...]
    ranks: Ranks | None


def find_baseline(results: Iterable[RunResult], name: str | None) -> RunResult | None:
    """The run that is called so; None if there is none.

    Args:
        results: runs of one protocol.
        name: of a run, as its plans are called; the protocol may be left out: `dice_ce` is `dice_ce_nnunet` too.
    """
    for result in results:
        plans_name = result.run.name.split("__")[1]
        if name is not None and plans_name in (name, f"{name}_{result.run.experiment.protocol}"):
            return result
    return None


def compare_runs(
    results: Mapping[str, RunResult], *, baseline: str | None, settings: Settings
) -> tuple[MetricStatistics, ...]:
    """Statistics of every region and metric; runs without a case in a region are left out of it.

    Args:
        results: variant -> run, in the order of the table.
        baseline: variant that the others are tested against; None for no tests.
        settings: level, resamples and seed.
    """
    regions = dict.fromkeys(region for result in results.values() for region in result.run.regions)
    variants = list(results)
    ranked = {variants[place] for place in ranked_runs(list(results.values()))}
    statistics = []
    for region in regions:
        cases = {
            variant: region_cases(result, region).set_index("case") for variant, result in results.items()
        }
        cases = {variant: frame for variant, frame in cases.items() if len(frame)}
        statistics += [
            _compare_metric(region, metric, cases, ranked, baseline, settings) for metric in METRICS
        ]
    return tuple(entry for entry in statistics if entry.variants)


def ranked_runs(results: Sequence[RunResult]) -> list[int]:
    """Places of the runs that are ranked: the complete ones, or all if fewer than two are."""
    complete = [place for place, result in enumerate(results) if is_complete(result)]
    return complete if len(complete) > 1 else list(range(len(results)))


def _compare_metric(
    region: str,
    metric: Metric,
    cases: Mapping[str, pd.DataFrame],
    to_rank: Container[str],
    baseline: str | None,
    settings: Settings,
) -> MetricStatistics:
    values = {variant: frame[metric.column] for variant, frame in cases.items()}
    comparisons = _compare_with_baseline(values, metric, baseline, settings)
    corrected = dict(zip(comparisons, holm([entry.p_value for entry in comparisons.values()]), strict=True))
    ranked = _rank({name: own for name, own in values.items() if name in to_rank}, metric, settings.alpha)
    mean_rank = ranked.mean_rank if ranked else {}
    return MetricStatistics(
        region,
        metric,
        tuple(
            VariantStatistics(
                variant,
                summarize(own),
                comparisons.get(variant),
                corrected.get(variant),
                mean_rank.get(variant),
            )
            for variant, own in values.items()
        ),
        ranked,
    )


def _compare_with_baseline(
    values: Mapping[str, pd.Series], metric: Metric, baseline: str | None, settings: Settings
) -> dict[str, PairedComparison]:
    """Variant -> comparison, of every variant with a case that the baseline has too."""
    if baseline is None or baseline not in values:
        return {}
    comparisons = {}
    for variant in values:
        if variant == baseline:
            continue
        pairs = pd.DataFrame({"own": values[variant], "baseline": values[baseline]}).dropna()
        if len(pairs):
            comparisons[variant] = compare_paired(
                pairs["own"],
                pairs["baseline"],
                higher_is_better=metric.higher_is_better,
                confidence=1 - settings.alpha,
                resamples=settings.resamples,
                seed=settings.seed,
            )
    return comparisons


def _rank(values: Mapping[str, pd.Series], metric: Metric, alpha: float) -> Ranks | None:
    table = pd.DataFrame(values).dropna()
    if len(values) < 2 or table.empty:
        return None
    frame = table.rename_axis("case").reset_index().melt("case", var_name="variant", value_name="value")
    return ranks(frame, "value", higher_is_better=metric.higher_is_better, alpha=alpha)
