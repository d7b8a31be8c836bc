"""What every metric asks of its two masks, and the distance that stands in for a missing one."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

Mask = Bool[np.ndarray, "*spatial"]


def check_masks(prediction: Mask, reference: Mask) -> None:
    """Refuse anything but two boolean arrays of one 2D or 3D shape.

    Raises:
        ValueError: a mask is not boolean, is neither 2D nor 3D, has no voxel, or the two shapes differ.
    """
    for name, mask in (("prediction", prediction), ("reference", reference)):
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} must be a boolean array, its dtype is {mask.dtype}")
        if mask.ndim not in (2, 3):
            raise ValueError(f"{name} must be 2D or 3D, its shape is {mask.shape}")
        if mask.size == 0:
            raise ValueError(f"{name} has no voxel, its shape is {mask.shape}")
    if prediction.shape != reference.shape:
        raise ValueError(
            f"prediction and reference differ in shape: {prediction.shape} against {reference.shape}"
        )


def check_spacing(spacing_mm: Sequence[float], ndim: int) -> None:
    """Refuse a spacing that is not `ndim` positive, finite lengths.

    Raises:
        ValueError: the number of values is not `ndim`, or one is not positive and finite.
    """
    if len(spacing_mm) != ndim:
        raise ValueError(f"spacing_mm needs {ndim} values, one an array axis, got {tuple(spacing_mm)}")
    if not all(math.isfinite(length) and length > 0 for length in spacing_mm):
        raise ValueError(f"spacing_mm must be positive and finite, got {tuple(spacing_mm)}")


def check_tolerance(tolerance_mm: float) -> None:
    """Refuse a tolerance that is not a finite length.

    Raises:
        ValueError: it is negative or not finite.
    """
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise ValueError(f"the tolerance in mm must be 0 or more and finite, got {tolerance_mm}")


def joint_box(prediction: Mask, reference: Mask) -> tuple[slice, ...]:
    """Smallest box around both masks, at least one of them non-empty, plus one voxel, cut at the image's edge.

    The margin keeps apart what the cropping would confuse: a mask that ends at the box and one that ends at
    the edge of the image, which is no boundary.
    """
    boxes = [_box(mask) for mask in (prediction, reference) if mask.any()]
    return tuple(
        slice(
            max(min(side.start for side in sides) - 1, 0), min(max(side.stop for side in sides) + 1, length)
        )
        for *sides, length in zip(*boxes, prediction.shape, strict=True)
    )


def _box(mask: Mask) -> tuple[slice, ...]:
    occupied = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
    first = slice(int(occupied[0]), int(occupied[-1]) + 1)
    if mask.ndim == 1:
        return (first,)
    return (first, *_box(np.logical_or.reduce(mask[first], axis=0)))


def image_diagonal_mm(shape: Sequence[int], *, spacing_mm: Sequence[float]) -> float:
    """Diagonal of the whole image in mm, the distance given to a mask that was missed altogether.

        sqrt(sum_a (n_a s_a)^2)    with n_a voxels of s_a mm along axis a

    373.13 mm for a BraTS volume of 240 x 240 x 155 mm. The released code permutes the axes of the spacing
    here, which changes the value of anisotropic images only; this is the true diagonal.

    Args:
        shape: voxels along each axis.
        spacing_mm: voxel spacing in mm, in the same axis order.

    Raises:
        ValueError: the spacing does not fit the shape.
    """
    check_spacing(spacing_mm, len(shape))
    return math.hypot(*(n * s for n, s in zip(shape, spacing_mm, strict=True)))
