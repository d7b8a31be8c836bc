"""Class weights: worked by hand, and against eqs. (13) and (17) in exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gsl_experiments.class_weights import class_weights, count_voxels

few = settings(max_examples=60, deadline=None, derandomize=True)
counts_of_classes = st.lists(st.integers(1, 10**11), min_size=1, max_size=6)


class TestCountVoxels:
    def test_by_hand(self) -> None:
        labels = np.array([[0, 0, 2], [-1, 2, 2]], dtype=np.int16)
        counts = count_voxels(labels, 4)
        assert counts.tolist() == [2, 0, 3, 0]
        assert counts.dtype == np.int64

    def test_an_image_of_nothing_but_negative_labels(self) -> None:
        assert count_voxels(np.full((2, 2, 2), -1), 2).tolist() == [0, 0]

    @few
    @given(labels=hnp.arrays(np.int8, hnp.array_shapes(max_dims=3), elements=st.integers(-1, 3)))
    def test_equals_a_loop_over_the_voxels(self, labels: np.ndarray) -> None:
        expected = [0, 0, 0, 0]
        for label in labels.ravel().tolist():
            if label >= 0:
                expected[label] += 1
        assert count_voxels(labels, 4).tolist() == expected

    def test_unsigned_labels(self) -> None:
        assert count_voxels(np.array([0, 1, 1], dtype=np.uint64), 2).tolist() == [1, 2]

    def test_a_label_out_of_range(self) -> None:
        with pytest.raises(ValueError, match="label 3 is out of range for 3 classes"):
            count_voxels(np.array([0, 3]), 3)

    def test_labels_that_are_no_integers(self) -> None:
        with pytest.raises(ValueError, match="labels have dtype float64, expected integers"):
            count_voxels(np.array([0.0, 1.0]), 2)  # type: ignore[arg-type]


class TestClassWeights:
    def test_by_hand(self) -> None:
        # 1/100, 1/10 and 1 add up to 1.11.
        np.testing.assert_allclose(class_weights([100, 10, 1]), [0.01 / 1.11, 0.1 / 1.11, 1 / 1.11])

    def test_by_hand_squared(self) -> None:
        # 1/16 and 1/4 add up to 5/16.
        np.testing.assert_allclose(class_weights([4, 2], power=2.0), [1 / 5, 4 / 5])

    @few
    @given(counts=counts_of_classes, power=st.integers(0, 4))
    def test_equals_the_equation_in_exact_fractions(self, counts: list[int], power: int) -> None:
        inverse = [Fraction(1, count) ** power for count in counts]
        expected = [float(i / sum(inverse)) for i in inverse]
        weights = class_weights(counts, power)
        assert weights.dtype == np.float64
        np.testing.assert_allclose(weights, expected, rtol=1e-12)

    @few
    @given(counts=counts_of_classes, power=st.floats(0, 20))
    def test_weights_add_up_to_one(self, counts: list[int], power: float) -> None:
        assert class_weights(counts, power).sum() == pytest.approx(1.0)

    @few
    @given(counts=counts_of_classes)
    def test_permuting_the_classes_permutes_the_weights(self, counts: list[int]) -> None:
        np.testing.assert_allclose(class_weights(counts[::-1]), class_weights(counts)[::-1], rtol=1e-12)

    @few
    @given(counts=counts_of_classes, factor=st.integers(2, 1000))
    def test_a_larger_dataset_of_the_same_kind_has_the_same_weights(
        self, counts: list[int], factor: int
    ) -> None:
        larger = [factor * count for count in counts]
        np.testing.assert_allclose(class_weights(larger), class_weights(counts), rtol=1e-12)

    def test_classes_of_one_size_weigh_alike(self) -> None:
        assert class_weights([7, 7, 7, 7], power=3.0).tolist() == [0.25] * 4

    def test_classes_that_no_case_holds(self) -> None:
        with pytest.raises(ValueError, match=r"no voxel in the dataset belongs to class 1, 3$"):
            class_weights([5, 0, 2, 0])

    @pytest.mark.parametrize("counts", [[[1, 2]], 3, []])
    def test_counts_that_are_not_one_row(self, counts: object) -> None:
        with pytest.raises(
            ValueError, match=r"voxel_counts has shape .*, expected one number for each class"
        ):
            class_weights(counts)  # type: ignore[arg-type]

    @pytest.mark.parametrize("power", [-1.0, math.nan, math.inf])
    def test_a_power_without_meaning(self, power: float) -> None:
        with pytest.raises(ValueError, match="expected a finite number of at least 0"):
            class_weights([1, 2], power)
