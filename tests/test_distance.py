"""Distance maps: worked by hand, and against SimpleITK and a loop over all pairs of voxels."""

import itertools
import math

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from gsl_experiments import distance, distance_transform
from gsl_experiments.distance import each_signed_distance_map, signed_distance_map, signed_distance_maps

few = settings(max_examples=60, deadline=None, derandomize=True)
masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=3, max_side=5))
spacings = st.tuples(*[st.floats(0.3, 10.0)] * 3)


def by_loop(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """The definition, voxel by voxel, in float64."""
    voxels = list(itertools.product(*map(range, mask.shape)))
    boundary = []
    for voxel in voxels:
        around = itertools.product(
            *[range(max(0, i - 1), min(n, i + 2)) for i, n in zip(voxel, mask.shape, strict=True)]
        )
        if mask[voxel] and not all(mask[neighbour] for neighbour in around):
            boundary.append(voxel)
    dtm = np.empty(mask.shape)
    for voxel in voxels:
        nearest = min(math.dist(np.multiply(voxel, spacing_mm), np.multiply(b, spacing_mm)) for b in boundary)
        dtm[voxel] = -nearest if mask[voxel] else nearest
    return dtm


def by_itk(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """ITK's filter on the transposed array, whose axes are then ITK's own and need no reversed spacing."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask.T).astype(np.uint8))
    image.SetSpacing(spacing_mm)
    settings = {"insideIsPositive": False, "squaredDistance": False, "useImageSpacing": True}
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, **settings)).T


def by_scipy(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """SciPy's exact transform in float64, from the voxels that an erosion by all neighbours takes away."""
    boundary = mask & ~ndimage.binary_erosion(mask, np.ones((3,) * mask.ndim), border_value=1)
    dtm = ndimage.distance_transform_edt(~boundary, sampling=spacing_mm)
    return np.where(mask, -dtm, dtm)


def has_boundary(mask: np.ndarray) -> bool:
    return bool(mask.any() and not mask.all())


class TestByHand:
    def test_a_bar_is_negative_inside_zero_on_its_ends_and_positive_outside(self) -> None:
        mask = np.array([[0, 1, 1, 1, 0, 0]], dtype=bool)
        # Neighbours are 2 mm apart along the row.
        assert signed_distance_map(mask, (1.0, 2.0)).tolist() == [[2.0, 0.0, -2.0, 0.0, 2.0, 4.0]]

    def test_spacing_is_in_array_order(self) -> None:
        mask = np.zeros((3, 3), dtype=bool)
        mask[0, 0] = True
        # Three mm between rows, four between columns: sqrt(3^2 + 4^2) = 5.
        np.testing.assert_allclose(
            signed_distance_map(mask, (3.0, 4.0)),
            [[0, 4, 8], [3, 5, math.sqrt(73)], [6, math.sqrt(52), 10]],
            rtol=1e-6,
        )

    def test_the_edge_of_the_image_is_no_boundary(self) -> None:
        mask = np.array([[1, 1, 1, 0, 0]], dtype=bool)
        assert signed_distance_map(mask, (1.0, 1.0)).tolist() == [[-2.0, -1.0, 0.0, 1.0, 2.0]]

    def test_a_voxel_that_touches_the_outside_by_a_corner_is_boundary(self) -> None:
        mask = np.ones((3, 3), dtype=bool)
        mask[0, 0] = False
        # (1, 1) touches (0, 0) by a corner alone. From (2, 2) it is sqrt(1 + 1) mm away.
        dtm = signed_distance_map(mask, (1.0, 1.0))
        assert dtm[1, 1] == 0.0
        assert dtm[2, 2] == pytest.approx(-math.sqrt(2))

    def test_three_axes(self) -> None:
        mask = np.zeros((2, 3, 4), dtype=bool)
        mask[0, 0, 0] = True
        # One, two and three voxels away along axes of 1, 2 and 3 mm: sqrt(1^2 + 4^2 + 9^2) = sqrt(98).
        assert signed_distance_map(mask, (1.0, 2.0, 3.0))[1, 2, 3] == pytest.approx(math.sqrt(98))


class TestOracles:
    @few
    @given(mask=masks, spacing=spacings)
    def test_equals_the_loop_over_all_voxels(
        self, mask: np.ndarray, spacing: tuple[float, float, float]
    ) -> None:
        assume(has_boundary(mask))
        spacing_mm = spacing[: mask.ndim]
        np.testing.assert_allclose(
            signed_distance_map(mask, spacing_mm), by_loop(mask, spacing_mm), rtol=1e-6
        )

    @pytest.mark.parametrize(
        "spacing_mm", [(1.0, 1.0), (0.7, 3.0), (1.0, 1.0, 1.0), (5.0, 0.8, 0.8), (0.5, 2.0, 3.0)]
    )
    @pytest.mark.parametrize("kind", ["scattered", "box", "touching edges", "single voxel", "one hole"])
    def test_equals_itk(self, kind: str, spacing_mm: tuple[float, ...]) -> None:
        rng = np.random.default_rng(1)
        shape = (13, 9, 11)[: len(spacing_mm)]
        if kind == "scattered":
            mask = rng.random(shape) < 0.2
        else:
            mask = np.full(shape, kind == "one hole")
            where = {
                "box": (slice(3, 8), slice(2, 6), slice(4, 9)),
                "touching edges": (slice(0, 6), slice(3, None), slice(None)),
            }.get(kind, (4, 5, 6))
            mask[where[: mask.ndim]] = kind != "one hole"
        np.testing.assert_allclose(
            signed_distance_map(mask, spacing_mm), by_itk(mask, spacing_mm), rtol=1e-6, atol=1e-5
        )

    @pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (5.0, 0.8, 0.7), (0.7, 2.0, 3.0)])
    @pytest.mark.parametrize("smoothness", [0.0, 3.0])
    def test_equals_scipy_on_a_volume(self, smoothness: float, spacing_mm: tuple[float, ...]) -> None:
        noise = np.random.default_rng(3).normal(size=(40, 56, 48))
        mask = ndimage.gaussian_filter(noise, smoothness) > (0.02 if smoothness else 1.5)
        np.testing.assert_allclose(
            signed_distance_map(mask, spacing_mm), by_scipy(mask, spacing_mm), rtol=1e-6
        )

    @pytest.mark.parametrize("corner", [(0, 0, 0), (6, 0, 20), (13, 8, 27)])
    @pytest.mark.parametrize("filled", [False, True])
    def test_a_small_body_anywhere_in_a_large_image(self, corner: tuple[int, ...], filled: bool) -> None:
        mask = np.full((16, 12, 30), filled)
        mask[tuple(slice(low, low + 4) for low in corner)] ^= True
        spacing_mm = (3.0, 0.7, 1.0)
        np.testing.assert_allclose(
            signed_distance_map(mask, spacing_mm), by_scipy(mask, spacing_mm), rtol=1e-6
        )

    def test_spacings_of_very_different_size(self) -> None:
        mask = np.random.default_rng(5).random((9, 8, 7)) < 0.1
        spacing_mm = (300.0, 1.0, 0.3)
        np.testing.assert_allclose(
            signed_distance_map(mask, spacing_mm), by_scipy(mask, spacing_mm), rtol=1e-6
        )

    @pytest.mark.parametrize("threads", [2, 5])
    def test_threads_change_nothing(self, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
        mask = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(30, 7, 40)), 2.0) > 0.05
        alone = signed_distance_map(mask, (2.0, 1.0, 1.0))
        monkeypatch.setattr(distance_transform, "VOXELS_A_THREAD", 1)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        np.testing.assert_array_equal(signed_distance_map(mask, (2.0, 1.0, 1.0)), alone)

    @pytest.mark.parametrize("shape", [(1, 6, 7), (6, 1, 7), (6, 7, 1), (1, 1, 7), (1, 7), (7, 1)])
    def test_axes_of_one_voxel(self, shape: tuple[int, ...]) -> None:
        mask = np.random.default_rng(2).random(shape) < 0.5
        spacing_mm = (3.0, 1.0, 2.0)[: mask.ndim]
        np.testing.assert_allclose(
            signed_distance_map(mask, spacing_mm), by_loop(mask, spacing_mm), rtol=1e-6
        )


