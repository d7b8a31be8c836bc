"""Cases small enough to work out on paper, the values that the definitions promise, and refused inputs."""

import functools
import math

import numpy as np
import pytest

from gsl_experiments.metrics import (
    SegmentationMetrics,
    asd,
    assd,
    dice,
    hd,
    hd95,
    hd95_surface,
    image_diagonal_mm,
    nsd,
    segmentation_metrics,
)


def mask(shape, *boxes):
    """Union of boxes, each a tuple of slices."""
    array = np.zeros(shape, dtype=bool)
    for box in boxes:
        array[box] = True
    return array


def ball(centre, radius=20, shape=(64, 64, 64)):
    squares = sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True))
    return squares <= radius**2


def test_dice_counts_the_overlap_twice():
    # |P| = 4, |T| = 6, |P and T| = 3: 2 * 3 / (4 + 6) = 0.6
    prediction = mask((1, 10), (0, slice(0, 4)))
    reference = mask((1, 10), (0, slice(1, 7)))
    assert dice(prediction, reference) == 0.6


def test_line_segments_in_2d():
    """P = columns 0 to 2, T = columns 0 to 6 of one row, pixels of 1 mm along the row."""
    prediction = mask((5, 20), (2, slice(5, 8)))
    reference = mask((5, 20), (2, slice(5, 12)))
    result = segmentation_metrics(prediction, reference, spacing_mm=(3.0, 1.0))
    # P lies inside T: all distances from P are 0. From T to P: 0 0 0 1 2 3 4.
    # P95 of 7 values: rank 0.95 * 6 = 5.7, between 3 and 4: 3 + 0.7 * (4 - 3) = 3.7
    assert result.hd95_mm == pytest.approx(3.7, abs=1e-6)
    # One pixel wide: every pixel is contour and boundary, so the surface has the same distances.
    assert result.hd95_surface_mm == pytest.approx(3.7, abs=1e-6)
    # (mean(0 0 0) + mean(0 0 0 1 2 3 4)) / 2 = (0 + 10/7) / 2
    assert result.asd_mm == pytest.approx(5 / 7, abs=1e-6)
    # All ten pixels pooled: 10 / 10; the farthest: 4; within 2 mm: three of P and five of T, 8 / 10
    assert result.assd_mm == pytest.approx(1.0, abs=1e-6)
    assert result.hd_mm == pytest.approx(4.0, abs=1e-6)
    assert result.nsd == pytest.approx(0.8)
    # 2 * 3 / (3 + 7)
    assert result.dice == 0.6


def test_two_single_voxels_of_anisotropic_spacing():
    prediction = mask((6, 6, 6), (1, 1, 1))
    reference = mask((6, 6, 6), (2, 3, 4))
    # (1, 2, 3) voxels of (5, 2, 1) mm: sqrt(5^2 + 4^2 + 3^2) = sqrt(50), in both directions
    assert segmentation_metrics(prediction, reference, spacing_mm=(5.0, 2.0, 1.0)) == SegmentationMetrics(
        dice=0.0,
        hd95_mm=pytest.approx(math.sqrt(50), abs=1e-6),
        asd_mm=pytest.approx(math.sqrt(50), abs=1e-6),
        hd95_surface_mm=pytest.approx(math.sqrt(50), abs=1e-6),
        assd_mm=pytest.approx(math.sqrt(50), abs=1e-6),
        hd_mm=pytest.approx(math.sqrt(50), abs=1e-6),
        nsd=0.0,
    )


def test_a_cube_inside_a_cube():
    """P = 3^3 in the middle of T = 5^3, voxels of 1 mm."""
    prediction = mask((9, 9, 9), (slice(3, 6),) * 3)
    reference = mask((9, 9, 9), (slice(2, 7),) * 3)
    result = segmentation_metrics(prediction, reference, spacing_mm=(1.0, 1.0, 1.0))
    # Volumes: P is inside T: 0. T to P: 27 zeros, 54 of the faces at 1, 36 of the edges at sqrt 2, 8 corners
    # at sqrt 3. P95 of 125: rank 0.95 * 124 = 117.8, and the corners begin at rank 117: sqrt 3.
    assert result.hd95_mm == pytest.approx(math.sqrt(3), abs=1e-6)
    # Surfaces: the 26 contour voxels of P lie 1 below the surface of T. Back, the 98 of T: 54 at 1, 36 at
    # sqrt 2, 8 at sqrt 3; rank 0.95 * 97 = 92.15, and the corners begin at rank 90: sqrt 3.
    assert result.hd95_surface_mm == pytest.approx(math.sqrt(3), abs=1e-6)
    # (26 * 1 / 26 + (54 + 36 sqrt 2 + 8 sqrt 3) / 98) / 2
    assert result.asd_mm == pytest.approx(
        (1 + (54 + 36 * math.sqrt(2) + 8 * math.sqrt(3)) / 98) / 2, abs=1e-6
    )
    # Pooled over 26 + 98 voxels, and the 80 of them that are within 1 mm
    assert result.assd_mm == pytest.approx((26 + 54 + 36 * math.sqrt(2) + 8 * math.sqrt(3)) / 124, abs=1e-6)
    assert result.hd_mm == pytest.approx(math.sqrt(3), abs=1e-6)
    assert nsd(prediction, reference, spacing_mm=(1, 1, 1), tolerance_mm=1) == pytest.approx(80 / 124)


