"""What is to know about the voxels of one channel, gathered block by block."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

# Labels stored as floats, or with a scale factor, may be off by rounding.
INTEGER_NOISE = 1e-3
# More values than nnU-Net's 8-bit labels can have: beyond them a file is no label file anyhow.
MOST_LABEL_VALUES = 300

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Voxels:
    """Facts about the voxels of one channel.

    Args:
        digest: hash of all values as 32-bit floats: equal for equal voxels in whatever data type or compression.
        minimum: of the finite values; NaN if there is none.
        maximum: of the finite values; NaN if there is none.
        nans: number of voxels that are NaN.
        infinities: number of infinite voxels.
        whole: whether all finite values are whole numbers.
        counts: of a label, the number of voxels of each whole value, of at most 300 values.
        fractional: of a label, the number of voxels further than 0.001 from a whole number.
        example: of a label, one of these values.
        rounding: of a label, the largest distance from a whole number below that.
    """

    digest: str
    minimum: float
    maximum: float
    nans: int = 0
    infinities: int = 0
    whole: bool = True
    counts: dict[int, int] = field(default_factory=dict)
    fractional: int = 0
    example: float = math.nan
    rounding: float = 0.0


class VoxelReader:
    """Takes the voxels of a channel in blocks and keeps only their facts.

    Args:
        is_label: count the values too.
    """

    def __init__(self, *, is_label: bool) -> None:
        self._is_label = is_label
        self._hash = hashlib.blake2b(digest_size=16)
        self._minimum, self._maximum = math.inf, -math.inf
        self._nans = self._infinities = self._fractional = 0
        self._whole = True
        self._counts: Counter[int] = Counter()
        self._example, self._rounding = math.nan, 0.0

    def add(self, block: Values) -> None:
        """Take the next voxels, 1D and in the order of the file."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._hash.update(np.ascontiguousarray(block, "<f4").data)
        if block.dtype.kind == "f":
            block = self._without_non_finite(block)
        if block.size == 0:
            return
        self._minimum = min(self._minimum, float(block.min()))
        self._maximum = max(self._maximum, float(block.max()))
        if self._is_label:
            self._count(block)
        elif self._whole and block.dtype.kind == "f":
            self._whole = bool((block == np.rint(block)).all())

    def facts(self) -> Voxels:
        """What all blocks together say."""
        return Voxels(
            digest=self._hash.hexdigest(),
            minimum=self._minimum if self._minimum <= self._maximum else math.nan,
            maximum=self._maximum if self._minimum <= self._maximum else math.nan,
            nans=self._nans,
            infinities=self._infinities,
            whole=self._whole,
            counts=dict(sorted(self._counts.items())),
            fractional=self._fractional,
            example=self._example,
            rounding=self._rounding,
        )

    def _without_non_finite(self, block: Values) -> Values:
        finite = np.isfinite(block)
        if finite.all():
            return block
        nans = int(np.isnan(block).sum())
        self._nans += nans
        self._infinities += block.size - int(finite.sum()) - nans
        return np.asarray(block[finite])

    def _count(self, block: Values) -> None:
        if block.dtype.kind == "f":
            block = self._whole_values(block)
        if block.size == 0:
            return
        low, high = int(block.min()), int(block.max())
        if low >= 0 and high < block.size:
            counts = np.bincount(block.astype(np.intp))
            found = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        else:
            values, numbers = np.unique(block, return_counts=True)
            found = {int(value): int(number) for value, number in zip(values, numbers, strict=True)}
        for value, number in found.items():
            if value in self._counts or len(self._counts) < MOST_LABEL_VALUES:
                self._counts[value] += number

    def _whole_values(self, block: Values) -> Values:
        rounded = np.rint(block)
        offset = np.abs(block - rounded)
        if not offset.any():
            return rounded
        self._whole = False
        fractional = offset > INTEGER_NOISE
        if fractional.any():
            self._fractional += int(fractional.sum())
            if math.isnan(self._example):
                self._example = float(block[fractional][0])
            rounded, offset = rounded[~fractional], offset[~fractional]
        self._rounding = max(self._rounding, float(offset.max(initial=0)))
        return np.asarray(rounded)
