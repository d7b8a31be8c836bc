"""Rows of the tables: one run's statistics in one region, beside the paper's."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gsl_experiments.evaluation import RunResult
from gsl_experiments.reporting.number_format import format_number
from gsl_experiments.reporting.paper import MeanStd


@dataclass(frozen=True)
class Metric:
    """A column of `metrics.csv` as a column of the tables."""

    column: str
    title: str
    higher_is_better: bool = False
    in_paper: bool = True

    @property
    def header(self) -> str:
        """Title with the direction in which the metric improves."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"


METRICS = (
    Metric("dice", "Dice", higher_is_better=True),
    Metric("hd95_mm", "Hausdorff 95 (mm)"),
    Metric("asd_mm", "Avg. Surface (mm)"),
    Metric("hd95_surface_mm", "Surface HD95 (mm)", in_paper=False),
)


@dataclass(frozen=True, eq=False)
class TableRow:
    """One variant in one region.

    Attributes:
        region: the paper's task.
        variant: loss or schedule.
        result: the run; None for a row of the paper that has not been run.
        statistics: metric -> mean and standard deviation (ddof 0) over the pooled cases; empty without a
            case.
        paper: metric -> the paper's; empty where it has no such row.
        cases: number of pooled cases.
        reference_empty: how many of them have an empty reference.
        prediction_empty: how many of them have an empty prediction.
        notes: what sets the row apart from the others.
        best: metrics whose mean is the best of the region.
    """

    region: str
    variant: str
    result: RunResult | None
    statistics: Mapping[str, MeanStd]
    paper: Mapping[str, MeanStd]
    cases: int = 0
    reference_empty: int = 0
    prediction_empty: int = 0
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


def is_complete(result: RunResult) -> bool:
    """Whether every fold of a run is complete."""
    return len(result.complete_folds) == result.total_folds


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
        return TableRow(region, variant, None, statistics={}, paper=paper, notes=tuple(notes))
    cases = result.cases[result.cases["region"] == region]
    statistics = {
        metric.column: MeanStd(float(cases[metric.column].mean()), float(cases[metric.column].std(ddof=0)))
        for metric in METRICS
        if len(cases)
    }
    return TableRow(
        region,
        variant,
        result,
        statistics=statistics,
        paper=paper,
        cases=len(cases),
        reference_empty=int(cases["reference_empty"].sum()),
        prediction_empty=int(cases["prediction_empty"].sum()),
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


def odd_settings(results: Mapping[str, RunResult]) -> dict[str, list[str]]:
    """Variant -> in what its run differs from most of the others: epochs, seed or nnU-Net's configuration."""
    settings = {
        "epochs": {variant: str(result.run.experiment.epochs) for variant, result in results.items()},
        "seed": {variant: str(result.run.experiment.seed) for variant, result in results.items()},
        "configuration": {variant: result.run.configuration for variant, result in results.items()},
    }
    odd: dict[str, list[str]] = {variant: [] for variant in results}
    for name, values in settings.items():
        # Of equally frequent values the largest counts as the usual one: a long training is rarely the slip.
        usual = max(Counter(values.values()).items(), key=lambda item: (item[1], len(item[0]), item[0]))[0]
        for variant, value in values.items():
            if value != usual:
                odd[variant].append(f"{name} {value}, others {usual}")
    return odd


def _with_best(row: TableRow, best: Mapping[str, str]) -> TableRow:
    return replace(
        row,
        best=frozenset(
            column for column, value in best.items() if format_number(row.statistics[column].mean) == value
        ),
    )
