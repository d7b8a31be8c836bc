"""The check as a step of preprocessing, and as a command of its own."""

from __future__ import annotations

import json
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from gsl_experiments.config import in_checkout, preprocessed_folder, raw_folder, worker_processes
from gsl_experiments.datasets import DatasetError, RawDataset, read_nnunet
from gsl_experiments.errors import UserError
from gsl_experiments.validation.check import (
    FINDINGS,
    RECORDS,
    check_dataset,
    error_line,
    inspect_dataset,
    publish,
)


def validate(cfg: DictConfig) -> None:
    """Say everything that is wrong with the configured dataset; write nothing but the findings and what was read.

    Raises:
        UserError: the data is not where it should be.
        DatasetError: there are errors.
    """
    require_source(cfg)
    folder = preprocessed_folder(cfg)
    file = folder / FINDINGS if cfg.validate.output is None else in_checkout(cfg.validate.output)
    dataset = read_dataset(cfg)
    report = inspect_dataset(dataset, processes=worker_processes(cfg), records=folder / RECORDS)
    publish(report, dataset, file)
    if report.errors:
        raise DatasetError(error_line(report, file))
    print(f"{file}: {len(report.findings)} findings")


def checked_dataset(cfg: DictConfig) -> RawDataset | None:
    """The configured dataset once its check is passed, without the cases that are left out.

    Returns:
        The cases to convert and to preprocess; None if the dataset has been checked and converted earlier, and its
        raw folder is not given now.

    Raises:
        DatasetError: there are errors that are to stop.
    """
    if cfg.dataset.raw is None and _is_converted(raw_folder(cfg)):
        return None
    return check_dataset(
        read_dataset(cfg),
        processes=worker_processes(cfg),
        on_error=cfg.dataset.on_error,
        folder=preprocessed_folder(cfg),
    )


def require_source(cfg: DictConfig) -> None:
    """Raise :class:`UserError` if the configured dataset is not where it should be."""
    if cfg.dataset.raw is None and not (raw_folder(cfg) / "dataset.json").exists():
        raise UserError(
            f"dataset.raw is not set: call with RAW=folder, where the {cfg.dataset.name} data lies"
        )
    if cfg.dataset.raw is not None and cfg.dataset.generate is None:
        source = in_checkout(cfg.dataset.raw)
        if not source.is_dir():
            raise UserError(f"{source}: no such folder; call with RAW=folder, where the data lies")


def read_dataset(cfg: DictConfig) -> RawDataset:
    """Find the cases of the configured dataset; phantoms are generated first."""
    if cfg.dataset.raw is None:
        return read_nnunet(raw_folder(cfg))
    source = in_checkout(cfg.dataset.raw)
    if cfg.dataset.generate is not None:
        instantiate(cfg.dataset.generate)(source)
    return instantiate(cfg.dataset.layout)(source)


def _is_converted(folder: Path) -> bool:
    """Whether the folder was written by us, from a raw dataset that was checked then."""
    try:
        return "original_labels" in json.loads((folder / "dataset.json").read_text())
    except (ValueError, TypeError):
        return False  # its reader says what is wrong
