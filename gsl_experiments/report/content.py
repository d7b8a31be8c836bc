"""Everything that the report of one dataset says, before it becomes a page."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from tqdm import tqdm

from gsl_experiments.evaluation import RunResult
from gsl_experiments.figures import selection as figure_selection
from gsl_experiments.figures.dataset_figures import Folders, plan_figures, shown_channel
from gsl_experiments.figures.options import FigureOptions, metric_of
from gsl_experiments.figures.planned import DrawnFigure, NothingToDrawError
from gsl_experiments.figures.style import RC, REFERENCE_COLOR
from gsl_experiments.report.options import ReportOptions
from gsl_experiments.report.runs import ReportRun, case_data, report_runs
from gsl_experiments.report.selection import choose_cases, given_cases
from gsl_experiments.report.slices import UNITS_PER_PIXEL, SliceOptions, case_slices
from gsl_experiments.report.summary import View, comparison_data, table_views
from gsl_experiments.report.training import Origin, epoch_data, origin
from gsl_experiments.reporting.gather import gather_tables
from gsl_experiments.reporting.paper import DATASETS, PaperTables
from gsl_experiments.reporting.rows import METRICS

# What the page does not draw by itself; those of cases show patients.
FIGURES = ("ranks", "alpha_schedules", "class_weights")
FIGURES_OF_CASES = ("cases", "surface")
FIGURE_DPI = 170


@dataclass(frozen=True)
class Figure:
    """A figure as an image within the page."""

    name: str
    source: str
    alt: str
    caption: str


@dataclass(frozen=True, eq=False)
class Content:
    """The report of one dataset.

    Attributes:
        dataset: name to print.
        runs: in the order of the page.
        tables: means and statistics of each table.
        data: what the page's script reads; see `runs.case_data`.
        slices: case -> slices, of the cases of the viewer.
        figures: drawn by matplotlib.
        origins: of the runs.
        record: of the report itself: time, commit, machine, versions, options.
        attribution: whose data it is.
    """

    dataset: str
    runs: Sequence[ReportRun]
    tables: Sequence[tuple[View, View]]
    data: Mapping[str, Any]
    slices: Mapping[str, Any]
    figures: Sequence[Figure]
    origins: Sequence[Origin]
    record: Mapping[str, Any]
    attribution: str | None


def report_content(
    results: Sequence[RunResult],
    options: ReportOptions,
    figure_options: FigureOptions,
    folders: Folders,
    *,
    paper: PaperTables,
    record: Mapping[str, Any],
    attribution: str | None,
) -> Content:
    """Gather the report of one dataset.

    Args:
        results: runs of one dataset, each with a complete fold.
        options: of the report.
        figure_options: of its figures; the window and channel of images and how runs are compared are theirs too.
        folders: where images and references lie.
        paper: the paper's tables.
        record: of this call.
        attribution: whose data it is, and under which licence.

    Raises:
        UserError: an option names a case that no run has, or a file is missing.
    """
    runs = report_runs(results)
    cases = case_data(runs, [metric.column for metric in METRICS])
    chosen = _viewer_cases(cases, runs, options, figure_options)
    slices = _slices(chosen, runs, options, figure_options, folders)
    (tables,) = gather_tables(results, paper=paper, settings=figure_options.settings)
    dataset = results[0].run.experiment.dataset
    data = {
        "runs": [{"label": run.label, "color": run.color, "dash": run.dash} for run in runs],
        "metrics": [
            {"column": metric.column, "title": metric.title, "higher": metric.higher_is_better}
            for metric in METRICS
        ],
        "metric": figure_options.metric,
        "epochs": epoch_data(runs),
        "viewer": chosen,
        "confidence": f"{100 * (1 - figure_options.settings.alpha):g} %",
        "reference": REFERENCE_COLOR,
        "unitsPerPixel": UNITS_PER_PIXEL,
        **cases,
        **comparison_data(tables, runs),
    }
    return Content(
        DATASETS.get(dataset, dataset),
        runs,
        table_views(tables, runs),
        data,
        slices,
        _figures(results, options, figure_options, folders),
        [origin(run) for run in runs],
        record,
        attribution,
    )


def _viewer_cases(
    cases: Mapping[str, Any], runs: Sequence[ReportRun], options: ReportOptions, figure_options: FigureOptions
) -> dict[str, str]:
    if not options.images:
        return {}
    if options.cases is not None:
        return given_cases(options.cases, cases["cases"])
    shown = figure_selection.runs_of_cases([run.result for run in runs], figure_options)
    first = {}
    if set.intersection(*(set(result.cases["case"]) for result in shown.results)):
        of_figures = figure_selection.choose_cases(shown, shown.regions[0], figure_options)
        first = {chosen.case: chosen.word or "of the figures" for chosen in of_figures}
    metric = metric_of(figure_options.metric)
    return choose_cases(
        cases,
        [run.label for run in runs],
        first=first,
        metric=metric.column,
        higher_is_better=metric.higher_is_better,
        number=options.max_viewer_cases,
    )


def _slices(
    chosen: Mapping[str, str],
    runs: Sequence[ReportRun],
    options: ReportOptions,
    figure_options: FigureOptions,
    folders: Folders,
) -> dict[str, Any]:
    """Case -> its slices with the outlines of all runs that have it; see `check_one_dataset` for what they share."""
    if not chosen:
        return {}
    run = runs[0].result.run
    regions = {name: labels for other in runs for name, labels in other.result.run.regions.items()}
    channel, is_ct = shown_channel(run, figure_options)
    slice_options = SliceOptions(
        options.planes, options.max_slices, options.max_pixels, is_ct, figure_options.ct_window
    )
    slices = {}
    for case in tqdm(chosen, desc="Slices", unit="case"):
        predictions = {}
        for place, other in enumerate(runs):
            own = other.result.cases[other.result.cases["case"] == case]
            if len(own):
                predictions[str(place)] = other.result.run.prediction_file(int(own["fold"].iloc[0]), case)
        slices[case] = case_slices(
            folders.raw / run.dataset_folder / "imagesTr" / f"{case}_{channel:04d}{run.file_ending}",
            folders.preprocessed / run.dataset_folder / "gt_segmentations" / f"{case}{run.file_ending}",
            predictions,
            regions,
            slice_options,
        )
    return slices


def _figures(
    results: Sequence[RunResult], options: ReportOptions, figure_options: FigureOptions, folders: Folders
) -> list[Figure]:
    """The figures that the page holds as images, for each protocol."""
    figures: list[Figure] = []
    for protocol in dict.fromkeys(result.run.experiment.protocol for result in results):
        own = [result for result in results if result.run.experiment.protocol == protocol]
        planned, left_out = plan_figures(own, figure_options, folders)
        for line in left_out:
            print(line, file=sys.stderr)
        wanted = [plan for plan in planned if _is_wanted(plan.name, options.images)]
        for plan in tqdm(wanted, desc="Figures", unit="figure"):
            try:
                figures.append(_embed(plan.draw()))
            except NothingToDrawError as error:
                print(f"figure {plan.name} left out: {error}", file=sys.stderr)
    return figures


def _is_wanted(name: str, images: bool) -> bool:
    return name.endswith(FIGURES) or (images and name.startswith(FIGURES_OF_CASES))


def _embed(drawn: DrawnFigure) -> Figure:
    """A figure as SVG, or as WebP if it holds pictures."""
    ending, kind = (
        ("webp", "image/webp") if drawn.name.startswith(FIGURES_OF_CASES) else ("svg", "image/svg+xml")
    )
    file = io.BytesIO()
    settings: Any = {**RC, "svg.hashsalt": drawn.name, "svg.fonttype": "path"}
    with matplotlib.rc_context(settings):
        drawn.figure.savefig(file, format=ending, dpi=FIGURE_DPI)
    drawn.figure.clear()
    source = f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
    return Figure(drawn.name, source, drawn.alt, drawn.caption)
