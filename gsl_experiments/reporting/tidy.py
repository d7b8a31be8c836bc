"""The tables as tidy data: one line a table, protocol, region, variant and metric, with every digit."""

from collections.abc import Sequence

import pandas as pd

from gsl_experiments.reporting.comparison import MetricStatistics, VariantStatistics
from gsl_experiments.reporting.gather import DatasetTables, ProtocolTable, Table
from gsl_experiments.reporting.rows import Metric, TableRow
from gsl_experiments.reporting.statistics_layout import remarks

_KEYS = ("table", "dataset", "protocol", "region", "variant", "metric")
_COUNTS = (
    "cases",
    "cases_excluded",
    "reference_empty",
    "prediction_empty",
    "either_empty",
    "folds_complete",
    "folds_total",
)
COLUMNS = (
    *_KEYS,
    "mean",
    "std",
    "median",
    "quartile1",
    "quartile3",
    "mean_without_empty",
    "std_without_empty",
    *_COUNTS,
    "status",
    "note",
    "paper_mean",
    "paper_std",
    "difference",
    "run",
    "loss",
    "schedule",
    "region_term",
    "epochs",
    "seed",
)
_COMPARISON_COUNTS = ("cases", "pairs", "better", "equal", "worse", "ranked_cases")
STATISTICS_COLUMNS = (
    *_KEYS,
    "run",
    "cases",
    "mean",
    "std",
    "median",
    "quartile1",
    "quartile3",
    "baseline",
    "pairs",
    "mean_difference",
    "interval_low",
    "interval_high",
    "better",
    "equal",
    "worse",
    "wilcoxon_t",
    "p_value",
    "p_holm",
    "effect_size",
    "mean_rank",
    "ranked_cases",
    "critical_difference",
    "friedman",
    "friedman_p",
    "alpha",
    "resamples",
    "seed",
    "note",
)

_Line = dict[str, object]


def tables_csv(dataset: str, tables: Sequence[Table], metrics: Sequence[Metric]) -> str:
    """Tidy CSV of some tables; numbers unrounded, empty where there is nothing.

    Args:
        dataset: short name of the dataset.
        tables: whose rows are written.
        metrics: of each row.
    """
    lines = [
        _keys(table, dataset, part, row.region, row.variant, metric) | _numbers(row, metric) | _state(row)
        for table in tables
        for part in table.parts
        for row in part.rows
        for metric in metrics
        if row.result is not None or metric.in_paper
    ]
    # Nullable integers: a row that has not been run would turn the counts of all others into floats.
    integers = (*_COUNTS, "epochs", "seed")
    frame = pd.DataFrame(lines, columns=list(COLUMNS)).astype(dict.fromkeys(integers, "Int64"))
    return frame.to_csv(index=False)


def statistics_csv(tables: DatasetTables) -> str:
    """Tidy CSV of the tests and ranks of all tables of a dataset."""
    lines = [
        _keys(table, tables.dataset, part, one.region, entry.variant, one.metric)
        | _summary(entry)
        | _comparison(entry, part)
        | _ranks(entry, one)
        for table in tables.tables
        for part in table.parts
        for one in part.statistics
        for entry in one.variants
    ]
    frame = pd.DataFrame(lines, columns=list(STATISTICS_COLUMNS))
    return frame.astype(dict.fromkeys(_COMPARISON_COUNTS, "Int64")).to_csv(index=False)


def _keys(
    table: Table, dataset: str, part: ProtocolTable, region: str, variant: str, metric: Metric
) -> _Line:
    return dict(zip(_KEYS, (table.name, dataset, part.protocol, region, variant, metric.column), strict=True))


def _numbers(row: TableRow, metric: Metric) -> _Line:
    ours, paper = row.statistics.get(metric.column), row.paper.get(metric.column)
    without_empty = row.without_empty.get(metric.column)
    return {
        "mean": ours.mean if ours else None,
        "std": ours.std if ours else None,
        "median": ours.median if ours else None,
        "quartile1": ours.quartile1 if ours else None,
        "quartile3": ours.quartile3 if ours else None,
        "mean_without_empty": without_empty.mean if without_empty else None,
        "std_without_empty": without_empty.std if without_empty else None,
        "paper_mean": paper.mean if paper else None,
        "paper_std": paper.std if paper else None,
        "difference": ours.mean - paper.mean if ours and paper else None,
    }


def _state(row: TableRow) -> _Line:
    state: _Line = {"status": row.status, "note": "; ".join(row.notes), "cases": row.cases}
    if row.result is None:
        return state
    experiment = row.result.run.experiment
    return state | {
        "cases_excluded": len(row.result.exclusion.excluded),
        "reference_empty": row.reference_empty,
        "prediction_empty": row.prediction_empty,
        "either_empty": row.either_empty,
        "folds_complete": len(row.result.complete_folds),
        "folds_total": row.result.total_folds,
        "run": row.result.run.name,
        "loss": experiment.loss,
        "schedule": experiment.schedule,
        "region_term": experiment.region,
        "epochs": experiment.epochs,
        "seed": experiment.seed,
    }


def _summary(entry: VariantStatistics) -> _Line:
    summary = entry.summary
    return {
        "cases": summary.n,
        "mean": summary.mean,
        "std": summary.std,
        "median": summary.median,
        "quartile1": summary.quartile1,
        "quartile3": summary.quartile3,
    }


def _comparison(entry: VariantStatistics, part: ProtocolTable) -> _Line:
    line: _Line = {
        "run": part.compared[entry.variant].run.name,
        "baseline": part.baseline,
        "alpha": part.settings.alpha,
        "resamples": part.settings.resamples,
        "seed": part.settings.seed,
        "note": "; ".join(remarks(part, entry.variant)),
    }
    comparison = entry.comparison
    if comparison is None:
        return line
    return line | {
        "pairs": comparison.n,
        "mean_difference": comparison.mean_difference,
        "interval_low": comparison.low,
        "interval_high": comparison.high,
        "better": comparison.better,
        "equal": comparison.equal,
        "worse": comparison.worse,
        "wilcoxon_t": comparison.statistic,
        "p_value": comparison.p_value,
        "p_holm": entry.p_holm,
        "effect_size": comparison.effect_size,
    }


def _ranks(entry: VariantStatistics, one: MetricStatistics) -> _Line:
    ranks = one.ranks
    if ranks is None:
        return {}
    return {
        "mean_rank": entry.mean_rank,
        "ranked_cases": ranks.n,
        "critical_difference": ranks.critical_difference,
        "friedman": ranks.friedman,
        "friedman_p": ranks.p_value,
    }
