"""Trained runs as they lie on disk, small enough to be written by hand."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from omegaconf import DictConfig

from gsl_experiments.cli import compose
from gsl_experiments.config import EXPERIMENT_KEY

DATASET = "Dataset511_PhantomLiTS"
CASES = ("a_1", "a_2", "a_3", "a_4")
FOLDS = (CASES[:2], CASES[2:])
SHAPE = (8, 20, 24)  # z, y, x
SPACING_MM = (4.0, 1.0, 1.5)
LABELS = {"background": 0, "liver": 1}
LAST_SLICE = 6


def write_image(array: np.ndarray, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM[::-1])
    sitk.WriteImage(image, str(file))


def reference() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:LAST_SLICE, 6:14, 6:16] = 1
    labels[3, 5:15, 5:17] = 1  # the largest slice
    return labels


def prediction(columns: int) -> np.ndarray:
    """The reference with a false voxel that many columns beyond the right edge of slice 4."""
    labels = reference()
    labels[4, 10, 15 + columns] = 1
    return labels


def write_run(
    folder: Path,
    loss: str,
    schedule: str | None,
    *,
    errors: tuple[int, ...],
    folds: int = 2,
    **settings: object,
) -> None:
    """A run that misses the reference's edge by `errors` columns, one number a case; `settings` of its experiment."""
    name = f"{loss}_{schedule}" if schedule else loss
    run = folder / "results" / DATASET / f"nnUNetTrainerGSL__{name}__3d_fullres"
    run.mkdir(parents=True)
    experiment = {
        "dataset": "phantom_lits",
        "loss": loss,
        "schedule": schedule,
        "region": "dice_ce" if schedule else None,
        "protocol": "paper",
        "epochs": 8,
        "seed": 42,
        "training": {"schedule_formula": "prose"},
        **settings,
    }
    plans = {EXPERIMENT_KEY: experiment, "configurations": {"3d_fullres": {"data_identifier": "cases"}}}
    (run / "plans.json").write_text(json.dumps(plans))
    (run / "dataset.json").write_text(json.dumps(description()))
    for fold in range(folds):
        held_out = run / f"fold_{fold}"
        for case, error in zip(FOLDS[fold], errors[2 * fold :], strict=False):
            write_image(prediction(error), held_out / "validation" / f"{case}.nii.gz")
        (held_out / "checkpoint_final.pth").touch()
        (held_out / "epochs.csv").write_text(
            "epoch,train_loss,val_loss,alpha,pseudo_dice_average\n0,1,1.1,1,0.2\n1,0.5,0.6,0,0.7\n"
        )


def description() -> dict[str, object]:
    return {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "file_ending": ".nii.gz",
        "evaluation_regions": {"Liver": [1]},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A preprocessed dataset of four cases in two folds, without a run."""
    preprocessed = tmp_path / "preprocessed" / DATASET
    rng = np.random.default_rng(0)
    for case in CASES:
        write_image(reference(), preprocessed / "gt_segmentations" / f"{case}.nii.gz")
        image = rng.integers(-100, 200, SHAPE).astype(np.int16)
        write_image(image, tmp_path / "raw" / DATASET / "imagesTr" / f"{case}_0000.nii.gz")
    splits = [{"train": list(FOLDS[1 - fold]), "val": list(FOLDS[fold])} for fold in range(2)]
    (preprocessed / "splits_final.json").write_text(json.dumps(splits))
    (preprocessed / "dataset.json").write_text(json.dumps(description()))
    (preprocessed / "cases_dtm").mkdir()
    (preprocessed / "cases_dtm" / "class_weights.json").write_text(
        json.dumps({"voxels": [900, 100], "class_weights": [0.1, 0.9]})
    )
    return tmp_path


@pytest.fixture
def add_run(folder: Path) -> Callable[..., None]:
    """Write a run into the folder: loss, schedule, the columns that it errs by in each case, and its folds."""
    return partial(write_run, folder)


@pytest.fixture
def configure(folder: Path) -> Callable[..., DictConfig]:
    """Compose a configuration that reads and writes below the folder."""

    def compose_with(*overrides: str) -> DictConfig:
        names = ("raw", "preprocessed", "results", "tables")
        paths = [f"paths.{name}={folder / name}" for name in names]
        quick = ["processes=1", "figures.formats=[svg]", "figures.metrics=[hd95_mm]", "figures.dpi=50"]
        return compose([*paths, *quick, *overrides])

    return compose_with
