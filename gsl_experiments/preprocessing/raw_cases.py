"""The cases of an nnU-Net raw folder that are to be preprocessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from gsl_experiments.validation import read_exclusion


@dataclass(frozen=True)
class RawFiles:
    """The raw files of a case: its images, in the order of the channels, and its label."""

    images: tuple[str, ...]
    label: str

    @property
    def all(self) -> tuple[str, ...]:
        """Images and label."""
        return (*self.images, self.label)


def raw_cases(raw: Path, dataset_json: dict[str, Any], preprocessed: Path) -> dict[str, RawFiles]:
    """Return the raw files of every case that is not excluded, in nnU-Net's order."""
    excluded = excluded_cases(preprocessed)
    files = get_filenames_of_train_images_and_targets(str(raw), dataset_json)
    return {
        case: RawFiles(tuple(of["images"]), of["label"]) for case, of in files.items() if case not in excluded
    }


def excluded_cases(preprocessed: Path) -> list[str]:
    """Return the cases that the check of the raw dataset has left out."""
    return sorted(read_exclusion(preprocessed).excluded)
