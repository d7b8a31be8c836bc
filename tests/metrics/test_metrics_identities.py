"""What must hold for any pair of masks."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gsl_experiments.metrics import SegmentationMetrics, image_diagonal_mm, segmentation_metrics

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
    assert segmentation_metrics(mask, mask, spacing_mm=spacing_mm) == SegmentationMetrics(1.0, 0.0, 0.0, 0.0)


@given(mask_pairs())
@settings(deadline=None, max_examples=60)
def test_ranges(pair):
    prediction, reference, spacing_mm = pair
    result = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    diagonal_mm = image_diagonal_mm(prediction.shape, spacing_mm=spacing_mm)
    assert 0 <= result.dice <= 1
    for distance_mm in (result.hd95_mm, result.asd_mm, result.hd95_surface_mm):
        assert 0 <= distance_mm <= diagonal_mm
    if (prediction != reference).any():
        assert result.dice < 1


@given(mask_pairs())
@settings(deadline=None, max_examples=60)
def test_doubling_the_spacing_doubles_the_distances(pair):
    prediction, reference, spacing_mm = pair
    once = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    twice = segmentation_metrics(prediction, reference, spacing_mm=[2 * length for length in spacing_mm])
    assert twice.dice == once.dice
    for field in dataclasses.fields(once)[1:]:
        assert getattr(twice, field.name) == pytest.approx(2 * getattr(once, field.name), rel=1e-5)


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
