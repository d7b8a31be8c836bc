"""The paper's metrics on boolean masks: Dice, HD95 of volumes and of surfaces, average surface distance."""

from gsl_experiments.metrics.masks import image_diagonal_mm
from gsl_experiments.metrics.segmentation import (
    SegmentationMetrics,
    asd,
    dice,
    hd95,
    hd95_surface,
    segmentation_metrics,
)

__all__ = [
    "SegmentationMetrics",
    "asd",
    "dice",
    "hd95",
    "hd95_surface",
    "image_diagonal_mm",
    "segmentation_metrics",
]
