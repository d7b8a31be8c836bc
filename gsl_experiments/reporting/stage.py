"""The table stage: every trained run into Tables 1 and 2 of its dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gsl_experiments.atomic import write_json
from gsl_experiments.config import CHECKOUT, in_checkout, worker_processes
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.run_metrics import RunResult, evaluate_runs
from gsl_experiments.evaluation.runs import read_json
from gsl_experiments.reporting.paper import read_paper_tables
from gsl_experiments.reporting.tables import tables_text, write_tables


def make_tables(cfg: DictConfig) -> None:
    """Evaluate what is not evaluated yet, write the tables of every dataset and print them.

    Raises:
        UserError: there is no trained run.
    """
    results = in_checkout(cfg.paths.results)
    outcomes = evaluate_runs(results, in_checkout(cfg.paths.preprocessed), processes=worker_processes(cfg))
    if not outcomes:
        raise UserError(f"{results} holds no trained run: train one first (make train)")
    paper = read_paper_tables(CHECKOUT / "results" / "paper" / "tables.csv")
    files = write_tables(outcomes, in_checkout(cfg.paths.tables), paper=paper)
    files += write_provenance(outcomes, in_checkout(cfg.paths.tables))
    print(tables_text(outcomes, paper=paper))
    print("\nWritten:\n" + "\n".join(f"  {file}" for file in files))


def write_provenance(outcomes: Sequence[RunResult], output: Path) -> list[Path]:
    """Write, for each dataset, where the numbers of its tables come from: the record of every complete fold."""
    records: dict[str, dict[str, Any]] = defaultdict(dict)
    for outcome in outcomes:
        folds = [outcome.run.path / f"fold_{fold}" / "provenance.json" for fold in outcome.complete_folds]
        records[outcome.run.experiment.dataset][outcome.run.name] = {
            file.parent.name: read_json(file) for file in folds if file.exists()
        }
    return [write_json(output / dataset / "provenance.json", runs) for dataset, runs in records.items()]
