"""The surface of a mask, and the exact distances from any voxels to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Integer

from gsl_experiments.metrics.masks import Mask
from gsl_experiments.metrics.nearest import Distances, NearestVoxels, Voxels

_SLAB_VOXELS = 1 << 20  # neighbours are compared in slabs that fit into the processor's cache


@dataclass(frozen=True, eq=False)
class Surface:
    """Voxels of a mask that have a neighbour outside it, in two notions of a neighbour.

    A *boundary* voxel has one of all its 26 (2D: 8) neighbours outside the mask: where ITK's
    `SignedMaurerDistanceMap` is zero. A *contour* voxel has one of its 6 (2D: 4) face neighbours outside: ITK's
    `LabelContour`. Every contour voxel is a boundary voxel. The edge of the image is never outside, so a mask
    that fills the image has no surface.

    Attributes:
        mask: the mask.
        boundary: indices of the boundary voxels, in the order of the array.
        on_contour: which of them are contour voxels.
        spacing_mm: voxel spacing in mm, in array axis order.
    """

    mask: Mask
    boundary: Integer[np.ndarray, "boundary axes"]
    on_contour: Bool[np.ndarray, " boundary"]
    spacing_mm: Sequence[float]

    @classmethod
    def of(cls, mask: Mask, *, spacing_mm: Sequence[float]) -> Surface:
        """Find the surface of a 2D or 3D mask."""
        thickness = max(1, _SLAB_VOXELS // max(1, mask[0].size))
        boundary, on_contour = [np.empty((0, mask.ndim), np.int64)], [np.empty(0, np.bool_)]
        for start in range(0, len(mask), thickness):
            below = max(0, start - 1)  # one more slice on either side, for its neighbours
            slab = mask[below : start + thickness + 1]
            if not slab.any():
                continue
            borders, contour = (part[start - below :][:thickness] for part in _boundary_and_contour(slab))
            boundary.append(indices(borders))
            boundary[-1][:, 0] += start
            on_contour.append(contour[borders])
        return cls(mask, np.concatenate(boundary), np.concatenate(on_contour), spacing_mm)

    @cached_property
    def contour(self) -> Integer[np.ndarray, "contour axes"]:
        """Indices of the contour voxels, in the order of the array."""
        return self.boundary[self.on_contour]

    def distances_to_contour(self, voxels: Voxels) -> Distances:
        """Distances in mm from voxels, in the order of the array, to the nearest contour voxel.

        From a voxel outside the mask that is the distance to the mask: the nearest voxel of the mask has a face
        neighbour that is nearer still, and so outside.
        """
        return self._nearest_contour.distances(voxels)

    def distances_to_boundary(self, voxels: Voxels) -> Distances:
        """Distances in mm from voxels, in the order of the array, to the nearest boundary voxel."""
        return self._nearest_boundary.distances(voxels)

    @cached_property
    def _nearest_contour(self) -> NearestVoxels:
        return NearestVoxels(self.contour, self.mask.shape, self.spacing_mm)

    @cached_property
    def _nearest_boundary(self) -> NearestVoxels:
        return NearestVoxels(self.boundary, self.mask.shape, self.spacing_mm)


def indices(mask: Mask) -> Voxels:
    """Indices of the voxels of a mask, in the order of the array; several times faster than `np.argwhere`."""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), axis=1)


def _boundary_and_contour(mask: Mask) -> tuple[Mask, Mask]:
    """Voxels of a mask with any neighbour outside it, and with a face neighbour outside it."""
    by_axis = [_eroded(mask, axis) for axis in range(mask.ndim)]
    by_all = by_axis[0]
    for axis in range(1, mask.ndim):
        by_all = _eroded(by_all, axis)
    by_faces = np.logical_and.reduce(by_axis)
    return mask & ~by_all, mask & ~by_faces


def _eroded(mask: Mask, axis: int) -> Mask:
    """Voxels whose two neighbours along an axis are in the mask too, where the image has them."""
    eroded = mask.copy()
    ours, theirs = np.swapaxes(eroded, 0, axis), np.swapaxes(mask, 0, axis)
    ours[:-1] &= theirs[1:]
    ours[1:] &= theirs[:-1]
    return eroded
