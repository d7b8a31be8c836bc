"""Other programs' distances: SimpleITK on the whole volume, scipy and slow loops in float64, MONAI.

All of them work on the whole volume and build on nothing of ours.
"""

import dataclasses
import math

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from scipy import ndimage

from benchmarks.liver_pair import liver_pair
from gsl_experiments.metrics import SegmentationMetrics, segmentation_metrics

ATOL = 1e-6
SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (0.5, 2.0, 1.25)]
# SimpleITK computes in float32. These spacings have squares that float32 holds exactly, and so are the squared
# distances; for any others its distances of some 10 mm and more are off by more than 1e-6 mm.
EXACT_SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.75, 0.75), (0.5, 2.0, 1.25)]


def random_blob(rng, shape, *, smoothing=1.5, share=0.3):
    """A random shape of the given share of the volume; it reaches the edges of the image."""
    field = ndimage.gaussian_filter(rng.normal(size=shape), smoothing)
    return field > np.quantile(field, 1 - share)


def blob_in_a_large_image(rng, shape, margin=4):
    """A random shape that stays away from the edges."""
    inside = random_blob(rng, tuple(length - 2 * margin for length in shape), share=0.5)
    return np.pad(inside, margin)


def masks(labels):
    return tuple(array == 1 for array in labels)


def pairs():
    """Name -> two masks, the shapes that cropping and neighbourhoods could get wrong."""
    rng = np.random.default_rng(0)
    shape = (14, 17, 19)
    single = np.zeros(shape, bool)
    single[3, 4, 5] = True
    corner = np.zeros(shape, bool)
    corner[0, 0, 0] = True
    slab = np.zeros(shape, bool)
    slab[:, :, 6:9] = True
    far = np.zeros(shape, bool)
    far[10:13, 12:15, 14:17] = True
    near = np.zeros(shape, bool)
    near[1:3, 1:4, 1:3] = True
    return {
        "touching the edges": (random_blob(rng, shape), random_blob(rng, shape)),
        "away from the edges": (blob_in_a_large_image(rng, shape), blob_in_a_large_image(rng, shape)),
        "nearly equal": ((blob := random_blob(rng, shape)), ndimage.binary_dilation(blob)),
        "single voxels": (single, corner),
        "a voxel and a slab across the image": (corner, slab),
        "disjoint": (near, far),
        "one slice": (random_blob(rng, (1, 20, 21)), random_blob(rng, (1, 20, 21))),
        "all but one voxel": (~single, near),
        "a liver and its prediction": masks(liver_pair((33, 40, 40))),
        "a liver without far false positives": masks(liver_pair((33, 40, 40), debris=False, missed=0.2)),
    }


PAIRS = pairs()


def itk_oracle(prediction, reference, spacing_mm):
    """All metrics with SimpleITK on the whole volume; HD95 and ASD by the released code's steps."""

    def image(mask):
        result = sitk.GetImageFromArray(mask.astype(np.uint8))
        result.SetSpacing(spacing_mm[::-1])
        return result

    def signed(mask):
        filtered = sitk.SignedMaurerDistanceMap(image(mask), squaredDistance=True, useImageSpacing=True)
        squared = sitk.GetArrayFromImage(filtered).astype(np.float64)
        return np.copysign(np.sqrt(np.abs(squared)), squared)

    def volume_distances(mask, other):
        product = signed(other) * mask
        positive = product[product > 0]
        return np.concatenate([positive, np.zeros(np.count_nonzero(mask) - positive.size)])

    def surface_distances(mask, other):
        return np.abs(signed(other))[sitk.GetArrayFromImage(sitk.LabelContour(image(mask))) == 1]

    both = ((prediction, reference), (reference, prediction))
    contours = [sitk.GetArrayFromImage(sitk.LabelContour(image(mask))) == 1 for mask in both[0]]
    surfaces = [np.abs(signed(contours[1 - i]))[contours[i]] for i in range(2)]
    pooled = np.concatenate(surfaces)
    return SegmentationMetrics(
        dice=2 * (prediction & reference).sum() / (prediction.sum() + reference.sum()),
        hd95_mm=max(np.percentile(volume_distances(*pair), 95) for pair in both),
        asd_mm=np.mean([np.mean(surface_distances(*pair), dtype=np.float64) for pair in both]),
        hd95_surface_mm=max(np.percentile(surface, 95) for surface in surfaces),
        assd_mm=pooled.mean(),
        hd_mm=pooled.max(),
        nsd=np.mean(pooled <= 2.0 + ATOL),
    )


