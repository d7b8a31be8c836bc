"""Distances between the voxels of two masks, computed once and shared by every metric that reduces them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its users know)
from jaxtyping import Bool, Float

from gsl_experiments.metrics.masks import Mask


@dataclass(frozen=True)
class DirectedDistances:
    """Distances in mm between two non-empty masks, one value a voxel, each direction apart.

    Attributes:
        prediction_volume: from every voxel of the prediction to the reference, 0 in the overlap.
        reference_volume: from every voxel of the reference to the prediction, 0 in the overlap.
        prediction_boundary: from the prediction's contour voxels to the reference's boundary.
        reference_boundary: from the reference's contour voxels to the prediction's boundary.
        prediction_contour: from the prediction's contour voxels to the reference's contour.
        reference_contour: from the reference's contour voxels to the prediction's contour.
    """

    prediction_volume: Float[np.ndarray, " prediction"]
    reference_volume: Float[np.ndarray, " reference"]
    prediction_boundary: Float[np.ndarray, " prediction_contour"]
    reference_boundary: Float[np.ndarray, " reference_contour"]
    prediction_contour: Float[np.ndarray, " prediction_contour"]
    reference_contour: Float[np.ndarray, " reference_contour"]


def directed_distances(
    prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]
) -> DirectedDistances:
    """Measure two non-empty masks against each other, inside their joint bounding box.

    Two notions of a surface meet here. A *contour* voxel has one of its 6 (2D: 4) face neighbours outside its
    mask: `LabelContour`. A *boundary* voxel has one of all its 26 (2D: 8) neighbours outside: where
    `SignedMaurerDistanceMap` is zero. The edge of the image is never outside. A mask that fills the image has
    neither: no voxel of it has a distance, and the distance to it is infinite.

    Args:
        prediction: non-empty boolean mask, 2D or 3D.
        reference: non-empty boolean mask of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.
    """
    box = _joint_box(prediction, reference)
    prediction, reference = prediction[box], reference[box]
    to_prediction = _signed_distance(prediction, spacing_mm)
    to_reference = _signed_distance(reference, spacing_mm)
    prediction_contour, reference_contour = _contour(prediction), _contour(reference)
    to_prediction_contour = _signed_distance(prediction_contour, spacing_mm)
    to_reference_contour = _signed_distance(reference_contour, spacing_mm)
    return DirectedDistances(
        prediction_volume=_outside(to_reference[prediction]),
        reference_volume=_outside(to_prediction[reference]),
        prediction_boundary=_unsigned(to_reference[prediction_contour]),
        reference_boundary=_unsigned(to_prediction[reference_contour]),
        prediction_contour=_outside(to_reference_contour[prediction_contour]),
        reference_contour=_outside(to_prediction_contour[reference_contour]),
    )


def _outside(signed_mm: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Distance to a set, 0 inside it; in float64, so that sums over millions of voxels keep their digits."""
    return np.maximum(signed_mm, 0.0).astype(np.float64)


def _unsigned(signed_mm: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Distance to the boundary of a set from either side, in float64."""
    return np.abs(signed_mm).astype(np.float64)


def _joint_box(prediction: Mask, reference: Mask) -> tuple[slice, ...]:
    """Smallest box around both masks plus one voxel, cut at the edge of the image.

    The margin keeps apart what the cropping would confuse: a mask that ends at the box and one that ends at
    the edge of the image, which is no boundary. All distances used run between voxels inside the box.
    """
    either = prediction | reference
    box = []
    for axis, length in enumerate(either.shape):
        others = tuple(other for other in range(either.ndim) if other != axis)
        occupied = np.flatnonzero(either.any(axis=others))
        box.append(slice(max(int(occupied[0]) - 1, 0), min(int(occupied[-1]) + 2, length)))
    return tuple(box)


def _label_image(mask: Mask) -> sitk.Image:
    return sitk.GetImageFromArray(mask.astype(np.uint8))


def _signed_distance(mask: Mask, spacing_mm: Sequence[float]) -> Float[np.ndarray, "*spatial"]:
    """Signed distance to the mask's boundary in mm, negative inside, positive outside.

    Without a boundary in the image ITK returns +-1.8e19; here it is -inf for a full mask and inf for an empty
    one.
    """
    if mask.all() or not mask.any():
        return np.full(mask.shape, -np.inf if mask.any() else np.inf, dtype=np.float32)
    image = _label_image(mask)
    image.SetSpacing([float(length) for length in reversed(spacing_mm)])
    distance = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return sitk.GetArrayFromImage(distance)


def _contour(mask: Mask) -> Bool[np.ndarray, "*spatial"]:
    return sitk.GetArrayFromImage(sitk.LabelContour(_label_image(mask))).astype(np.bool_)
