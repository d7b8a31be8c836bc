"""The exact Euclidean distance transform behind `distance`, compiled at its first call and kept on disk.

The squared distance to a set of voxels is taken axis by axis. Along the first axis it is that to the next voxel of the
set in the same row. Along each other axis, every value f_q so far opens a parabola f_q + (x - q)^2, and the lowest one
at x is the new value: Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions" (2012). The time is
linear in the voxels. Rows and planes without a voxel of the set are left out, because they open no parabola.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsl_experiments.compiling import compiled

Box = tuple[int, int, int, int]  # first and behind the last plane, first and behind the last row
LINES_AT_ONCE = 16  # neighbouring lines of one cache line
PARTS_A_THREAD = 4  # some parts take longer than others
VOXELS_A_THREAD = 1 << 18


def write_signed_distance(
    mask: NDArray[np.bool_], spacing_mm: Sequence[float], dtm: NDArray[np.float32], *, threads: int
) -> None:
    """Write the distance in mm to the mask's boundary, negative inside the mask, into `dtm`.

    Args:
        mask: three axes, contiguous, neither empty nor full.
        spacing_mm: in the order of the axes.
        dtm: contiguous, of the mask's shape.
        threads: the most threads to use.
    """
    box = _box_of_boundary(mask)
    z_mm, y_mm, x_mm = spacing_mm
    threads = max(1, min(threads, mask.size // VOXELS_A_THREAD))
    parts = PARTS_A_THREAD * threads if threads > 1 else 1

    def in_parts(work: Callable[..., None], first: int, last: int, *arguments: Any) -> None:
        edges = [first + (last - first) * part // parts for part in range(parts + 1)]
        if parts == 1:
            work(first, last, *arguments)
        else:
            list(pool.map(lambda begin, end: work(begin, end, *arguments), edges[:-1], edges[1:]))

    with ThreadPoolExecutor(threads) as pool:  # it starts its threads with their first work
        in_parts(along_rows, box[0], box[1], mask, dtm, x_mm, box)
        in_parts(across_rows, box[0], box[1], dtm, y_mm, box)
        in_parts(across_planes, 0, mask.shape[1], mask, dtm, z_mm, box)


def _box_of_boundary(mask: NDArray[np.bool_]) -> Box:
    """Return planes and rows that hold the boundary: those that hold the mask, at most one away from its outside."""
    bounds = []
    for others in ((1, 2), (0, 2)):
        inside = np.flatnonzero(mask.any(axis=others))
        outside = np.flatnonzero(~mask.all(axis=others))
        bounds += [max(inside[0], outside[0] - 1), min(inside[-1], outside[-1] + 1) + 1]
    first_plane, behind_planes, first_row, behind_rows = (int(bound) for bound in bounds)
    return first_plane, behind_planes, first_row, behind_rows


def _along_rows(
    first: int, last: int, mask: NDArray[np.bool_], squared: NDArray[np.float32], spacing_mm: float, box: Box
) -> None:
    """Squared distance to the next boundary voxel of the same row, for the box's rows of planes first to last - 1."""
    planes, rows, columns = mask.shape
    surrounded = np.empty(columns, np.bool_)  # by the mask, as far as the neighbouring rows go
    steps = np.empty(columns, np.int32)  # to the next boundary voxel before it
    for z in range(first, last):
        for y in range(box[2], box[3]):
            surrounded[:] = True
            for next_z in range(max(z - 1, 0), min(z + 2, planes)):
                for next_y in range(max(y - 1, 0), min(y + 2, rows)):
                    for x in range(columns):
                        surrounded[x] &= mask[next_z, next_y, x]
            step = np.int32(columns)  # more than there can be
            for x in range(columns):
                interior = surrounded[x] and (x == 0 or surrounded[x - 1])
                interior = interior and (x == columns - 1 or surrounded[x + 1])
                step = np.int32(0) if mask[z, y, x] and not interior else np.int32(step + 1)
                steps[x] = step
            if step > columns:
                squared[z, y] = np.inf
                continue
            step = np.int32(columns)
            for x in range(columns - 1, -1, -1):
                step = np.int32(min(steps[x], step + 1))
                steps[x] = step
            for x in range(columns):
                distance = np.float32(spacing_mm * steps[x])
                squared[z, y, x] = distance * distance


