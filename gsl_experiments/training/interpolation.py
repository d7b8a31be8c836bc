"""Linear interpolation of several volumes at the same places, compiled at its first call and kept on disk.

``grid_sample`` as nnU-Net uses it, for volumes of any kind of number of which only a part has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gsl_experiments.compiling import compiled

ROWS_AT_ONCE = 8  # in two axes: what lies close together in the volumes is read close together in time


def interpolate(
    volumes: NDArray[np.float32] | NDArray[np.int16],
    grid: NDArray[np.float32],
    shape: Sequence[int],
    corner: Sequence[int],
    factors: Sequence[float] | None = None,
    offsets: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Return ``values * factor + offset``, values at places beyond a volume being those at its nearest face.

    Values are rounded as by PyTorch's ``grid_sample`` with ``align_corners=False``.

    Args:
        volumes: (C, z, y, x), contiguous: a part of a patch.
        grid: (z', y', x', 3), places in the patch, -1 to 1 from edge to edge, last axis first.
        shape: of the patch.
        corner: where in it the volumes begin.
        factors: one for each volume, 1 by default.
        offsets: one for each volume, 0 by default.

    Returns:
        (C, z', y', x').
    """
    channels = len(volumes)
    out = np.empty((channels, *grid.shape[:3]), np.float32)
    interpolate_rows(
        volumes.reshape(channels, -1),
        volumes.shape[1:],
        np.ascontiguousarray(grid),
        tuple(np.float32(size) for size in shape),
        tuple(np.float32(first) for first in corner),
        np.array([1.0] * channels if factors is None else factors, np.float32),
        np.array([0.0] * channels if offsets is None else offsets, np.float32),
        out,
    )
    return out


def _interpolate_rows(
    volumes: NDArray[np.float32] | NDArray[np.int16],
    sizes: tuple[int, int, int],
    grid: NDArray[np.float32],
    shape: tuple[np.float32, np.float32, np.float32],
    corner: tuple[np.float32, np.float32, np.float32],
    factors: NDArray[np.float32],
    offsets: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    one, half = np.float32(1), np.float32(0.5)
    planes, rows, columns = out.shape[1:]
    last_z = corner[0] + np.float32(sizes[0] - 1)
    last_y = corner[1] + np.float32(sizes[1] - 1)
    last_x = corner[2] + np.float32(sizes[2] - 1)
    first = np.empty((ROWS_AT_ONCE * ROWS_AT_ONCE, columns), np.int32)
    step_z, step_y, step_x = np.empty_like(first), np.empty_like(first), np.empty_like(first)
    weights = np.empty((ROWS_AT_ONCE * ROWS_AT_ONCE, 8, columns), np.float32)
    for z_begin in range(0, planes, ROWS_AT_ONCE):
        for y_begin in range(0, rows, ROWS_AT_ONCE):
            z_end, y_end = min(z_begin + ROWS_AT_ONCE, planes), min(y_begin + ROWS_AT_ONCE, rows)
            row = 0
            for z in range(z_begin, z_end):
                for y in range(y_begin, y_end):
                    for x in range(columns):
                        p_z = ((grid[z, y, x, 2] + one) * shape[0] - one) * half
                        p_y = ((grid[z, y, x, 1] + one) * shape[1] - one) * half
                        p_x = ((grid[z, y, x, 0] + one) * shape[2] - one) * half
                        p_z = min(max(p_z, corner[0]), last_z)
                        p_y = min(max(p_y, corner[1]), last_y)
                        p_x = min(max(p_x, corner[2]), last_x)
                        low_z, low_y, low_x = np.floor(p_z), np.floor(p_y), np.floor(p_x)
                        plane, line = np.int32(low_z - corner[0]), np.int32(low_y - corner[1])
                        first[row, x] = (plane * sizes[1] + line) * sizes[2] + np.int32(low_x - corner[2])
                        step_z[row, x] = sizes[1] * sizes[2] if low_z < last_z else 0
                        step_y[row, x] = sizes[2] if low_y < last_y else 0
                        step_x[row, x] = 1 if low_x < last_x else 0
                        b_z, b_y, b_x = low_z + one - p_z, low_y + one - p_y, low_x + one - p_x
                        a_z, a_y, a_x = p_z - low_z, p_y - low_y, p_x - low_x
                        weights[row, 0, x] = b_x * b_y * b_z
                        weights[row, 1, x] = a_x * b_y * b_z
                        weights[row, 2, x] = b_x * a_y * b_z
                        weights[row, 3, x] = a_x * a_y * b_z
                        weights[row, 4, x] = b_x * b_y * a_z
                        weights[row, 5, x] = a_x * b_y * a_z
                        weights[row, 6, x] = b_x * a_y * a_z
                        weights[row, 7, x] = a_x * a_y * a_z
                    row += 1
            for channel in range(len(volumes)):
                volume, factor, offset = volumes[channel], factors[channel], offsets[channel]
                row = 0
                for z in range(z_begin, z_end):
                    for y in range(y_begin, y_end):
                        for x in range(columns):
                            i = np.uint32(first[row, x])
                            d_x, d_y, d_z = (
                                np.uint32(step_x[row, x]),
                                np.uint32(step_y[row, x]),
                                np.uint32(step_z[row, x]),
                            )
                            value = volume[i] * weights[row, 0, x]
                            value += volume[i + d_x] * weights[row, 1, x]
                            i_y = i + d_y
                            value += volume[i_y] * weights[row, 2, x]
                            value += volume[i_y + d_x] * weights[row, 3, x]
                            i = i + d_z
                            value += volume[i] * weights[row, 4, x]
                            value += volume[i + d_x] * weights[row, 5, x]
                            i_y = i + d_y
                            value += volume[i_y] * weights[row, 6, x]
                            value += volume[i_y + d_x] * weights[row, 7, x]
                            out[channel, z, y, x] = value * factor + offset
                        row += 1


interpolate_rows: Callable[..., None] = compiled(_interpolate_rows)
