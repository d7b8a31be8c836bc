"""Shapes and textures in mm, so that a phantom's anatomy does not depend on its number of voxels.

Arrays are in (z, y, x) order; positions and radii are in (x, y, z) order as in SimpleITK: x to the patient's
left, y to the back, z to the head.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """The voxel centres of a volume whose middle is the origin.

    Args:
        size: number of voxels (x, y, z).
        spacing_mm: distance of their centres (x, y, z).
    """

    size: tuple[int, int, int]
    spacing_mm: Point

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of this grid's arrays: (z, y, x)."""
        return self.size[2], self.size[1], self.size[0]

    def axes_mm(self) -> tuple[Array, Array, Array]:
        """x, y and z of the voxel centres, ready to be broadcast against each other."""
        x, y, z = (
            ((np.arange(size) - (size - 1) / 2) * spacing).astype(np.float32)
            for size, spacing in zip(self.size, self.spacing_mm, strict=True)
        )
        return x[None, None, :], y[None, :, None], z[:, None, None]


def ellipsoid(grid: Grid, centre: Point, radii: Point, power: float = 2.0) -> Array:
    """A field: 1 in the centre, 0 on the surface, negative outside; powers above 2 are boxier.

    It falls by 1 over one radius, so adding ``f`` to it moves the surface outwards by ``f`` radii.
    """
    distance = sum(
        np.abs((axis - position) / radius) ** power
        for axis, position, radius in zip(grid.axes_mm(), centre, radii, strict=True)
    )
    return np.asarray(1 - distance ** (1 / power), np.float32)


def smooth_noise(grid: Grid, rng: np.random.Generator, wavelength_mm: float, waves: int = 12) -> Array:
    """A smooth random field of mean 0 and standard deviation about 1: plane waves of random directions.

    Their lengths lie between 0.7 and 1.5 times ``wavelength_mm``. A wave is an outer product of three complex
    lines, which makes this several times as fast as filtering white noise.
    """
    directions = rng.normal(size=(waves, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = wavelength_mm * rng.uniform(0.7, 1.5, waves)
    phases = rng.uniform(0, 2 * np.pi, waves)
    frequencies = 2 * np.pi * directions / lengths[:, None]
    x, y, z = (
        np.exp(1j * frequency[:, None] * axis.ravel()).astype(np.complex64)
        for frequency, axis in zip(frequencies.T, grid.axes_mm(), strict=True)
    )
    z *= np.exp(1j * phases).astype(np.complex64)[:, None]
    lines = (z[:, :, None] * y[:, None, :]).reshape(waves, -1)
    field = (lines.T @ x).real.reshape(grid.shape)
    return np.asarray(field * np.sqrt(2 / waves), np.float32)


def smooth_union(first: Array, second: Array, softness: float = 0.1) -> Array:
    """The larger of two fields, with the crease between them filled over a range of ``softness``."""
    blend = np.clip(0.5 + (first - second) / (2 * softness), 0, 1)
    return np.asarray(second + (first - second) * blend + softness * blend * (1 - blend), np.float32)


def random_voxel(mask: Mask, rng: np.random.Generator, grid: Grid) -> Point | None:
    """The position in mm of a voxel of a mask, each equally likely; None if the mask is empty."""
    voxels = np.flatnonzero(mask)
    if voxels.size == 0:
        return None
    z, y, x = np.unravel_index(voxels[rng.integers(voxels.size)], mask.shape)
    axes = [axis.ravel() for axis in grid.axes_mm()]
    return float(axes[0][x]), float(axes[1][y]), float(axes[2][z])
