"""The metrics of the paper's section 2.4, Dice, HD95 and ASD, and the surface distances that people expect."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsl_experiments.metrics.distances import directed_distances, volume_percentile
from gsl_experiments.metrics.masks import (
    Mask,
    check_masks,
    check_spacing,
    check_tolerance,
    image_diagonal_mm,
    joint_box,
)
from gsl_experiments.metrics.nearest import DECIMALS, Distances
from gsl_experiments.metrics.surfaces import Surface

# Of the definitions of all metrics: raise it when a value changes, so that stored ones are measured again.
METRICS_VERSION = 1
NSD_TOLERANCE_MM = 2.0
ROUNDING_MM = 1e-6  # a distance that should equal the tolerance may come out this much above it


@dataclass(frozen=True)
class SegmentationMetrics:
    """Every metric of one prediction against one reference; see the function of the same name for each.

    Attributes:
        dice: in [0, 1], best 1.
        hd95_mm: volumetric 95th percentile Hausdorff distance, best 0.
        asd_mm: average surface distance, best 0.
        hd95_surface_mm: 95th percentile Hausdorff distance of the surfaces, best 0.
        assd_mm: average symmetric surface distance, pooled over both surfaces, best 0.
        hd_mm: Hausdorff distance of the surfaces, best 0.
        nsd: normalised surface Dice at the given tolerance, in [0, 1], best 1.
    """

    dice: float
    hd95_mm: float
    asd_mm: float
    hd95_surface_mm: float
    assd_mm: float
    hd_mm: float
    nsd: float


_PERFECT = SegmentationMetrics(
    dice=1.0, hd95_mm=0.0, asd_mm=0.0, hd95_surface_mm=0.0, assd_mm=0.0, hd_mm=0.0, nsd=1.0
)


def dice(prediction: Mask, reference: Mask) -> float:
    """Dice coefficient of two masks, in [0, 1].

        2 |P ∩ T| / (|P| + |T|)

    Both masks empty: 1. One empty: 0, which the equation gives by itself.

    Args:
        prediction: boolean mask P, 2D or 3D.
        reference: boolean mask T of the same shape.

    Returns:
        1 for equal masks (best), 0 without overlap (worst).

    Raises:
        ValueError: the masks are not boolean, not 2D or 3D, or differ in shape.
    """
    check_masks(prediction, reference)
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return 2 * int(np.count_nonzero(prediction & reference)) / int(total) if total else 1.0


def segmentation_metrics(
    prediction: Mask,
    reference: Mask,
    *,
    spacing_mm: Sequence[float],
    nsd_tolerance_mm: float = NSD_TOLERANCE_MM,
) -> SegmentationMetrics:
    """All metrics of one pair of masks, from distances computed once.

    One mask empty: every distance is the diagonal of the image in mm, Dice and NSD are 0. Both empty: every
    distance is 0, Dice and NSD are 1. A mask that fills the image has no surface: to an equal mask its surface
    distances are 0 and its NSD is 1, to any other they are the diagonal and 0, while its volumetric HD95 stays
    defined.

    Args:
        prediction: boolean mask, 2D or 3D.
        reference: boolean mask of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.
        nsd_tolerance_mm: distance in mm up to which two surfaces agree, for `nsd`.

    Raises:
        ValueError: the masks are not boolean, not 2D or 3D, or differ in shape, the spacing does not fit
            them, or the tolerance is negative or not finite.
    """
    check_masks(prediction, reference)
    check_spacing(spacing_mm, prediction.ndim)
    check_tolerance(nsd_tolerance_mm)
    diagonal_mm = image_diagonal_mm(prediction.shape, spacing_mm=spacing_mm)
    if not (prediction.any() or reference.any()):
        return _PERFECT
    full = bool(prediction.all() or reference.all())
    box = joint_box(prediction, reference)
    prediction, reference = prediction[box], reference[box]
    overlap = dice(prediction, reference)
    if overlap == 1.0:
        return _PERFECT
    if not (prediction.any() and reference.any()):
        return _without_surface(overlap, diagonal_mm, diagonal_mm)
    surfaces = [Surface.of(mask, spacing_mm=spacing_mm) for mask in (prediction, reference)]
    hd95_mm = max(
        volume_percentile(prediction, surfaces[1], percent=95),
        volume_percentile(reference, surfaces[0], percent=95),
    )
    if full:
        return _without_surface(overlap, hd95_mm, diagonal_mm)
    distances = directed_distances(*surfaces)
    directed = (distances.prediction_contour, distances.reference_contour)
    number = sum(len(one) for one in directed)
    within = sum(np.count_nonzero(one <= nsd_tolerance_mm + ROUNDING_MM) for one in directed)
    return SegmentationMetrics(
        dice=overlap,
        hd95_mm=hd95_mm,
        asd_mm=(_mean(distances.prediction_boundary) + _mean(distances.reference_boundary)) / 2,
        hd95_surface_mm=max(float(np.percentile(one, 95)) for one in directed),
        assd_mm=_mean(np.concatenate(directed)),
        hd_mm=max(float(one.max()) for one in directed),
        nsd=int(within) / number,
    )


def hd95(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """95th percentile Hausdorff distance over all voxels of the two volumes, in mm, in [0, image diagonal].

    Equations (1) and (2) with the maximum over x replaced by the 95th percentile:

        max{ P95_{x in P} min_{y in T} ||x - y||,  P95_{y in T} min_{x in P} ||x - y|| }

    P and T are all voxels of the masks, as in the paper's released code, not only those of the surfaces:
    voxels of the overlap count 0 and pull the percentile down. A ball of radius 20 voxels shifted by 3 gives
    1.41, where `hd95_surface` gives 3. The percentile interpolates linearly between order statistics.

    One mask empty: the diagonal of the image. Both empty: 0.

    Args:
        prediction: boolean mask P, 2D or 3D.
        reference: boolean mask T of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.

    Returns:
        0 at best (also where no more than about 5 % of each mask lies outside the other), at worst the
        diagonal.

    Raises:
        ValueError: the masks are not boolean, not 2D or 3D, or differ in shape, or the spacing does not fit
            them.
    """
    return segmentation_metrics(prediction, reference, spacing_mm=spacing_mm).hd95_mm


def hd95_surface(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """95th percentile Hausdorff distance of the two surfaces, in mm, in [0, image diagonal].

        max{ P95_{x in S_P} min_{y in S_T} ||x - y||,  P95_{y in S_T} min_{x in S_P} ||x - y|| }

    S is the contour of a mask: its voxels with a face neighbour outside, the image's edge not counting as
    outside. This is the usual definition (MONAI's, whose contour also has the voxels at the image's edge).
    The paper's tables hold the volumetric `hd95` instead. A ball of radius 20 voxels shifted by 3 gives 3.

    One mask empty: the diagonal of the image. Both empty: 0. One of two unequal masks fills the image and has
    no surface: the diagonal.

    Args:
        prediction: boolean mask, 2D or 3D.
        reference: boolean mask of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.

    Returns:
        0 at best, at worst the diagonal.

    Raises:
        ValueError: the masks are not boolean, not 2D or 3D, or differ in shape, or the spacing does not fit
            them.
    """
    return segmentation_metrics(prediction, reference, spacing_mm=spacing_mm).hd95_surface_mm


def asd(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Average surface distance in mm, in [0, image diagonal]: the mean of the two directed means.

        1/2 ( mean_{x in S_P} min_{y in B_T} ||x - y||  +  mean_{y in S_T} min_{x in B_P} ||x - y|| )

    As in the paper's released code, the two sets are not the same: S is the contour of a mask (voxels with a
    face neighbour outside), B its boundary as a signed distance map has it (voxels with any of the 26
    neighbours outside), a slightly thicker set. The image's edge is not outside. Each direction weighs one
    half, however many voxels its contour has.

    One mask empty: the diagonal of the image. Both empty: 0. One of two unequal masks fills the image and has
    no surface: the diagonal.

    Args:
        prediction: boolean mask, 2D or 3D.
        reference: boolean mask of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.

    Returns:
        0 at best, at worst the diagonal.

    Raises:
        ValueError: the masks are not boolean, not 2D or 3D, or differ in shape, or the spacing does not fit
            them.
    """
    return segmentation_metrics(prediction, reference, spacing_mm=spacing_mm).asd_mm


