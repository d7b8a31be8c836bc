"""The evaluation stage: all trained runs, or any two folders of label images."""

from __future__ import annotations

from omegaconf import DictConfig

from gsl_experiments.atomic import write_text
from gsl_experiments.config import in_checkout, raw_folder, worker_processes
from gsl_experiments.datasets.description import label_map, raw_regions
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.cases import evaluate_folder
from gsl_experiments.evaluation.run_metrics import METRICS_FILE, evaluate_runs
from gsl_experiments.evaluation.runs import read_json


def evaluate(cfg: DictConfig) -> None:
    """Write one row a case and region: to each run's ``metrics.csv``, or to a file for two given folders.

    The two folders hold the dataset's original labels, as its references and our predictions of new images do.

    Raises:
        UserError: there is nothing to evaluate, or a pair of files cannot be compared.
    """
    if cfg.evaluate.predictions is not None or cfg.evaluate.references is not None:
        _evaluate_folders(cfg)
        return
    results = in_checkout(cfg.paths.results)
    outcomes = evaluate_runs(results, in_checkout(cfg.paths.preprocessed), processes=worker_processes(cfg))
    if not outcomes:
        raise UserError(f"{results} holds no trained run: train one first (make train)")
    for outcome in outcomes:
        folds = f"{len(outcome.complete_folds)}/{outcome.total_folds} folds"
        print(f"{outcome.run.path / METRICS_FILE}: {outcome.number_of_cases}, {folds}")


def _evaluate_folders(cfg: DictConfig) -> None:
    for option, variable in (("predictions", "PRED"), ("references", "REF")):
        if cfg.evaluate[option] is None:
            raise UserError(f"evaluate.{option} is not set: call with {variable}=folder")
    description = read_json(raw_folder(cfg) / "dataset.json")
    table = evaluate_folder(
        in_checkout(cfg.evaluate.predictions),
        in_checkout(cfg.evaluate.references),
        raw_regions(description),
        processes=worker_processes(cfg),
        file_ending=description["file_ending"],
        known_labels=label_map(description).keys(),
    )
    output = write_text(in_checkout(cfg.evaluate.output), table.to_csv(index=False))
    print(f"{output}: {len(table)} rows")
