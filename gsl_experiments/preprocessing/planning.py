"""nnU-Net's planning with the paper's target spacing, patch and batch (docs/fidelity.md, rows 4, 7, 10 and 11)."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.utilities.json_export import recursive_fix_for_json_export
from omegaconf import DictConfig

from gsl_experiments.atomic import write_json
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.recipe import PLANS_KEY, recipe, refuse_mixing

MIN_FEATURE_MAP_EDGE = 4  # nnU-Net's smallest edge of the bottleneck
MAX_FEATURES = {2: 512, 3: 320}  # nnU-Net's, by dimension


def nnunets_own_plans(cfg: DictConfig, preprocessed: Path) -> dict[str, Any] | None:
    """Return the plans that nnU-Net itself has written under the configured name; None if there are none."""
    path = preprocessed / f"{cfg.planning.plans_name}.json"
    plans = json.loads(path.read_text()) if path.exists() else None
    return None if plans is None or PLANS_KEY in plans else plans


def write_plans(cfg: DictConfig, preprocessed: Path, dataset_json: dict[str, Any]) -> dict[str, Any]:
    """Write the plans that all runs of this protocol share, and return them.

    Plans that nnU-Net itself has written (``nnUNetPlans`` of a dataset that the user preprocessed before) are taken
    as they are. A change of what the preprocessed data depends on is refused: the old data would be mixed in.
    """
    existing = nnunets_own_plans(cfg, preprocessed)
    plans = _make_plans(cfg) if existing is None else existing
    if cfg.configuration not in plans["configurations"]:
        allowed = ", ".join(plans["configurations"])
        raise UserError(
            f"configuration={cfg.configuration}: nnU-Net planned {allowed} for {plans['dataset_name']}"
        )
    recipes = {
        name: recipe(plans, name, dataset_json, cfg.planning.absent_class)
        for name, planned in plans["configurations"].items()
        if "spacing" in planned
    }
    if existing is None:
        configurations = plans["configurations"]
        configurations[cfg.configuration] = plan_network(
            configurations[cfg.configuration],
            patch_size=cfg.planning.patch_size,
            batch_size=cfg.planning.batch_size,
            base_features=cfg.planning.base_features,
        )
    refuse_mixing(plans, recipes, preprocessed)
    if existing is None:
        write_json(preprocessed / f"{cfg.planning.plans_name}.json", plans)
    return plans


def _make_plans(cfg: DictConfig) -> dict[str, Any]:
    plans = plan_dataset(
        cfg.dataset.nnunet_name,
        plans_name=cfg.planning.plans_name,
        target_spacing=cfg.planning.target_spacing,
        zscore_on_nonzero=cfg.planning.zscore_on_nonzero,
    )
    recursive_fix_for_json_export(plans)
    choices = ("target_spacing", "zscore_on_nonzero", "absent_class")
    plans[PLANS_KEY] = {key: cfg.planning[key] for key in choices}
    return plans


class PaperPlanner(ExperimentPlanner):
    """nnU-Net's planner with a choice of target spacing and of normalising over non-zero voxels.

    It plans no low resolution configuration and writes no plans file: the caller does, once they are complete.
    """

    def __init__(
        self, dataset_name: str, *, plans_name: str, target_spacing: str, zscore_on_nonzero: bool | None
    ) -> None:
        super().__init__(dataset_name, plans_name=plans_name)
        self.target_spacing_rule = target_spacing
        self.zscore_on_nonzero = zscore_on_nonzero
        self.lowres_creation_threshold = 0.0

    def determine_fullres_target_spacing(self) -> np.ndarray:
        """Return the target spacing in mm, axes z, y, x.

        ``paper``: the median in plane and the 90th percentile along z. ``nnunet``: nnU-Net's rule.
        """
        if self.target_spacing_rule == "nnunet":
            return super().determine_fullres_target_spacing()
        return paper_spacing(np.vstack(self.dataset_fingerprint["spacings"]))

    def determine_normalization_scheme_and_whether_mask_is_used_for_norm(
        self,
    ) -> tuple[list[str], list[bool]]:
        """Return nnU-Net's choice, or z-scores over non-zero voxels where the configuration says so."""
        schemes, use_mask = super().determine_normalization_scheme_and_whether_mask_is_used_for_norm()
        if self.zscore_on_nonzero is not None:
            use_mask = [self.zscore_on_nonzero] * len(schemes)
        return schemes, use_mask

    def save_plans(self, plans: dict[str, Any]) -> None:
        """Write nothing: see the class."""


def paper_spacing(spacings_mm: np.ndarray) -> np.ndarray:
    """Return the paper's target spacing (z, y, x) of all cases' (n, 3): the 90th percentile in z, medians in plane."""
    return np.array([np.percentile(spacings_mm[:, 0], 90), *np.median(spacings_mm[:, 1:], axis=0)])


def plan_dataset(
    dataset_name: str, *, plans_name: str, target_spacing: str, zscore_on_nonzero: bool | None
) -> dict[str, Any]:
    """Return nnU-Net's plans for a dataset whose fingerprint has been taken."""
    planner = PaperPlanner(
        dataset_name,
        plans_name=plans_name,
        target_spacing=target_spacing,
        zscore_on_nonzero=zscore_on_nonzero,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # pages of configurations
        return planner.plan_experiment()


def plan_network(
    configuration: dict[str, Any],
    *,
    patch_size: Sequence[int] | None,
    batch_size: int | None,
    base_features: int,
) -> dict[str, Any]:
    """Return a copy of one configuration of the plans with nnU-Net's network for a given patch.

    Args:
        configuration: an entry of the plans' ``configurations``, already with its spacing.
        patch_size: voxels, in the axis order of the plans; None keeps the planned patch.
        batch_size: examples; None keeps the planned one.
        base_features: channels of the first stage, doubled from stage to stage up to nnU-Net's limit.

    Raises:
        UserError: the patch has the wrong number of axes, or cannot be halved as often as its network needs.
    """
    planned = deepcopy(configuration)
    patch = list(patch_size or planned["patch_size"])
    spacing = planned["spacing"]
    if len(patch) != len(spacing):
        raise UserError(f"planning.patch_size={patch}: this configuration has {len(spacing)} axes")
    _, strides, kernel_sizes, fitting_patch, _ = get_pool_and_conv_props(
        spacing, patch, MIN_FEATURE_MAP_EDGE, 999999
    )
    if list(fitting_patch) != patch:
        fitting = [int(p) for p in fitting_patch]
        raise UserError(f"planning.patch_size={patch}: nnU-Net's network halves it too often; {fitting} fits")

    stages = len(strides)
    largest = MAX_FEATURES[len(spacing)]
    planned["patch_size"] = patch
    planned["batch_size"] = batch_size or planned["batch_size"]
    planned["architecture"]["arch_kwargs"].update(
        n_stages=stages,
        features_per_stage=[min(largest, base_features * 2**stage) for stage in range(stages)],
        kernel_sizes=[list(k) for k in kernel_sizes],
        strides=[list(s) for s in strides],
        n_conv_per_stage=[2] * stages,
        n_conv_per_stage_decoder=[2] * (stages - 1),
    )
    return planned
