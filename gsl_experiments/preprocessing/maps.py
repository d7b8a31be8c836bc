"""Distance maps on disk: one compressed array a case, in a folder beside nnU-Net's preprocessed cases.

They may not lie in nnU-Net's own folder, which takes every ``*.b2nd`` there for a case. A map is stored as whole
numbers of steps of at most 1/16 mm, of which only the differences between neighbours are compressed:
docs/preprocessing.md, "Distance maps on disk", compares this with other encodings.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params
from numpy.typing import NDArray

from gsl_experiments.errors import UserError

SUFFIX = "_dtm"
ENCODING = "steps-zstd-1"  # changes whenever files of an older version cannot be read any more
LARGEST_STEP_MM = 1 / 16
_STEP = "step_mm"


def maps_folder(cases_folder: Path) -> Path:
    """Return the folder of the maps that belong to the preprocessed cases in ``cases_folder``."""
    return cases_folder.with_name(cases_folder.name + SUFFIX)


class StoredMaps:
    """The maps of a case on disk; a slice of it is an array in mm, float32.

    Args:
        steps: (C, z, y, x) distances in steps.
        step_mm: length of a step, a power of two.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, steps: blosc2.NDArray, step_mm: float) -> None:
        self._steps = steps
        self.step_mm = step_mm

    @property
    def shape(self) -> tuple[int, ...]:
        """Classes and voxels."""
        return tuple(self._steps.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, where: Any) -> NDArray[np.float32]:
        """Read and decode a part, by integers and slices; only the blocks that it touches are decompressed."""
        return np.multiply(self._steps[where], np.float32(self.step_mm), dtype=np.float32)

    def steps(self, where: Any) -> NDArray[np.int16] | NDArray[np.int32]:
        """Read a part as it is stored, in whole steps of ``step_mm``."""
        return self._steps[where]


def write_maps(
    maps: Iterable[NDArray[np.float32]],
    path: Path,
    *,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    patch_size: Sequence[int],
    metadata: dict[str, Any] | None = None,
) -> None:
    """Store the maps of a case, in chunks that suit reading patches; holds one map at a time.

    A distance is off by at most 1/32 mm, which is 0.1 % from 32 mm on. A map's zeros and its signs stay as they are:
    no distance between two voxels is shorter than a step.

    Args:
        maps: (z, y, x) signed distances in mm, one map a class.
        path: the file to write.
        shape: (C, z, y, x), classes and voxels.
        spacing_mm: distance in mm between neighbouring voxels, in array order.
        patch_size: voxels of a training patch, two or three axes.
        metadata: small values stored with the array.
    """
    step_mm = 2.0 ** math.floor(math.log2(min(LARGEST_STEP_MM, *spacing_mm)))
    array = _create(path, tuple(shape), spacing_mm, step_mm, patch_size)
    one_by_one = iter(maps)
    for label in range(shape[0]):
        _write_map(next(one_by_one), array, label, step_mm)
    schunk = array.schunk  # must outlive its metadata object
    for key, value in ({_STEP: step_mm} | (metadata or {})).items():
        schunk.vlmeta[key] = value


def _create(
    path: Path,
    shape: tuple[int, ...],
    spacing_mm: Sequence[float],
    step_mm: float,
    patch_size: Sequence[int],
) -> blosc2.NDArray:
    diagonal_mm = math.hypot(*(n * spacing for n, spacing in zip(shape[1:], spacing_mm, strict=True)))
    dtype = np.dtype(np.int16 if diagonal_mm / step_mm < np.iinfo(np.int16).max else np.int32)
    blocks, chunks = comp_blosc2_params(shape, tuple(patch_size), dtype.itemsize)
    return blosc2.empty(
        shape,
        dtype=dtype,
        urlpath=str(path),
        mode="w",
        chunks=chunks,
        blocks=blocks,
        cparams={
            "codec": blosc2.Codec.ZSTD,
            "clevel": 4,
            "filters": [blosc2.Filter.SHUFFLE, blosc2.Filter.BYTEDELTA],
            "filters_meta": [0, dtype.itemsize],
            "nthreads": 1,
        },
    )


def _write_map(dtm: NDArray[np.float32], array: blosc2.NDArray, label: int, step_mm: float) -> None:
    slices = array.chunks[1]
    for z in range(0, len(dtm), slices):
        steps = np.rint(dtm[z : z + slices] / np.float32(step_mm))
        array[label, z : z + slices] = steps.astype(array.dtype)


def open_maps(path: Path) -> StoredMaps:
    """Open the maps of a case for reading patches: (C, z, y, x), float32, mm.

    Raises:
        UserError: another version of this package has written the file.
    """
    steps = _open(path)
    schunk = steps.schunk  # must outlive its metadata object
    if _STEP not in schunk.vlmeta:
        raise UserError(f"{path}: written by another version of gsl_experiments; run `make preprocess` again")
    return StoredMaps(steps, schunk.vlmeta[_STEP])


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what :func:`write_maps` stored with the maps; reads none of them."""
    steps = _open(path)  # must outlive its schunk, and that its metadata object
    schunk = steps.schunk
    return dict(schunk.vlmeta.getall())


def _open(path: Path) -> blosc2.NDArray:
    mapping = {} if os.name == "nt" else {"mmap_mode": "r"}
    return blosc2.open(urlpath=str(path), mode="r", dparams={"nthreads": 1}, **mapping)
