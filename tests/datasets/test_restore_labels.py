"""Back to the raw label values."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gsl_experiments.datasets import DatasetError, read_brats, restore_labels, write_nnunet_raw

Write = Callable[..., Path]


def test_there_and_back_again(brats: Path, tmp_path: Path) -> None:
    """4 -> 3 -> 4, with the geometry."""
    dataset = read_brats(brats)
    write_nnunet_raw(dataset, tmp_path / "out")
    written = tmp_path / "out" / "labelsTr" / "BraTS20_Training_001.nii.gz"
    assert set(np.unique(np.asanyarray(nib.load(written).dataobj))) == {0, 1, 2, 3}
    restore_labels(written, tmp_path / "back" / "case.nii.gz", dataset.original_labels)
    raw, back = nib.load(dataset.cases[0].label), nib.load(tmp_path / "back" / "case.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(back.dataobj), np.asanyarray(raw.dataobj))
    np.testing.assert_allclose(back.affine, raw.affine, atol=1e-5)
    assert back.get_data_dtype() == np.uint8


def test_large_raw_labels(tmp_path: Path, write_nifti: Write) -> None:
    file = write_nifti(tmp_path / "a.nii.gz", np.eye(3, dtype=np.uint8)[None])
    restore_labels(file, tmp_path / "b.nii", {0: 0, 1: 600})
    np.testing.assert_array_equal(np.asanyarray(nib.load(tmp_path / "b.nii").dataobj), 600 * np.eye(3)[None])


def test_unknown_label(tmp_path: Path, write_nifti: Write) -> None:
    file = write_nifti(tmp_path / "a.nii.gz", np.full((2, 2, 2), 5, np.uint8))
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: label \[5\] where only \[0, 1\] are known; give"):
        restore_labels(file, tmp_path / "b.nii.gz", {0: 0, 1: 1})
    assert not (tmp_path / "b.nii.gz").exists()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: no such file"):
        restore_labels(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", {0: 0})
