"""Where a prediction is wrong, and by how many millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsl_experiments.distance import signed_distance_map

Mask = NDArray[np.bool_]
Box = tuple[slice, ...]


class ErrorPoint(NamedTuple):
    """A voxel of a slice and its distance from where it should be."""

    row: int
    column: int
    distance_mm: float


def error_distances(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """Distance in mm of every wrong voxel to the mask that lacks it, 0 for every right voxel.

        d(x) = min_{y in T} ||x - y|| for x in P \\ T,    d(y) = min_{x in P} ||x - y|| for y in T \\ P

    Its maximum is the Hausdorff distance of the two sets of voxels, eqs. (1) and (2).

    Args:
        prediction: boolean mask P, 2D or 3D.
        reference: boolean mask T of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.

    Returns:
        The distances, of the masks' shape; infinite in the other mask where one of them is empty.
    """
    distances = np.zeros(prediction.shape, dtype=np.float32)
    if not (prediction.any() and reference.any()):
        distances[prediction ^ reference] = np.inf
        return distances
    box = bounding_box(prediction | reference)
    for mask, other in ((prediction[box], reference[box]), (reference[box], prediction[box])):
        wrong = mask & ~other
        if wrong.any():
            distances[box][wrong] = signed_distance_map(other, spacing_mm)[wrong]
    return distances


def worst_error(distances_mm: NDArray[np.float32]) -> ErrorPoint | None:
    """The voxel of a slice with the largest distance; None if none is wrong, or one of the masks is empty."""
    row, column = np.unravel_index(int(distances_mm.argmax()), distances_mm.shape)
    distance_mm = float(distances_mm[row, column])
    return ErrorPoint(int(row), int(column), distance_mm) if 0 < distance_mm < np.inf else None


def largest_slice(reference: Mask) -> int:
    """The slice across the first axis that holds most of the reference; the middle one if it is empty."""
    areas = np.count_nonzero(reference, axis=(1, 2))
    return int(areas.argmax()) if areas.any() else len(areas) // 2


def worst_slice(distances_mm: NDArray[np.float32], reference: Mask) -> int:
    """The slice across the first axis that holds the worst error; without one, the largest of the reference."""
    if 0 < float(distances_mm.max()) < np.inf:
        return int(distances_mm.max(axis=(1, 2)).argmax())
    return largest_slice(reference)


def bounding_box(mask: Mask) -> Box:
    """The smallest box that holds a mask which is not empty."""
    box = []
    for axis in range(mask.ndim):
        occupied = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return tuple(box)


def square_around(
    mask: Mask, spacing_mm: Sequence[float], *, margin: float, least_mm: float
) -> tuple[float, float, float, float]:
    """A square in mm around a 2D mask: left, right, top and bottom.

    Args:
        mask: what has to lie inside; the whole slice if it is empty.
        spacing_mm: of rows and columns.
        margin: on each side, as a share of the mask's larger extent.
        least_mm: the square's smallest side.
    """
    rows, columns = bounding_box(mask if mask.any() else np.ones_like(mask))
    edges = [
        ((part.start - 0.5) * spacing, (part.stop - 0.5) * spacing)
        for part, spacing in zip((rows, columns), spacing_mm, strict=True)
    ]
    side = max(least_mm, (1 + 2 * margin) * max(high - low for low, high in edges))
    (top, bottom), (left, right) = (((low + high - side) / 2, (low + high + side) / 2) for low, high in edges)
    return left, right, top, bottom