def scipy_oracle(prediction, reference, spacing_mm):
    """All metrics from exact Euclidean distance transforms of the whole volume, in float64."""

    def rim(mask, connectivity):
        structure = ndimage.generate_binary_structure(mask.ndim, connectivity)
        return mask & ~ndimage.binary_erosion(mask, structure, border_value=1)

    def distance_to(mask):
        return ndimage.distance_transform_edt(~mask, sampling=spacing_mm)

    both = ((prediction, reference), (reference, prediction))
    ndim = prediction.ndim
    surfaces = np.concatenate([distance_to(rim(b, 1))[rim(a, 1)] for a, b in both])
    return SegmentationMetrics(
        dice=2 * (prediction & reference).sum() / (prediction.sum() + reference.sum()),
        hd95_mm=max(np.percentile(distance_to(b)[a], 95) for a, b in both),
        asd_mm=np.mean([distance_to(rim(b, ndim))[rim(a, 1)].mean() for a, b in both]),
        hd95_surface_mm=max(np.percentile(distance_to(rim(b, 1))[rim(a, 1)], 95) for a, b in both),
        assd_mm=surfaces.mean(),
        hd_mm=surfaces.max(),
        nsd=np.mean(surfaces <= 2.0 + ATOL),
    )


def assert_close(ours, oracle):
    for name in (field.name for field in dataclasses.fields(oracle)):
        assert getattr(ours, name) == pytest.approx(getattr(oracle, name), abs=ATOL, rel=0), name


@pytest.mark.parametrize("spacing_mm", EXACT_SPACINGS)
@pytest.mark.parametrize("name", PAIRS)
def test_itk_on_the_whole_volume(name, spacing_mm):
    prediction, reference = PAIRS[name]
    ours = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    assert_close(ours, itk_oracle(prediction, reference, spacing_mm))


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("name", PAIRS)
def test_scipy_on_the_whole_volume(name, spacing_mm):
    prediction, reference = PAIRS[name]
    ours = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    assert_close(ours, scipy_oracle(prediction, reference, spacing_mm))


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (0.4, 3.0)])
@pytest.mark.parametrize("seed", range(4))
def test_scipy_on_whole_images_in_2d(seed, spacing_mm):
    rng = np.random.default_rng(seed)
    prediction, reference = random_blob(rng, (23, 31)), random_blob(rng, (23, 31))
    ours = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    assert_close(ours, scipy_oracle(prediction, reference, spacing_mm))


def test_label_contour_and_distance_map_have_different_neighbourhoods():
    """What `asd` rests on: SimpleITK's contour asks the 6 face neighbours, its distance map all 26."""
    mask = PAIRS["touching the edges"][0]
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    for ours, connectivity in (
        (sitk.GetArrayFromImage(sitk.LabelContour(image)) == 1, 1),
        (sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False)) == 0, 3),
    ):
        outside = ndimage.binary_dilation(~mask, ndimage.generate_binary_structure(3, connectivity))
        assert np.array_equal(ours, mask & outside)


@given(
    arrays(bool, (4, 5, 3)).filter(np.any),
    arrays(bool, (4, 5, 3)).filter(np.any),
    st.tuples(*[st.floats(0.25, 4.0)] * 3),
)
@settings(deadline=None, max_examples=30)
def test_volumetric_hd95_is_the_definition_spelt_out(prediction, reference, spacing_mm):
    def directed(one, other):
        nearest = [
            min(math.dist(x * np.array(spacing_mm), y * np.array(spacing_mm)) for y in np.argwhere(other))
            for x in np.argwhere(one)
        ]
        return np.percentile(nearest, 95)

    expected = max(directed(prediction, reference), directed(reference, prediction))
    ours = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    assert ours.hd95_mm == pytest.approx(expected, abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warning of itself
@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_monai_where_the_definitions_agree(spacing_mm):
    """Of masks away from the image's edge, which MONAI counts as outside.

    The others have no counterpart: MONAI has no volumetric HD95, and its average surface distance runs from
    contour to contour, our `asd` (the released code's) from contour to boundary.
    """
    rng = np.random.default_rng(1)
    prediction, reference = (blob_in_a_large_image(rng, (20, 24, 22)) for _ in range(2))
    ours = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    batches = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
    common = {"include_background": True, "spacing": list(spacing_mm)}
    for name, theirs, tolerance in (
        ("dice", compute_dice(*batches, include_background=True), 1e-6),
        ("hd95_surface_mm", compute_hausdorff_distance(*batches, percentile=95, **common), 1e-5),
        ("hd_mm", compute_hausdorff_distance(*batches, **common), 1e-5),
        ("assd_mm", compute_average_surface_distance(*batches, symmetric=True, **common), 1e-5),
        ("nsd", compute_surface_dice(*batches, class_thresholds=[2.0], **common), 1e-6),
    ):
        assert getattr(ours, name) == pytest.approx(theirs.item(), abs=tolerance), name
