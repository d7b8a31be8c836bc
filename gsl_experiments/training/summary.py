"""What came of a fold, in ten lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gsl_experiments.atomic import write_text
from gsl_experiments.training.epoch_log import CSV_NAME, TENSORBOARD_NAME, read_epochs
from gsl_experiments.training.progress import duration

SUMMARY_NAME = "summary.txt"


def write_fold_summary(fold_folder: Path) -> str:
    """Write ``summary.txt`` into a fold that is trained and predicted, and return its text.

    It is put together from the fold's files: ``epochs.csv``, nnU-Net's ``validation/summary.json`` and the model's
    ``dataset.json``.
    """
    text = "\n".join([f"{fold_folder.parent.name}, {fold_folder.name}", *_lines(fold_folder)]) + "\n"
    write_text(fold_folder / SUMMARY_NAME, text)
    return text


def has_summary(fold_folder: Path) -> bool:
    """Return whether nnU-Net's summary of the held-out cases and ours of the fold are written."""
    return (fold_folder / SUMMARY_NAME).is_file() and (fold_folder / "validation" / "summary.json").is_file()


def _lines(fold_folder: Path) -> list[str]:
    epochs = read_epochs(fold_folder / CSV_NAME)
    predicted = fold_folder / "validation"
    dataset_json = json.loads((fold_folder.parent / "dataset.json").read_text())
    lines = [
        *(_training(epochs) if epochs else []),
        *_held_out(predicted / "summary.json", dataset_json["labels"]),
    ]
    return [
        *(f"  {line}" for line in lines),
        f"  model         {fold_folder / 'checkpoint_final.pth'}",
        f"  predictions   {predicted}",
        f"  every epoch   {fold_folder / CSV_NAME}, {fold_folder / 'progress.png'}",
        f"  curves        .venv/bin/tensorboard --logdir {fold_folder / TENSORBOARD_NAME}",
    ]


def _training(epochs: dict[int, dict[str, float]]) -> list[str]:
    last = max(epochs)
    final = epochs[last]
    seconds = sum(row["seconds"] for row in epochs.values())
    dice = {epoch: row["pseudo_dice"] for epoch, row in epochs.items() if not math.isnan(row["pseudo_dice"])}
    lines = [
        f"training      {len(epochs)} epochs in {duration(seconds)}, {seconds / len(epochs):.3g} s an epoch",
        f"final losses  {final['train_loss']:.4f} (region {final['region_loss']:.4f}, "
        f"boundary {final['boundary_loss']:.4f}, alpha {final['alpha']:.3f}), validation {final['val_loss']:.4f}",
    ]
    if dice:
        best = max(dice, key=lambda epoch: dice[epoch])
        lines.append(
            f"pseudo Dice   best {dice[best]:.4f} in epoch {best + 1}, last {final['pseudo_dice']:.4f}"
        )
    return lines


def _held_out(summary: Path, labels: dict[str, Any]) -> list[str]:
    """Return the mean Dice of the held-out cases; a class that no case has and none predicts has none."""
    measured = json.loads(summary.read_text())
    names = {str(label): name for name, label in labels.items()}
    by_class = ", ".join(
        f"{names.get(label, label)} {_dice(metrics['Dice'])}" for label, metrics in measured["mean"].items()
    )
    cases = len(measured["metric_per_case"])
    mean = _dice(measured["foreground_mean"]["Dice"])
    return [f"held out      {cases} case{'s' if cases != 1 else ''}: mean Dice {mean} ({by_class})"]


def _dice(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
