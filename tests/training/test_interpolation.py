"""Interpolation of a part of a patch: PyTorch's, to the last bit where the part lacks nothing but zeros."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn.functional import affine_grid, grid_sample, pad

from gsl_experiments.training.interpolation import interpolate

SHAPE, CORNER, SIZE = (20, 24, 28), (3, 0, 9), (12, 24, 15)  # of a patch, and of what is known of it


def volumes(channels: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(channels, *SIZE)).astype(np.float32))


def in_patch(part: torch.Tensor) -> torch.Tensor:
    """Zeros wherever the part does not reach."""
    widths = [
        width
        for corner, size, whole in zip(CORNER[::-1], SIZE[::-1], SHAPE[::-1], strict=True)
        for width in (corner, whole - corner - size)
    ]
    return pad(part, widths)


def turned(size: Sequence[int], zoom: float) -> torch.Tensor:
    """A grid that leaves the patch on several sides for zooms above 1."""
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    theta = torch.from_numpy(np.column_stack([turn * zoom, [0.1, -0.2, 0.05]])).float()
    return affine_grid(theta[None], [1, 1, *size], align_corners=False)[0]


@pytest.mark.parametrize("zoom", [0.4, 1.0, 1.7])
@pytest.mark.parametrize("size", [(10, 9, 17), (8, 8, 8), (1, 1, 3)])
def test_beyond_a_border_of_zeros_all_is_zero_as_in_grid_sample(size: Sequence[int], zoom: float) -> None:
    part, grid = volumes(), turned(size, zoom)
    expected = grid_sample(in_patch(part)[None], grid[None], align_corners=False)[0]
    bordered = pad(part, (1,) * 6).numpy()
    found = interpolate(bordered, grid.numpy(), SHAPE, [first - 1 for first in CORNER])
    np.testing.assert_array_equal(found, expected)


def test_without_a_border_the_faces_values_go_on() -> None:
    """Oracle: grid_sample's own clamping, for a patch that is nothing but the part."""
    part, grid = volumes(), turned((10, 9, 17), 1.4)
    expected = grid_sample(part[None], grid[None], padding_mode="border", align_corners=False)[0]
    np.testing.assert_array_equal(interpolate(part.numpy(), grid.numpy(), SIZE, (0, 0, 0)), expected)


def test_whole_numbers_in_steps_with_an_offset_for_each_volume() -> None:
    steps = np.random.default_rng(2).integers(-3000, 3000, (2, *SIZE)).astype(np.int16)
    grid = turned((10, 9, 17), 0.5)
    in_mm = torch.from_numpy(steps / np.float32([16, 8]).reshape(2, 1, 1, 1))
    expected = grid_sample(in_mm[None], grid[None], padding_mode="border", align_corners=False)[0].numpy()
    found = interpolate(steps, grid.numpy(), SIZE, (0, 0, 0), factors=[1 / 16, 1 / 8], offsets=[0, 1.5])
    np.testing.assert_allclose(found, expected + np.array([0, 1.5]).reshape(2, 1, 1, 1), atol=1e-3)


def test_a_volume_of_one_voxel_is_everywhere_the_same() -> None:
    found = interpolate(
        np.full((1, 1, 1, 1), 7.0, np.float32), turned((4, 4, 4), 1.3).numpy(), SHAPE, (2, 2, 2)
    )
    np.testing.assert_allclose(found, 7.0, rtol=1e-6)
