"""Facts gathered block by block are those of the whole array."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsl_experiments.validation.voxels import VoxelReader, Voxels

VALUES = st.one_of(
    st.integers(-3, 300).map(float),
    st.floats(-1e6, 1e6, width=32),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.5, 1.0004, 1e30]),
)


def facts_of(blocks: Sequence[Any], *, is_label: bool) -> Voxels:
    reader = VoxelReader(is_label=is_label)
    for block in blocks:
        reader.add(block)
    return reader.facts()


@given(values=st.lists(VALUES, min_size=1, max_size=60), cut=st.integers(0, 60), is_label=st.booleans())
def test_equals_numpy_on_the_whole(values: list[float], cut: int, is_label: bool) -> None:
    voxels = np.array(values, np.float32)
    facts = facts_of([voxels[:cut], voxels[cut:]], is_label=is_label)
    finite = voxels[np.isfinite(voxels)]
    assert facts.nans == np.isnan(voxels).sum()
    assert facts.infinities == np.isinf(voxels).sum()
    assert facts.whole == bool((finite % 1 == 0).all())
    if finite.size:
        assert (facts.minimum, facts.maximum) == (finite.min(), finite.max())
    else:
        assert math.isnan(facts.minimum)
    if is_label:
        rounded = np.round(finite.astype(float))
        close = np.abs(finite - rounded) <= 1e-3
        assert facts.fractional == (~close).sum()
        unique, counts = np.unique(rounded[close], return_counts=True)
        assert facts.counts == {int(v): int(n) for v, n in zip(unique, counts, strict=True)}


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, ">i2", ">f4"]
)
def test_the_hash_and_the_counts_do_not_depend_on_the_data_type(dtype: Any) -> None:
    voxels = np.random.default_rng(0).integers(0, 200, 5000)
    plain = facts_of([voxels.astype(np.uint8)], is_label=True)
    facts = facts_of(np.array_split(voxels.astype(dtype), 3), is_label=True)
    assert (facts.digest, facts.counts) == (plain.digest, plain.counts)


def test_one_voxel_changes_the_hash() -> None:
    voxels = np.arange(1000)
    changed = voxels.copy()
    changed[500] += 1
    assert facts_of([voxels], is_label=False).digest != facts_of([changed], is_label=False).digest
