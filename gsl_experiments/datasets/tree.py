"""Folders as people have them: searched to any depth, hidden files and endless links left out."""

import os
from collections.abc import Iterator
from pathlib import Path

from gsl_experiments.datasets.nifti import nifti_stem


def nifti_files(folder: Path) -> list[Path]:
    """Every NIfTI file below a folder, by path; links to folders are followed, each folder is read once."""
    return [
        parent / name
        for parent, _, names in _walk(folder)
        for name in names
        if nifti_stem(Path(name)) is not None
    ]


def folders_holding(folder: Path, subfolder: str) -> list[Path]:
    """The folders, from ``folder`` itself downwards, that hold a folder of this name."""
    return [parent for parent, subfolders, _ in _walk(folder) if subfolder in subfolders]


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    seen = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        place = Path(parent).resolve()
        if place in seen:
            subfolders.clear()
            continue
        seen.add(place)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        yield Path(parent), subfolders, sorted(names)
