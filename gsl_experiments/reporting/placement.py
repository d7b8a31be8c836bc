"""Which run is which row: of the paper's Table 1, of its Table 2, or of neither."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gsl_experiments.evaluation import Experiment, RunResult
from gsl_experiments.reporting.paper import LOSSES, REGION_LOSSES, REGION_TERM, SCHEDULES, TABLE_1_SCHEDULE
from gsl_experiments.reporting.shipped import unlike_its_name

VARIANTS: Mapping[int, tuple[str, ...]] = {1: tuple(LOSSES.values()), 2: tuple(SCHEDULES.values())}


@dataclass(frozen=True)
class OtherRun:
    """A run that is no row of the paper's tables, and why."""

    result: RunResult
    reason: str


@dataclass(frozen=True)
class Placement:
    """The runs of one dataset and one protocol, each in its place.

    Attributes:
        tables: table number -> variant -> run. A linear GSL run is a row of both tables.
        others: every run that is in neither table.
    """

    tables: Mapping[int, Mapping[str, RunResult]]
    others: tuple[OtherRun, ...]


def place_runs(results: Sequence[RunResult]) -> Placement:
    """Give every run of one dataset and protocol its place.

    Of several runs for one row the shortest folder name wins (a longer one carries a suffix, so it is a
    variant); the rest go to the other runs, another seed of a row among them. Nothing is averaged and nothing is
    left out.
    """
    tables: dict[int, dict[str, RunResult]] = {1: {}, 2: {}}
    others = []
    for result in sorted(results, key=lambda result: (len(result.run.name), result.run.name)):
        experiment = result.run.experiment
        reason = _why_other(experiment) or unlike_its_name(result.run)
        places = {} if reason else _places(experiment)
        if taken := [tables[table][variant] for table, variant in places.items() if variant in tables[table]]:
            reason, places = f"same row as {taken[0].run.name}", {}
        for table, variant in places.items():
            tables[table][variant] = result
        if not places:
            others.append(OtherRun(result, reason))
    rows = [result for placed in tables.values() for result in placed.values()]
    return Placement(tables, tuple(_name_seed(other, rows) for other in others))


def describe(experiment: Experiment) -> str:
    """Loss, schedule, region term and suffix in a few words: `GSL, constant, region dl`."""
    parts: Iterable[str | None] = (
        LOSSES.get(experiment.loss, experiment.loss),
        experiment.schedule,
        f"region {experiment.region}"
        if experiment.region not in (None, experiment.loss, REGION_TERM)
        else None,
        experiment.suffix,
    )
    return ", ".join(part for part in parts if part)


def _name_seed(other: OtherRun, rows: Iterable[RunResult]) -> OtherRun:
    """Say of a run that differs from a row in seed and suffix alone which row that is."""
    experiment = other.result.run.experiment
    for row in rows:
        theirs = row.run.experiment
        if experiment.seed != theirs.seed and theirs == replace(
            experiment, seed=theirs.seed, suffix=theirs.suffix
        ):
            unlike = unlike_its_name(other.result.run)
            seeds = f"seed {experiment.seed} of {row.run.name}, which has {theirs.seed}"
            return other if unlike else replace(other, reason=seeds)
    return other


def _places(experiment: Experiment) -> dict[int, str]:
    """Table -> variant, of an experiment that the paper has too."""
    places = {}
    if experiment.loss in REGION_LOSSES or experiment.schedule == TABLE_1_SCHEDULE:
        places[1] = LOSSES[experiment.loss]
    if experiment.loss == "gsl" and experiment.schedule is not None:
        places[2] = SCHEDULES[experiment.schedule]
    return places


def _why_other(experiment: Experiment) -> str:
    """Why the paper has no row for an experiment; empty if it has one."""
    if experiment.suffix:
        return f"variant {experiment.suffix}"
    if experiment.loss not in LOSSES:
        return f"loss {experiment.loss} is not in the paper"
    if experiment.loss in REGION_LOSSES:
        return _why_other_region_loss(experiment)
    if experiment.region != REGION_TERM:
        return f"region term {experiment.region}, not {REGION_TERM}"
    in_paper = SCHEDULES if experiment.loss == "gsl" else (TABLE_1_SCHEDULE,)
    if experiment.schedule not in in_paper:
        return f"schedule {experiment.schedule} is not in the paper for {LOSSES[experiment.loss]}"
    return ""


def _why_other_region_loss(experiment: Experiment) -> str:
    if experiment.region not in (None, experiment.loss):
        return f"region term {experiment.region} beside a region loss"
    return f"schedule {experiment.schedule} with a region loss" if experiment.schedule else ""
