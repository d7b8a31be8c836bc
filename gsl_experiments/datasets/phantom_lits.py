"""Synthetic abdominal CT in the layout of LiTS, to try everything without the real data."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gsl_experiments.datasets.nifti import write_image
from gsl_experiments.datasets.phantom import case_generator, check_parameters, claim_folder, to_image
from gsl_experiments.datasets.phantom_shapes import Array, Grid, Mask, ellipsoid, random_voxel, smooth_noise
from gsl_experiments.datasets.phantom_trunk import Trunk

# Every third case has neighbours of the liver's own density, much noise and a strongly bent surface.
_HARD_EVERY = 3


def write_phantom_lits(
    folder: Path, *, cases: int = 10, size: tuple[int, int, int] = (96, 96, 48), seed: int = 42
) -> None:
    """Writes ``volume-N.nii`` (int16, HU) and ``segmentation-N.nii`` (uint8: 1 liver, 2 lesion) for N from 0.

    A case shows a trunk with ribs, spine, lungs, heart and the liver's usual neighbours, some of them of the
    liver's density; size, place and shape of the liver, its lesions and the spacing vary. The field of view
    is that of a real scan: fewer voxels are coarser ones. A case depends on ``seed``, its number and ``size``
    alone. Cases that are there are left alone.

    Args:
        folder: new folder, or one that this very call has (perhaps partly) written before.
        cases: number of cases, at least 1.
        size: voxels (x, y, z), each at least 16.
        seed: seed of all random numbers, not negative.

    Raises:
        ValueError: if ``cases`` or ``size`` is too small.
        DatasetError: if the folder holds something else.
    """
    check_parameters(cases, size)
    claim_folder(folder, {"phantom": "lits", "cases": cases, "size": list(size), "seed": seed})
    for index in range(cases):
        volume, segmentation = folder / f"volume-{index}.nii", folder / f"segmentation-{index}.nii"
        if volume.is_file() and segmentation.is_file():
            continue
        rng = case_generator(seed, index)
        grid = _random_grid(size, rng)
        origin_mm = tuple(rng.uniform(-400, 0, 3).round(1).tolist())
        hounsfield, labels = _make_case(grid, rng, hard=index % _HARD_EVERY == _HARD_EVERY - 1)
        write_image(to_image(hounsfield, grid.spacing_mm, origin_mm), volume)
        write_image(to_image(labels, grid.spacing_mm, origin_mm), segmentation)


def _random_grid(size: tuple[int, int, int], rng: np.random.Generator) -> Grid:
    """The field of view of a scan of 512 x 512 pixels of 0.7 to 1 mm, 220 to 320 mm high."""
    in_plane = round(512 * rng.uniform(0.7, 1.0) / max(size[:2]), 4)
    return Grid(size, (in_plane, in_plane, round(rng.uniform(220, 320) / size[2], 4)))


def _make_case(
    grid: Grid, rng: np.random.Generator, *, hard: bool
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """A CT volume in HU and its labels."""
    trunk = Trunk.random(grid, rng)
    liver_hu = float(rng.uniform(50, 65))
    liver_field = trunk.liver_field(rng, roughness=0.14 if hard else 0.07)
    hounsfield = trunk.paint_body(rng)
    kidneys = trunk.paint_organs(hounsfield, rng, like_hu=liver_hu if hard else None)
    liver = (liver_field > 0) & trunk.inside & ~kidneys
    hounsfield[liver] = liver_hu
    hounsfield[liver & _vessel_tree(grid, rng)] += rng.uniform(5, 40)
    lesions = _add_lesions(hounsfield, liver, liver_field, grid, rng, contrast_hu=15 if hard else 30)
    trunk.paint_bones(hounsfield)
    labels = liver.astype(np.uint8)
    labels[lesions] = 2
    return _scan(hounsfield, rng, noise_hu=rng.uniform(16, 24) if hard else rng.uniform(7, 14)), labels


def _vessel_tree(grid: Grid, rng: np.random.Generator) -> Mask:
    """Branching tubes: where two smooth fields cross zero together."""
    first, second = (smooth_noise(grid, rng, 55) for _ in range(2))
    return np.asarray(np.hypot(first, second) < 0.22)


def _add_lesions(
    hounsfield: Array,
    liver: Mask,
    liver_field: Array,
    grid: Grid,
    rng: np.random.Generator,
    contrast_hu: float,
) -> Mask:
    """Darkens up to four round lesions of 4 to 22 mm radius and returns where they are."""
    lesions = np.zeros_like(liver)
    for _ in range(rng.integers(0, 5)):
        centre = random_voxel(liver & (liver_field > 0.15), rng, grid)
        if centre is None:
            break
        radius = float(np.exp(rng.uniform(np.log(4), np.log(22))))
        field = ellipsoid(grid, centre, (radius, radius * rng.uniform(0.7, 1.3), radius))
        lesion = (field + 0.2 * smooth_noise(grid, rng, 2.5 * radius, waves=6) > 0) & liver
        hounsfield[lesion] -= contrast_hu * rng.uniform(0.7, 1.5)
        lesions |= lesion
    return lesions


def _scan(hounsfield: Array, rng: np.random.Generator, noise_hu: float) -> npt.NDArray[np.int16]:
    """Blurs by the scanner's resolution and adds its noise, which is correlated between neighbours."""
    blurred = ndimage.gaussian_filter(hounsfield, (0.4, 0.6, 0.6))
    noise = ndimage.gaussian_filter(rng.standard_normal(hounsfield.shape, np.float32), (0.3, 0.5, 0.5))
    noise *= noise_hu / noise.std()
    return np.clip(np.rint(blurred + noise), -1024, 3071).astype(np.int16)
