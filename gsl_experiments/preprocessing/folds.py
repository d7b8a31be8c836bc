"""The five folds of nnU-Net's ``splits_final.json``."""

from __future__ import annotations

import json
from pathlib import Path

from sklearn.model_selection import KFold

from gsl_experiments.atomic import write_json
from gsl_experiments.config import NUM_FOLDS
from gsl_experiments.errors import UserError


def write_folds(identifiers: list[str], path: Path) -> list[dict[str, list[str]]]:
    """Write nnU-Net's ``splits_final.json``: KFold(5, shuffle, seed 42) over the sorted identifiers.

    Folds that the user has put there are kept, as long as they hold the same cases.
    """
    if path.exists():
        folds = json.loads(path.read_text())
        changed = cases_that_differ(folds, identifiers)
        if changed:
            raise UserError(
                f"{path} holds other cases than the dataset ({', '.join(changed[:3])}, ...): "
                "delete it to draw new folds"
            )
        return folds
    if len(identifiers) < NUM_FOLDS:
        raise UserError(f"{len(identifiers)} cases are too few for {NUM_FOLDS} folds")
    split = KFold(n_splits=NUM_FOLDS, shuffle=True, random_state=42).split(identifiers)
    folds = [
        {"train": [identifiers[i] for i in train], "val": [identifiers[i] for i in val]}
        for train, val in split
    ]
    write_json(path, folds)
    return folds


def cases_that_differ(folds: list[dict[str, list[str]]], identifiers: list[str]) -> list[str]:
    """Return the cases that are held out in no fold, or are not of the dataset; sorted."""
    return sorted({identifier for fold in folds for identifier in fold["val"]} ^ set(identifiers))
