"""The anatomy of the CT phantom: a trunk with the organs that surround the liver, in HU."""

from dataclasses import dataclass

import numpy as np

from gsl_experiments.datasets.phantom_shapes import (
    Array,
    Grid,
    Mask,
    Point,
    ellipsoid,
    smooth_noise,
    smooth_union,
)

_AIR, _LUNG, _FAT, _MUSCLE, _MARROW, _CORTEX, _DISC = -1000, -840, -100, 55, 200, 480, 90
_CANAL = 30


@dataclass(frozen=True)
class _Organ:
    """Centre and radii in mm in a patient of 340 x 230 mm, and the range of its density in HU."""

    centre: Point
    radii: Point
    hounsfield: tuple[float, float]


_LUNGS = (
    _Organ((-78, 5, 145), (66, 84, 95), (_LUNG, _LUNG)),
    _Organ((80, 12, 140), (62, 80, 95), (_LUNG, _LUNG)),
)
_KIDNEYS = (_Organ((-60, 52, -62), (27, 27, 50), (35, 60)), _Organ((62, 50, -50), (27, 27, 50), (35, 60)))
# Later ones lie on top. The heart, spleen and stomach touch the liver and overlap its 50 to 65 HU.
_NEIGHBOURS = (
    _Organ((22, -30, 108), (60, 50, 44), (40, 65)),
    _Organ((62, -32, 20), (46, 40, 46), (30, 55)),
    _Organ((98, 34, 28), (34, 42, 54), (45, 65)),
    _Organ((20, 5, -25), (56, 15, 17), (35, 50)),
    _Organ((-48, -38, -58), (16, 18, 28), (5, 20)),
)
_AORTA = _Organ((12, 44, 0), (12, 12, 1000), (50, 160))
_VENA_CAVA = _Organ((-24, 38, 0), (13, 11, 1000), (45, 90))


