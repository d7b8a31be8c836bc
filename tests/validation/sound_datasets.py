"""Small sound datasets, written with nibabel, for tests to break."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from gsl_experiments.datasets import RawDataset, read_brats, read_lits, read_msd, read_nnunet

SHAPE = (24, 20, 12)
CT_AFFINE = np.array([[-0.8, 0, 0, 30.0], [0, -0.8, 0, 40.0], [0, 0, 2.5, -50.0], [0, 0, 0, 1.0]])
MR_AFFINE = np.eye(4)
MODALITIES = ("t1", "t1ce", "t2", "flair")


def save(path: Path, voxels: Any, affine: Any = CT_AFFINE) -> Path:
    """An array in (x, y, z) order as a NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(voxels), affine), path)
    return path


def ct(seed: int) -> Any:
    """Air around tissue, in HU."""
    hounsfield = np.full(SHAPE, -1000, np.int16)
    hounsfield[4:20, 4:16] = np.random.default_rng(seed).integers(-100, 300, (16, 12, 12))
    return hounsfield


def mr(seed: int) -> Any:
    """Positive and of no unit."""
    return np.random.default_rng(seed).gamma(2, 100, SHAPE).astype(np.float32)


def labels(*values: int, dtype: Any = np.uint8) -> Any:
    """A block of each value in an empty background."""
    label = np.zeros(SHAPE, dtype)
    for index, value in enumerate(values):
        label[6:10, 6:10, 2 * index : 2 * index + 2] = value
    return label


def write_lits(raw: Path) -> None:
    """Volumes 0, 1 and 2 and their segmentations; the last is compressed."""
    for number, ending in enumerate((".nii", ".nii", ".nii.gz")):
        save(raw / f"volume-{number}{ending}", ct(number))
        save(raw / f"segmentation-{number}{ending}", labels(1, 2))


def write_brats(raw: Path) -> None:
    """Three cases of BraTS 2020."""
    for number in range(1, 4):
        case = f"BraTS20_Training_{number:03d}"
        for index, modality in enumerate(MODALITIES):
            save(raw / case / f"{case}_{modality}.nii.gz", mr(10 * number + index), MR_AFFINE)
        save(raw / case / f"{case}_seg.nii.gz", labels(1, 2, 4), MR_AFFINE)


def write_msd(raw: Path) -> None:
    """Two cases of two channels in one 4D file, and two structures."""
    for number in range(2):
        channels = np.stack([mr(number), mr(number + 10)], -1)
        save(raw / "imagesTr" / f"case_{number}.nii.gz", channels, MR_AFFINE)
        save(raw / "labelsTr" / f"case_{number}.nii.gz", labels(1, 2), MR_AFFINE)
    (raw / "dataset.json").write_text(
        '{"modality": {"0": "T2", "1": "ADC"}, "labels": {"0": "background", "1": "zone", "2": "rest"}}'
    )


def write_nnunet(raw: Path) -> None:
    """Two cases of one channel in nnU-Net's raw format."""
    for number in range(2):
        save(raw / "imagesTr" / f"case_{number}_0000.nii.gz", ct(number))
        save(raw / "labelsTr" / f"case_{number}.nii.gz", labels(1))
    (raw / "dataset.json").write_text(
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 2, '
        '"file_ending": ".nii.gz"}'
    )


Sound = Callable[[str], Path]  # the fixture of conftest.py
LAYOUTS: dict[str, tuple[Callable[[Path], None], Callable[[Path], RawDataset]]] = {
    "lits": (write_lits, read_lits),
    "brats": (write_brats, read_brats),
    "msd": (write_msd, read_msd),
    "nnunet": (write_nnunet, read_nnunet),
}
