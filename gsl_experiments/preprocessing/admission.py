"""Whether every case fits into memory, told by the headers of its files before anything is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.datasets import RawCase, RawDataset
from gsl_experiments.datasets.nifti import read_geometry
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.memory import GB, case_bytes, case_size, fingerprint_bytes
from gsl_experiments.preprocessing.planning import paper_spacing
from gsl_experiments.preprocessing.workers import WORKER_BYTES

_HEADER_BYTES = 352  # of a NIfTI file, before the voxels


def conversions_at_once(dataset: RawDataset, limit: int, *, processes: int, target_spacing: str) -> int:
    """Return how many cases may be converted side by side.

    Args:
        dataset: checked cases, in the user's own files.
        limit: bytes that preprocessing may take.
        processes: the most cases at a time.
        target_spacing: the plans' rule. With ``paper`` the memory of resampling is known from the headers too.

    Raises:
        UserError: a case does not fit by itself.
    """
    target_mm = _paper_target_mm(dataset) if target_spacing == "paper" else None
    converting = 0
    for case in dataset.cases:
        conversion = conversion_bytes(case)
        _admit(case, max(conversion, _preprocessing_bytes(case, target_mm)), limit)
        converting = max(converting, conversion)
    return max(1, min(processes, limit // (converting + WORKER_BYTES)))


def conversion_bytes(case: RawCase) -> int:
    """Return an upper estimate of the bytes that converting a case to nnU-Net's raw layout takes.

    Its files are read one after the other. Mapping a label was measured to take 5, 14 and 26 bytes a voxel of 2, 4 and
    8 bytes. Images that are linked take none, which is not looked at.
    """
    return max(_file_bytes(file) for file in (*case.images, case.label))


def _file_bytes(file: Path) -> int:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    bits = re.search(r"(\d+)-bit", sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    bytes_per_value = int(bits.group(1)) // 8 if bits else 8
    values = int(np.prod(reader.GetSize())) * reader.GetNumberOfComponents()
    return _HEADER_BYTES + values * (3 * bytes_per_value + 2)


def _preprocessing_bytes(case: RawCase, target_mm: Sequence[float] | None) -> int:
    size = case_size([str(image) for image in case.images], target_spacing_mm=target_mm or ())
    if size is None:
        return 0
    fingerprint = fingerprint_bytes(size)
    return fingerprint if target_mm is None else max(fingerprint, case_bytes(size))


def _paper_target_mm(dataset: RawDataset) -> list[float]:
    spacings = [read_geometry(case.images[0]).spacing_mm[::-1] for case in dataset.cases]
    return [float(length) for length in paper_spacing(np.array(spacings))]


def _admit(case: RawCase, needed: int, limit: int) -> None:
    if needed + WORKER_BYTES > limit:
        raise UserError(
            f"{case.images[0]}: case {case.identifier} needs about {(needed + WORKER_BYTES) / GB:.1f} GB of memory and "
            f"{limit / GB:.1f} GB may be used; free some, set memory_gb=N, or leave the case out"
        )