@dataclass(frozen=True)
class Trunk:
    """A patient's outline; all lengths grow with ``scale``.

    Args:
        grid: the volume's voxels.
        scale: size of the patient, 1 for a trunk of 340 x 230 mm.
        skin: field that is positive within the body.
        wall: field that is positive within the muscles of the wall.
        cavity: field that is positive within the ribs.
    """

    grid: Grid
    scale: float
    skin: Array
    wall: Array
    cavity: Array

    @staticmethod
    def random(grid: Grid, rng: np.random.Generator) -> "Trunk":
        """A patient of random size that fits the field of view."""
        width_mm = min(
            size * spacing for size, spacing in zip(grid.size[:2], grid.spacing_mm[:2], strict=True)
        )
        scale = width_mm * rng.uniform(0.40, 0.46) / 170
        depth = 115 * rng.uniform(0.95, 1.12)
        fat, muscle = rng.uniform(8, 26), rng.uniform(12, 18)
        bend = 0.03 * smooth_noise(grid, rng, 260 * scale, waves=6)
        skin, wall, cavity = (
            ellipsoid(grid, (0, 0, 0), ((170 - t) * scale, (depth - t) * scale, 1e4), power=2.5) + bend
            for t in (0.0, fat, fat + muscle)
        )
        return Trunk(grid, scale, skin, wall, cavity)

    @property
    def inside(self) -> Mask:
        """Where organs can be: within the ribs."""
        return np.asarray(self.cavity > 0.03)

    def liver_field(self, rng: np.random.Generator, roughness: float) -> Array:
        """A right lobe under the right dome of the diaphragm and a flatter left lobe, smoothly joined.

        Args:
            rng: shapes and places vary with it.
            roughness: displacement of the surface, in radii.
        """
        right = self._field(_Organ((-84, -2, 5), (56, 72, 74), (0, 0)), rng)
        left = self._field(_Organ((-12, -52, 30), (rng.uniform(45, 90), 30, 36), (0, 0)), rng)
        coarse = smooth_noise(self.grid, rng, 90 * self.scale)
        fine = smooth_noise(self.grid, rng, 32 * self.scale)
        bend = np.asarray(roughness * (coarse + 0.35 * fine), np.float32)
        return smooth_union(right, left, 0.2) + bend

    def paint_body(self, rng: np.random.Generator) -> Array:
        """A volume in HU: air, skin fat, muscle, abdominal fat with loops of bowel, and lungs."""
        z = self.grid.axes_mm()[2]
        hounsfield = np.full(self.grid.shape, _AIR, np.float32)
        hounsfield[self.skin > 0] = _FAT
        hounsfield[self.wall > 0] = _MUSCLE
        hounsfield[self.inside] = _FAT + 10
        loops = smooth_noise(self.grid, rng, 48 * self.scale)
        bowel = self.inside & (loops > -0.3) & (z < 30 * self.scale)
        hounsfield[bowel] = rng.uniform(25, 45)
        hounsfield[bowel & (loops > 1.5)] = _AIR * 0.8
        for lung in _LUNGS:
            self._paint(hounsfield, self._field(lung, rng), _LUNG)
        return hounsfield

    def paint_organs(self, hounsfield: Array, rng: np.random.Generator, like_hu: float | None) -> Mask:
        """Paints the liver's neighbours and returns where the kidneys are, which press into it.

        Args:
            hounsfield: volume to paint.
            rng: shapes, places and densities vary with it.
            like_hu: density of every neighbour, to within 4 HU, instead of its own.
        """
        fields = [self._field(organ, rng) for organ in _NEIGHBOURS]
        for organ, field in zip(_NEIGHBOURS, fields, strict=True):
            own = rng.uniform(*organ.hounsfield)
            self._paint(hounsfield, field, own if like_hu is None else like_hu + rng.uniform(-4, 4))
        stomach_gas = (fields[1] > 0.2) & (self.grid.axes_mm()[1] < -52 * self.scale) & self.inside
        hounsfield[stomach_gas] = _AIR * 0.9
        kidneys = np.zeros(self.grid.shape, bool)
        for kidney in _KIDNEYS:
            field = self._field(kidney, rng)
            self._paint(hounsfield, field, rng.uniform(*kidney.hounsfield))
            hounsfield[field > 0.65] = _FAT / 2
            kidneys |= field > 0
        for vessel in (_AORTA, _VENA_CAVA):
            field = ellipsoid(self.grid, self._scaled(vessel.centre), self._scaled(vessel.radii))
            self._paint(hounsfield, field, rng.uniform(*vessel.hounsfield))
        return kidneys

    def paint_bones(self, hounsfield: Array) -> None:
        """Paints spine and ribs."""
        x, y, z = (axis / self.scale for axis in self.grid.axes_mm())
        vertebra = np.hypot(x, (y - 72) * 1.15) + 0 * z
        disc = np.cos(2 * np.pi * z / 32) > 0.86
        hounsfield[(vertebra < 24) & (vertebra > 20)] = _CORTEX
        hounsfield[vertebra <= 20] = _MARROW
        hounsfield[(vertebra < 23) & disc] = _DISC
        arch = np.hypot(x, (y - 96) * 0.9) + 0 * z
        hounsfield[(arch < 15) & (vertebra >= 24)] = _CORTEX
        hounsfield[(arch < 9) & (vertebra >= 24)] = _CANAL
        # Ribs run down from the spine to the front; none below the lowest arch, none across the front.
        height = z - 0.6 * y
        ribs = (np.abs(self.cavity + 0.02) < 0.035) & (np.cos(2 * np.pi * height / 34) > 0.45)
        hounsfield[ribs & (height > -75) & ((np.abs(x) > 30) | (y > 0))] = _CORTEX * 0.8

    def _scaled(self, lengths: Point) -> Point:
        x, y, z = (self.scale * length for length in lengths)
        return x, y, z

    def _field(self, organ: _Organ, rng: np.random.Generator) -> Array:
        """The organ at about its place and of about its size, with a gently bent surface."""
        place = [value + rng.normal(0, 4) for value in organ.centre]
        radii = [value * rng.uniform(0.88, 1.12) for value in organ.radii]
        bend = np.float32(0.08) * smooth_noise(self.grid, rng, 70 * self.scale, waves=6)
        field = ellipsoid(
            self.grid,
            self._scaled((place[0], place[1], place[2])),
            self._scaled((radii[0], radii[1], radii[2])),
        )
        return field + bend

    def _paint(self, hounsfield: Array, field: Array, value: float) -> None:
        hounsfield[(field > 0) & self.inside] = value
