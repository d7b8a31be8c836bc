"""The five folds of nnU-Net's ``splits_final.json``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
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
        folds = read_folds(path)
        problems = problems_of(folds, identifiers)
        if problems:
            more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
            raise UserError(f"{path}: {problems[0]}{more}; correct it, or delete it to draw new folds")
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


def problems_of(folds: list[dict[str, list[str]]], identifiers: Iterable[str]) -> list[str]:
    """Return what is wrong with folds of these cases, one line each.

    Every case is held out in one fold, and none is trained on where it is held out.
    """
    known = set(identifiers)
    held_out = Counter(case for fold in folds for case in fold["val"])
    trained_on = {case for fold in folds for case in fold["train"]}
    problems = [
        f"{case} is not a case of the dataset" for case in sorted((trained_on | set(held_out)) - known)
    ]
    problems += [f"{case} is held out in no fold" for case in sorted(known - set(held_out))]
    problems += [f"{case} is held out {n} times" for case, n in sorted(held_out.items()) if n > 1]
    return problems + [
        f"fold {number}: {case} is both trained on and held out"
        for number, fold in enumerate(folds)
        for case in sorted(set(fold["train"]) & set(fold["val"]))
    ]


def read_folds(path: Path) -> list[dict[str, list[str]]]:
    """Return the folds of a ``splits_final.json``.

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        folds = json.loads(path.read_text())
        return [{"train": list(fold["train"]), "val": list(fold["val"])} for fold in folds]
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: preprocess the dataset again (make preprocess)") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f'{path}: not a list of {{"train": [...], "val": [...]}} ({error}); correct it, or delete it to draw '
            "new folds"
        ) from error
