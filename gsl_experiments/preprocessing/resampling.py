"""nnU-Net's resampling of a case, voxel for voxel the same, with a fraction of its time and memory.

nnU-Net resamples anisotropic images slice by slice, and then picks for every new slice the nearest of these. It does so
by interpolating the whole volume at float coordinates of every voxel, which takes more time and memory than all the
rest of preprocessing. Here the nearest slices are picked by their number, and those that are not picked are not made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from batchgenerators.augmentations.utils import resize_segmentation
from nnunetv2.configuration import ANISO_THRESHOLD
from nnunetv2.preprocessing.resampling.default_resampling import (
    determine_do_sep_z_and_axis,
    resample_data_or_seg,
    resample_data_or_seg_to_shape,
)
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from skimage.transform import resize


class LeanConfiguration(ConfigurationManager):
    """nnU-Net's configuration, with the resampling of this module in the place of nnU-Net's default one."""

    @property
    def resampling_fn_data(self) -> Callable[..., NDArray[Any]]:
        """What resamples images."""
        return _lean(super().resampling_fn_data)

    @property
    def resampling_fn_seg(self) -> Callable[..., NDArray[Any]]:
        """What resamples labels."""
        return _lean(super().resampling_fn_seg)


def _lean(function: partial[NDArray[Any]]) -> partial[NDArray[Any]]:
    if function.func is resample_data_or_seg_to_shape:
        return partial(resample_to_shape, **function.keywords)
    return function


def resample_to_shape(
    data: NDArray[Any],
    new_shape: Sequence[int],
    current_spacing: Sequence[float],
    new_spacing: Sequence[float],
    is_seg: bool = False,
    order: int = 3,
    order_z: int = 0,
    force_separate_z: bool | None = False,
    separate_z_anisotropy_threshold: float = ANISO_THRESHOLD,
) -> NDArray[Any]:
    """Return what nnU-Net's ``resample_data_or_seg_to_shape`` returns for the same arguments.

    Args:
        data: (channels, z, y, x) images or labels.
        new_shape: voxels to resample to, three axes.
        current_spacing: mm.
        new_spacing: mm.
        is_seg: the data are labels.
        order: of the spline in a slice, or in the volume where all axes are resampled alike.
        order_z: of the spline across slices.
        force_separate_z: resample slice by slice always or never; None decides by the anisotropy.
        separate_z_anisotropy_threshold: ratio of spacings from which on slices are resampled one by one.
    """
    shape = tuple(int(n) for n in new_shape)
    if data.shape[1:] == shape:
        return data
    separate, axis = determine_do_sep_z_and_axis(
        force_separate_z, current_spacing, new_spacing, separate_z_anisotropy_threshold
    )
    resampled = np.zeros((len(data), *shape), dtype=data.dtype)
    for channel, output in zip(data, resampled, strict=True):
        if separate and order_z == 0:
            _resample_slices(np.moveaxis(channel, axis, 0), np.moveaxis(output, axis, 0), is_seg, order)
        else:
            output[...] = resample_data_or_seg(
                channel[None], shape, is_seg, axis, order, separate, order_z=order_z
            )[0]
    return resampled


def _resample_slices(slices: NDArray[Any], output: NDArray[Any], is_seg: bool, order: int) -> None:
    made = -1
    for target, source in zip(output, _nearest_slices(len(slices), len(output)), strict=True):
        if source != made:
            slice_ = slices[source].astype(float)
            if is_seg:
                resized = resize_segmentation(slice_, target.shape, order)
            else:
                resized = resize(slice_, target.shape, order, mode="edge", anti_aliasing=False)
            made = source
        target[...] = resized


def _nearest_slices(count: int, new_count: int) -> NDArray[np.int64]:
    """Return for each new slice the old one that nnU-Net's interpolation of order 0 picks."""
    positions = count / new_count * (np.arange(new_count) + 0.5) - 0.5
    return map_coordinates(np.arange(count), positions[None], order=0, mode="nearest")
