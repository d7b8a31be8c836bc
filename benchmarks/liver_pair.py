"""Two masks that look like a liver and its prediction, from random numbers: no patient's data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]

CT_SHAPE, CT_SPACING_MM = (517, 512, 512), (1.0, 0.75, 0.75)
SEMI_AXES_MM = (62.0, 72.0, 86.0)
# Far false positives: where, as a part of the image, and how large, as a part of the liver's shortest semi-axis.
DEBRIS = (((0.12, 0.2, 0.24), 0.09), ((0.87, 0.78, 0.18), 0.06), ((0.58, 0.16, 0.84), 0.12))


def liver_pair(
    shape: Sequence[int] = CT_SHAPE,
    spacing_mm: Sequence[float] = CT_SPACING_MM,
    *,
    centre: Sequence[float] = (0.55, 0.55, 0.55),
    shift_mm: float = 0.0,
    missed: float = 0.0,
    debris: bool = True,
    seed: int = 0,
) -> Pair:
    """Return the labels of a prediction and its reference: an ellipsoid with bumps, and the same with other bumps.

    At the size of a CT the reference has 1.6 litres and the prediction a Dice of 0.95, some debris far from the
    liver included. In a smaller image the liver is smaller by as much.

    Args:
        shape: of the image.
        spacing_mm: of its voxels.
        centre: of the liver, as a part of the image.
        shift_mm: by which the prediction is too high along the first axis.
        missed: part of the liver, along the last axis, that the prediction leaves out.
        debris: whether the prediction has false positives far from the liver.
        seed: of the bumps.
    """
    rng = np.random.default_rng(seed)
    extent_mm = np.multiply(shape, spacing_mm)
    semi_mm = np.array(SEMI_AXES_MM) * (extent_mm / np.multiply(CT_SHAPE, CT_SPACING_MM)).min()
    centre_mm = extent_mm * centre
    low = np.maximum(0, (centre_mm - 1.3 * semi_mm) / spacing_mm).astype(int)
    high = np.minimum(shape, (centre_mm + 1.3 * semi_mm) / spacing_mm + 1).astype(int)
    box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    axes = np.ogrid[box]
    squares = (
        (i * s - c) ** 2 / r**2 for i, s, c, r in zip(axes, spacing_mm, centre_mm, semi_mm, strict=True)
    )
    level = 1 - np.sqrt(sum(squares)).astype(np.float32)
    level += _bumps(rng, level.shape, cells=5, height=0.06)
    other = (
        level
        + _bumps(rng, level.shape, cells=9, height=0.07)
        + _bumps(rng, level.shape, cells=24, height=0.03)
    )
    prediction, reference = (np.zeros(shape, np.uint8) for _ in range(2))
    last_mm = axes[-1].ravel() * spacing_mm[-1]
    kept = last_mm < centre_mm[-1] + semi_mm[-1] * (1 - 2 * missed if missed else np.inf)
    reference[box], prediction[box] = level > 0, (other > 0) & kept
    prediction = np.roll(prediction, round(shift_mm / spacing_mm[0]), axis=0)
    for place, size in DEBRIS if debris else ():
        _add_ball(prediction, extent_mm * place, size * semi_mm.min(), spacing_mm)
    return prediction, reference


def _bumps(
    rng: np.random.Generator, shape: tuple[int, ...], *, cells: int, height: float
) -> NDArray[np.float32]:
    coarse = rng.normal(size=(cells,) * len(shape)).astype(np.float32)
    return height * ndimage.zoom(coarse, [n / cells for n in shape], order=1)


def _add_ball(
    labels: NDArray[np.uint8], centre_mm: NDArray[np.float64], radius_mm: float, spacing_mm: Sequence[float]
) -> None:
    low = np.maximum(0, (centre_mm - radius_mm) / spacing_mm).astype(int)
    high = ((centre_mm + radius_mm) / spacing_mm).astype(int) + 2
    box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    axes = np.ogrid[box]
    squares = sum((i * s - c) ** 2 for i, s, c in zip(axes, spacing_mm, centre_mm, strict=True))
    part = labels[box]
    part |= (squares <= radius_mm**2)[tuple(slice(n) for n in part.shape)]