def assd(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Average symmetric surface distance in mm, in [0, image diagonal], pooled over both surfaces.

        ( sum_{x in S_P} min_{y in S_T} ||x - y|| + sum_{y in S_T} min_{x in S_P} ||x - y|| ) / (|S_P| + |S_T|)

    S is the contour of a mask, as for `hd95_surface`. Every contour voxel weighs the same, so the larger
    surface weighs more; `asd` gives each direction one half.

    One mask empty: the diagonal of the image. Both empty: 0. One of two unequal masks fills the image and has
    no surface: the diagonal.

    Args:
        prediction: boolean mask, 2D or 3D.
        reference: boolean mask of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.

    Returns:
        0 at best, at worst the diagonal.

    Raises:
        ValueError: the masks are not boolean, not 2D or 3D, or differ in shape, or the spacing does not fit
            them.
    """
    return segmentation_metrics(prediction, reference, spacing_mm=spacing_mm).assd_mm


def hd(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Hausdorff distance of the two surfaces in mm, in [0, image diagonal]: equations (1) and (2).

        max{ max_{x in S_P} min_{y in S_T} ||x - y||,  max_{y in S_T} min_{x in S_P} ||x - y|| }

    S is the contour of a mask, as for `hd95_surface`. It is a metric of contours: symmetric, 0 for equal ones
    only, and never longer than the way round by a third.

    One mask empty: the diagonal of the image. Both empty: 0. One of two unequal masks fills the image and has
    no surface: the diagonal.

    Args:
        prediction: boolean mask, 2D or 3D.
        reference: boolean mask of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.

    Returns:
        0 at best, at worst the diagonal.

    Raises:
        ValueError: the masks are not boolean, not 2D or 3D, or differ in shape, or the spacing does not fit
            them.
    """
    return segmentation_metrics(prediction, reference, spacing_mm=spacing_mm).hd_mm


def nsd(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """Normalised surface Dice, in [0, 1]: the part of both surfaces that lies within a tolerance of the other.

        ( |{x in S_P : min_{y in S_T} ||x - y|| <= tau}| + |{y in S_T : min_{x in S_P} ||x - y|| <= tau}| )
            / (|S_P| + |S_T|)

    S is the contour of a mask, as for `hd95_surface`, and contour voxels are counted, as in MONAI; DeepMind's
    surface-distance weighs surface elements by their area instead. A distance equal to the tolerance counts,
    up to rounding of 1e-6 mm.

    One mask empty: 0. Both empty: 1. One of two unequal masks fills the image and has no surface: 0.

    Args:
        prediction: boolean mask, 2D or 3D.
        reference: boolean mask of the same shape.
        spacing_mm: voxel spacing in mm, in array axis order.
        tolerance_mm: tau in mm, 0 or more.

    Returns:
        1 at best, 0 at worst.

    Raises:
        ValueError: the masks are not boolean, not 2D or 3D, or differ in shape, the spacing does not fit
            them, or the tolerance is negative or not finite.
    """
    return segmentation_metrics(
        prediction, reference, spacing_mm=spacing_mm, nsd_tolerance_mm=tolerance_mm
    ).nsd


def _mean(distances: Distances) -> float:
    """Mean that does not depend on the order of the voxels, not even in the last digit: a sum of whole numbers."""
    per_mm = 10**DECIMALS
    return int(np.rint(distances * per_mm).astype(np.int64).sum()) / per_mm / len(distances)


def _without_surface(overlap: float, hd95_mm: float, diagonal_mm: float) -> SegmentationMetrics:
    """Metrics of two unequal masks of which one has no surface, because it is empty or fills the image."""
    return SegmentationMetrics(
        dice=overlap,
        hd95_mm=hd95_mm,
        asd_mm=diagonal_mm,
        hd95_surface_mm=diagonal_mm,
        assd_mm=diagonal_mm,
        hd_mm=diagonal_mm,
        nsd=0.0,
    )
