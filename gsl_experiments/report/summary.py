"""The gathered tables as the page shows them: cells with their numbers to sort by and their statistics to hover."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gsl_experiments.evaluation import RunResult
from gsl_experiments.report.runs import ReportRun
from gsl_experiments.reporting.comparison import MetricStatistics, VariantStatistics
from gsl_experiments.reporting.gather import DatasetTables, ProtocolTable, Table
from gsl_experiments.reporting.notes import (
    EMPTY_NOTE,
    HD95_NOTE,
    MEAN_NOTE,
    PAPER_NOTE,
    empty_notes,
    excluded_notes,
    further_metrics_note,
    missing_notes,
)
from gsl_experiments.reporting.number_format import format_difference, format_mean_std, format_number
from gsl_experiments.reporting.rows import METRICS, Metric, TableRow

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: as it reads.
        order: what the column is sorted by; None where the text does.
        best: whether it is the best mean of its region.
        paper: the paper's value and the difference; empty without one.
        hint: the statistics, one sentence a line; empty without any.
    """

    text: str
    order: float | None = None
    best: bool = False
    paper: str = ""
    hint: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """One table of the page.

    Attributes:
        anchor: unique name within the page.
        title: caption.
        header: title of each column.
        rows: anchor of the row's run (empty for a row of the paper alone), its region, and its cells.
        notes: sentences below.
    """

    anchor: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()


def table_views(tables: DatasetTables, runs: Sequence[ReportRun]) -> list[tuple[View, View]]:
    """Each table of each protocol: the means, and all statistics of the same rows."""
    anchors = {run.result.run.path: run.anchor for run in runs}
    views = []
    for table in tables.tables:
        for part in table.parts:
            name = f"{table.name}-{part.protocol}"
            title = f"{table.title}, {tables.title}, protocol {part.protocol}"
            statistics = View(
                f"{name}-statistics", f"Statistics of {title}", _STATISTICS_HEADER, tuple(_statistics(part))
            )
            views.append((_means(f"{name}-means", title, table, part, anchors), statistics))
    return views


def comparison_data(tables: DatasetTables, runs: Sequence[ReportRun]) -> dict[str, Any]:
    """What the plot of differences needs: for each run its baseline, and the numbers of the comparison with it.

    Returns:
        `baselines`: place of each run's baseline among the runs, None without one; `comparisons`: region -> metric ->
        for each run a dict with the mean difference, its interval, Holm's p and the counts, or None. A run that stands
        in two tables is taken from the first, whose title is in `table`.
    """
    places = {run.result.run.path: place for place, run in enumerate(runs)}
    baselines: list[int | None] = [None] * len(runs)
    found: dict[str, dict[str, list[dict[str, Any] | None]]] = {}
    for table in tables.tables:
        for part in table.parts:
            for entry in part.statistics:
                of_metric = found.setdefault(entry.region, {}).setdefault(
                    entry.metric.column, [None] * len(runs)
                )
                for variant in entry.variants:
                    place = places[part.compared[variant.variant].run.path]
                    if part.baseline is not None:
                        baselines[place] = places[part.compared[part.baseline].run.path]
                    if variant.comparison is not None and of_metric[place] is None:
                        of_metric[place] = _comparison(variant, entry.metric, table.title)
    return {"baselines": baselines, "comparisons": found}


def _comparison(variant: VariantStatistics, metric: Metric, table: str) -> dict[str, Any]:
    paired = variant.comparison
    assert paired is not None
    ends = [_finite(paired.low), _finite(paired.high)]
    return {
        "mean": paired.mean_difference,
        "low": ends[0],
        "high": ends[1],
        "p_holm": variant.p_holm,
        "counts": [paired.better, paired.equal, paired.worse],
        "table": table,
    }


def _means(anchor: str, title: str, table: Table, part: ProtocolTable, anchors: Mapping[Any, str]) -> View:
    rows = []
    for row in part.rows:
        run = anchors[row.result.run.path] if row.result else ""
        cells = (Cell(row.region), Cell(row.variant), *(_mean_cell(row, metric, part) for metric in METRICS))
        last = (
            Cell(_cases(row.result, row.cases), row.cases),
            Cell(row.folds or NOTHING),
            Cell("; ".join(row.remarks)),
        )
        rows.append((run, row.region, (*cells, *last)))
    header = (
        "Region",
        table.variant_header,
        *(metric.header for metric in METRICS),
        "Cases",
        "Folds",
        "Remarks",
    )
    notes = [MEAN_NOTE, HD95_NOTE, further_metrics_note(part), EMPTY_NOTE]
    if any(row.paper for row in part.rows):
        notes.append(PAPER_NOTE)
    notes += [*empty_notes(part.rows, METRICS), *missing_notes(part), *excluded_notes(part)]
    return View(anchor, title, header, tuple(rows), tuple(notes))


