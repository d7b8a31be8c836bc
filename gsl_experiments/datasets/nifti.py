"""Reading and writing NIfTI files: geometry from the header alone, and never a half-written file."""

import errno
import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.atomic import replacing
from gsl_experiments.datasets.raw import DatasetError

NIFTI_ENDINGS = (".nii.gz", ".nii")
# Files written by different programs disagree in the last digits of their headers: below this, in mm and in
# direction cosines, two grids are the same.
HEADER_NOISE = 1e-3


def nifti_stem(path: Path) -> str | None:
    """The name of a NIfTI file without its ending; None if it is hidden (``._*``) or of another format."""
    if path.name.startswith("."):
        return None
    return next((path.name.removesuffix(end) for end in NIFTI_ENDINGS if path.name.endswith(end)), None)


def find_nifti(folder: Path, stem: str) -> Path | None:
    """The file ``stem.nii.gz`` or ``stem.nii`` of a folder, in this order; None if there is neither."""
    candidates = (folder / f"{stem}{ending}" for ending in NIFTI_ENDINGS)
    return next((path for path in candidates if path.is_file()), None)


@dataclass(frozen=True)
class Geometry:
    """The spatial part of an image's grid, axes in SimpleITK's order (x, y, z), lengths in mm."""

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]
    channels: int = 1

    def difference(self, other: "Geometry", tolerance: float) -> str | None:
        """What differs from another grid by more than ``tolerance`` (mm or cosine); None if nothing."""
        if self.size != other.size:
            return f"shape {self.size} against {other.size}"
        for name in ("spacing_mm", "origin_mm", "direction"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if not np.allclose(mine, theirs, rtol=0, atol=tolerance):
                return f"{name} {np.round(mine, 4).tolist()} against {np.round(theirs, 4).tolist()}"
        return None

    def apply_to(self, image: sitk.Image) -> sitk.Image:
        """Gives a 3D image of the same size this spacing, origin and direction, in place; returns it."""
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction)
        return image


def read_geometry(path: Path) -> Geometry:
    """Reads the header of a 3D image, or of a 4D image whose last axis is the channel.

    Raises:
        DatasetError: if the file is missing, is not a readable NIfTI file, or is neither 3D nor 4D.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    size, dimension = reader.GetSize(), reader.GetDimension()
    if dimension not in (3, 4):
        raise DatasetError(
            f"{path}: {dimension}D image where a 3D image is needed; convert or remove this case"
        )
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    return Geometry(
        size=size[:3],
        spacing_mm=reader.GetSpacing()[:3],
        origin_mm=reader.GetOrigin()[:3],
        direction=tuple(float(cosine) for cosine in direction.flat),
        channels=size[3] if dimension == 4 else 1,
    )


def check_complete(path: Path) -> None:
    """Reads a NIfTI file to its end: ITK fills what a truncated file lacks, and says nothing.

    Raises:
        DatasetError: if the file ends before its voxels do, or its compressed data is damaged.
    """
    try:
        image: Any = nibabel.load(path)
        voxels = image.dataobj
        needed = voxels.offset + math.prod(voxels.shape) * voxels.dtype.itemsize
        if path.name.endswith(".gz"):
            with gzip.open(path) as file:
                found = sum(len(block) for block in iter(lambda: file.read(1 << 20), b""))
        else:
            found = path.stat().st_size
    except (OSError, EOFError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        raise DatasetError(f"{path}: damaged or cut off ({error}); download or convert it again") from error
    if found < needed:
        raise DatasetError(
            f"{path}: cut off, {found} bytes where {needed} are needed; download or convert it again"
        )


def read_image(path: Path) -> sitk.Image:
    """Reads an image with SimpleITK.

    Raises:
        DatasetError: if the file is missing, cut off or not readable.
    """
    if nifti_stem(path) is not None and path.is_file():
        check_complete(path)
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: RuntimeError) -> DatasetError:
    if not path.is_file():
        return DatasetError(f"{path}: no such file; restore it or remove this case")
    if nifti_stem(path) is None:  # ITK gives reasons that are not true, such as "No such file or directory"
        return DatasetError(f"{path}: damaged, cut off or without its voxels; download or convert it again")
    reason = str(error).strip().splitlines()[-1].removeprefix("ITK ERROR: ").removeprefix("sitk::ERROR: ")
    return DatasetError(f"{path}: not readable as NIfTI ({reason}); download or convert it again")


def write_image(image: sitk.Image, path: Path) -> None:
    """Writes an image in the format of the path's ending, compressed for ``.gz``; whole or not at all.

    Raises:
        OSError: the disk is full.
    """
    with replacing(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=path.name.endswith(".gz"))
        try:
            check_complete(partial)  # ITK does not say so when the disk is full
        except DatasetError as error:
            raise OSError(errno.ENOSPC, "cannot be written whole, is the disk full?", str(path)) from error
