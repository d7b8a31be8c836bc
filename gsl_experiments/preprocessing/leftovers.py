"""What calls that were killed have left behind."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from gsl_experiments.datasets.nnunet_case import SOURCES
from gsl_experiments.preprocessing.cases import REFERENCES, SCRATCH

_SECONDS_OF_A_SMALL_FILE = 600


def remove_leftovers(raw: Path, preprocessed: Path) -> None:
    """Delete half-written files of earlier calls; the dataset's lock must be held.

    Trainings write their small plans files into ``preprocessed`` without that lock: there only what is too old to be
    theirs is deleted.
    """
    shutil.rmtree(preprocessed / SCRATCH, ignore_errors=True)
    folders = [raw, *(raw / name for name in ("imagesTr", "labelsTr", SOURCES)), preprocessed / REFERENCES]
    folders += [folder for pattern in ("*", "*/manifest") for folder in preprocessed.glob(pattern)]
    for folder in folders:
        for partial in folder.glob(".partial-*"):
            shutil.rmtree(partial, ignore_errors=True)
    for partial in preprocessed.glob(".partial-*"):
        if time.time() - partial.stat().st_mtime > _SECONDS_OF_A_SMALL_FILE:
            shutil.rmtree(partial, ignore_errors=True)