def _mean_cell(row: TableRow, metric: Metric, part: ProtocolTable) -> Cell:
    ours, paper = row.statistics.get(metric.column), row.paper.get(metric.column)
    theirs = f"paper {format_mean_std(paper.mean, paper.std)}" if paper else ""
    if ours is None:
        return Cell(NOTHING, math.inf, paper=theirs)
    if paper:
        theirs += f" [{format_difference(ours.mean - paper.mean, beside=paper.mean)}]"
    return Cell(
        format_mean_std(ours.mean, ours.std),
        ours.mean,
        best=metric.column in row.best,
        paper=theirs,
        hint=tuple(_hint(row, metric, part)),
    )


def _hint(row: TableRow, metric: Metric, part: ProtocolTable) -> Iterator[str]:
    summary = row.statistics[metric.column]
    yield (
        f"{metric.title} of {row.variant}, {row.region}: median {format_number(summary.median)}, "
        f"quartiles {format_number(summary.quartile1)} to {format_number(summary.quartile3)}, {summary.n} cases."
    )
    for entry in part.statistics:
        if (entry.region, entry.metric) != (row.region, metric):
            continue
        for variant in entry.variants:
            if variant.variant == row.variant:
                yield from _comparison_hint(variant, entry, part)


def _comparison_hint(
    variant: VariantStatistics, entry: MetricStatistics, part: ProtocolTable
) -> Iterator[str]:
    paired = variant.comparison
    if paired is not None:
        yield (
            f"Minus {part.baseline}: {_signed(paired.mean_difference)}, {_confidence(part)} interval "
            f"{_interval(paired.low, paired.high)}; Wilcoxon's p after Holm {format_p(variant.p_holm)}, "
            f"effect size {_signed(paired.effect_size)}; better in {paired.better}, equal in {paired.equal}, "
            f"worse in {paired.worse} of {paired.n} cases."
        )
    if variant.mean_rank is not None and entry.ranks is not None:
        yield (
            f"Mean rank {variant.mean_rank:.2f} of {len(entry.ranks.mean_rank)} runs in {entry.ranks.n} cases; "
            f"critical difference {entry.ranks.critical_difference:.2f}."
        )


_STATISTICS_HEADER = (
    "Region",
    "Metric",
    "Run",
    "Cases",
    "Median",
    "Quartile 1",
    "Quartile 3",
    "Mean difference",
    "Interval",
    "p",
    "p (Holm)",
    "Effect size",
    "Better / equal / worse",
    "Mean rank",
)


def _statistics(part: ProtocolTable) -> Iterator[tuple[str, str, tuple[Cell, ...]]]:
    for entry in part.statistics:
        for variant in entry.variants:
            summary, paired = variant.summary, variant.comparison
            numbers = [
                Cell(format_number(value), value)
                for value in (summary.median, summary.quartile1, summary.quartile3)
            ]
            empty = Cell(NOTHING, math.inf)
            compared = [empty] * 6
            if paired is not None and variant.p_holm is not None:
                compared = [
                    Cell(_signed(paired.mean_difference), paired.mean_difference),
                    Cell(_interval(paired.low, paired.high), _finite(paired.low)),
                    Cell(format_p(paired.p_value), paired.p_value),
                    Cell(format_p(variant.p_holm), variant.p_holm),
                    Cell(_signed(paired.effect_size), paired.effect_size),
                    Cell(f"{paired.better} / {paired.equal} / {paired.worse}", paired.better),
                ]
            rank = empty if variant.mean_rank is None else Cell(f"{variant.mean_rank:.2f}", variant.mean_rank)
            names = (
                Cell(entry.region),
                Cell(entry.metric.title),
                Cell(variant.variant),
                Cell(str(summary.n), summary.n),
            )
            yield "", entry.region, (*names, *numbers, *compared, rank)


def format_p(p_value: float | None) -> str:
    """A p-value with three digits; very small ones as a bound."""
    if p_value is None:
        return NOTHING
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.3g}"


def _signed(value: float) -> str:
    return f"{value:+.4g}".replace("-", "\N{MINUS SIGN}")


def _interval(low: float, high: float) -> str:
    return f"{_signed(low)} to {_signed(high)}" if math.isfinite(low) else NOTHING


def _confidence(part: ProtocolTable) -> str:
    return f"{100 * (1 - part.settings.alpha):g} %"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cases(result: RunResult | None, number: int) -> str:
    if result is None:
        return NOTHING
    return f"{number} of {result.exclusion.cases}" if result.exclusion.excluded else str(number)
