"""The crop to what is not zero against nnU-Net's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.preprocessing.cropping import cropping
from nnunetv2.preprocessing.cropping.cropping import create_nonzero_mask, crop_to_nonzero

from gsl_experiments.preprocessing.cropping import lean_crop, nonzero_mask


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    shape=st.lists(st.integers(1, 8), min_size=2, max_size=3),
    channels=st.integers(1, 3),
    filled=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_mask_is_nnunets(shape: list[int], channels: int, filled: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = np.where(rng.random((channels, *shape)) < filled, rng.normal(size=(channels, *shape)), 0)
    expected = create_nonzero_mask(data)
    mask = nonzero_mask(data)
    assert mask.dtype == expected.dtype
    np.testing.assert_array_equal(mask, expected)


def test_holes_and_bays() -> None:
    z, y, x = np.ogrid[:24, :30, :28]
    radius = np.sqrt((z - 12) ** 2 + (y - 15) ** 2 + (x - 14) ** 2)
    data = ((radius < 10) & (radius > 4)).astype(np.float32)[None]
    data[0, 12, 15, 18:20] = np.nan  # not zero either
    assert nonzero_mask(data)[12, 15, 14]
    data[0, 12, 15, :14] = 0  # a tunnel to the outside, one voxel wide
    mask = nonzero_mask(data)
    assert not mask[12, 15, 14]
    np.testing.assert_array_equal(mask, create_nonzero_mask(data))


def test_nnunets_crop_uses_it_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.zeros((2, 9, 9, 9), dtype=np.float32)
    data[1, 2:7, 2:7, 2:7] = 1
    data[1, 4, 4, 4] = 0
    labels = np.zeros((1, 9, 9, 9), dtype=np.int8)
    expected = crop_to_nonzero(data, labels.copy())
    monkeypatch.setattr(cropping, "binary_fill_holes", lambda mask: pytest.fail("nnU-Net's own was called"))
    with lean_crop():
        found = crop_to_nonzero(data, labels.copy())
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert cropping.create_nonzero_mask is create_nonzero_mask
