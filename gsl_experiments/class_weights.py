"""Class weights from the voxel counts of a whole dataset (eqs. 13 and 17)."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def count_voxels(labels: NDArray[np.integer], num_classes: int) -> NDArray[np.int64]:
    """Number of voxels of each class in one label image, each at least 0.

    The counts of a dataset's images add up to N_k of eq. (13).

    Args:
        labels: one class a voxel, integers below `num_classes`, any shape. Negative labels, with which
            nnU-Net marks the voxels outside an image's non-zero region, belong to no class.
        num_classes: C, background included.

    Returns:
        The counts, int64, of shape (C,); 0 for a class that the image does not hold.

    Raises:
        ValueError: the labels are not integers, or reach `num_classes`.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels have dtype {labels.dtype}, expected integers")
    if labels.size > 0 and labels.max() >= num_classes:
        raise ValueError(f"label {labels.max()} is out of range for {num_classes} classes")
    return np.array([np.count_nonzero(labels == label) for label in range(num_classes)], dtype=np.int64)


def class_weights(voxel_counts: ArrayLike, power: float = 1.0) -> NDArray[np.float64]:
    """Weight of each class, large for a rare class, each in (0, 1) and 1 together.

        w_k = (1 / N_k)^p / sum_j (1 / N_j)^p                                                           (17)

    With p = 1 this is eq. (13).

    Args:
        voxel_counts: N_k, the number of voxels of each class in the whole dataset, of shape (C,).
        power: p, at least 0; 0 weighs all classes alike.

    Returns:
        The weights, float64, of shape (C,).

    Raises:
        ValueError: a class has no voxel in the whole dataset, and so no finite weight; the counts are not one
            row of numbers; the power is negative or not finite.
    """
    counts = np.asarray(voxel_counts, dtype=np.float64)
    if counts.ndim != 1 or counts.size == 0:
        raise ValueError(f"voxel_counts has shape {counts.shape}, expected one number for each class")
    if not (math.isfinite(power) and power >= 0):
        raise ValueError(f"power is {power}, expected a finite number of at least 0")
    absent = np.flatnonzero(~(counts > 0))
    if absent.size > 0:
        raise ValueError(f"no voxel in the dataset belongs to class {', '.join(map(str, absent))}")
    inverse = (counts.min() / counts) ** power  # relative to the rarest class: no power can overflow
    return inverse / inverse.sum()