class TestIdentities:
    @few
    @given(mask=masks, spacing=spacings)
    def test_doubling_the_spacing_doubles_the_map(
        self, mask: np.ndarray, spacing: tuple[float, float, float]
    ) -> None:
        spacing_mm = spacing[: mask.ndim]
        doubled = signed_distance_map(mask, [2 * s for s in spacing_mm])
        np.testing.assert_allclose(doubled, 2 * signed_distance_map(mask, spacing_mm), rtol=1e-6)

    @few
    @given(mask=masks, spacing=spacings)
    def test_the_sign_tells_inside_from_outside(
        self, mask: np.ndarray, spacing: tuple[float, float, float]
    ) -> None:
        dtm = signed_distance_map(mask, spacing[: mask.ndim])
        assert (dtm[mask] <= 0).all()
        assert (dtm[~mask] > 0).all()

    @few
    @given(mask=masks, spacing=spacings)
    def test_reversing_the_axes_reverses_the_map(
        self, mask: np.ndarray, spacing: tuple[float, float, float]
    ) -> None:
        spacing_mm = spacing[: mask.ndim]
        np.testing.assert_allclose(
            signed_distance_map(mask.T, spacing_mm[::-1]).T,
            signed_distance_map(mask, spacing_mm),
            rtol=0,
            atol=1e-5 * math.hypot(*np.multiply(mask.shape, spacing_mm)),
        )

    def test_is_float32_and_leaves_the_mask_alone(self) -> None:
        mask = np.eye(4, dtype=bool)[::2]
        before = mask.copy()
        dtm = signed_distance_map(mask, (1.0, 1.0))
        assert dtm.dtype == np.float32
        assert dtm.flags.writeable
        np.testing.assert_array_equal(mask, before)


