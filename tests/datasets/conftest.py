"""Tiny raw datasets, written with nibabel so that nothing is read back by what wrote it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

AFFINE = np.array([[-0.8, 0, 0, 30.0], [0, -0.8, 0, 40.0], [0, 0, 2.5, -50.0], [0, 0, 0, 1.0]])
SHAPE = (6, 5, 4)
MODALITIES = ("t1", "t1ce", "t2", "flair")

WriteNifti = Callable[..., Path]


@pytest.fixture
def write_nifti() -> WriteNifti:
    """write_nifti(path, voxels, affine=AFFINE): an array in (x, y, z) order as a NIfTI file."""

    def write(path: Path, voxels: Any, affine: Any = AFFINE) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.asarray(voxels), affine), path)
        return path

    return write


def random_image(seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def label_of(values: tuple[int, ...], dtype: Any = np.uint8) -> Any:
    """All these values in turn over the voxels."""
    return np.resize(np.asarray(values, dtype), SHAPE)


@pytest.fixture
def lits(tmp_path: Path, write_nifti: WriteNifti) -> Path:
    """Volumes 0 and 10, plain .nii."""
    raw = tmp_path / "lits"
    for number in (0, 10):
        write_nifti(raw / f"volume-{number}.nii", random_image(number))
        write_nifti(raw / f"segmentation-{number}.nii", label_of((0, 1, 2)))
    return raw


@pytest.fixture
def brats(tmp_path: Path, write_nifti: WriteNifti) -> Path:
    """Two cases, a loose table beside them as in the release."""
    raw = tmp_path / "brats"
    for case in ("BraTS20_Training_001", "BraTS20_Training_002"):
        for seed, modality in enumerate(MODALITIES):
            write_nifti(raw / case / f"{case}_{modality}.nii.gz", random_image(seed))
        write_nifti(raw / case / f"{case}_seg.nii.gz", label_of((0, 1, 2, 4)))
    (raw / "name_mapping.csv").write_text("a,b\n")
    return raw


@pytest.fixture
def msd(tmp_path: Path, write_nifti: WriteNifti) -> Path:
    """Two listed cases, with the hidden files that macOS leaves, one of them listed too."""
    raw = tmp_path / "Task04_Hippocampus"
    for stem in ("hippocampus_003", "hippocampus_001"):
        write_nifti(raw / "imagesTr" / f"{stem}.nii.gz", random_image())
        write_nifti(raw / "labelsTr" / f"{stem}.nii.gz", label_of((0, 1, 2)))
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder / "._hippocampus_001.nii.gz").write_bytes(b"not an image")
    (raw / "dataset.json").write_text(
        """{"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "numTraining": 3, "training": [
        {"image": "./imagesTr/.DS_Store", "label": "./labelsTr/.DS_Store"},
        {"image": "./imagesTr/hippocampus_003.nii.gz", "label": "./labelsTr/hippocampus_003.nii.gz"},
        {"image": "./imagesTr/hippocampus_001.nii.gz", "label": "./labelsTr/hippocampus_001.nii.gz"}]}"""
    )
    return raw
