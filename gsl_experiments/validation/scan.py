"""Reads one image file once, from beginning to end in blocks, and reports the facts about it."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from gsl_experiments.datasets.nifti import Geometry, nifti_stem, read_geometry
from gsl_experiments.datasets.raw import DatasetError
from gsl_experiments.validation.voxels import VoxelReader, Voxels

_BLOCK_VOXELS = 1 << 20
_NO_IMAGE = {
    b"version https://git-lfs": ("a Git LFS pointer, not the image itself", "fetch it with git lfs pull"),
    b"/annex/objects": ("a git-annex pointer, not the image itself", "fetch it with git annex get"),
    b"<": ("a web page, not an image", "download it again, logged in"),
    b"\x00\x05\x16\x07": ("a resource fork of macOS, not an image", "copy the image itself"),
    b"PK\x03\x04": ("a zip archive, not an image", "unpack it"),
}
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Failure:
    """Why a file cannot be read: a kind of finding, what is wrong and, where it is special, what to do."""

    kind: str
    problem: str
    remedy: str | None = None


@dataclass(frozen=True)
class FileFacts:
    """What one reading of a file says.

    Args:
        geometry: its grid, as ITK reads it, with the number of channels.
        header_spacing_mm: voxel size as the header has it: ITK replaces what is not valid.
        contradiction_mm: largest distance of a corner voxel's places by the header's two geometries, if it has
            two.
        channels: facts about the voxels of each channel.
        failure: why there is nothing of all this.
    """

    geometry: Geometry | None = None
    header_spacing_mm: tuple[float, ...] = ()
    contradiction_mm: float = 0.0
    channels: tuple[Voxels, ...] = ()
    failure: Failure | None = None


def scan_file(path: Path, *, is_label: bool) -> FileFacts:
    """Reads a file to its end and never raises for what it finds there.

    NIfTI files are read in blocks of a million voxels, decompressed once, as they are stored: ITK would turn the
    NaN of an integer label into a number and fill up a truncated file. Other formats are read whole, by SimpleITK.
    """
    if not path.is_file():
        return FileFacts(failure=Failure("missing file", "no such file"))
    try:
        return _scan_other(path, is_label) if nifti_stem(path) is None else _scan_nifti(path, is_label)
    except _Unusable as error:
        return FileFacts(failure=error.failure)


class _Unusable(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, kind: str, problem: str, remedy: str | None = None) -> None:
        super().__init__(problem)
        self.failure = Failure(kind, problem, remedy)


def _scan_nifti(path: Path, is_label: bool) -> FileFacts:
    _refuse_other_content(path)
    try:
        with LoggingOutputSuppressor(), _opened(path) as file:  # nibabel would say what it mends
            image: Any = nibabel.load(path)
            header = type(image.header).from_fileobj(file, check=False)
        proxy = image.dataobj
        shape = tuple(int(size) for size in proxy.shape)
    except (OSError, ValueError, ImageFileError, HeaderDataError) as error:
        raise _Unusable("unreadable file", f"not readable as NIfTI ({_one_line(error)})") from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4):
        raise _Unusable("wrong dimensions", f"{len(shape)}D, {_times(shape)} voxels, where a 3D image is due")
    if proxy.dtype.kind not in "iuf" or math.prod(shape) == 0:
        content = f"voxels of type {proxy.dtype}" if math.prod(shape) else f"{_times(shape)} voxels"
        raise _Unusable("unreadable file", f"{content} where numbers are due")
    with _opened(path) as file:
        _read(file, proxy.offset)
        count = math.prod(shape[:3])
        channels = tuple(_scan_channel(file, proxy, count, is_label) for _ in range(math.prod(shape[3:])))
        while path.name.endswith(".gz") and file.read(_BLOCK_VOXELS):
            pass  # the checksum comes last
    spacing = tuple(float(size) for size in header["pixdim"][1:4])
    # Last, because ITK has no good word for a damaged file.
    return FileFacts(_itk_geometry(path), spacing, _contradiction_mm(image.header, shape), channels)


def _scan_channel(file: IO[bytes], proxy: Any, count: int, is_label: bool) -> Voxels:
    reader = VoxelReader(is_label=is_label)
    for start in range(0, count, _BLOCK_VOXELS):
        size = min(count - start, _BLOCK_VOXELS) * proxy.dtype.itemsize
        block = np.frombuffer(_read(file, size), proxy.dtype)
        reader.add(np.asarray(apply_read_scaling(block, proxy.slope, proxy.inter)))
    return reader.facts()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _Unusable("truncated file", f"damaged or cut off ({_one_line(error)})") from error
    except OSError as error:
        raise _Unusable("unreadable file", f"cannot be read ({error.strerror or error})") from error


def _read(file: IO[bytes], size: int) -> bytes:
    block = file.read(size)
    if len(block) < size:
        raise EOFError(f"the file ends {size - len(block)} bytes or more before its voxels do")
    return block


def _itk_geometry(path: Path) -> Geometry:
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK would print over the progress bar
    try:
        return read_geometry(path)
    except DatasetError as error:
        problem, _, remedy = str(error).removeprefix(f"{path}: ").rpartition("; ")
        if "orthonormal" in problem:
            problem = (
                "its axes are not at right angles to each other or have no length, which ITK cannot read"
            )
            remedy = "resample it onto a rectangular grid, or correct its sform"
        raise _Unusable("unreadable file", problem, remedy) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _refuse_other_content(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise _Unusable(
            "unreadable file", f"cannot be opened ({error.strerror})", "permit reading it"
        ) from error
    if not start:
        raise _Unusable("truncated file", "empty, 0 bytes")
    for beginning, (problem, remedy) in _NO_IMAGE.items():
        if start.startswith(beginning):
            raise _Unusable("unreadable file", problem, remedy)
    compressed, named_so = start.startswith(_GZIP), path.name.endswith(".gz")
    if compressed and not named_so:
        raise _Unusable("unreadable file", "compressed, though its name ends in .nii", "rename it to .nii.gz")
    if named_so and not compressed:
        raise _Unusable("unreadable file", "not compressed, though its name ends in .gz", "rename it to .nii")


def _contradiction_mm(header: Any, shape: tuple[int, ...]) -> float:
    try:
        sform, sform_code = header.get_sform(coded=True)
        qform, qform_code = header.get_qform(coded=True)
    except (ValueError, HeaderDataError):
        return 0.0
    if not (sform_code and qform_code) or sform is None or qform is None:
        return 0.0
    corners = np.array([(*index, 1) for index in np.ndindex(2, 2, 2)]) * [*(np.array(shape[:3]) - 1), 1]
    return float(np.linalg.norm(corners @ (sform - qform)[:3].T, axis=1).max())


def _scan_other(path: Path, is_label: bool) -> FileFacts:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise _Unusable("unreadable file", f"not readable ({_one_line(error)})") from error
    reader = VoxelReader(is_label=is_label)
    reader.add(sitk.GetArrayViewFromImage(image).ravel())
    geometry = Geometry(
        size=image.GetSize(),
        spacing_mm=image.GetSpacing(),
        origin_mm=image.GetOrigin(),
        direction=image.GetDirection(),
    )
    return FileFacts(geometry, image.GetSpacing(), channels=(reader.facts(),))


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].removeprefix("ITK ERROR: ") if lines else type(error).__name__


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