def test_average_surface_distance_is_from_contour_to_boundary():
    """The pixel beside the notch of an L is boundary (a diagonal neighbour is outside) but no contour."""
    reference = mask((8, 8), (slice(1, 7), slice(1, 7)))
    reference[1, 1] = False
    prediction = mask((8, 8), (2, 2))
    # P's only pixel (2, 2): T has all its face neighbours, but not (1, 1). So it is in T's boundary: distance 0;
    # the nearest of T's contour are (1, 2) and (2, 1): distance 1.
    # Back from T's 19 contour pixels (20 of the square's rim less the corner) to (2, 2):
    rim = [
        (i, j) for i in range(1, 7) for j in range(1, 7) if (i in (1, 6) or j in (1, 6)) and (i, j) != (1, 1)
    ]
    back = [math.hypot(i - 2, j - 2) for i, j in rim]
    assert len(back) == 19
    assert asd(prediction, reference, spacing_mm=(1, 1)) == pytest.approx((0 + sum(back) / 19) / 2, abs=1e-6)


def test_a_shifted_ball_tells_the_volume_from_the_surface():
    prediction, reference = ball((30, 30, 30)), ball((33, 30, 30))
    assert hd95(prediction, reference, spacing_mm=(1, 1, 1)) == pytest.approx(math.sqrt(2), abs=1e-6)
    assert hd95_surface(prediction, reference, spacing_mm=(1, 1, 1)) == pytest.approx(3.0, abs=1e-6)


def test_the_worse_direction_counts():
    """A far speck is 1 of 41 voxels, less than the 5 % that HD95 forgives; a missing half is not."""
    reference = mask((3, 100), (1, slice(0, 40)))
    with_speck = reference.copy()
    with_speck[1, 99] = True
    assert hd95(with_speck, reference, spacing_mm=(1, 1)) == 0.0
    half = mask((3, 100), (1, slice(0, 20)))
    # From the reference: 20 zeros, then 1 to 20. Rank 0.95 * 39 = 37.05 lies between 18 (37) and 19 (38).
    assert hd95(half, reference, spacing_mm=(1, 1)) == pytest.approx(18.05, abs=1e-6)


def test_diagonal_of_a_brats_volume():
    assert image_diagonal_mm((155, 240, 240), spacing_mm=(1, 1, 1)) == pytest.approx(373.13, abs=5e-3)
    # 3 * 4 = 12 mm and 5 * 1 = 5 mm: 13 mm
    assert image_diagonal_mm((3, 5), spacing_mm=(4.0, 1.0)) == 13.0


@pytest.mark.parametrize("empty_prediction", [True, False])
def test_one_empty_mask_costs_the_true_diagonal(empty_prediction):
    empty, single = mask((3, 5)), mask((3, 5), (1, 1))
    pair = (empty, single) if empty_prediction else (single, empty)
    assert segmentation_metrics(*pair, spacing_mm=(4.0, 1.0)) == SegmentationMetrics(
        0.0, 13.0, 13.0, 13.0, 13.0, 13.0, 0.0
    )


def test_two_empty_masks_agree():
    empty = mask((3, 5, 2))
    assert segmentation_metrics(empty, empty, spacing_mm=(4.0, 1.0, 1.0)) == SegmentationMetrics(
        1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0
    )


def test_a_mask_that_fills_the_image_has_a_volume_but_no_surface():
    full, half = mask((2, 5), ...), mask((2, 5), (slice(None), slice(0, 3)))
    assert segmentation_metrics(full, full, spacing_mm=(1, 1)) == SegmentationMetrics(
        1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0
    )
    for pair in ((full, half), (half, full)):
        result = segmentation_metrics(*pair, spacing_mm=(6.0, 1.6))
        # From the full mask: 6 zeros, two pixels at 1.6 and two at 3.2 mm. Rank 0.95 * 9 = 8.55: 3.2.
        assert result.hd95_mm == pytest.approx(3.2, abs=1e-6)
        # The diagonal of 2 * 6 = 12 by 5 * 1.6 = 8 mm
        assert result.asd_mm == result.hd95_surface_mm == math.sqrt(208)


