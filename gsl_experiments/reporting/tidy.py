"""The tables as tidy data: one line a table, protocol, region, variant and metric, with every digit."""

from collections.abc import Iterator, Sequence

import pandas as pd

from gsl_experiments.reporting.rows import METRICS, Metric, TableRow

COLUMNS = (
    "table",
    "dataset",
    "protocol",
    "region",
    "variant",
    "metric",
    "mean",
    "std",
    "cases",
    "cases_excluded",
    "reference_empty",
    "prediction_empty",
    "folds_complete",
    "folds_total",
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
_COUNTS = (
    "cases",
    "cases_excluded",
    "reference_empty",
    "prediction_empty",
    "folds_complete",
    "folds_total",
    "epochs",
    "seed",
)


def to_csv(table: str, dataset: str, rows: Sequence[tuple[str, TableRow]]) -> str:
    """Tidy CSV of (protocol, row) pairs; numbers unrounded, empty where there is nothing.

    Args:
        table: name of the table.
        dataset: short name of the dataset.
        rows: protocol and row.
    """
    lines = [line for protocol, row in rows for line in _lines(table, dataset, protocol, row)]
    # Nullable integers: a row that has not been run would turn the counts of all others into floats.
    return (
        pd.DataFrame(lines, columns=list(COLUMNS)).astype(dict.fromkeys(_COUNTS, "Int64")).to_csv(index=False)
    )


def _lines(table: str, dataset: str, protocol: str, row: TableRow) -> Iterator[dict[str, object]]:
    common = {
        "table": table,
        "dataset": dataset,
        "protocol": protocol,
        "region": row.region,
        "variant": row.variant,
    }
    for metric in METRICS:
        if row.result is not None or metric.in_paper:
            yield common | _numbers(row, metric) | _state(row)


def _numbers(row: TableRow, metric: Metric) -> dict[str, object]:
    ours, paper = row.statistics.get(metric.column), row.paper.get(metric.column)
    return {
        "metric": metric.column,
        "mean": ours.mean if ours else None,
        "std": ours.std if ours else None,
        "paper_mean": paper.mean if paper else None,
        "paper_std": paper.std if paper else None,
        "difference": ours.mean - paper.mean if ours and paper else None,
    }


def _state(row: TableRow) -> dict[str, object]:
    state: dict[str, object] = {"status": row.status, "note": "; ".join(row.notes), "cases": row.cases}
    if row.result is None:
        return state
    experiment = row.result.run.experiment
    return state | {
        "cases_excluded": len(row.result.exclusion.excluded),
        "reference_empty": row.reference_empty,
        "prediction_empty": row.prediction_empty,
        "folds_complete": len(row.result.complete_folds),
        "folds_total": row.result.total_folds,
        "run": row.result.run.name,
        "loss": experiment.loss,
        "schedule": experiment.schedule,
        "region_term": experiment.region,
        "epochs": experiment.epochs,
        "seed": experiment.seed,
    }
