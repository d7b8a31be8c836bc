"""Signed distance transform maps (D of eqs. 7, 9 and 12), in millimetres."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

AbsentClass = Literal["diagonal", "zero"]


def signed_distance_map(
    mask: NDArray[np.bool_], spacing_mm: Sequence[float], *, absent_class: AbsentClass = "diagonal"
) -> NDArray[np.float32]:
    """Signed Euclidean distance in mm of every voxel to the boundary of a mask, in [-diagonal, diagonal].

    The boundary of a mask is made of its own voxels: those with at least one of the 26 neighbours (8 in 2D)
    outside the mask. Beyond the image's edge nothing counts as outside. Distances run between voxel centres,
    so boundary voxels hold 0, the voxels inside a negative and those outside a positive distance. This is
    ITK's SignedMaurerDistanceMap with insideIsPositive=False, squaredDistance=False and useImageSpacing=True.

    Args:
        mask: the region, boolean, two or three axes.
        spacing_mm: distance in mm between neighbouring voxels, one number for each array axis, in array
            order.
        absent_class: the rule for a mask without a boundary. "diagonal" gives +diagonal everywhere to an
            empty mask and -diagonal to one that fills the image, where the diagonal is that of the image in
            mm, sqrt(sum_a (n_a spacing_a)^2). "zero" gives 0 everywhere to both, which leaves the class out
            of every boundary loss.

    Returns:
        The map in mm, float32, of the mask's shape.

    Raises:
        ValueError: the mask is not boolean, is empty along an axis or has neither two nor three axes; the
            spacing has another length, or a number in it is not positive and finite; `absent_class` is
            unknown.

    The map is exact up to the rounding of single precision, about 1e-7 of each distance. As many threads work on a
    large image as PyTorch may use (`torch.set_num_threads`); their number changes nothing in the result.

    The paper does not say what a map is where the class is missing from the image. "diagonal" is what its
    released code does for an empty mask; the mirror image for a full mask is ours, and keeps the sign's
    meaning.
    """
    dtm = np.empty(mask.shape, dtype=np.float32)
    _write_signed_distance_map(mask, spacing_mm, absent_class, dtm, threads=_most_threads())
    return dtm


def _most_threads() -> int:
    import torch

    return torch.get_num_threads()


def _write_signed_distance_map(
    mask: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    absent_class: AbsentClass,
    dtm: NDArray[np.float32],
    *,
    threads: int,
) -> None:
    """Write what `signed_distance_map` returns into an array."""
    _check_image(mask, spacing_mm)
    if absent_class not in get_args(AbsentClass):
        raise ValueError(f'absent_class is "{absent_class}", expected one of {get_args(AbsentClass)}')
    if mask.dtype != np.bool_:
        raise ValueError(f"mask has dtype {mask.dtype}, expected bool")

    filled = bool(mask.all())
    if filled or not mask.any():
        diagonal_mm = math.hypot(*(n * spacing for n, spacing in zip(mask.shape, spacing_mm, strict=True)))
        dtm[...] = 0.0 if absent_class == "zero" else -diagonal_mm if filled else diagonal_mm
        return

    from gsl_experiments.distance_transform import write_signed_distance  # compiled: only where it is needed

    in_3d = (1,) * (3 - mask.ndim)
    write_signed_distance(
        np.ascontiguousarray(mask).reshape(*in_3d, *mask.shape),
        (*map(float, in_3d), *map(float, spacing_mm)),
        dtm.reshape(*in_3d, *mask.shape),
        threads=threads,
    )


def signed_distance_maps(
    labels: NDArray[np.integer],
    num_classes: int,
    spacing_mm: Sequence[float],
    *,
    absent_class: AbsentClass = "diagonal",
) -> NDArray[np.float32]:
    """Signed distance maps in mm of every class of a label image, background first, in [-diagonal, diagonal].

    D^k of the paper for k = 0, ..., C - 1. Negative labels, with which nnU-Net marks the voxels outside an
    image's non-zero region, are background.

    Args:
        labels: one class a voxel, integers below `num_classes`, two or three axes.
        num_classes: C, background included.
        spacing_mm: distance in mm between neighbouring voxels, one number for each array axis, in array
            order.
        absent_class: what a class that is missing, or that fills the image, gets: see `signed_distance_map`.

    Returns:
        The maps in mm, float32, of shape (C, *labels.shape).

    Raises:
        ValueError: the labels are not integers or reach `num_classes`, or as in `signed_distance_map`.
    """
    _check_labels(labels, num_classes, spacing_mm)
    dtms = np.empty((num_classes, *labels.shape), dtype=np.float32)
    threads = _most_threads()
    at_once = min(num_classes, threads)

    def write(label: int) -> None:
        mask, dtm = _mask_of(labels, label), dtms[label]
        _write_signed_distance_map(mask, spacing_mm, absent_class, dtm, threads=threads // at_once)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(write, range(num_classes)))
    return dtms


def each_signed_distance_map(
    labels: NDArray[np.integer],
    num_classes: int,
    spacing_mm: Sequence[float],
    *,
    absent_class: AbsentClass = "diagonal",
) -> Iterator[NDArray[np.float32]]:
    """The maps of `signed_distance_maps`, one after the other: for images whose maps do not fit into memory at once.

    The labels are checked before the first map is asked for.
    """
    _check_labels(labels, num_classes, spacing_mm)
    return (
        signed_distance_map(_mask_of(labels, label), spacing_mm, absent_class=absent_class)
        for label in range(num_classes)
    )


def _mask_of(labels: NDArray[np.integer], label: int) -> NDArray[np.bool_]:
    return labels == label if label > 0 else labels <= 0


def _check_labels(labels: NDArray[np.integer], num_classes: int, spacing_mm: Sequence[float]) -> None:
    _check_image(labels, spacing_mm)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels have dtype {labels.dtype}, expected integers")
    if labels.max() >= num_classes:
        raise ValueError(f"label {labels.max()} is out of range for {num_classes} classes")


def _check_image(image: NDArray[np.generic], spacing_mm: Sequence[float]) -> None:
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(
            f"an image of shape {image.shape} has no distance map: expected 2 or 3 non-empty axes"
        )
    if len(spacing_mm) != image.ndim:
        raise ValueError(f"spacing_mm has {len(spacing_mm)} numbers for {image.ndim} axes")
    if not all(math.isfinite(spacing) and spacing > 0 for spacing in spacing_mm):
        raise ValueError(f"spacing_mm is {tuple(spacing_mm)}, expected positive finite numbers")
