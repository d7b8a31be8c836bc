"""Metrics on boolean masks: the paper's Dice, HD95 and ASD, and distances and overlap of the surfaces."""

from gsl_experiments.metrics.masks import image_diagonal_mm
from gsl_experiments.metrics.segmentation import (
    METRICS_VERSION,
    NSD_TOLERANCE_MM,
    SegmentationMetrics,
    asd,
    assd,
    dice,
    hd,
    hd95,
    hd95_surface,
    nsd,
    segmentation_metrics,
)

__all__ = [
    "METRICS_VERSION",
    "NSD_TOLERANCE_MM",
    "SegmentationMetrics",
    "asd",
    "assd",
    "dice",
    "hd",
    "hd95",
    "hd95_surface",
    "image_diagonal_mm",
    "nsd",
    "segmentation_metrics",
]
