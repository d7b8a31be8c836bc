"""The runs of one dataset as the report shows them: a name, a colour, and the metrics of each case."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gsl_experiments.evaluation import RunResult
from gsl_experiments.figures.selection import run_title
from gsl_experiments.figures.style import GREY, LOSS_COLORS, SCHEDULE_COLORS
from gsl_experiments.reporting.paper import LOSSES, TABLE_1_SCHEDULE

# What tells outlines apart without their colours: SVG's dashes, in pixels of the screen.
DASHES = ("7 3", "2 2", "8 3 2 3", "12 4", "4 2", "")
# Beyond the losses and schedules: colours of Paul Tol's scheme "muted", which the colour-blind tell apart too.
FURTHER_COLORS = ("#44AA99", "#999933", "#AA4499", "#DDCC77", "#882255")
COLORS = tuple(dict.fromkeys((*LOSS_COLORS.values(), *SCHEDULE_COLORS.values(), *FURTHER_COLORS)))


@dataclass(frozen=True, eq=False)
class ReportRun:
    """A run of the report.

    Attributes:
        anchor: its name within the page, unique there.
        label: loss, schedule and what else sets it apart, unique within the page.
        color: of its points and outlines.
        dash: of its outlines.
        result: the run with its metrics.
    """

    anchor: str
    label: str
    color: str
    dash: str
    result: RunResult


def report_runs(results: Sequence[RunResult]) -> list[ReportRun]:
    """Order the runs of one dataset as the paper orders its losses, and give each its label and its look.

    A loss has its colour; of several runs with one loss, the first has it and the others that of their schedule, or the
    next one that is free.
    """
    ranked = sorted(results, key=_place)
    labels = _labels(ranked)
    free = [*COLORS]
    runs = []
    for number, (result, label) in enumerate(zip(ranked, labels, strict=True)):
        experiment = result.run.experiment
        wanted = (LOSS_COLORS.get(experiment.loss), SCHEDULE_COLORS.get(experiment.schedule or ""))
        color = next((color for color in wanted if color in free), free[0] if free else GREY)
        if color in free:
            free.remove(color)
        runs.append(ReportRun(f"run-{number}", label, color, DASHES[number % len(DASHES)], result))
    return runs


def case_data(runs: Sequence[ReportRun], metrics: Sequence[str]) -> dict[str, Any]:
    """Every number that the page's plots and tables of cases show, in the order of cases, regions and runs.

    Args:
        runs: of one dataset.
        metrics: columns of the runs' cases.

    Returns:
        `cases`, `folds` (a list a case: one fold, or several if the runs disagree), `regions`, and for each region
        `reference_ml` a case, `prediction_ml` a list a run of a value a case, `empty` a case (whether the reference or
        a prediction is empty), and `values`: metric -> a list a run of a value a case, None where the run lacks the
        case or the metric is not defined.
    """
    tables = {run.anchor: run.result.cases for run in runs}
    cases = sorted({case for table in tables.values() for case in table["case"]})
    regions = list(dict.fromkeys(region for run in runs for region in run.result.run.regions))
    folds: dict[str, set[int]] = {case: set() for case in cases}
    for table in tables.values():
        for case, fold in zip(table["case"], table["fold"], strict=True):
            folds[case].add(int(fold))
    return {
        "cases": cases,
        "folds": [sorted(folds[case]) for case in cases],
        "regions": [_region_data(region, cases, list(tables.values()), metrics) for region in regions],
    }


def _region_data(
    region: str, cases: Sequence[str], tables: Sequence[pd.DataFrame], metrics: Sequence[str]
) -> dict[str, Any]:
    of_region = [table[table["region"] == region].set_index("case").reindex(list(cases)) for table in tables]
    volumes = pd.concat([table["reference_ml"] for table in of_region], axis=1)
    empty = pd.concat(
        [table[column].eq(True) for table in of_region for column in ("reference_empty", "prediction_empty")],
        axis=1,
    )
    return {
        "name": region,
        "reference_ml": [_number(value) for value in volumes.bfill(axis=1).iloc[:, 0]],
        "prediction_ml": [[_number(value) for value in table["prediction_ml"]] for table in of_region],
        "empty": [bool(value) for value in empty.any(axis=1)],
        "values": {
            metric: [[_number(value) for value in table[metric]] for table in of_region] for metric in metrics
        },
    }


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _place(result: RunResult) -> tuple[Any, ...]:
    """The paper's protocol first, its losses in its order, its first schedule before the others."""
    experiment, losses = result.run.experiment, list(LOSSES)
    loss = losses.index(experiment.loss) if experiment.loss in losses else len(losses)
    other_schedule = experiment.schedule not in (None, TABLE_1_SCHEDULE)
    return experiment.protocol != "paper", experiment.protocol, loss, other_schedule, result.run.name


def _labels(results: Sequence[RunResult]) -> list[str]:
    """Short labels; what is not unique gets its protocol, and what still is not, the name of its folder."""
    labels = [run_title(result.run.experiment) for result in results]
    for extend in (
        lambda result: f"protocol {result.run.experiment.protocol}",
        lambda result: result.run.name,
    ):
        counts: Mapping[str, int] = Counter(labels)
        labels = [
            f"{label}, {extend(result)}" if counts[label] > 1 else label
            for label, result in zip(labels, results, strict=True)
        ]
    return labels