class TestAbsentClass:
    @pytest.mark.parametrize(("filled", "sign"), [(False, 1), (True, -1)])
    def test_diagonal_of_a_brats_volume(self, filled: bool, sign: int) -> None:
        # sqrt(240^2 + 240^2 + 155^2) = sqrt(139225) = 373.13 mm
        mask = np.full((240, 240, 155), filled)
        dtm = signed_distance_map(mask, (1.0, 1.0, 1.0))
        assert dtm.dtype == np.float32
        assert dtm.min() == dtm.max() == pytest.approx(sign * 373.1286)

    def test_diagonal_is_in_mm(self) -> None:
        # sqrt((3 x 2 mm)^2 + (4 x 2 mm)^2) = 10 mm
        assert signed_distance_map(np.zeros((3, 4), dtype=bool), (2.0, 2.0))[0, 0] == 10.0

    @pytest.mark.parametrize("filled", [False, True])
    def test_zero_leaves_the_class_out(self, filled: bool) -> None:
        dtm = signed_distance_map(np.full((2, 3), filled), (1.0, 1.0), absent_class="zero")
        assert not dtm.any()

    def test_zero_changes_no_class_that_has_a_boundary(self) -> None:
        mask = np.eye(5, dtype=bool)
        np.testing.assert_array_equal(
            signed_distance_map(mask, (1.0, 2.0), absent_class="zero"), signed_distance_map(mask, (1.0, 2.0))
        )


