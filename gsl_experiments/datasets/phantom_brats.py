"""Synthetic brain MR in the layout of BraTS, to try everything without the real data."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gsl_experiments.atomic import replacing
from gsl_experiments.datasets.nifti import write_image
from gsl_experiments.datasets.phantom import case_generator, check_parameters, claim_folder, to_image
from gsl_experiments.datasets.phantom_shapes import Array, Grid, Mask, ellipsoid, random_voxel, smooth_noise
from gsl_experiments.errors import UserError

_FLUID, _GREY, _WHITE, _SPOT, _NECROSIS, _OEDEMA, _ENHANCING = range(1, 8)
# Brightness of these tissues, in the order above, relative to white matter in T1.
_CONTRASTS = {
    "t1": (0.30, 0.66, 1.00, 0.85, 0.48, 0.70, 0.66),
    "t1ce": (0.30, 0.68, 1.00, 0.85, 0.50, 0.70, 1.55),
    "t2": (1.50, 0.78, 0.58, 0.95, 1.30, 1.15, 0.95),
    "flair": (0.22, 0.72, 0.60, 1.00, 0.70, 1.20, 1.05),
}
_RAW_LABELS = {_NECROSIS: 1, _OEDEMA: 2, _ENHANCING: 4}
_BRAIN_RADII_MM = (70.0, 86.0, 66.0)
_MARGIN = 1.12


def write_phantom_brats(
    folder: Path,
    *,
    cases: int = 10,
    size: tuple[int, int, int] = (80, 96, 80),
    seed: int = 42,
    absent_enhancing_fraction: float = 0.2,
) -> None:
    """Writes ``CASE/CASE_{t1,t1ce,t2,flair}.nii.gz`` (int16) and ``CASE_seg.nii.gz`` (uint8: 0, 1, 2, 4).

    A case shows a skull-stripped brain on exact zeros (every brain voxel is positive) with a bias field,
    Rician noise, bright spots that are no tumour, and a tumour of 10 to 42 mm radius: oedema around a core
    whose rim enhances around necrosis. Voxels are cubes of 1 mm, or larger where the brain would not fit. A
    case depends on ``seed``, its number, ``size`` and ``absent_enhancing_fraction`` alone. Cases that are
    there are left alone.

    Args:
        folder: new folder, or one that this very call has (perhaps partly) written before.
        cases: number of cases, at least 1.
        size: voxels (x, y, z), each at least 16.
        seed: seed of all random numbers, not negative.
        absent_enhancing_fraction: part of the cases, 0 to 1 and evenly spread, whose core does not enhance.

    Raises:
        ValueError: if ``cases`` or ``size`` is too small or the fraction is not between 0 and 1.
        DatasetError: if the folder holds something else.
    """
    check_parameters(cases, size)
    if not 0 <= absent_enhancing_fraction <= 1:
        raise UserError(
            f"absent_enhancing_fraction must lie between 0 and 1, not {absent_enhancing_fraction}"
        )
    parameters = {"phantom": "brats", "cases": cases, "size": list(size), "seed": seed}
    claim_folder(folder, parameters | {"absent_enhancing_fraction": absent_enhancing_fraction})
    grid = _grid(size)
    for index in range(cases):
        name = f"BraTS20_Phantom_{index + 1:03d}"
        if (folder / name).is_dir():
            continue
        enhancing = int((index + 1) * absent_enhancing_fraction) == int(index * absent_enhancing_fraction)
        images = _make_case(grid, case_generator(seed, index), enhancing=enhancing)
        with replacing(folder / name) as partial:
            partial.mkdir()
            for suffix, voxels in images.items():
                origin_mm = (0.0, -(size[1] - 1) * grid.spacing_mm[1], 0.0)
                write_image(to_image(voxels, grid.spacing_mm, origin_mm), partial / f"{name}_{suffix}.nii.gz")


def _grid(size: tuple[int, int, int]) -> Grid:
    spacing_mm = max(
        2 * _MARGIN * radius / count for radius, count in zip(_BRAIN_RADII_MM, size, strict=True)
    )
    return Grid(size, (round(max(spacing_mm, 1.0), 3),) * 3)


def _make_case(
    grid: Grid, rng: np.random.Generator, *, enhancing: bool
) -> dict[str, npt.NDArray[np.generic]]:
    """The four contrasts and the raw labels of a case, by file suffix."""
    tissue, depth_mm = _brain(grid, rng)
    brain = tissue > 0
    _add_tumour(tissue, depth_mm, grid, rng, enhancing=enhancing)
    images: dict[str, npt.NDArray[np.generic]] = {
        name: _scan(tissue, brain, grid, rng, contrast) for name, contrast in _CONTRASTS.items()
    }
    labels = np.zeros(tissue.shape, np.uint8)
    for kind, raw in _RAW_LABELS.items():
        labels[tissue == kind] = raw
    return images | {"seg": labels}


def _brain(grid: Grid, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Array]:
    """Tissues of a brain without tumour (0 outside), and the depth of each voxel under its surface in mm."""
    x, y, z = grid.axes_mm()
    radii = [radius * rng.uniform(0.92, 1.04) for radius in _BRAIN_RADII_MM]
    outline = ellipsoid(grid, (0, 0, 0), (radii[0], radii[1], radii[2]), power=2.3)
    outline += np.float32(0.03) * smooth_noise(grid, rng, 60)
    # The base of the brain is flat in front and rises from there.
    outline = np.minimum(outline, (z + 46 + 0.25 * y) / 40 + 0.02 * smooth_noise(grid, rng, 40))
    depth_mm = np.asarray(outline * min(radii), np.float32)
    folds = smooth_noise(grid, rng, 22, waves=24)
    fissure = np.abs(x + 1.5 * smooth_noise(grid, rng, 60, waves=6)) + 0 * y
    cortex_mm = 4.0 + 9.0 * np.exp(-((folds / 0.4) ** 2))
    tissue = np.where(depth_mm > cortex_mm, _WHITE, _GREY).astype(np.uint8)
    tissue[(depth_mm < 11) & (np.abs(folds) < 0.12)] = _FLUID
    tissue[(fissure < 5) & (z > 22)] = _GREY
    tissue[(fissure < 1.6) & (z > 22)] = _FLUID
    _add_deep_structures(tissue, grid, rng)
    tissue[depth_mm < 1.0] = _FLUID
    tissue[depth_mm <= 0] = 0
    return tissue, depth_mm


def _add_deep_structures(tissue: npt.NDArray[np.uint8], grid: Grid, rng: np.random.Generator) -> None:
    """Grey nuclei, ventricles of varying width, and the bright white-matter spots of old age around them."""
    bend = 0.15 * smooth_noise(grid, rng, 35)
    width = rng.uniform(0.8, 1.6)
    for side in (-1, 1):
        tissue[ellipsoid(grid, (side * 17, 4, -2), (9, 14, 10)) + bend > 0] = _GREY
        tissue[ellipsoid(grid, (side * 25, -12, 2), (8, 17, 11)) + bend > 0] = _GREY
        horns = (
            ellipsoid(grid, (side * 9, -14, 14), (6 * width, 22, 8)),
            ellipsoid(grid, (side * 15, 22, 12), (6 * width, 20, 8)),
        )
        ventricle = np.maximum(*horns) + bend
        spots = (
            (ventricle > -0.9) & (smooth_noise(grid, rng, 16) > rng.uniform(1.3, 2.2)) & (tissue == _WHITE)
        )
        tissue[spots] = _SPOT
        tissue[ventricle > 0] = _FLUID


def _add_tumour(
    tissue: npt.NDArray[np.uint8], depth_mm: Array, grid: Grid, rng: np.random.Generator, *, enhancing: bool
) -> None:
    """Puts oedema, core and (if it enhances) a rim into the tissue, each within the one before."""
    brain = tissue > 0
    radius = float(np.exp(rng.uniform(np.log(10), np.log(42))))
    place = random_voxel((depth_mm > 10) & (tissue == _WHITE), rng, grid)
    if place is None:
        place = random_voxel(brain, rng, grid) or (0.0, 0.0, 0.0)
    stretch = [radius * rng.uniform(0.75, 1.3) for _ in range(3)]
    field = ellipsoid(grid, place, (stretch[0], stretch[1], stretch[2]))
    # Oedema follows the white matter in fingers and spares the cortex and the ventricles.
    fingers = smooth_noise(grid, rng, max(radius, 14.0)) + 0.5 * smooth_noise(grid, rng, max(radius / 2, 9.0))
    oedema = (field + 0.22 * fingers > 0) & (tissue != _FLUID) & ((tissue != _GREY) | (field > 0.35)) & brain
    ratio = rng.uniform(0.4, 0.75)
    bumps = smooth_noise(grid, rng, max(0.8 * radius, 10.0))
    core_field = (field - (1 - ratio)) / ratio + 0.18 * bumps
    core = (core_field > 0) & brain
    tissue[oedema | core] = _OEDEMA
    tissue[core] = _NECROSIS
    if enhancing:
        rim = rng.uniform(0.25, 0.6) + 0.15 * smooth_noise(grid, rng, 14)
        solid = core & (core_field < np.maximum(rim, grid.spacing_mm[0] / (ratio * radius)))
        # A core of a few coarse voxels may have no rim: then all of it enhances.
        tissue[solid if solid.any() else core] = _ENHANCING


def _scan(
    tissue: npt.NDArray[np.uint8],
    brain: Mask,
    grid: Grid,
    rng: np.random.Generator,
    contrast: tuple[float, ...],
) -> npt.NDArray[np.int16]:
    """An image of one contrast: blurred tissues, a bias field, Rician noise; zero outside the brain only."""
    signal = np.asarray((0.0, *contrast), np.float32)[tissue]
    signal *= 1 + np.float32(0.03) * smooth_noise(grid, rng, 14, waves=32)
    signal = ndimage.gaussian_filter(signal, 0.6)
    signal *= np.exp(np.float32(0.12) * smooth_noise(grid, rng, 180, waves=4))
    level = rng.uniform(0.03, 0.06)
    real, imaginary = rng.standard_normal((2, *tissue.shape), np.float32) * np.float32(level)
    noisy = np.hypot(signal + real, imaginary) * rng.uniform(300, 900)
    return np.where(brain, np.maximum(np.rint(noisy), 1), 0).astype(np.int16)
