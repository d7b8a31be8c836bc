"""Rows of the tables: one run's statistics in one region, beside the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from gsl_experiments.evaluation import RunResult
from gsl_experiments.reporting.number_format import format_number
from gsl_experiments.reporting.paper import MeanStd
from gsl_experiments.statistics import Summary, summarize


@dataclass(frozen=True)
class Metric:
    """A column of `metrics.csv` as a column of the tables."""

    column: str
    title: str
    higher_is_better: bool = False
    in_paper: bool = False

    @property
    def header(self) -> str:
        """Title with the direction in which the metric improves."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"


METRICS = (
    Metric("dice", "Dice", higher_is_better=True, in_paper=True),
    Metric("hd95_mm", "Hausdorff 95 (mm)", in_paper=True),
    Metric("asd_mm", "Avg. Surface (mm)", in_paper=True),
    Metric("hd95_surface_mm", "Surface HD95 (mm)"),
    Metric("assd_mm", "ASSD (mm)"),
    Metric("hd_mm", "Hausdorff (mm)"),
    Metric("nsd", "Surface Dice", higher_is_better=True),
)
PAPER_METRICS = tuple(metric for metric in METRICS if metric.in_paper)


@dataclass(frozen=True, eq=False)
class TableRow:
    """One variant in one region.

    Attributes:
        region: the paper's task.
        variant: loss or schedule.
        result: the run; None for a row of the paper that has not been run.
        statistics: metric -> summary over the pooled cases; empty without a case.
        without_empty: the same over the cases in which neither mask is empty; empty without such a case.
        paper: metric -> the paper's; empty where it has no such row.
        cases: number of pooled cases.
        reference_empty: how many of them have an empty reference.
        prediction_empty: how many of them have an empty prediction.
        either_empty: how many of them have one of the two, or both.
        notes: what sets the row apart from the others.
        best: metrics whose mean is the best of the region.
    """

    region: str
    variant: str
    result: RunResult | None
    paper: Mapping[str, MeanStd]
    statistics: Mapping[str, Summary] = field(default_factory=dict)
    without_empty: Mapping[str, Summary] = field(default_factory=dict)
    cases: int = 0
    reference_empty: int = 0
    prediction_empty: int = 0
    either_empty: int = 0
    notes: tuple[str, ...] = ()
    best: frozenset[str] = frozenset()

    @property
    def status(self) -> str:
        """`complete`, `incomplete: 3/5 folds` or `not run`."""
        if self.result is None:
            return "not run"
        return "complete" if is_complete(self.result) else f"incomplete: {self.folds} folds"

    @property
    def folds(self) -> str:
        """Complete folds of all folds, `3/5`."""
        return f"{len(self.result.complete_folds)}/{self.result.total_folds}" if self.result else ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The status, unless it is complete, and the notes."""
        return self.notes if self.status == "complete" else (self.status, *self.notes)


def is_complete(result: RunResult) -> bool:
    """Whether every fold of a run is complete."""
    return len(result.complete_folds) == result.total_folds


def region_cases(result: RunResult, region: str) -> pd.DataFrame:
    """One row a case: the rows of `metrics.csv` of one region."""
    return result.cases[result.cases["region"] == region]


def table_row(
    region: str,
    variant: str,
    result: RunResult | None,
    *,
    paper: Mapping[str, MeanStd],
    notes: Iterable[str] = (),
) -> TableRow:
    """Pool the cases of a run in one region."""
    if result is None:
        return TableRow(region, variant, None, paper, notes=tuple(notes))
    cases = region_cases(result, region)
    reference_empty, prediction_empty = (cases[name].astype(bool) for name in _EMPTY)
    either_empty = reference_empty | prediction_empty
    return TableRow(
        region,
        variant,
        result,
        paper,
        statistics=_summaries(cases),
        without_empty=_summaries(cases[~either_empty]),
        cases=len(cases),
        reference_empty=int(reference_empty.sum()),
        prediction_empty=int(prediction_empty.sum()),
        either_empty=int(either_empty.sum()),
        notes=tuple(notes),
    )


def mark_best(rows: Sequence[TableRow]) -> list[TableRow]:
    """Mark the best mean of every metric among the comparable rows of one region; ties as printed share it.

    Comparable are the complete rows without a note. Where no such row is complete, incomplete rows compete if
    they all have the same folds. A row alone is not the best of anything.
    """
    rivals = [row for row in rows if row.statistics and not row.notes]
    complete = [row for row in rivals if row.status == "complete"]
    if not complete and len({row.result.complete_folds for row in rivals if row.result}) == 1:
        complete = rivals
    if len(complete) < 2:
        return list(rows)
    best: dict[str, str] = {}
    for metric in METRICS:
        means = [row.statistics[metric.column].mean for row in complete]
        best[metric.column] = format_number(max(means) if metric.higher_is_better else min(means))
    return [_with_best(row, best) if row in complete else row for row in rows]


_EMPTY = ("reference_empty", "prediction_empty")


def _summaries(cases: pd.DataFrame) -> dict[str, Summary]:
    return {metric.column: summarize(cases[metric.column]) for metric in METRICS if len(cases)}


def _with_best(row: TableRow, best: Mapping[str, str]) -> TableRow:
    return replace(
        row,
        best=frozenset(
            column for column, value in best.items() if format_number(row.statistics[column].mean) == value
        ),
    )
