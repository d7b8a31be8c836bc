"""What must hold for any pair of masks."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gsl_experiments.metrics import SegmentationMetrics, hd, image_diagonal_mm, nsd, segmentation_metrics

shapes = array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7)


@st.composite
def mask_pairs(draw):
    """Two masks of one shape, empty and full ones included, and a spacing."""
    shape = draw(shapes)
    masks = arrays(bool, shape)
    spacing_mm = draw(st.tuples(*[st.floats(0.25, 8.0)] * len(shape)))
    return draw(masks), draw(masks), spacing_mm


@given(mask_pairs())
@settings(deadline=None, max_examples=60)
def test_swapping_the_masks_changes_nothing(pair):
    prediction, reference, spacing_mm = pair
    assert segmentation_metrics(prediction, reference, spacing_mm=spacing_mm) == segmentation_metrics(
        reference, prediction, spacing_mm=spacing_mm
    )


@given(mask_pairs())
@settings(deadline=None, max_examples=30)
def test_equal_masks_are_perfect(pair):
    mask, _, spacing_mm = pair
    assert segmentation_metrics(mask, mask, spacing_mm=spacing_mm) == SegmentationMetrics(
        1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0
    )


@given(mask_pairs())
@settings(deadline=None, max_examples=60)
def test_ranges(pair):
    prediction, reference, spacing_mm = pair
    result = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    diagonal_mm = image_diagonal_mm(prediction.shape, spacing_mm=spacing_mm)
    assert 0 <= result.dice <= 1
    assert 0 <= result.nsd <= 1
    for distance_mm in (result.hd95_mm, result.hd95_surface_mm, result.asd_mm, result.assd_mm):
        assert 0 <= distance_mm <= diagonal_mm
    assert max(result.hd95_surface_mm, result.asd_mm, result.assd_mm) <= result.hd_mm <= diagonal_mm
    if (prediction != reference).any():
        assert result.dice < 1


@given(mask_pairs())
@settings(deadline=None, max_examples=60)
def test_doubling_the_spacing_doubles_the_distances(pair):
    prediction, reference, spacing_mm = pair
    once = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    twice = segmentation_metrics(
        prediction, reference, spacing_mm=[2 * length for length in spacing_mm], nsd_tolerance_mm=4.0
    )
    assert twice.dice == once.dice
    for field in dataclasses.fields(once)[1:-1]:
        assert getattr(twice, field.name) == pytest.approx(2 * getattr(once, field.name), rel=1e-5)
    assert twice.nsd == pytest.approx(once.nsd)


@given(mask_pairs(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_turning_the_image_changes_nothing(pair, random):
    """Axes exchanged together with their spacing, and mirrored."""
    prediction, reference, spacing_mm = pair
    axes = random.sample(range(prediction.ndim), prediction.ndim)
    turned = (np.flip(mask.transpose(axes), axis=0) for mask in (prediction, reference))
    result = segmentation_metrics(*turned, spacing_mm=[spacing_mm[axis] for axis in axes])
    expected = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    for field in dataclasses.fields(expected):
        assert getattr(result, field.name) == pytest.approx(getattr(expected, field.name), rel=1e-5, abs=1e-6)


@given(mask_pairs())
@settings(deadline=None, max_examples=60)
def test_background_around_the_image_changes_nothing(pair):
    """Only a mask at the edge tells where the image ends, or a missing one, which costs the diagonal."""
    prediction, reference, spacing_mm = pair
    prediction, reference = (np.pad(mask, 1) for mask in (prediction, reference))
    if not (prediction.any() and reference.any()):
        return
    wider = [np.pad(mask, [(2, 5)] * mask.ndim) for mask in (prediction, reference)]
    result = segmentation_metrics(*wider, spacing_mm=spacing_mm)
    expected = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    for field in dataclasses.fields(expected):
        assert getattr(result, field.name) == pytest.approx(getattr(expected, field.name), rel=1e-6, abs=1e-6)


@given(mask_pairs(), st.data())
@settings(deadline=None, max_examples=60)
def test_the_way_round_by_a_third_mask_is_no_shorter(pair, data):
    """The triangle inequality of the Hausdorff distance, for masks that have a surface."""
    first, second, spacing_mm = pair
    third = data.draw(arrays(bool, first.shape))
    assume(all(mask.any() and not mask.all() for mask in (first, second, third)))
    direct = hd(first, second, spacing_mm=spacing_mm)
    around = hd(first, third, spacing_mm=spacing_mm) + hd(third, second, spacing_mm=spacing_mm)
    assert direct <= around + 2e-9  # each is rounded to 1e-9


@given(mask_pairs(), st.floats(0, 10), st.floats(0, 10))
@settings(deadline=None, max_examples=30)
def test_a_larger_tolerance_never_lowers_the_surface_dice(pair, one, other):
    values = [
        nsd(*pair[:2], spacing_mm=pair[2], tolerance_mm=tolerance) for tolerance in sorted((one, other))
    ]
    assert values[0] <= values[1]
