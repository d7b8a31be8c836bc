"""Files that end before their voxels do: ITK reads them without a word and fills the rest."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.datasets.nifti import check_complete, read_image
from gsl_experiments.datasets.raw import DatasetError


@pytest.fixture(params=[".nii", ".nii.gz"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"image{request.param}"
    noise = np.random.default_rng(0).integers(0, 1000, (20, 21, 22)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path))
    return path


def test_a_whole_file_passes(file: Path) -> None:
    check_complete(file)
    assert read_image(file).GetSize() == (22, 21, 20)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_named(file: Path, kept: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DatasetError, match=rf"{file}: .*cut off"):
        read_image(file)


def test_a_damaged_byte_in_compressed_data_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "image.nii.gz"
    noise = np.random.default_rng(0).integers(0, 1000, (20, 21, 22)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match="damaged or cut off"):
        read_image(path)


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd"])
def test_other_formats_are_not_called_nifti(tmp_path: Path, ending: str) -> None:
    """And ITK's reason is not passed on: a .mha that is cut off would be "No such file or directory"."""
    path = tmp_path / f"image{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((20, 21, 22), np.int16)), str(path))
    voxels = path.with_suffix(".raw") if ending == ".mhd" else path
    voxels.write_bytes(voxels.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=rf"{path}: damaged, cut off or without its voxels; download"):
        read_image(path)
