"""Where a prediction is wrong: against SciPy's Hausdorff distance and shapes measured by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist, directed_hausdorff

from gsl_experiments.figures.errors_of_case import (
    error_distances,
    largest_slice,
    square_around,
    worst_error,
    worst_slice,
)

SHAPE = (4, 6, 5)
SPACING_MM = (3.0, 1.0, 0.5)
masks = hnp.arrays(np.bool_, SHAPE).filter(lambda mask: mask.any())


def points(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask) * SPACING_MM


@settings(max_examples=15, deadline=None)
@given(masks, masks)
def test_the_largest_error_is_the_hausdorff_distance(prediction: np.ndarray, reference: np.ndarray) -> None:
    distances = error_distances(prediction, reference, SPACING_MM)
    hausdorff = max(
        directed_hausdorff(points(prediction), points(reference))[0],
        directed_hausdorff(points(reference), points(prediction))[0],
    )
    assert distances.max() == pytest.approx(hausdorff, abs=1e-4)
    assert not distances[prediction == reference].any()


def test_each_wrong_voxel_has_its_distance_to_the_other_mask() -> None:
    rng = np.random.default_rng(0)
    prediction, reference = rng.random((2, *SHAPE)) < 0.3
    distances = error_distances(prediction, reference, SPACING_MM)
    for mask, other in ((prediction, reference), (reference, prediction)):
        wrong = mask & ~other
        nearest = cdist(points(wrong), points(other)).min(axis=1)
        np.testing.assert_allclose(distances[wrong], nearest, atol=1e-4)


def test_the_worst_error_of_a_slice_is_its_most_distant_voxel() -> None:
    reference = np.zeros((5, 20, 20), np.bool_)
    reference[2, 8:12, 8:12] = True
    prediction = reference.copy()
    prediction[2, 10, 17] = True  # 6 columns beyond the edge at column 11
    prediction[3, 8, 8] = True  # right above: one slice of 3 mm
    distances = error_distances(prediction, reference, (3.0, 1.0, 0.5))
    assert worst_error(distances[2]) == (10, 17, pytest.approx(3.0))
    assert worst_error(distances[3]) == (8, 8, pytest.approx(3.0))
    assert worst_error(distances[0]) is None


def test_a_missed_object_has_no_worst_error() -> None:
    reference = np.zeros((3, 4, 4), np.bool_)
    reference[1, 1, 1] = True
    distances = error_distances(np.zeros_like(reference), reference, (1.0, 1.0, 1.0))
    assert np.isinf(distances[1, 1, 1])
    assert worst_error(distances[1]) is None
    assert worst_slice(distances, reference) == 1  # falls back to the largest area


def test_slices_follow_their_rules() -> None:
    reference = np.zeros((6, 8, 8), np.bool_)
    reference[1:4, 2:4, 2:4] = True
    reference[3, 2:7, 2:7] = True
    assert largest_slice(reference) == 3
    assert largest_slice(np.zeros_like(reference)) == 3  # the middle of six
    prediction = reference.copy()
    prediction[5, 2, 2] = True
    assert worst_slice(error_distances(prediction, reference, (2.0, 1.0, 1.0)), reference) == 5


def test_the_crop_is_a_square_in_mm_with_the_object_in_its_middle() -> None:
    mask = np.zeros((40, 40), np.bool_)
    mask[10:14, 20:30] = True  # 4 rows of 2 mm, 10 columns of 1 mm
    left, right, top, bottom = square_around(mask, (2.0, 1.0), margin=0.1, least_mm=5.0)
    assert (
        right - left == pytest.approx(bottom - top) == pytest.approx(12.0)
    )  # 10 mm and a tenth on each side
    assert ((left + right) / 2, (top + bottom) / 2) == (pytest.approx(24.5), pytest.approx(23.0))


@given(st.floats(1.0, 60.0))
def test_no_crop_is_smaller_than_asked(least_mm: float) -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[4, 4] = True
    left, right, _, _ = square_around(mask, (1.0, 1.0), margin=0.0, least_mm=least_mm)
    assert right - left == pytest.approx(max(least_mm, 1.0))
