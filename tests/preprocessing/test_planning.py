from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.planning import PaperPlanner, plan_network


def configuration(spacing: list[float]) -> dict[str, Any]:
    return {
        "patch_size": [64, 64, 64],
        "batch_size": 4,
        "spacing": spacing,
        "architecture": {"arch_kwargs": {"conv_bias": True}},
    }


def planner(spacings: list[list[float]], rule: str) -> PaperPlanner:
    """A planner of a fingerprint, without the dataset that nnU-Net's constructor wants on disk."""
    made = PaperPlanner.__new__(PaperPlanner)
    made.dataset_fingerprint = {"spacings": spacings, "shapes_after_crop": [[40, 300, 300]] * len(spacings)}
    made.target_spacing_rule = rule
    made.overwrite_target_spacing = None
    made.anisotropy_threshold = 3
    return made


def test_target_spacing_is_the_median_in_plane_and_the_90th_percentile_along_z() -> None:
    """z: 1, 2, 3, 4, 5 has its 90th percentile at 4 + 0.6 * (5 - 4); in plane the middle value counts."""
    spacings = [[z, 0.5 + 0.1 * i, 0.9 - 0.1 * i] for i, z in enumerate([1.0, 5.0, 3.0, 2.0, 4.0])]
    target = planner(spacings, "paper").determine_fullres_target_spacing()
    np.testing.assert_allclose(target, [4.6, 0.7, 0.7])


def test_nnunets_rule_takes_the_10th_percentile_of_a_coarse_axis() -> None:
    """z: 2, 4, ..., 10 has its 10th percentile at 2 + 0.4 * 2; the median 6 is over three times 0.7."""
    spacings = [[z, 0.7, 0.7] for z in (2.0, 4.0, 6.0, 8.0, 10.0)]
    target = planner(spacings, "nnunet").determine_fullres_target_spacing()
    np.testing.assert_allclose(target, [2.8, 0.7, 0.7])


def test_network_of_the_brats_patch_is_nnunets() -> None:
    """nnU-Net plans six stages for 128^3 at 1 mm: five halvings leave 4^3 voxels."""
    planned = plan_network(
        configuration([1.0, 1.0, 1.0]), patch_size=[128] * 3, batch_size=2, base_features=32
    )
    arch = planned["architecture"]["arch_kwargs"]
    assert arch["features_per_stage"] == [32, 64, 128, 256, 320, 320]
    assert arch["strides"] == [[1, 1, 1]] + [[2, 2, 2]] * 5
    assert arch["conv_bias"]
    assert planned["patch_size"] == [128, 128, 128]
    assert planned["batch_size"] == 2


def test_network_of_the_lits_patch_halves_the_coarse_axis_later() -> None:
    """At 5 mm between slices and 0.77 mm in plane only the plane is halved until its voxels are as coarse."""
    planned = plan_network(
        configuration([5.0, 0.77, 0.77]), patch_size=[128, 256, 256], batch_size=2, base_features=32
    )
    arch = planned["architecture"]["arch_kwargs"]
    strides = np.array(arch["strides"])
    assert strides[:, 0].tolist() == [1, 1, 1, 2, 2, 2, 2]
    np.testing.assert_array_equal(strides.prod(axis=0), [16, 64, 64])
    assert arch["kernel_sizes"][0] == [1, 3, 3]


def test_the_planned_patch_and_batch_stay_where_none_is_given() -> None:
    planned = plan_network(configuration([1.0, 1.0, 1.0]), patch_size=None, batch_size=None, base_features=8)
    assert planned["patch_size"] == [64, 64, 64]
    assert planned["batch_size"] == 4


def test_a_patch_that_cannot_be_halved_names_one_that_can() -> None:
    with pytest.raises(UserError, match=r"patch_size=\[100, 128, 128\]: .* \[112, 128, 128\] fits"):
        plan_network(
            configuration([1.0, 1.0, 1.0]), patch_size=[100, 128, 128], batch_size=2, base_features=32
        )


def test_a_patch_of_another_dimension() -> None:
    with pytest.raises(UserError, match=r"this configuration has 3 axes"):
        plan_network(configuration([1.0, 1.0, 1.0]), patch_size=[64, 64], batch_size=2, base_features=32)


def test_the_original_configuration_is_left_alone() -> None:
    original = configuration([1.0, 1.0, 1.0])
    plan_network(original, patch_size=[32] * 3, batch_size=1, base_features=8)
    assert original == configuration([1.0, 1.0, 1.0])


def test_planning_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    planner([[1.0, 1.0, 1.0]], "paper").save_plans({"configurations": {}})
    assert not any(tmp_path.iterdir())
