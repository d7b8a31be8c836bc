"""What is done for speed changes no value: slabs, blocks, k-d tree or transform, at distances of hundreds of mm."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from gsl_experiments.metrics import distances, nearest, segmentation_metrics, surfaces
from gsl_experiments.metrics.nearest import NearestVoxels
from gsl_experiments.metrics.transform import transform_distances

AWKWARD_MM = (3.3, 0.7031, 0.7031)


def liver_and_prediction(shift=0, shape=(36, 60, 64)):
    """A bumpy ellipsoid that reaches the edge of the image, and another one with a far false positive."""
    rng = np.random.default_rng(3)
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    bumps = [ndimage.gaussian_filter(rng.normal(size=shape), 3) for _ in range(2)]
    reference = ((z + 0.5) / 0.6) ** 2 + (y / 0.5) ** 2 + (x / 0.45) ** 2 + 3 * bumps[0] < 1
    prediction = ((z + 0.5) / 0.6) ** 2 + (y / 0.5) ** 2 + (x / 0.45) ** 2 + 3 * bumps[0] + 4 * bumps[1] < 1
    prediction = np.roll(prediction, shift, axis=0)
    prediction[-3:-1, -4:-2, -5:-2] = True
    return prediction, reference


def all_metrics(prediction, reference, spacing_mm=AWKWARD_MM):
    return dataclasses.astuple(segmentation_metrics(prediction, reference, spacing_mm=spacing_mm))


def scipy_distances(voxels, queries, shape, spacing_mm):
    mask = np.ones(shape, bool)
    mask[tuple(voxels.T)] = False
    return ndimage.distance_transform_edt(mask, sampling=spacing_mm)[tuple(queries.T)]


@pytest.mark.parametrize("shift", [0, 6])
@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (surfaces, "_SLAB_VOXELS", 1),
        (distances, "_FEW", 0),
        (NearestVoxels, "distances", NearestVoxels._by_transform),
        (NearestVoxels, "distances", NearestVoxels._by_tree),
    ],
    ids=["slices one by one", "blocks", "transform", "tree"],
)
def test_the_way_does_not_matter(monkeypatch, shift, module, name, value):
    pair = liver_and_prediction(shift)
    expected = all_metrics(*pair)
    assert expected[1] > 0  # where it is 0, HD95 measures nothing
    monkeypatch.setattr(module, name, value)
    assert all_metrics(*pair) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("way", ["_by_tree", "_by_transform"])
@pytest.mark.parametrize("spacing_mm", [AWKWARD_MM, (11.0, 13.7, 7.3)])
def test_far_voxels_against_scipy_in_double_precision(way, spacing_mm):
    """Up to 600 mm, where single precision is off by 3e-5 mm."""
    rng = np.random.default_rng(0)
    shape = (40, 30, 20)
    voxels = rng.integers(0, 5, size=(20, 3))
    queries = np.argwhere(rng.random(shape) < 0.2)
    ours = getattr(NearestVoxels(voxels, shape, spacing_mm), way)(queries)
    expected = scipy_distances(voxels, queries, shape, spacing_mm)
    assert expected.max() > 100
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("spacing_mm", [(5.0, 0.7, 0.7), (0.7, 0.7, 0.7), (1 / 3, 0.1, 1.1)])
@pytest.mark.parametrize("way", ["_by_tree", "_by_transform"])
def test_equal_errors_are_equal_numbers_wherever_they_lie(monkeypatch, way, spacing_mm):
    """The same masks in other places of the image, and mirrored; 0.7 mm is no exact number."""
    monkeypatch.setattr(NearestVoxels, "_tree_is_faster", lambda self, queries: way == "_by_tree")
    rng = np.random.default_rng(0)
    smooth = [ndimage.gaussian_filter(rng.normal(size=(9, 14, 13)), 1.5) for _ in range(2)]
    pair = [field > np.quantile(field, 0.7) for field in smooth]
    found = set()
    for before in ((2, 2, 2), (5, 11, 7), (1, 40, 31)):
        margins = [(here, 50 - here) for here in before]
        for mirror in (slice(None), slice(None, None, -1)):
            found.add(all_metrics(*(np.pad(mask[:, mirror], margins) for mask in pair), spacing_mm))
    assert len(found) == 1


@pytest.mark.parametrize("spacing_mm", [(5.0, 0.7, 0.7), (0.7, 0.7, 0.7), AWKWARD_MM])
def test_both_ways_find_the_same_numbers(spacing_mm):
    rng = np.random.default_rng(1)
    shape = (12, 60, 60)
    voxels, queries = (np.argwhere(rng.random(shape) < share) for share in (0.0005, 0.2))
    nearest_voxels = NearestVoxels(voxels, shape, spacing_mm)
    found = []
    for tree in (True, False):
        nearest_voxels._tree_is_faster = lambda queries, tree=tree: tree
        found.append(nearest_voxels.distances(queries))
    assert found[0].max() > 9
    assert np.array_equal(*found)


def test_equal_lengths_of_other_steps_are_equal_numbers():
    """5 voxels along a row, and 3 by 4 across it; 1, 2 and 3 voxels in any order."""
    nearest_voxels = NearestVoxels(np.array([[20, 20, 20]]), (41, 41, 41), (0.7, 0.7, 0.7))
    for steps in ([(0, 0, 5), (5, 0, 0), (0, 3, -4), (4, 0, 3)], list(itertools.permutations((1, 2, 3)))):
        found = nearest_voxels.distances(20 + np.array(sorted(steps)))
        assert len(set(found)) == 1
        assert found[0] == pytest.approx(0.7 * np.linalg.norm(steps[0]), abs=1e-9)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_transform_of_any_set(data):
    """Sparse ones too, with lines and planes that hold none of it."""
    shape = data.draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9))
    voxels = np.argwhere(data.draw(arrays(bool, shape, fill=st.just(False)).filter(np.any)))
    spacing_mm = data.draw(st.tuples(*[st.floats(0.1, 9.0)] * len(shape)))
    queries = np.argwhere(data.draw(arrays(bool, shape)))
    ours = transform_distances(voxels, queries, shape=shape, spacing_mm=spacing_mm)
    np.testing.assert_allclose(ours, scipy_distances(voxels, queries, shape, spacing_mm), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("radius", "expected"),
    [(0, "_by_transform"), (8, "_by_tree")],
    ids=["from the middle of a sphere", "from near its surface"],
)
def test_the_faster_way_is_taken(monkeypatch, radius, expected):
    """From the middle all of a sphere is equally far, and the tree would look at all of its 2426 voxels."""
    distance = np.sqrt(sum(axis**2 for axis in np.ogrid[-12:13, -12:13, -12:13]))
    sphere = np.argwhere((distance > 9) & (distance < 11))
    queries = np.argwhere((distance >= radius) & (distance < radius + 2))
    queries = np.repeat(queries, 20000 // len(queries), axis=0)
    taken = []
    for way in ("_by_tree", "_by_transform"):
        monkeypatch.setattr(
            NearestVoxels, way, lambda self, queries, way=way: taken.append(way) or np.zeros(1)
        )
    monkeypatch.setattr(nearest, "_TREE_AT_ANY_RATE_NS", 0)
    monkeypatch.setattr(nearest, "_TRANSFORM_NS", 10_000)
    NearestVoxels(sphere, (25, 25, 25), (1.0, 1.0, 1.0)).distances(queries)
    assert taken == [expected]
