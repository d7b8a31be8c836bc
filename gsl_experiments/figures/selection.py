"""Which runs stand side by side in a figure, and which cases are the easy and the hard ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import Experiment, Run, RunResult
from gsl_experiments.figures.distributions import Look
from gsl_experiments.figures.options import FigureOptions, metric_of
from gsl_experiments.figures.style import (
    BLACK,
    LOSS_COLORS,
    LOSS_LINES,
    LOSS_MARKERS,
    LOSS_NAMES,
    SCHEDULE_COLORS,
    SCHEDULE_LINES,
    SCHEDULE_MARKERS,
    SCHEDULE_NAMES,
)
from gsl_experiments.reporting.comparison import find_baseline
from gsl_experiments.reporting.paper import TABLE_1_SCHEDULE
from gsl_experiments.reporting.placement import place_runs


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs of one dataset and protocol that are compared.

    Attributes:
        name: `losses` (Table 1), `schedules` (Table 2) or `runs` (a choice), the first part of files' names.
        results: the runs with their metrics.
        looks: one for each run.
        baseline: place of the run that the others are compared with; None without it.
    """

    name: str
    results: tuple[RunResult, ...]
    looks: tuple[Look, ...]
    baseline: int | None

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions that every run has, in the order of the dataset."""
        first, *others = (result.run.regions for result in self.results)
        return tuple(region for region in first if all(region in other for other in others))

    @property
    def leading(self) -> int:
        """Place of the run by which cases are chosen: the baseline, or without it the first."""
        return self.baseline or 0


@dataclass(frozen=True)
class ChosenCase:
    """A case of a figure; `easy`, `middle`, `hard` or nothing, and its percentile if it was chosen by one."""

    case: str
    word: str = ""
    percentile: float | None = None


def comparisons(results: Sequence[RunResult], options: FigureOptions) -> list[Comparison]:
    """The runs of one dataset and protocol in the groups of the paper's tables, each of at least two runs.

    The baseline joins a group that lacks it, as it does in the tables' statistics. Where neither table has two runs,
    all runs make up one group; so do the runs that `figures.runs` names.

    Raises:
        UserError: `figures.runs` names a run that is not there.
    """
    baseline = find_baseline(results, options.settings.baseline)
    if options.runs is not None:
        return [_comparison("runs", [_named(name, results) for name in options.runs], baseline)]
    tables = place_runs(results).tables
    groups = [
        ("losses", list(_in_order(tables[1].values(), by_schedule=False))),
        ("schedules", list(_in_order(tables[2].values(), by_schedule=True))),
    ]
    found = [_comparison(name, group, baseline, joins=True) for name, group in groups if len(group) > 1]
    return found or [_comparison("runs", list(results), baseline)]


def check_one_dataset(results: Sequence[RunResult]) -> None:
    """Refuse runs of one dataset whose cases cannot be laid over each other.

    Raises:
        UserError: two of them have another dataset folder, file ending, or labels of a region.
    """
    first, *others = (result.run for result in results)
    for other in others:
        for what, one, another in _of_data(first, other):
            if one != another:
                raise UserError(
                    f"{first.path} and {other.path} are both of dataset {first.experiment.dataset}, but differ in "
                    f"{what} ({one}, {another}): choose a dataset folder with DATASET=, or move one of them away"
                )


def runs_of_cases(results: Sequence[RunResult], options: FigureOptions) -> Comparison:
    """The runs whose predictions are drawn: those of `figures.losses`, or those that `figures.runs` names.

    A loss stands for its run with the linear schedule, otherwise for the first of its runs by name. Without any of
    these losses, all runs are taken.
    """
    if options.runs is not None:
        return comparisons(results, options)[0]
    chosen = []
    for loss in options.losses:
        of_loss = sorted((r for r in results if r.run.experiment.loss == loss), key=lambda r: _preference(r))
        chosen += of_loss[:1]
    return _comparison("cases", chosen or list(results), find_baseline(results, options.settings.baseline))


def choose_cases(comparison: Comparison, region: str, options: FigureOptions) -> tuple[ChosenCase, ...]:
    """The cases that the options name, or those at percentiles of the baseline's metric, from easy to hard.

    Of the cases that all runs of the comparison have, sorted from good to bad, percentile p is the one at place
    p / 100 (n - 1), rounded; a case that is taken already is replaced by the next worse one.

    Raises:
        UserError: a named case has no prediction of every run, or no case has.
    """
    values = case_values(comparison.results[comparison.leading], region, options.metric)
    shared = set.intersection(*(set(result.cases["case"]) for result in comparison.results))
    names = ", ".join(look.name for look in comparison.looks)
    if not shared:
        raise UserError(
            f"no case has predictions of all of {names}; choose the runs with figures.losses or figures.runs"
        )
    if options.cases is not None:
        for case in options.cases:
            if case not in shared:
                raise UserError(
                    f"figures.cases: {case} has no prediction of all of {names}; {_listing(sorted(shared))} have"
                )
        return tuple(ChosenCase(case) for case in options.cases)
    metric = metric_of(options.metric)
    values = values[values.index.isin(shared)].sort_index()
    order = list(values.sort_values(ascending=not metric.higher_is_better, kind="stable").index)
    taken: dict[int, float] = {}
    for percentile in sorted(options.percentiles)[: len(order)]:
        place = round(percentile / 100 * (len(order) - 1))
        free = [p for p in (*range(place, len(order)), *range(place - 1, -1, -1)) if p not in taken]
        taken[free[0]] = percentile
    shown = sorted(taken)
    return tuple(
        ChosenCase(order[place], _word(number, len(shown)), taken[place])
        for number, place in enumerate(shown)
    )


def case_values(result: RunResult, region: str, column: str) -> pd.Series:
    """A metric of every case of a run in one region, by case."""
    rows = result.cases[result.cases["region"] == region]
    return rows.set_index("case")[column].astype(float)


def run_title(experiment: Experiment) -> str:
    """Name of a run in a figure: `GSL`, `GSL, step 5`, `GSL, step 5, p2`."""
    parts = [LOSS_NAMES.get(experiment.loss, experiment.loss)]
    if experiment.schedule not in (None, TABLE_1_SCHEDULE):
        parts.append(SCHEDULE_NAMES.get(str(experiment.schedule), str(experiment.schedule)))
    if experiment.region not in (None, experiment.loss, "dice_ce"):
        parts.append(f"with {LOSS_NAMES.get(str(experiment.region), str(experiment.region))}")
    return ", ".join([*parts, *([experiment.suffix] if experiment.suffix else [])])


def short_name(result: RunResult) -> str:
    """The run's own name: the middle of its folder's."""
    return result.run.name.split("__")[1]


def _of_data(run: Run, other: Run) -> Iterator[tuple[str, object, object]]:
    """What two runs need to have in common to be laid over each other: its name and the value of either."""
    yield "dataset folder", run.dataset_folder, other.dataset_folder
    yield "file ending", run.file_ending, other.file_ending
    for region, labels in run.regions.items():
        yield f"labels of {region}", labels, other.regions.get(region, labels)


def _comparison(
    name: str, rows: Sequence[RunResult], baseline: RunResult | None, *, joins: bool = False
) -> Comparison:
    """Compare runs, each with its look; a baseline that is none of them comes first if it joins them, in black."""
    by_schedule = name == "schedules"
    results, looks = list(rows), list[Look]()
    for result in rows:
        looks.append(_look(result, by_schedule, taken=[look.color for look in looks]))
    if joins and baseline is not None and baseline not in rows:
        results.insert(0, baseline)
        looks.insert(0, Look(run_title(baseline.run.experiment), BLACK, "-", "X"))
    counts = Counter(look.name for look in looks)
    looks = [
        replace(look, name=f"{look.name}, {result.run.name}") if counts[look.name] > 1 else look
        for look, result in zip(looks, results, strict=True)
    ]
    place = next((place for place, result in enumerate(results) if result is baseline), None)
    return Comparison(name, tuple(results), tuple(looks), place)


def _look(result: RunResult, by_schedule: bool, taken: Sequence[str]) -> Look:
    experiment = result.run.experiment
    key = str(experiment.schedule) if by_schedule else experiment.loss
    colors, lines, markers = (
        (SCHEDULE_COLORS, SCHEDULE_LINES, SCHEDULE_MARKERS)
        if by_schedule
        else (LOSS_COLORS, LOSS_LINES, LOSS_MARKERS)
    )
    if key not in colors or colors[key] in taken:  # a loss of one's own, or a second run of a loss
        key = next((other for other in colors if colors[other] not in taken), "")
    title = SCHEDULE_NAMES.get(str(experiment.schedule), key) if by_schedule else run_title(experiment)
    return Look(title, colors.get(key, BLACK), lines.get(key, "-"), markers.get(key, "o"))


def _in_order(results: Iterable[RunResult], *, by_schedule: bool) -> list[RunResult]:
    """In the order of the paper's tables, which is that of the colours."""
    order = list(SCHEDULE_COLORS if by_schedule else LOSS_COLORS)
    key = "schedule" if by_schedule else "loss"
    return sorted(results, key=lambda result: order.index(getattr(result.run.experiment, key)))


def _preference(result: RunResult) -> tuple[bool, bool, str]:
    experiment = result.run.experiment
    return bool(experiment.suffix), experiment.schedule not in (None, TABLE_1_SCHEDULE), result.run.name


def _named(name: str, results: Sequence[RunResult]) -> RunResult:
    for result in results:
        if name in (short_name(result), result.run.name):
            return result
    known = ", ".join(short_name(result) for result in results) or "none"
    raise UserError(f"figures.runs: no run {name} with predictions; there are {known}")


def _word(number: int, count: int) -> str:
    """`easy`, `middle` and `hard` for the rows of a figure of three, and for the ends of any other."""
    if count < 2:
        return ""
    if number == 0:
        return "easy"
    if number == count - 1:
        return "hard"
    return "middle" if count == 3 else ""


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