def _across_rows(first: int, last: int, squared: NDArray[np.float32], spacing_mm: float, box: Box) -> None:
    """Take the second axis into account, in planes first to last - 1."""
    _, rows, columns = squared.shape
    before = np.empty((LINES_AT_ONCE, rows), np.float32)
    after = np.empty((LINES_AT_ONCE, rows), np.float32)
    room, lowest = np.empty((3, rows)), np.empty(rows, np.int32)
    room[0] = 1 / np.maximum(np.arange(rows), 1)
    for z in range(first, last):
        for left in range(0, columns, LINES_AT_ONCE):
            lines = min(LINES_AT_ONCE, columns - left)
            for y in range(box[2], box[3]):
                for line in range(lines):
                    before[line, y] = squared[z, y, left + line]
            for line in range(lines):
                lower_envelope(before[line], box[2], box[3], spacing_mm**2, after[line], room, lowest)
            for y in range(rows):
                for line in range(lines):
                    squared[z, y, left + line] = after[line, y]


def _across_planes(
    first: int, last: int, mask: NDArray[np.bool_], squared: NDArray[np.float32], spacing_mm: float, box: Box
) -> None:
    """Take the third axis into account, in rows first to last - 1, then the root and the sign."""
    planes, _, columns = squared.shape
    before = np.empty((LINES_AT_ONCE, planes), np.float32)
    after = np.empty((LINES_AT_ONCE, planes), np.float32)
    room, lowest = np.empty((3, planes)), np.empty(planes, np.int32)
    room[0] = 1 / np.maximum(np.arange(planes), 1)
    for y in range(first, last):
        for left in range(0, columns, LINES_AT_ONCE):
            lines = min(LINES_AT_ONCE, columns - left)
            for z in range(box[0], box[1]):
                for line in range(lines):
                    before[line, z] = squared[z, y, left + line]
            for line in range(lines):
                lower_envelope(before[line], box[0], box[1], spacing_mm**2, after[line], room, lowest)
                for z in range(planes):
                    after[line, z] = np.sqrt(after[line, z])
            for z in range(planes):
                for line in range(lines):
                    distance = after[line, z]
                    inside = mask[z, y, left + line]
                    squared[z, y, left + line] = np.float32(0) - distance if inside else distance


def _lower_envelope(
    before: NDArray[np.float32],
    first: int,
    last: int,
    squared_spacing: float,
    after: NDArray[np.float32],
    room: NDArray[np.float64],
    lowest: NDArray[np.int32],
) -> None:
    """Write min_q before[q] + squared_spacing (x - q)^2, q from first to last - 1, into after[x].

    Parabolas of q and p < q cross where x = (h_q - h_p) / (q - p), h_q = (before[q] / squared_spacing + q^2) / 2. The
    first row of `room` holds 1 / d at d, because divisions are slow. The others, and `lowest`, are overwritten with
    the heights, and with the parabolas of the envelope and where each begins to be the lowest.
    """
    inverse, heights, starts = room[0], room[1], room[2]
    size = after.size
    scale = 0.5 / squared_spacing
    top = -1
    for q in range(first, last):
        if before[q] == np.inf:
            continue
        height = before[q] * scale + 0.5 * np.float64(q * q)
        heights[q] = height
        start = -np.inf
        while top >= 0:
            p = lowest[top]
            start = (height - heights[p]) * inverse[q - p]
            if start > starts[top]:
                break
            top -= 1
            start = -np.inf
        top += 1
        lowest[top], starts[top] = q, start
    if top < 0:
        after[:] = np.inf
        return
    lowest_at = heights  # the parabola that begins to be the lowest at x, then the one that is
    lowest_at[:] = 0.0
    for parabola in range(top + 1):
        x = int(max(min(starts[parabola], size - 1.0), -1.0) + 1.0)
        if x < size:
            lowest_at[x] = lowest[parabola]
    owner = 0.0
    for x in range(size):
        owner = max(owner, lowest_at[x])
        after[x] = before[int(owner)] + squared_spacing * (x - owner) ** 2


lower_envelope = compiled(_lower_envelope)
along_rows = compiled(_along_rows)
across_rows = compiled(_across_rows)
across_planes = compiled(_across_planes)
