"""The Euclidean distance transform in double precision, kept only where it is asked for.

Along the first axis the distance to the set is a whole number of voxels, found for the whole image. The other two axes
follow plane by plane, by the lower envelope of parabolas, and of each plane only the wanted voxels are kept. So the
image takes 2 bytes a voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray

from gsl_experiments.compiling import compiled

NONE = 65535  # steps along a line that holds no voxel of the set


def transform_distances(
    voxels: Integer[np.ndarray, "n axes"],
    queries: Integer[np.ndarray, "m axes"],
    *,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
) -> Float[np.ndarray, " m"]:
    """Distances in mm from voxels to the nearest of a set.

    Args:
        voxels: indices of the set in a 2D or 3D image, not empty.
        queries: indices of the voxels to measure from, sorted by their first axis.
        shape: of the image, fewer than 65535 voxels along its first axis.
        spacing_mm: voxel spacing in mm, in array axis order.
    """
    in_3d = 3 - len(shape)
    if in_3d:
        voxels, queries = (np.pad(indices, ((0, 0), (in_3d, 0))) for indices in (voxels, queries))
    depth, rows, columns = (1,) * in_3d + tuple(shape)
    z_mm, y_mm, x_mm = (1.0,) * in_3d + tuple(map(float, spacing_mm))
    steps = np.full((depth, rows, columns), NONE, dtype=np.uint16)
    steps[tuple(voxels.T)] = 0
    for planes in (steps, steps[::-1]):
        for before, after in pairwise(planes):
            np.minimum(after, before + (before < NONE), out=after)
    distances = np.empty(len(queries))
    squared = np.empty((rows, columns))
    edges = np.searchsorted(queries[:, 0], np.arange(depth + 1))
    for z, first, last in zip(range(depth), edges[:-1], edges[1:], strict=True):
        if first < last:
            plane(steps[z], z_mm, y_mm, x_mm, squared)
            distances[first:last] = np.sqrt(squared[queries[first:last, 1], queries[first:last, 2]])
    return distances


def _plane(
    steps: NDArray[np.uint16], z_mm: float, y_mm: float, x_mm: float, squared: NDArray[np.float64]
) -> None:
    """Write the squared distances of one plane, from the steps to the set along the first axis."""
    rows, columns = steps.shape
    longest = max(rows, columns)
    before, after = np.empty(longest), np.empty(longest)
    places, starts = np.empty(longest, np.int64), np.empty(longest + 1)
    for x in range(columns):
        for y in range(rows):
            before[y] = np.inf if steps[y, x] == NONE else (z_mm * steps[y, x]) ** 2
        lower_envelope(before[:rows], y_mm * y_mm, after, places, starts)
        squared[:, x] = after[:rows]
    for y in range(rows):
        before[:columns] = squared[y]
        lower_envelope(before[:columns], x_mm * x_mm, squared[y], places, starts)


def _lower_envelope(
    before: NDArray[np.float64],
    squared_mm: float,
    after: NDArray[np.float64],
    places: NDArray[np.int64],
    starts: NDArray[np.float64],
) -> None:
    """Write min_q before[q] + squared_mm (x - q)^2 into after[x].

    Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions" (2012): each q opens a parabola. The
    lowest ones are kept in `places`, from left to right, and where each begins in `starts`.
    """
    count = 0
    for q in range(before.size):
        if before[q] == np.inf:
            continue
        start = -np.inf
        while count > 0:
            p = places[count - 1]
            start = ((before[q] - before[p]) / (squared_mm * (q - p)) + (q + p)) / 2
            if start > starts[count - 1]:
                break
            count -= 1
        places[count], starts[count] = q, start
        count += 1
    if count == 0:
        after[: before.size] = np.inf
        return
    starts[count] = np.inf
    lowest = 0
    for x in range(before.size):
        while starts[lowest + 1] < x:
            lowest += 1
        q = places[lowest]
        after[x] = before[q] + squared_mm * (x - q) ** 2


lower_envelope = compiled(_lower_envelope)
plane = compiled(_plane)
