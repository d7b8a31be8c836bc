"""nnU-Net's mask of where a case is not zero, voxel for voxel the same, with a fraction of its time.

nnU-Net crops every case to this mask and fills its holes, by growing the outside voxel by voxel. Here the background
falls into its connected parts, and those that do not reach the border are the holes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cc3d
import numpy as np
from nnunetv2.preprocessing.cropping import cropping
from numpy.typing import NDArray
from scipy.ndimage import find_objects


@contextmanager
def lean_crop() -> Iterator[None]:
    """Have nnU-Net's own code crop with :func:`nonzero_mask` meanwhile; in the whole process, so not for threads."""
    before = cropping.create_nonzero_mask
    cropping.create_nonzero_mask = nonzero_mask
    try:
        yield
    finally:
        cropping.create_nonzero_mask = before


def nonzero_mask(data: NDArray[Any]) -> NDArray[np.bool_]:
    """Return what nnU-Net's ``create_nonzero_mask`` returns: where any channel is not zero, holes filled.

    Args:
        data: (channels, z, y, x) or (channels, y, x) images.
    """
    mask = data[0] != 0
    for channel in data[1:]:
        mask |= channel != 0
    _fill_holes(mask)
    return mask


def _fill_holes(mask: NDArray[np.bool_]) -> None:
    """Fill the background that no path over faces of voxels connects with the border.

    In place, because memory is short meanwhile: the labels of the parts alone take four times the mask.
    """
    boxes = find_objects(mask.view(np.uint8))
    if not boxes:
        return
    box = mask[boxes[0]]
    np.logical_not(box, out=box)
    parts, count = cc3d.connected_components(box, connectivity=2 * box.ndim, return_N=True)
    is_hole = np.ones(count + 1, dtype=bool)
    for axis in range(box.ndim):
        for end in (0, -1):
            is_hole[parts.take(end, axis=axis)] = False
    is_hole[0] = True  # not a part of the background: the mask itself, which stays
    for slice_, parts_of_slice in zip(box, parts, strict=True):
        slice_[...] = is_hole[parts_of_slice]
