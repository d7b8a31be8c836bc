"""A fold on disk: which cases it holds out, and whether it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gsl_experiments.preprocessing.folds import read_folds


def held_out_cases(preprocessed: Path, fold: int) -> list[str]:
    """Return the identifiers of the cases that the fold holds out, by ``splits_final.json``."""
    return read_folds(preprocessed / "splits_final.json")[fold]["val"]


def training_cases(preprocessed: Path, fold: int) -> list[str]:
    """Return the identifiers of the cases that the fold trains on, by ``splits_final.json``."""
    return read_folds(preprocessed / "splits_final.json")[fold]["train"]


def is_finished(fold_folder: Path, held_out: Sequence[str], file_ending: str) -> bool:
    """Return whether the fold has its final checkpoint and a prediction of every held-out case."""
    predictions = fold_folder / "validation"
    return (fold_folder / "checkpoint_final.pth").is_file() and all(
        (predictions / f"{case}{file_ending}").is_file() for case in held_out
    )
