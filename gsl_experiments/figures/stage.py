"""The figure stage: every trained run into the figures of its dataset."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from gsl_experiments.atomic import write_json, write_text
from gsl_experiments.config import in_checkout, worker_processes
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import Run, RunResult, evaluate_runs
from gsl_experiments.figures.dataset_figures import Folders, plan_figures
from gsl_experiments.figures.options import FigureOptions
from gsl_experiments.figures.planned import DrawnFigure, NothingToDrawError, PlannedFigure, write_figure
from gsl_experiments.figures.selection import check_one_dataset
from gsl_experiments.provenance import collect


def make_figures(cfg: DictConfig) -> None:
    """Evaluate what is not evaluated yet, and draw the figures of every dataset, or of the one that is chosen.

    Raises:
        UserError: an option makes no sense, or there is nothing to draw.
    """
    options = FigureOptions.from_config(cfg)
    results = in_checkout(cfg.paths.results)
    folders = Folders(in_checkout(cfg.paths.raw), in_checkout(cfg.paths.preprocessed))
    outcomes = evaluate_runs(
        results,
        folders.preprocessed,
        processes=worker_processes(cfg),
        nsd_tolerance_mm=cfg.evaluate.nsd_tolerance_mm,
    )
    if not outcomes:
        raise UserError(f"{results} holds no trained run: train one first (make train)")
    plans = _plan(_chosen(outcomes, cfg.protocol, options, results), options, folders)
    drawn: dict[Path, list[DrawnFigure]] = defaultdict(list)
    tables = in_checkout(cfg.paths.tables)
    work = [
        (figures_folder(tables, dataset, cfg.protocol), plan)
        for dataset, plans in plans.items()
        for plan in plans
    ]
    with tqdm(work, desc="Drawing", unit="figure") as progress:
        for folder, plan in progress:
            progress.set_postfix_str(plan.name)
            try:
                figure = plan.draw()
            except NothingToDrawError as error:
                progress.write(f"figure {plan.name} left out: {error}")
                continue
            write_figure(figure, folder, formats=options.formats, dpi=int(options.dpi))
            figure.figure.clear()  # what is drawn is no longer needed: many figures would fill the memory
            drawn[folder].append(figure)
    for folder, figures in drawn.items():
        write_text(folder / "README.md", _overview(figures, options.formats))
        write_json(folder / "provenance.json", collect(asdict(options)))
        print(f"{folder}: {len(figures)} figures, overview in README.md")


def figures_folder(tables: Path, dataset: str, protocol: str) -> Path:
    """Where the figures of a dataset lie; those of another protocol than the paper's have a folder of their own."""
    return tables / dataset / ("figures" if protocol == "paper" else f"figures_{protocol}")


def _chosen(
    outcomes: Sequence[RunResult], protocol: str, options: FigureOptions, results: Path
) -> dict[str, list[RunResult]]:
    """Dataset -> its runs of the protocol, of the dataset that the options name or of all."""
    by_dataset: dict[str, list[RunResult]] = defaultdict(list)
    for outcome in outcomes:
        if options.dataset is None or options.dataset in _names(outcome.run):
            by_dataset[outcome.run.experiment.dataset].append(outcome)
    if not by_dataset:
        known = ", ".join(sorted({outcome.run.experiment.dataset for outcome in outcomes}))
        raise UserError(
            f"figures.dataset={options.dataset}: no run of it in {results}; there are runs of {known}"
        )
    chosen = {}
    for dataset, runs in by_dataset.items():
        others = sorted({run.run.experiment.protocol for run in runs} - {protocol})
        if others:
            print(
                f"{dataset}: runs of other protocols ({', '.join(others)}) are drawn with PROTOCOL=",
                file=sys.stderr,
            )
        of_protocol = [run for run in runs if run.run.experiment.protocol == protocol]
        if of_protocol:
            check_one_dataset(of_protocol)
            chosen[dataset] = of_protocol
    return chosen


def _names(run: Run) -> tuple[str, ...]:
    """What a dataset may be called: its short name, nnU-Net's, that without the number, or the number."""
    folder = run.dataset_folder
    return run.experiment.dataset, folder, folder[11:], folder[7:10], folder[7:10].lstrip("0")


def _plan(
    chosen: dict[str, list[RunResult]], options: FigureOptions, folders: Folders
) -> dict[str, list[PlannedFigure]]:
    """Dataset -> its figures; says what is left out."""
    plans = {}
    for dataset, outcomes in chosen.items():
        plans[dataset], left_out = plan_figures(outcomes, options, folders)
        for line in left_out:
            print(line, file=sys.stderr)
    if not any(plans.values()):
        raise UserError("nothing to draw: no run of this protocol has a complete fold (make train)")
    return plans


def _overview(figures: Sequence[DrawnFigure], formats: Sequence[str]) -> str:
    """All figures with their captions on one page of Markdown."""
    shown = next((ending for ending in ("png", "svg") if ending in formats), None)
    parts = ["# Figures\n"]
    for figure in figures:
        links = ", ".join(f"[{ending}]({figure.name}.{ending})" for ending in (*formats, "json"))
        picture = f"![{figure.alt}]({figure.name}.{shown})\n\n" if shown else ""
        parts.append(f"## {figure.name}\n\n{picture}{figure.caption}\n\n{links}\n")
    return "\n".join(parts)
