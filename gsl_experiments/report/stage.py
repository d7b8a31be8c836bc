"""The report stage: every trained run into one HTML file a dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gsl_experiments.atomic import write_text
from gsl_experiments.config import CHECKOUT, CONFIG_DIR, in_checkout, worker_processes
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import Run, RunResult, evaluate_runs
from gsl_experiments.figures.dataset_figures import Folders
from gsl_experiments.figures.options import FigureOptions
from gsl_experiments.figures.selection import check_one_dataset
from gsl_experiments.provenance import collect
from gsl_experiments.report.content import report_content
from gsl_experiments.report.options import ReportOptions
from gsl_experiments.report.page import render
from gsl_experiments.reporting.paper import read_paper_tables

REPORT_FILE = "report.html"


def make_report(cfg: DictConfig) -> list[Path]:
    """Evaluate what is not evaluated yet, and write the report of every dataset, or of the one that is chosen.

    Returns:
        The files.

    Raises:
        UserError: an option makes no sense, or there is no trained run.
    """
    options, figure_options = ReportOptions.from_config(cfg.report), FigureOptions.from_config(cfg)
    folders = Folders(in_checkout(cfg.paths.raw), in_checkout(cfg.paths.preprocessed))
    results = in_checkout(cfg.paths.results)
    outcomes = evaluate_runs(
        results,
        folders.preprocessed,
        processes=worker_processes(cfg),
        nsd_tolerance_mm=cfg.evaluate.nsd_tolerance_mm,
    )
    if not outcomes:
        raise UserError(f"{results} holds no trained run: train one first (make train)")
    paper = read_paper_tables(CHECKOUT / "results" / "paper" / "tables.csv")
    record = collect({"report": asdict(options), "figures": asdict(figure_options)})
    files = []
    chosen = _by_dataset(outcomes, options, results)
    for runs in chosen.values():
        check_one_dataset(runs)
    for dataset, runs in chosen.items():
        attribution = options.attribution or _attribution(cfg, dataset)
        content = report_content(
            runs,
            options,
            figure_options,
            folders,
            paper=paper,
            record=record,
            attribution=attribution,
        )
        file = write_text(in_checkout(cfg.paths.tables) / dataset / REPORT_FILE, render(content))
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, open it in a browser")
        files.append(file)
    return files


def _by_dataset(
    outcomes: Sequence[RunResult], options: ReportOptions, results: Path
) -> dict[str, list[RunResult]]:
    """Dataset -> its runs that have a complete fold, of the chosen dataset or of all.

    Raises:
        UserError: there is none.
    """
    finished: dict[str, list[RunResult]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.complete_folds and (options.dataset is None or options.dataset in _names(outcome.run)):
            finished[outcome.run.experiment.dataset].append(outcome)
    if not finished:
        of_dataset = "" if options.dataset is None else f" of dataset {options.dataset}"
        known = ", ".join(sorted({outcome.run.experiment.dataset for outcome in outcomes}))
        raise UserError(f"{results}: no run{of_dataset} has a finished fold; there are runs of {known}")
    return finished


def _names(run: Run) -> tuple[str, ...]:
    """What a dataset may be called: its short name, nnU-Net's, that without the number, or the number."""
    folder = run.dataset_folder
    return run.experiment.dataset, folder, folder[11:], folder[7:10], folder[7:10].lstrip("0")


def _attribution(cfg: DictConfig, dataset: str) -> str | None:
    """Whose data it is and under which licence, as the dataset's configuration says."""
    file = CONFIG_DIR / "dataset" / f"{dataset}.yaml"
    own: Any = cfg.dataset
    if cfg.dataset.name != dataset:
        own = OmegaConf.load(file) if file.is_file() else {}
    return own.get("attribution")
