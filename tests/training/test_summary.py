"""What a fold's summary says, from files as nnU-Net and the trainer write them."""

import json
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.evaluation.evaluate_predictions import save_summary_json

from gsl_experiments.training.epoch_log import EpochRecords
from gsl_experiments.training.summary import write_fold_summary


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    folder = tmp_path / "nnUNetTrainerGSL__gsl_step5__3d_fullres" / "fold_2"
    (folder / "validation").mkdir(parents=True)
    labels = {"background": 0, "liver": 1, "lesion": 2, "vessel": 3}
    (folder.parent / "dataset.json").write_text(json.dumps({"labels": labels}))
    dice = {1: 0.9, 2: 0.5, 3: np.nan}
    measured = {
        "metric_per_case": [{"metrics": {label: {"Dice": d} for label, d in dice.items()}}] * 3,
        "mean": {label: {"Dice": d} for label, d in dice.items()},
        "foreground_mean": {"Dice": 0.7},
    }
    save_summary_json(measured, str(folder / "validation" / "summary.json"))
    return folder


def record(fold: Path, pseudo_dice: list[float]) -> None:
    records = EpochRecords(fold)
    for epoch, dice in enumerate(pseudo_dice):
        values = {"train_loss": 0.4, "region_loss": 0.6, "boundary_loss": 0.2, "val_loss": 0.45}
        records.write(epoch, values | {"alpha": 0.5, "pseudo_dice": dice, "seconds": 50.0})
    records.close()


def test_ten_lines_with_time_losses_dice_and_files(fold: Path) -> None:
    """Three epochs of 50 s are 150 s, about 2 minutes (rounded half to even)."""
    record(fold, [0.25, 0.75, 0.5])
    text = write_fold_summary(fold)
    assert (fold / "summary.txt").read_text() == text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines == [
        "nnUNetTrainerGSL__gsl_step5__3d_fullres, fold_2",
        "training 3 epochs in 2 min, 50 s an epoch",
        "final losses 0.4000 (region 0.6000, boundary 0.2000, alpha 0.500), validation 0.4500",
        "pseudo Dice best 0.7500 in epoch 2, last 0.5000",
        "held out 3 cases: mean Dice 0.7000 (liver 0.9000, lesion 0.5000, vessel -)",
        f"model {fold / 'checkpoint_final.pth'}",
        f"predictions {fold / 'validation'}",
        f"every epoch {fold / 'epochs.csv'}, {fold / 'progress.png'}",
        f"curves .venv/bin/tensorboard --logdir {fold / 'tensorboard'}",
    ]


def test_a_training_whose_validation_never_saw_foreground(fold: Path) -> None:
    record(fold, [np.nan, np.nan])
    text = write_fold_summary(fold)
    assert "pseudo Dice" not in text
    assert "2 epochs" in text


def test_a_fold_trained_by_a_version_without_records(fold: Path) -> None:
    text = write_fold_summary(fold)
    assert "mean Dice 0.7000" in text
    assert "final losses" not in text