class TestMapsOfAllClasses:
    def test_each_class_has_its_own_map(self) -> None:
        labels = np.array([[0, 0, 1, 2, 2, 2]], dtype=np.int16)
        assert signed_distance_maps(labels, 3, (1.0, 1.0)).tolist() == [
            [[-1, 0, 1, 2, 3, 4]],
            [[2, 1, 0, 1, 2, 3]],
            [[3, 2, 1, 0, -1, -2]],
        ]

    def test_negative_labels_are_background(self) -> None:
        labels = np.array([[-1, 0, 1], [-1, -1, 1]])
        np.testing.assert_array_equal(
            signed_distance_maps(labels, 2, (1.0, 1.0)),
            signed_distance_maps(np.maximum(labels, 0), 2, (1.0, 1.0)),
        )

    def test_a_missing_class_gets_the_rule_asked_for(self) -> None:
        labels = np.zeros((3, 4), dtype=np.uint8)
        assert signed_distance_maps(labels, 2, (1.0, 1.0))[:, 0, 0].tolist() == [-5.0, 5.0]
        assert not signed_distance_maps(labels, 2, (1.0, 1.0), absent_class="zero").any()

    @few
    @given(labels=hnp.arrays(np.int8, (3, 2, 4), elements=st.integers(-1, 2)))
    def test_equals_one_map_at_a_time(self, labels: np.ndarray) -> None:
        dtms = signed_distance_maps(labels, 3, (2.0, 1.0, 0.5))
        assert dtms.dtype == np.float32
        assert dtms.shape == (3, 3, 2, 4)
        one_by_one = [labels <= 0, labels == 1, labels == 2]
        for dtm, mask in zip(dtms, one_by_one, strict=True):
            np.testing.assert_array_equal(dtm, signed_distance_map(mask, (2.0, 1.0, 0.5)))


class TestMapsOneByOne:
    @few
    @given(labels=hnp.arrays(np.int8, (3, 2, 4), elements=st.integers(-1, 2)))
    def test_equal_all_at_once(self, labels: np.ndarray) -> None:
        maps = list(each_signed_distance_map(labels, 3, (2.0, 1.0, 0.5), absent_class="zero"))
        np.testing.assert_array_equal(
            maps, signed_distance_maps(labels, 3, (2.0, 1.0, 0.5), absent_class="zero")
        )

    def test_labels_are_checked_before_the_first_map(self) -> None:
        with pytest.raises(ValueError, match="label 2 is out of range for 2 classes"):
            each_signed_distance_map(np.array([[0, 2]]), 2, (1.0, 1.0))

    def test_only_the_maps_asked_for_are_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []
        monkeypatch.setattr(distance, "signed_distance_map", lambda mask, *_, **__: made.append(mask.sum()))
        maps = each_signed_distance_map(np.array([[0, 1, 1]]), 2, (1.0, 1.0))
        next(maps)
        assert made == [1]


class TestErrors:
    mask = np.eye(3, dtype=bool)

    @pytest.mark.parametrize("spacing_mm", [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0)])
    def test_spacing_that_is_no_length(self, spacing_mm: tuple[float, float]) -> None:
        with pytest.raises(ValueError, match=r"spacing_mm is \(.*\), expected positive finite numbers"):
            signed_distance_map(self.mask, spacing_mm)

    def test_spacing_of_another_dimension(self) -> None:
        with pytest.raises(ValueError, match="spacing_mm has 3 numbers for 2 axes"):
            signed_distance_map(self.mask, (1.0, 1.0, 1.0))

    @pytest.mark.parametrize("shape", [(4,), (2, 2, 2, 2), (0, 3)])
    def test_an_image_without_two_or_three_axes(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="expected 2 or 3 non-empty axes"):
            signed_distance_map(np.ones(shape, dtype=bool), [1.0] * len(shape))

    def test_a_mask_that_is_not_boolean(self) -> None:
        with pytest.raises(ValueError, match="mask has dtype uint8, expected bool"):
            signed_distance_map(self.mask.astype(np.uint8), (1.0, 1.0))  # type: ignore[arg-type]

    def test_an_unknown_rule(self) -> None:
        with pytest.raises(ValueError, match='absent_class is "nan", expected one of'):
            signed_distance_map(self.mask, (1.0, 1.0), absent_class="nan")  # type: ignore[arg-type]

    def test_labels_that_are_no_integers(self) -> None:
        with pytest.raises(ValueError, match="labels have dtype float32, expected integers"):
            signed_distance_maps(np.ones((2, 2), dtype=np.float32), 2, (1.0, 1.0))  # type: ignore[arg-type]

    def test_a_label_out_of_range(self) -> None:
        with pytest.raises(ValueError, match="label 2 is out of range for 2 classes"):
            signed_distance_maps(np.array([[0, 2]]), 2, (1.0, 1.0))
