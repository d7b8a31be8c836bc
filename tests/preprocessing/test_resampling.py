"""Resampling against nnU-Net's own, bit by bit."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.preprocessing.resampling.no_resampling import no_resampling_hack
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from gsl_experiments.preprocessing.resampling import LeanConfiguration, resample_to_shape

IMAGE = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
LABELS = {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None}
sizes = st.tuples(*[st.integers(1, 9)] * 3)


def check(data: np.ndarray, new_shape: Any, spacing: Any, new_spacing: Any, **kwargs: Any) -> None:
    expected = resample_data_or_seg_to_shape(data.copy(), new_shape, spacing, new_spacing, **kwargs)
    resampled = resample_to_shape(data.copy(), new_shape, spacing, new_spacing, **kwargs)
    assert resampled.dtype == expected.dtype
    np.testing.assert_array_equal(resampled, expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=sizes,
    new_shape=sizes,
    thick_axis=st.integers(0, 2),
    thick_before=st.booleans(),
    thick_after=st.booleans(),
    labels=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_nnunet(
    shape: tuple[int, int, int],
    new_shape: tuple[int, int, int],
    thick_axis: int,
    thick_before: bool,
    thick_after: bool,
    labels: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    spacings = [
        [5.0 if thick and axis == thick_axis else 0.8 for axis in range(3)]
        for thick in (thick_before, thick_after)
    ]
    if labels:
        check(rng.integers(-1, 3, (1, *shape)).astype(np.int16), new_shape, *spacings, **LABELS)
    else:
        check(rng.normal(size=(2, *shape)).astype(np.float32), new_shape, *spacings, **IMAGE)


@pytest.mark.parametrize(
    "kwargs", [IMAGE, LABELS, LABELS | {"order_z": 1}, IMAGE | {"force_separate_z": False}]
)
@pytest.mark.parametrize("new_shape", [(31, 40, 37), (7, 60, 55), (13, 40, 37), (13, 48, 50)])
def test_thick_slices(kwargs: dict[str, Any], new_shape: tuple[int, int, int]) -> None:
    smooth = np.add.outer(np.sin(np.arange(13)), np.add.outer(np.cos(np.arange(48) / 5), np.arange(50) / 20))
    data = np.rint(smooth) if kwargs["is_seg"] else smooth
    check(data[None].astype(np.float32), new_shape, [5.0, 0.8, 0.8], [2.5, 1.0, 0.9], **kwargs)


def test_every_ratio_of_slices() -> None:
    """Halves are where the nearest slice is a matter of rounding."""
    for count in range(1, 15):
        data = np.arange(count, dtype=np.float32)[None, :, None, None] * np.ones((1, 1, 2, 2), np.float32)
        for new_count in range(1, 31):
            check(data, (new_count, 3, 2), [5.0, 1.0, 1.0], [2.0, 1.0, 1.0], **IMAGE)


def configuration(function: str) -> ConfigurationManager:
    names = {f"resampling_fn_{what}": function for what in ("data", "seg")}
    options = {"resampling_fn_data_kwargs": IMAGE, "resampling_fn_seg_kwargs": LABELS}
    return LeanConfiguration({"architecture": {}} | names | options)


def test_the_plans_options_are_kept() -> None:
    lean = configuration("resample_data_or_seg_to_shape")
    for function, options in ((lean.resampling_fn_data, IMAGE), (lean.resampling_fn_seg, LABELS)):
        assert isinstance(function, partial)
        assert function.func is resample_to_shape
        assert function.keywords == options


def test_another_resampling_in_the_plans_is_left_alone() -> None:
    assert configuration("no_resampling_hack").resampling_fn_data.func is no_resampling_hack
