"""The table stage: every trained run into Tables 1 and 2 of its dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gsl_experiments.atomic import write_json
from gsl_experiments.checks import check_tables
from gsl_experiments.config import CHECKOUT, in_checkout, worker_processes
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.run_metrics import RunResult, evaluate_runs
from gsl_experiments.evaluation.runs import read_json
from gsl_experiments.reporting.comparison import Settings
from gsl_experiments.reporting.gather import gather_tables
from gsl_experiments.reporting.paper import read_paper_tables
from gsl_experiments.reporting.tables import write_tables
from gsl_experiments.reporting.terminal import files_text, tables_text


def make_tables(cfg: DictConfig) -> None:
    """Evaluate what is not evaluated yet, write the tables of every dataset and print them.

    Raises:
        UserError: there is no trained run, or a value of `tables` makes no sense.
    """
    check_tables(cfg)
    results, output = in_checkout(cfg.paths.results), in_checkout(cfg.paths.tables)
    outcomes = evaluate_runs(
        results,
        in_checkout(cfg.paths.preprocessed),
        processes=worker_processes(cfg),
        nsd_tolerance_mm=cfg.evaluate.nsd_tolerance_mm,
    )
    if not outcomes:
        raise UserError(f"{results} holds no trained run: train one first (make train)")
    paper = read_paper_tables(CHECKOUT / "results" / "paper" / "tables.csv")
    gathered = gather_tables(outcomes, paper=paper, settings=table_settings(cfg))
    files = write_tables(gathered, output) + write_provenance(outcomes, output)
    print(tables_text(gathered))
    print(files_text(files))


def table_settings(cfg: DictConfig) -> Settings:
    """How the configuration wants runs to be compared."""
    return Settings(
        baseline=cfg.tables.baseline,
        alpha=cfg.tables.alpha,
        resamples=cfg.tables.resamples,
        seed=cfg.seed,
    )


def write_provenance(outcomes: Sequence[RunResult], output: Path) -> list[Path]:
    """Write, for each dataset, where the numbers of its tables come from: the record of every complete fold."""
    records: dict[str, dict[str, Any]] = defaultdict(dict)
    for outcome in outcomes:
        folds = [outcome.run.path / f"fold_{fold}" / "provenance.json" for fold in outcome.complete_folds]
        records[outcome.run.experiment.dataset][outcome.run.name] = {
            file.parent.name: read_json(file) for file in folds if file.exists()
        }
    return [write_json(output / dataset / "provenance.json", runs) for dataset, runs in records.items()]
