"""After nnU-Net's augmentation a map is the distance map of the augmented labels: how nearly."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from augmentation_samples import (
    OUTSIDE,
    as_nnunet_loads,
    blobs,
    coordinates_mm,
    distance_maps,
    ellipsoids,
    make_sample,
    nnunet_spatial,
    seed_all,
)
from numpy.typing import NDArray

from gsl_experiments.training.augmented_maps import estimate_distances, matrix_in_mm
from gsl_experiments.training.transforms import carry_maps

BAND_MM = 20
Shape = Callable[..., NDArray[np.int16]]


def differences_in_voxels(
    spacing_mm: Sequence[float], patch: Sequence[int], image: Sequence[int], shape: Shape, seed: int
) -> NDArray[np.float64]:
    """Carried minus recomputed map in units of the smallest spacing, within 20 mm of each class's boundary.

    The oracle augments a patch with 20 mm more on every side by nnU-Net's transform alone, and measures there.
    """
    pseudo_2d = len(patch) == 3 and max(patch) / patch[0] > 3
    labels = shape(image, spacing_mm, np.random.default_rng(seed))
    maps = distance_maps(labels, spacing_mm)
    border = [(0, 0) if pseudo_2d and axis == 0 else (3, 3) for axis in range(len(image))]
    labels = np.pad(labels, border, constant_values=OUTSIDE)  # as the loader does beyond the image
    sample = make_sample(labels, np.pad(maps, [(0, 0), *border]))
    margin = np.ceil(BAND_MM / np.array(spacing_mm)).astype(int)
    if pseudo_2d:
        margin[0] = 0
    wide_patch = [int(size + 2 * more) for size, more in zip(patch, margin, strict=True)]

    seed_all(seed)
    wide = nnunet_spatial(wide_patch, pseudo_2d=pseudo_2d)(**as_nnunet_loads(sample))
    wide_labels = np.maximum(wide["segmentation"][0].numpy(), 0)
    inner = tuple(slice(more, more + size) for more, size in zip(margin, patch, strict=True))
    expected = distance_maps(wide_labels, spacing_mm)[(slice(None), *inner)]

    seed_all(seed)
    after = carry_maps(nnunet_spatial(patch, pseudo_2d=pseudo_2d), None, spacing_mm=spacing_mm)(**sample)
    target, carried = after["segmentation"][0].numpy(), after["regression_target"].numpy()
    np.testing.assert_array_equal(np.maximum(target, 0), wide_labels[inner])
    counted = (target != OUTSIDE) & (np.abs(expected) <= BAND_MM)
    return (carried - expected)[counted] / min(spacing_mm)


GRIDS = [
    pytest.param((1, 1, 1), (40, 40, 40), (80, 80, 80), id="isotropic"),
    pytest.param((1.5, 0.8, 0.8), (30, 56, 56), (48, 90, 90), id="anisotropic"),
    pytest.param((2.5, 0.8, 0.8), (28, 80, 80), (40, 120, 120), id="very anisotropic"),
    pytest.param((5, 0.7, 0.7), (12, 64, 64), (12, 110, 110), id="pseudo-2D"),
    pytest.param((0.8, 0.8), (96, 96), (192, 192), id="2D"),
]


@pytest.mark.parametrize("shape", [ellipsoids, blobs])
@pytest.mark.parametrize(("spacing_mm", "patch", "image"), GRIDS)
def test_the_carried_map_is_that_of_the_augmented_labels(
    spacing_mm: Sequence[float], patch: Sequence[int], image: Sequence[int], shape: Shape
) -> None:
    """Under 0.5 voxel on average, and no bias: under 0.15. Two draws here, six more in the slow test."""
    check_draws(range(2), spacing_mm, patch, image, shape)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [ellipsoids, blobs])
@pytest.mark.parametrize(("spacing_mm", "patch", "image"), GRIDS)
def test_the_carried_map_is_that_of_the_augmented_labels_in_many_draws(
    spacing_mm: Sequence[float], patch: Sequence[int], image: Sequence[int], shape: Shape
) -> None:
    check_draws(range(2, 8), spacing_mm, patch, image, shape)


def linear_map_of_a_plane(
    shape: Sequence[int], spacing_mm: Sequence[float], matrix: NDArray[np.float64], normal: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The resampled distance to a plane through the centre, and the distance to the resampled plane."""
    unit = np.array(normal) / np.linalg.norm(normal)
    new_normal = matrix.T @ unit
    resampled = np.einsum("i,i...->...", new_normal, coordinates_mm(shape, spacing_mm))
    return resampled, resampled / np.linalg.norm(new_normal)


@pytest.mark.parametrize("normal", [(1, 0, 0), (0, 0, 1), (1, 2, -1)])
def test_the_estimate_is_exact_for_planes_whatever_the_direction(normal: Sequence[float]) -> None:
    """But for the half voxel between a label's outermost centres and its edge, which a continuous plane lacks."""
    spacing_mm = (2.5, 0.8, 0.8)
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * 1.2
    matrix = matrix_in_mm(turn, spacing_mm)
    np.testing.assert_allclose(matrix[0, 1], -0.6 * 1.2 * 2.5 / 0.8)
    resampled, expected = linear_map_of_a_plane((8, 12, 12), spacing_mm, matrix, normal)
    half_voxel = sum(spacing_mm) / 3 / 2
    estimated = estimate_distances(torch.from_numpy(resampled + half_voxel), matrix, spacing_mm)
    np.testing.assert_allclose(estimated - half_voxel, expected, atol=1e-9)


def test_the_estimate_in_a_slice_counts_the_way_through_the_slices() -> None:
    """Planes in 3D, of whose map the slice shows one part; in plane 1.4 in one direction and 0.7 in the other."""
    matrix = np.diag([1.4, 0.7])
    volume = np.diag([np.sqrt(1.4 * 0.7), 1.4, 0.7])
    for normal in ((0, 1, 0), (1, 1, 1), (3, 0, 1)):
        resampled, expected = linear_map_of_a_plane((5, 12, 12), (1, 1, 1), volume, normal)
        estimated = estimate_distances(torch.from_numpy(resampled[4] + 0.5), matrix, (1, 1))
        np.testing.assert_allclose(estimated - 0.5, expected[4], atol=1e-9)


def check_draws(seeds: range, *args: Any) -> None:
    """Bounds in voxels of the smallest spacing.

    0.5 for the mean absolute difference of all draws. 0.15 for the mean signed one: dividing distances without regard
    to the half voxel between boundary centres and edge would be off by up to 0.2 in a draw.
    """
    draws = [differences_in_voxels(*args, seed) for seed in seeds]
    assert all(draw.size > 1000 for draw in draws)
    assert np.mean([np.abs(draw).mean() for draw in draws]) < 0.5
    assert abs(np.mean([draw.mean() for draw in draws])) < 0.15
