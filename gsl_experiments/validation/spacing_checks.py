"""Voxel sizes that cannot be true, or that no other case has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.nifti import Geometry
from gsl_experiments.datasets.raw import RawCase
from gsl_experiments.validation.case_checks import in_mm
from gsl_experiments.validation.kinds import make_finding

# Finer than any clinical scanner (micro-CT begins below), and coarser than any scan for segmentation.
SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.1, 20.0
# A cropped organ is larger, and the longest scanner table is shorter.
SMALLEST_FIELD_MM, LARGEST_FIELD_MM = 10.0, 2500.0
# Slices of one dataset differ by a factor of ten at most (LiTS: 0.7 to 5 mm); a slip of the unit is one of 1000.
LARGEST_FACTOR = 20.0
# Of fewer cases nobody can say which is the odd one.
FEWEST_CASES = 3
_UNIT_NOISE_MM = 1e-6


def check_spacings(geometries: Mapping[RawCase, Geometry]) -> Iterator[Finding]:
    """One finding at most for each case, from the grid of its first image."""
    spacings = {case: np.array(geometry.spacing_mm) for case, geometry in geometries.items()}
    usual = np.median(list(spacings.values()), axis=0) if len(spacings) >= FEWEST_CASES else None
    units = {
        case for case, spacing in spacings.items() if np.allclose(spacing, 1, rtol=0, atol=_UNIT_NOISE_MM)
    }
    lost = units if 2 * len(units) < len(geometries) else set()  # more: resampled, as BraTS is
    for case, geometry in geometries.items():
        spacing, field_mm = spacings[case], np.array(geometry.size) * spacings[case]
        kind = problem = None
        if usual is not None and np.abs(np.log(spacing / usual)).max() > np.log(LARGEST_FACTOR):
            kind = "spacing of another scale"
            problem = f"spacing {in_mm(spacing)} where the median of all cases is {in_mm(usual)}"
        elif not _all_within(spacing, SMALLEST_SPACING_MM, LARGEST_SPACING_MM):
            kind, problem = "implausible spacing", f"spacing {in_mm(spacing)}"
        elif not _all_within(field_mm, SMALLEST_FIELD_MM, LARGEST_FIELD_MM):
            kind = "implausible spacing"
            problem = f"a field of view of {in_mm(field_mm)} with spacing {in_mm(spacing)}"
        elif case in lost:
            kind = "identity spacing"
            problem = f"spacing 1 x 1 x 1 mm, as in {len(lost)} of {len(geometries)} cases only"
        if kind and problem:
            yield make_finding(kind, case.identifier, case.images[0], problem)


def _all_within(lengths: np.ndarray, lowest: float, highest: float) -> bool:
    return bool(((lengths >= lowest) & (lengths <= highest)).all())
