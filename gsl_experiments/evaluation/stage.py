"""The evaluation stage: all trained runs, or any two folders of label images."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gsl_experiments import provenance
from gsl_experiments.atomic import write_json, write_text
from gsl_experiments.config import in_checkout, raw_folder, worker_processes
from gsl_experiments.datasets.description import label_map, raw_regions
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.cases import evaluate_folder
from gsl_experiments.evaluation.run_metrics import METRICS_FILE, evaluate_runs
from gsl_experiments.evaluation.runs import checked_regions, read_json
from gsl_experiments.metrics import METRICS_VERSION

_DEFAULT_OUTPUT = "metrics.csv"


def evaluate(cfg: DictConfig) -> None:
    """Write one row a case and region: to each run's ``metrics.csv``, or to a file for two given folders.

    The two folders hold the dataset's original labels, as its references and our predictions of new images do, or
    any labels. Beside the file ``NAME.csv`` lies ``NAME.csv.json`` with the configuration and versions.

    Raises:
        UserError: there is nothing to evaluate, a pair of files cannot be compared, the tolerance of `nsd` is no
            length, or a file is named without the two folders.
    """
    if cfg.evaluate.predictions is not None or cfg.evaluate.references is not None:
        _evaluate_folders(cfg)
        return
    if cfg.evaluate.output is not None:
        raise UserError(
            f"OUT={cfg.evaluate.output} is for two folders: give REF=folder and PRED=folder too, or leave OUT out to "
            "evaluate all runs"
        )
    results = in_checkout(cfg.paths.results)
    outcomes = evaluate_runs(
        results,
        in_checkout(cfg.paths.preprocessed),
        processes=worker_processes(cfg),
        nsd_tolerance_mm=cfg.evaluate.nsd_tolerance_mm,
    )
    if not outcomes:
        raise UserError(f"{results} holds no trained run: train one first (make train)")
    for outcome in outcomes:
        folds = f"{len(outcome.complete_folds)}/{outcome.total_folds} folds"
        print(f"{outcome.run.path / METRICS_FILE}: {outcome.number_of_cases}, {folds}")


def _evaluate_folders(cfg: DictConfig) -> None:
    for option, variable in (("predictions", "PRED"), ("references", "REF")):
        if cfg.evaluate[option] is None:
            raise UserError(f"evaluate.{option} is not set: call with {variable}=folder")
    output = in_checkout(cfg.evaluate.output or _DEFAULT_OUTPUT)
    _check_output(output)
    regions, known_labels = _dataset_regions(cfg)
    table = evaluate_folder(
        in_checkout(cfg.evaluate.predictions),
        in_checkout(cfg.evaluate.references),
        regions,
        processes=worker_processes(cfg),
        known_labels=known_labels,
        nsd_tolerance_mm=cfg.evaluate.nsd_tolerance_mm,
    )
    write_text(output, table.to_csv(index=False))
    record = output.with_name(f"{output.name}.json")
    measured = regions or list(table["region"].unique())
    settings = {"regions": measured, "metrics_version": METRICS_VERSION}
    write_json(record, settings | provenance.collect(OmegaConf.to_container(cfg, resolve=True)))
    print(f"{output}: {len(table)} rows; where they come from: {record.name}")


def _check_output(file: Path) -> None:
    """Refuse a table that cannot be written, before hours of measuring."""
    if file.suffix != ".csv":
        raise UserError(f"{file}: the table is a CSV file: call with OUT=file.csv")
    if file.is_dir():
        raise UserError(f"{file} is a folder: call with OUT=file.csv")
    above = next(folder for folder in file.parents if folder.exists())
    if not above.is_dir():
        raise UserError(f"{above} is a file, not a folder: call with another OUT=file.csv")


def _dataset_regions(cfg: DictConfig) -> tuple[dict[str, tuple[int, ...]] | None, Collection[int] | None]:
    """Regions of the dataset and the labels that it may hold, both in its original labels.

    Without a dataset, `evaluate.regions=labels`, every label counts by itself.
    """
    if cfg.evaluate.regions == "labels":
        return None, None
    if cfg.evaluate.regions != "dataset":
        raise UserError(f"evaluate.regions={cfg.evaluate.regions}: allowed are dataset, labels")
    file = raw_folder(cfg) / "dataset.json"
    if not file.is_file():
        raise UserError(
            f"{file}: no such file, so the regions of {cfg.dataset.name} are not known: preprocess it first, or call "
            "without DATASET to measure every label by itself"
        )
    description = read_json(file)
    return checked_regions(description, raw_regions, file), label_map(description).keys()
