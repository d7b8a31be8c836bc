"""An experiment travels inside its own plans file.

nnU-Net's trainer gets plans and nothing else, so a run's plans are the plans of the preprocessed data under the run's
name, with the network of its patch and one more key, ``gsl_experiment``. All runs share one ``data_identifier`` and so
one preprocessed copy, and nnU-Net's stock commands work on every run.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gsl_experiments.atomic import write_json
from gsl_experiments.config import EXPERIMENT_KEY, model_folder, preprocessed_folder, run_name
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.preprocessing.planning import plan_network


def write_experiment_plans(cfg: DictConfig) -> dict[str, Any]:
    """Write the plans file of the configured run beside the preprocessed data and return the plans.

    Raises:
        UserError: the dataset is not preprocessed, or was with other settings, or a run of this name with other
            settings is already there.
    """
    preprocessed = preprocessed_folder(cfg)
    base = _load_base_plans(cfg, preprocessed)
    plans = deepcopy(base)
    plans["plans_name"] = run_name(cfg)
    if "gsl_preprocessing" in base:
        plans["configurations"][cfg.configuration] = plan_network(
            base["configurations"][cfg.configuration],
            patch_size=cfg.planning.patch_size,
            batch_size=cfg.planning.batch_size,
            base_features=cfg.planning.base_features,
        )
    else:
        _refuse_another_network(cfg)
    cfg = _with_planned_batch_dice(cfg, plans["configurations"][cfg.configuration])
    plans[EXPERIMENT_KEY] = describe(cfg)
    _try_targets(cfg)
    _refuse_other_run(plans, cfg)
    write_json(preprocessed / f"{run_name(cfg)}.json", plans)
    return plans


def describe(cfg: DictConfig) -> dict[str, Any]:
    """Return all that defines the run, as plain values; nothing that depends on the machine."""
    has_boundary = cfg.loss.boundary is not None
    resolved = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(resolved, dict)
    return {
        "dataset": cfg.dataset.name,
        "loss": cfg.loss.name,
        "region": cfg.loss.region if has_boundary else None,
        "schedule": cfg.schedule.name,
        "protocol": cfg.protocol,
        "epochs": cfg.training.epochs,
        "seed": cfg.seed,
        "deterministic": cfg.deterministic,
        "suffix": str(cfg.suffix),
        "region_term": resolved["region_terms"][cfg.loss.region],
        "boundary_term": resolved["loss"]["boundary"],
        "class_weight_power": cfg.loss.get("class_weight_power", 1.0),
        "alpha": resolved["schedule"]["alpha"],
        "training": resolved["training"],
        "inference": resolved["inference"],
    }


def _load_base_plans(cfg: DictConfig, preprocessed: Path) -> dict[str, Any]:
    path = preprocessed / f"{cfg.planning.plans_name}.json"
    call = f"make preprocess DATASET={cfg.dataset.name} RAW=folder PROTOCOL={cfg.protocol}"
    if not path.exists():
        raise UserError(f"{path} is missing: preprocess first ({call})")
    plans = json.loads(path.read_text())
    if cfg.configuration not in plans["configurations"]:
        raise UserError(
            f"configuration={cfg.configuration}: allowed are {', '.join(plans['configurations'])}"
        )
    for key, value in plans.get("gsl_preprocessing", {}).items():
        if cfg.planning[key] != value:
            raise UserError(
                f"planning.{key}={cfg.planning[key]}: {path} was preprocessed with {value}; {call}"
            )
    weights = maps_folder(preprocessed / plans["configurations"][cfg.configuration]["data_identifier"])
    if not (weights / "class_weights.json").exists():
        raise UserError(
            f"{weights / 'class_weights.json'} is missing: preprocessing has not finished ({call})"
        )
    return plans


def _with_planned_batch_dice(cfg: DictConfig, planned: dict[str, Any]) -> DictConfig:
    """Return the configuration with nnU-Net's own choice where ``training.batch_dice`` leaves it to the plans."""
    if cfg.training.batch_dice != "planned":
        return cfg
    cfg = cfg.copy()
    cfg.training.batch_dice = bool(planned["batch_dice"])
    return cfg


def _try_targets(cfg: DictConfig) -> None:
    """Build what the configuration names, so that a slip shows before hours are spent."""
    targets = {
        f"region_terms.{cfg.loss.region}": cfg.region_terms[cfg.loss.region],
        "loss.boundary": cfg.loss.boundary,
        "training.optimizer": cfg.training.optimizer,
    }
    for option, target in targets.items():
        if target is None and option == "loss.boundary":
            continue
        try:
            built: Any = instantiate(target)
            if built is None:
                raise ValueError("it is null")
            if option == "training.optimizer":
                built([torch.nn.Parameter(torch.zeros(1))])
        except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:
            raise UserError(f"{option}: cannot be built ({' '.join(str(error).split())})") from error


def _refuse_another_network(cfg: DictConfig) -> None:
    """Raise where the configuration asks for another network than nnU-Net itself has planned."""
    for key, planned_by_nnunet in (("patch_size", None), ("batch_size", None), ("base_features", 32)):
        if cfg.planning[key] != planned_by_nnunet:
            raise UserError(
                f"planning.{key}={cfg.planning[key]}: {cfg.planning.plans_name} was written by nnU-Net and is taken "
                f"as it is; allowed is {planned_by_nnunet}"
            )


def _refuse_other_run(plans: dict[str, Any], cfg: DictConfig) -> None:
    """Raise unless the run's folder is new, or holds a run with the same settings and network."""
    stored = model_folder(cfg) / "plans.json"
    if not stored.exists():
        return

    def settings(of: dict[str, Any]) -> dict[str, Any]:
        return of.get(EXPERIMENT_KEY, {}) | {"planning": of["configurations"].get(cfg.configuration)}

    changed = _first_difference(
        settings(json.loads(stored.read_text())), settings(json.loads(json.dumps(plans)))
    )
    if changed:
        raise UserError(
            f"run {run_name(cfg)} is already there with other settings ({changed}): "
            f"give this one a name of its own with suffix=..., or delete {model_folder(cfg)}"
        )


def _first_difference(before: Any, now: Any, path: str = "") -> str | None:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before):  # a setting that an older version did not know has not been changed
            difference = _first_difference(before.get(key), now.get(key), f"{path}.{key}" if path else key)
            if difference:
                return difference
        return None
    return None if before == now else f"{path} was {before} and is {now}"
