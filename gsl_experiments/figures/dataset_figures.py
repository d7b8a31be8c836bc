"""All figures of the runs of one dataset and protocol: what can be drawn, and what cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import Run, RunResult
from gsl_experiments.evaluation.runs import read_json
from gsl_experiments.figures.from_cases import cases_figure, file_part, surface_figure
from gsl_experiments.figures.from_metrics import (
    difference_figure,
    distribution_figure,
    ranks_figure,
    shared_cases,
)
from gsl_experiments.figures.from_training import (
    curves_figure,
    schedule_formula,
    schedules_figure,
    weights_figure,
    weights_file,
)
from gsl_experiments.figures.options import FigureOptions
from gsl_experiments.figures.planned import PlannedFigure
from gsl_experiments.figures.selection import Comparison, choose_cases, comparisons, runs_of_cases
from gsl_experiments.reporting.comparison import ranked_runs
from gsl_experiments.training.epoch_log import CSV_NAME


@dataclass(frozen=True)
class Folders:
    """nnU-Net's raw and preprocessed folders, above those of the datasets."""

    raw: Path
    preprocessed: Path


def plan_figures(
    results: Sequence[RunResult], options: FigureOptions, folders: Folders
) -> tuple[list[PlannedFigure], list[str]]:
    """The figures of the runs of one dataset and protocol, and a line for whatever is left out.

    Args:
        results: runs with their metrics; those without a complete fold are left out.
        options: of the figures.
        folders: where images, references and class weights lie.

    Raises:
        UserError: an option names a run, a case, a region or a channel that is not there.
    """
    left_out = [f"{r.run.path}: no complete fold yet, left out" for r in results if not r.complete_folds]
    usable = [result for result in results if result.complete_folds]
    if not usable:
        return [], left_out
    groups = comparisons(usable, options)
    if options.settings.baseline is not None and all(group.baseline is None for group in groups):
        left_out.append(
            f"no run {options.settings.baseline} (tables.baseline) is compared: no figures of differences"
        )
    shown = runs_of_cases(usable, options)
    planned = [*_of_metrics(groups, options), *_of_training(groups, usable, options, folders)]
    of_cases, missing = _of_cases(shown, options, folders)
    return [*of_cases, *planned], [*left_out, *missing]


def _of_metrics(groups: Sequence[Comparison], options: FigureOptions) -> Iterator[PlannedFigure]:
    for group in groups:
        has_pairs = group.baseline is not None and any(
            shared_cases(group, [group.baseline, place])
            for place in range(len(group.results))
            if place != group.baseline
        )
        ranked = ranked_runs(group.results)
        has_ranks = len(ranked) > 2 and shared_cases(group, ranked)  # of two, the paired differences say all
        for column in options.metrics:
            name = f"{group.name}_{column}"
            yield PlannedFigure(name, partial(distribution_figure, group, column, options))
            if has_pairs:
                yield PlannedFigure(f"{name}_differences", partial(difference_figure, group, column, options))
            if has_ranks:
                yield PlannedFigure(f"{name}_ranks", partial(ranks_figure, group, column, options))


def _of_training(
    groups: Sequence[Comparison], results: Sequence[RunResult], options: FigureOptions, folders: Folders
) -> Iterator[PlannedFigure]:
    for group in groups:
        if any(
            (path / CSV_NAME).is_file() for result in group.results for path in result.run.path.glob("fold_*")
        ):
            yield PlannedFigure(f"{group.name}_curves", partial(curves_figure, group, options))
    epochs, formula = results[0].run.experiment.epochs, schedule_formula(results[0])
    yield PlannedFigure("alpha_schedules", partial(schedules_figure, epochs, formula, options))
    if weights_file(results[0], folders.preprocessed).is_file():
        yield PlannedFigure(
            "class_weights", partial(weights_figure, groups[0], folders.preprocessed, options)
        )


def _of_cases(
    shown: Comparison, options: FigureOptions, folders: Folders
) -> tuple[list[PlannedFigure], list[str]]:
    dataset = shown.results[0].run.dataset_folder
    references = folders.preprocessed / dataset / "gt_segmentations"
    images = folders.raw / dataset / "imagesTr"
    channel, is_ct = shown_channel(shown.results[0].run, options)
    planned, left_out = [], []
    for region in _regions(shown, options):
        cases = [chosen.case for chosen in choose_cases(shown, region, options)]
        ending = shown.results[0].run.file_ending
        missing = [f for f in (images / f"{case}_{channel:04d}{ending}" for case in cases) if not f.is_file()]
        if missing:
            left_out.append(f"{missing[0]}: no such image, figure of cases of {region} left out")
        else:
            draw = partial(
                cases_figure,
                shown,
                region,
                options,
                images=images,
                references=references,
                channel=channel,
                is_ct=is_ct,
            )
            planned.append(PlannedFigure(f"cases_{file_part(region)}", draw))
        surface = partial(surface_figure, shown, region, options, references=references)
        planned.append(PlannedFigure(f"surface_{file_part(region)}", surface))
    return planned, left_out


def _regions(shown: Comparison, options: FigureOptions) -> tuple[str, ...]:
    if options.region is None:
        return shown.regions
    if options.region not in shown.regions:
        raise UserError(f"figures.region={options.region}: allowed are {', '.join(shown.regions)}")
    return (options.region,)


def shown_channel(run: Run, options: FigureOptions) -> tuple[int, bool]:
    """Number of the image's channel to show, and whether it is a CT.

    Raises:
        UserError: the dataset names no channels, or none of that name.
    """
    file = run.path / "dataset.json"
    description = read_json(file)
    names = description.get("channel_names", description.get("modality"))
    if not names:
        raise UserError(f"{file}: no channel_names")
    number = 0
    if options.channel is not None:
        found = [int(key) for key, name in names.items() if name.lower() == options.channel.lower()]
        if not found:
            raise UserError(f"figures.channel={options.channel}: allowed are {', '.join(names.values())}")
        number = found[0]
    return number, names[str(number)].lower() == "ct"
