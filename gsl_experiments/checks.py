"""Checks of the composed configuration: one line for a value that makes no sense, before anything is done."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gsl_experiments.config import folds, rendezvous, run_name
from gsl_experiments.errors import UserError


def check(cfg: DictConfig) -> None:
    """Raise :class:`UserError` for the first value of the configuration that makes no sense."""
    check_resources(cfg)
    folds(cfg)
    _check_run(cfg)
    _check_loss(cfg)
    _check_planning(cfg)
    _check_training(cfg)
    _check_one_of("dataset.on_error", cfg.dataset.on_error, ("stop", "exclude"))
    _check_number("inference.tile_step_size", cfg.inference.tile_step_size, above=0, up_to=1)
    for key in ("gaussian", "mirroring"):
        _check_one_of(f"inference.{key}", cfg.inference[key], (True, False))
    _check_schedule(cfg)


def check_tables(cfg: DictConfig) -> None:
    """Raise :class:`UserError` for the first value of ``tables`` that makes no sense."""
    if cfg.tables.baseline is not None and not isinstance(cfg.tables.baseline, str):
        raise UserError(
            f"tables.baseline={cfg.tables.baseline}: allowed are the name of a run, such as dice_ce, and null"
        )
    _check_number("tables.alpha", cfg.tables.alpha, above=0, below=1)
    _check_whole("tables.resamples", cfg.tables.resamples, at_least=1)
    _check_whole("seed", cfg.seed, at_least=0)


def _check_run(cfg: DictConfig) -> None:
    if not isinstance(cfg.loss.name, str):
        raise UserError(f"loss.name={cfg.loss.name}: allowed is a name")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", run_name(cfg)) or "__" in run_name(cfg):
        raise UserError(
            f"suffix={cfg.suffix}: the run would be called {run_name(cfg)}; allowed are letters, digits, '.', '-' and "
            "single underscores, which name a folder"
        )
    _check_whole("seed", cfg.seed, at_least=0)
    _check_one_of("debug", cfg.debug, (None, "augmentation"))
    _check_one_of("deterministic", cfg.deterministic, (True, False))
    _check_whole("cpu_processes", cfg.cpu_processes, at_least=1)
    _check_whole("nodes", cfg.nodes, at_least=1)
    _check_whole("max_restarts", cfg.max_restarts, at_least=0)
    rendezvous(cfg)


def check_resources(cfg: DictConfig) -> None:
    """Raise :class:`UserError` if what every stage reads, how much of the machine it may use, makes no sense."""
    if cfg.processes != "auto":
        _check_whole("processes", cfg.processes, at_least=1)
    if cfg.memory_gb != "auto":
        _check_number("memory_gb", cfg.memory_gb, above=0)
    if cfg.loader_processes != "auto":
        _check_whole("loader_processes", cfg.loader_processes, at_least=0)


def _check_loss(cfg: DictConfig) -> None:
    loss = cfg.loss
    _check_one_of("loss.region", loss.region, sorted(cfg.region_terms))
    if loss.boundary is None and loss.region != loss.name:
        raise UserError(
            f"loss.region={loss.region}: loss={loss.name} is a region loss by itself; "
            "a region term is chosen for hl, bl and gsl"
        )
    _check_number("loss.class_weight_power", loss.get("class_weight_power", 1.0), at_least=0)


def _check_planning(cfg: DictConfig) -> None:
    planning = cfg.planning
    _check_patch(planning.patch_size)
    if planning.batch_size is not None:
        _check_whole("planning.batch_size", planning.batch_size, at_least=1)
    _check_whole("planning.base_features", planning.base_features, at_least=1)
    _check_one_of("planning.target_spacing", planning.target_spacing, ("paper", "nnunet"))
    _check_one_of("planning.absent_class", planning.absent_class, ("diagonal", "zero"))
    _check_one_of("planning.zscore_on_nonzero", planning.zscore_on_nonzero, (True, False, None))


def _check_training(cfg: DictConfig) -> None:
    training = cfg.training
    for key in ("epochs", "iterations_per_epoch", "val_iterations_per_epoch", "save_every"):
        _check_whole(f"training.{key}", training[key], at_least=1)
    _check_number("training.optimizer.lr", training.optimizer.lr, above=0)
    if training.gradient_clip is not None:
        _check_number("training.gradient_clip", training.gradient_clip, above=0)
    _check_number("training.inner_validation", training.inner_validation, at_least=0, below=1)
    _check_whole("training.non_finite_patience", training.non_finite_patience, at_least=0)
    _check_one_of("training.batch_dice", training.batch_dice, (True, False, "planned"))
    for key in ("deep_supervision", "mixed_precision"):
        _check_one_of(f"training.{key}", training[key], (True, False))
    for key, allowed in (
        ("lr_schedule", ("constant", "poly")),
        ("augmentation", ("nnunet", "released_code")),
        ("initialization", ("pytorch", "nnunet")),
        ("ce_scale", ("paper", "voxel")),
        ("schedule_formula", ("prose", "equation", "released_code")),
    ):
        _check_one_of(f"training.{key}", training[key], allowed)


def _check_schedule(cfg: DictConfig) -> None:
    name, has_boundary = cfg.schedule.name, cfg.loss.boundary is not None
    if name and not has_boundary:
        raise UserError(
            f"schedule={name}: loss={cfg.loss.name} has no boundary term and so no alpha to schedule"
        )
    if has_boundary and not name:
        raise UserError(f"schedule=none: loss={cfg.loss.name} needs a schedule for alpha")
    if name:
        alpha = instantiate(cfg.schedule.alpha)
        try:
            alpha(0, cfg.training.epochs)
        except (TypeError, ValueError) as error:
            raise UserError(f"schedule={name} with training.epochs={cfg.training.epochs}: {error}") from error


def _check_patch(patch: Any) -> None:
    if patch is None:
        return
    axes = list(patch) if OmegaConf.is_list(patch) else []
    if len(axes) not in (2, 3) or not all(_is_whole(n) and n > 0 for n in axes):
        given = f"[{','.join(str(n) for n in axes)}]" if axes else patch
        raise UserError(
            f"planning.patch_size={given}: allowed are two or three positive whole numbers, or null"
        )


def _check_whole(option: str, value: Any, *, at_least: int) -> None:
    if not _is_whole(value) or value < at_least:
        allowed = "a positive whole number" if at_least == 1 else f"a whole number from {at_least}"
        raise UserError(f"{option}={value}: allowed is {allowed}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_number(
    option: str,
    value: Any,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    up_to: float = math.inf,
    below: float = math.inf,
) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if is_number and above < value < below and at_least <= value <= up_to:
        return
    bounds = [(">", above), (">=", at_least), ("<=", up_to), ("<", below)]
    limits = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if math.isfinite(bound))
    raise UserError(f"{option}={value}: allowed is a number {limits}")


def _check_one_of(option: str, value: Any, allowed: Sequence[Any]) -> None:
    if not any(value is a or (value == a and type(value) is type(a)) for a in allowed):
        names = ", ".join(
            "null" if a is None else str(a).lower() if isinstance(a, bool) else str(a) for a in allowed
        )
        raise UserError(f"{option}={value}: allowed are {names}")