def test_the_edge_of_the_image_is_no_surface():
    """P ends at column 3, T at column 5 of an image that both fill from the left: one straight line each."""
    prediction, reference = (mask((4, 9), (slice(None), slice(0, end))) for end in (4, 6))
    assert asd(prediction, reference, spacing_mm=(1, 1)) == pytest.approx(2.0, abs=1e-6)
    assert hd95_surface(prediction, reference, spacing_mm=(1, 1)) == pytest.approx(2.0, abs=1e-6)


def test_a_distance_equal_to_the_tolerance_counts():
    """Three voxels of 0.7 mm, which is a little more than 2.1 in floating point."""
    prediction, reference = mask((3, 9), (1, 1)), mask((3, 9), (1, 4))
    assert 3 * 0.7 != 2.1
    values = [nsd(prediction, reference, spacing_mm=(1, 0.7), tolerance_mm=mm) for mm in (2.09, 2.1)]
    assert values == [0.0, 1.0]


def test_the_larger_surface_weighs_more_in_assd_than_in_asd():
    """A far speck of one pixel beside a row of ten that are all found."""
    reference = mask((3, 40), (1, slice(0, 10)))
    prediction = mask((3, 40), (1, slice(0, 10)), (1, 29))
    result = segmentation_metrics(prediction, reference, spacing_mm=(1, 1))
    # The speck is 20 from the row's end. asd: (20 / 11 + 0) / 2; assd: 20 / (11 + 10)
    assert (result.asd_mm, result.assd_mm) == (pytest.approx(10 / 11), pytest.approx(20 / 21))
    assert (result.hd_mm, result.nsd) == (20.0, pytest.approx(20 / 21))


@pytest.mark.parametrize("metric", [segmentation_metrics, nsd])
@pytest.mark.parametrize("tolerance_mm", [-1, math.nan, math.inf])
def test_refused_tolerance(metric, tolerance_mm):
    name = "tolerance_mm" if metric is nsd else "nsd_tolerance_mm"
    with pytest.raises(ValueError, match="tolerance in mm must be 0 or more and finite"):
        metric(mask((3, 3)), mask((3, 3)), spacing_mm=(1, 1), **{name: tolerance_mm})


METRIC_FUNCTIONS = (
    segmentation_metrics,
    hd95,
    hd95_surface,
    asd,
    assd,
    hd,
    functools.partial(nsd, tolerance_mm=1.0),
)


@pytest.mark.parametrize("metric", METRIC_FUNCTIONS)
@pytest.mark.parametrize(
    ("prediction", "reference", "spacing_mm", "message"),
    [
        (mask((3, 3)).astype(np.uint8), mask((3, 3)), (1, 1), "prediction must be a boolean array.*uint8"),
        (mask((3, 3)), mask((3, 3)).astype(float), (1, 1), "reference must be a boolean array.*float64"),
        (mask((3,)), mask((3,)), (1,), r"prediction must be 2D or 3D.*\(3,\)"),
        (mask((0, 3)), mask((0, 3)), (1, 1), "prediction has no voxel"),
        (mask((3, 3)), mask((3, 4)), (1, 1), r"differ in shape: \(3, 3\) against \(3, 4\)"),
        (mask((3, 3)), mask((3, 3)), (1, 1, 1), "spacing_mm needs 2 values"),
        (mask((3, 3)), mask((3, 3)), (1, 0), "spacing_mm must be positive and finite"),
        (mask((3, 3)), mask((3, 3)), (1, math.nan), "spacing_mm must be positive and finite"),
    ],
)
def test_refused_input(metric, prediction, reference, spacing_mm, message):
    with pytest.raises(ValueError, match=message):
        metric(prediction, reference, spacing_mm=spacing_mm)


def test_dice_refuses_what_the_distances_refuse():
    with pytest.raises(ValueError, match="differ in shape"):
        dice(mask((3, 3)), mask((4, 3)))
    with pytest.raises(ValueError, match="boolean"):
        dice(mask((3, 3)).astype(int), mask((3, 3)))


def test_diagonal_refuses_a_spacing_of_other_length():
    with pytest.raises(ValueError, match="needs 3 values"):
        image_diagonal_mm((3, 3, 3), spacing_mm=(1, 1))
