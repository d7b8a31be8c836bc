"""What would stop a training after hours, looked for before it starts: one line each."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gsl_experiments.config import model_folder, preprocessed_folder
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.training.fold import held_out_cases, training_cases
from gsl_experiments.training.memory_estimate import measure_network

KEPT_CHECKPOINTS = 2  # of a finished fold: the best and the final one
OTHER_CHECKPOINTS = 3  # of the fold in training: the latest, the one before, and one that is being written
BYTES_PER_PARAMETER = 12  # the weight and Adam's two moments, float32
BYTES_OF_LOGS = 50 * 10**6  # logs, curves and the example pictures of a fold


@dataclass(frozen=True)
class FoldSize:
    """About how many bytes on disk a fold takes, from above: one checkpoint, and all that is kept."""

    checkpoint: int
    kept: int


def check_ready(cfg: DictConfig, plans: dict[str, Any], folds: Sequence[int]) -> None:
    """Look for what the training of these folds needs.

    Raises:
        UserError: a case of a fold lacks a file, the results folder cannot be written to, or the disk is too full for
            the checkpoints and predictions still to come.
    """
    preprocessed = preprocessed_folder(cfg)
    data = preprocessed / plans["configurations"][cfg.configuration]["data_identifier"]
    ending = json.loads((preprocessed / "dataset.json").read_text())["file_ending"]
    for fold in folds:
        _check_cases(preprocessed, data, fold, ending, with_maps=cfg.loss.boundary is not None)
    folder = model_folder(cfg)
    _check_writable(folder)
    sizes = [_size_of_fold(preprocessed, plans, cfg.configuration, fold, ending) for fold in folds]
    needed = sum(size.kept for size in sizes)
    needed += OTHER_CHECKPOINTS * max((size.checkpoint for size in sizes), default=0)
    there = sum(_bytes_in(folder / f"fold_{fold}") for fold in folds)
    free = shutil.disk_usage(folder).free
    if needed - there > free:
        raise UserError(
            f"{folder}: {_gb(free)} are free, and the checkpoints and predictions of {len(folds)} fold"
            f"{'s' if len(folds) > 1 else ''} take up to {_gb(needed - there)}; make room, or write elsewhere "
            "(paths.results=...)"
        )


def _check_cases(preprocessed: Path, data: Path, fold: int, ending: str, *, with_maps: bool) -> None:
    for case in [*training_cases(preprocessed, fold), *held_out_cases(preprocessed, fold)]:
        files = [data / f"{case}{part}" for part in (".b2nd", "_seg.b2nd", ".pkl")]
        files.append(preprocessed / "gt_segmentations" / f"{case}{ending}")
        if with_maps:
            files.append(maps_folder(data) / f"{case}.b2nd")
        for file in files:
            if not file.is_file():
                raise UserError(
                    f"{file} is missing, which fold {fold} needs: preprocess the dataset again (make preprocess)"
                )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written to ({error.strerror}): mend that, or write elsewhere (paths.results=...)"
        ) from error


def _size_of_fold(
    preprocessed: Path, plans: dict[str, Any], configuration: str, fold: int, ending: str
) -> FoldSize:
    references = preprocessed / "gt_segmentations"
    predictions = sum(
        (references / f"{case}{ending}").stat().st_size for case in held_out_cases(preprocessed, fold)
    )
    dataset_json = json.loads((preprocessed / "dataset.json").read_text())
    network = measure_network(
        plans["configurations"][configuration],
        channels=len(dataset_json["channel_names"]),
        classes=len(dataset_json["labels"]),
        batch_size=1,
        deep_supervision=False,
    )
    checkpoint = BYTES_PER_PARAMETER * network.parameters
    return FoldSize(checkpoint, kept=KEPT_CHECKPOINTS * checkpoint + 2 * predictions + BYTES_OF_LOGS)


def _bytes_in(folder: Path) -> int:
    return sum((Path(where) / name).stat().st_size for where, _, names in os.walk(folder) for name in names)


def _gb(size: int) -> str:
    return f"{math.ceil(size / 10**8) / 10:.1f} GB"
