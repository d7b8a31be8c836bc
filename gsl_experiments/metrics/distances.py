"""Distances between two masks, computed once and shared by every metric that reduces them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gsl_experiments.metrics.masks import Mask
from gsl_experiments.metrics.nearest import DECIMALS, Distances, Voxels
from gsl_experiments.metrics.surfaces import Surface, indices

_BLOCK = 4  # voxels along each side of the blocks by which voxels are passed over, and
_CENTRE = 2  # the voxel that stands for a block, along each side
_FEW = 50_000  # voxels that are measured one by one


@dataclass(frozen=True)
class DirectedDistances:
    """Distances in mm between the surfaces of two masks that have one, each direction apart.

    Attributes:
        prediction_boundary: from the prediction's contour voxels to the reference's boundary.
        reference_boundary: from the reference's contour voxels to the prediction's boundary.
        prediction_contour: from the prediction's contour voxels to the reference's contour.
        reference_contour: from the reference's contour voxels to the prediction's contour.
    """

    prediction_boundary: Float[np.ndarray, " prediction"]
    reference_boundary: Float[np.ndarray, " reference"]
    prediction_contour: Float[np.ndarray, " prediction"]
    reference_contour: Float[np.ndarray, " reference"]


def directed_distances(prediction: Surface, reference: Surface) -> DirectedDistances:
    """Measure two surfaces against each other."""
    prediction_boundary, prediction_contour = _from_contour(prediction, reference)
    reference_boundary, reference_contour = _from_contour(reference, prediction)
    return DirectedDistances(prediction_boundary, reference_boundary, prediction_contour, reference_contour)


def _from_contour(one: Surface, other: Surface) -> tuple[Distances, Distances]:
    """Distances from the contour of a surface to the boundary and to the contour of another.

    From outside the other mask both are the distance to the mask.
    """
    to_contour = other.distances_to_contour(one.contour)
    to_boundary = to_contour.copy()
    inside = other.mask[tuple(one.contour.T)]
    to_boundary[inside] = other.distances_to_boundary(one.contour[inside])
    return to_boundary, to_contour


def volume_percentile(mask: Mask, other: Surface, *, percent: float) -> float:
    """Percentile of the distances in mm from all voxels of a mask to another mask, 0 where they overlap.

    The nearest voxel of the other mask is one of its contour. Only what decides the percentile is measured:
    nothing if the overlap alone fills the percentage; and of many voxels, those whose block of voxels can be on
    either side of the percentile. A distance changes by no more than the way between two places, so the centre
    of a block bounds the distances of its voxels.

    Args:
        mask: non-empty mask from whose voxels is measured.
        other: surface of a non-empty mask of the same shape; empty if that fills the image.
        percent: in [0, 100], interpolated linearly between order statistics.
    """
    outside = mask & ~other.mask
    number = int(np.count_nonzero(mask))
    overlap = number - int(np.count_nonzero(outside))
    rank = percent / 100 * (number - 1)
    lower, upper = int(rank), min(int(rank) + 1, number - 1)
    if upper < overlap:
        return 0.0
    voxels = indices(outside)
    low, high = _order_statistics(voxels, other, max(lower - overlap, 0), upper - overlap)
    if lower < overlap:
        low = 0.0
    return float(low + (rank - lower) * (high - low))


def _order_statistics(voxels: Voxels, surface: Surface, first: int, last: int) -> tuple[float, float]:
    """The distances of two ranks, counted from 0, out of those from all voxels to a surface."""
    if len(voxels) > _FEW:
        centres = _distances_of_blocks(voxels, surface)
        reach = (_BLOCK - _CENTRE) * np.linalg.norm(surface.spacing_mm) * (1 + 1e-9) + 10.0**-DECIMALS
        at_least = np.partition(centres, first)[first] - 2 * reach
        at_most = np.partition(centres, last)[last] + 2 * reach
        below = int(np.count_nonzero(centres < at_least))
        voxels = voxels[(centres >= at_least) & (centres <= at_most)]
        first, last = first - below, last - below
    distances = np.partition(surface.distances_to_contour(voxels), [first, last])
    return float(distances[first]), float(distances[last])


def _distances_of_blocks(voxels: Voxels, surface: Surface) -> Distances:
    """For each voxel the distance in mm from the middle of its block to a surface, every block measured once."""
    shape = tuple(voxels.max(axis=0) // _BLOCK + 1)
    members = np.ravel_multi_index(tuple(voxels.T // _BLOCK), shape)
    occupied = np.zeros(shape, dtype=np.bool_)
    occupied.ravel()[members] = True
    centres = np.minimum(indices(occupied) * _BLOCK + _CENTRE, np.array(surface.mask.shape) - 1)
    distances = np.empty(occupied.size)
    distances[occupied.ravel()] = surface.distances_to_contour(centres)
    return distances[members]
