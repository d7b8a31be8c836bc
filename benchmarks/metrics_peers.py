"""What other libraries measure on a pair of masks, each in its own way, under the names of our columns."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from benchmarks.turns import OURS
from gsl_experiments.metrics import segmentation_metrics

Mask = NDArray[np.bool_]
Values = dict[str, float]

ITK, MONAI, SURFACE_DISTANCE, MEDPY = "SimpleITK", "MONAI", "surface-distance", "MedPy"
MODULES = {MONAI: "monai", SURFACE_DISTANCE: "surface_distance", MEDPY: "medpy"}
TOLERANCE_MM = 2.0


def by_ours(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> Values:
    """All our metrics."""
    return asdict(
        segmentation_metrics(prediction, reference, spacing_mm=spacing_mm, nsd_tolerance_mm=TOLERANCE_MM)
    )


def by_itk(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> Values:
    """All our metrics from ITK's distance maps and contours of the whole volume.

    Squared distances, because ITK works in single precision: they are exact where the squares of the spacing are.
    """
    pair = (prediction, reference)
    contours = [sitk.GetArrayFromImage(sitk.LabelContour(_image(mask, spacing_mm))) == 1 for mask in pair]
    volumes, boundaries, surfaces = [], [], []
    for one, other in ((0, 1), (1, 0)):
        to_mask = _signed_map(pair[other], spacing_mm)
        volumes.append(_lengths(np.maximum(to_mask[pair[one]], 0)))
        boundaries.append(_lengths(to_mask[contours[one]]))
        del to_mask
        surfaces.append(_lengths(_signed_map(contours[other], spacing_mm)[contours[one]]))
    pooled = np.concatenate(surfaces)
    return {
        "dice": 2 * np.count_nonzero(prediction & reference) / (prediction.sum() + reference.sum()),
        "hd95_mm": max(np.percentile(volume, 95) for volume in volumes),
        "asd_mm": np.mean([boundary.mean() for boundary in boundaries]),
        "hd95_surface_mm": max(np.percentile(surface, 95) for surface in surfaces),
        "assd_mm": pooled.mean(),
        "hd_mm": pooled.max(),
        "nsd": np.mean(pooled <= TOLERANCE_MM),
    }


def by_monai(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> Values:
    """MONAI's Dice, Hausdorff distances, average surface distance and surface Dice."""
    import torch
    from monai import metrics

    batches = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    common = {"include_background": True, "spacing": list(spacing_mm)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "dice": metrics.compute_dice(*batches, include_background=True).item(),
            "hd95_surface_mm": metrics.compute_hausdorff_distance(*batches, percentile=95, **common).item(),
            "assd_mm": metrics.compute_average_surface_distance(*batches, symmetric=True, **common).item(),
            "hd_mm": metrics.compute_hausdorff_distance(*batches, **common).item(),
            "nsd": metrics.compute_surface_dice(*batches, class_thresholds=[TOLERANCE_MM], **common).item(),
        }


def by_surface_distance(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> Values:
    """Everything that DeepMind's surface-distance makes of its list of surface elements."""
    import surface_distance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        surfaces = surface_distance.compute_surface_distances(reference, prediction, spacing_mm)
    return {
        "dice": float(surface_distance.compute_dice_coefficient(reference, prediction)),
        "hd95_surface_mm": float(surface_distance.compute_robust_hausdorff(surfaces, 95)),
        "assd_mm": float(np.mean(surface_distance.compute_average_surface_distance(surfaces))),
        "hd_mm": float(surface_distance.compute_robust_hausdorff(surfaces, 100)),
        "nsd": float(surface_distance.compute_surface_dice_at_tolerance(surfaces, TOLERANCE_MM)),
    }


def by_medpy(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> Values:
    """MedPy's Dice, Hausdorff distances and average symmetric surface distance."""
    from medpy.metric import binary

    pair = (prediction, reference)
    return {
        "dice": float(binary.dc(*pair)),
        "hd95_surface_mm": float(binary.hd95(*pair, voxelspacing=spacing_mm)),
        "assd_mm": float(binary.assd(*pair, voxelspacing=spacing_mm)),
        "hd_mm": float(binary.hd(*pair, voxelspacing=spacing_mm)),
    }


CONTESTANTS: dict[str, Callable[[Mask, Mask, Sequence[float]], Values]] = {
    OURS: by_ours,
    ITK: by_itk,
    SURFACE_DISTANCE: by_surface_distance,
    MONAI: by_monai,
    MEDPY: by_medpy,
}


def _image(mask: Mask, spacing_mm: Sequence[float]) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing([float(length) for length in reversed(spacing_mm)])
    return image


def _signed_map(mask: Mask, spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    options = {"insideIsPositive": False, "squaredDistance": True, "useImageSpacing": True}
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(_image(mask, spacing_mm), **options))


def _lengths(squared: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unsigned lengths of signed squares; inside a contour, squares are those to its boundary, so 0."""
    return np.sqrt(np.abs(squared.astype(np.float64)))
