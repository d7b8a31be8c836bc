"""What a training says before it begins: a dozen lines about what it is going to do, and where."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from gsl_experiments.config import (
    available_cores,
    loader_processes,
    model_folder,
    preprocessed_folder,
    run_name,
)
from gsl_experiments.training.epoch_log import CSV_NAME, read_epochs
from gsl_experiments.training.fold import held_out_cases, training_cases
from gsl_experiments.training.memory_estimate import NetworkSize, measure_network, step_gib
from gsl_experiments.training.precision import cpu_has_bfloat16


def announcement(
    cfg: DictConfig,
    plans: dict[str, Any],
    *,
    processes: int,
    device: torch.device,
    finished: Mapping[int, bool],
) -> str:
    """Return what a training is about to do, in a dozen lines; nothing is written or allocated.

    Args:
        cfg: the composed configuration.
        plans: of the run.
        processes: on this machine, sharing a batch.
        device: ``cuda`` or ``cpu``.
        finished: fold -> whether it is trained and predicted already.
    """
    planned = plans["configurations"][cfg.configuration]
    dataset_json = json.loads((preprocessed_folder(cfg) / "dataset.json").read_text())
    size = measure_network(
        planned,
        channels=len(dataset_json["channel_names"]),
        classes=len(dataset_json["labels"]),
        batch_size=math.ceil(planned["batch_size"] / (processes * cfg.nodes)),
        deep_supervision=cfg.training.deep_supervision,
    )
    lines = {
        "dataset": f"{cfg.dataset.nnunet_name}, {', '.join(dataset_json['labels'])}",
        "folds": _folds(cfg, finished),
        "loss": _loss(cfg),
        "patch": _patch(planned),
        "network": _network(planned, size),
        "optimiser": f"{_optimizer(cfg)}, learning rate {cfg.training.optimizer.lr:g} ({cfg.training.lr_schedule})",
        "steps": _steps(cfg),
        "device": _device(cfg, processes, device),
        "memory": _memory(cfg, size, device),
        "into": str(model_folder(cfg)),
    }
    title = f"Training {run_name(cfg)}, protocol {cfg.protocol}"
    return "\n".join(
        [title, *(f"  {name:<10} {text}" for name, text in lines.items()), *_resumed(cfg, finished)]
    )


def _folds(cfg: DictConfig, finished: Mapping[int, bool]) -> str:
    described = []
    for fold in finished:
        train, held_out = (len(of(preprocessed_folder(cfg), fold)) for of in (training_cases, held_out_cases))
        described.append(f"{fold} ({train} + {held_out})")
    return f"{', '.join(described)} cases to train on + held out"


def _loss(cfg: DictConfig) -> str:
    if cfg.loss.boundary is None:
        return str(cfg.loss.name)
    return (
        f"{cfg.loss.name}: alpha x {cfg.loss.region} + (1 - alpha) x boundary term, "
        f"alpha {cfg.schedule.name} ({cfg.training.schedule_formula})"
    )


def _patch(planned: dict[str, Any]) -> str:
    voxels, spacing_mm = _by(planned["patch_size"]), _by(planned["spacing"], ".3g")
    return f"{voxels} voxels of {spacing_mm} mm, batch {planned['batch_size']}"


def _network(planned: dict[str, Any], size: NetworkSize) -> str:
    architecture = planned["architecture"]
    features = architecture["arch_kwargs"]["features_per_stage"]
    name = architecture["network_class_name"].rpartition(".")[2]
    channels = ", ".join(str(n) for n in features)
    return f"{name}, {len(features)} stages of {channels} channels, {size.parameters / 1e6:.1f} M parameters"


def _optimizer(cfg: DictConfig) -> str:
    return str(cfg.training.optimizer._target_).rpartition(".")[2]


def _steps(cfg: DictConfig) -> str:
    epochs, steps = cfg.training.epochs, cfg.training.iterations_per_epoch
    return f"{epochs} epochs of {steps}: {epochs * steps} a fold"


def _device(cfg: DictConfig, processes: int, device: torch.device) -> str:
    nodes = f"{cfg.nodes} nodes of " if cfg.nodes > 1 else ""
    kind = "GPU" if device.type == "cuda" else "CPU"
    loaders = math.ceil(loader_processes(cfg) / processes)
    loading = f"{loaders} background loaders each" if loaders else "loading in the foreground"
    return f"{nodes}{processes} x {kind} ({_precision(cfg, device)}), {available_cores()} cores, {loading}"


def _precision(cfg: DictConfig, device: torch.device) -> str:
    if not cfg.training.mixed_precision:
        return "float32"
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if cpu_has_bfloat16() else "float32"


def _memory(cfg: DictConfig, size: NetworkSize, device: torch.device) -> str:
    gib = step_gib(size, optimizer=_optimizer(cfg), half_precision=_precision(cfg, device) != "float32")
    where = "a GPU" if device.type == "cuda" else "a process"
    return f"about {gib:.1f} GiB {where} for a step (estimated from the network, docs/training.md)"


def _resumed(cfg: DictConfig, finished: Mapping[int, bool]) -> list[str]:
    """Return a line that says which folds are done and which go on; none where all are new."""
    done = [str(fold) for fold, is_done in finished.items() if is_done]
    begun = [
        f"fold {fold} from its last checkpoint ({_epochs_done(folder)} of {cfg.training.epochs} epochs are recorded)"
        for fold, is_done in finished.items()
        if not is_done and any((folder := model_folder(cfg) / f"fold_{fold}").glob("checkpoint_*.pth"))
    ]
    parts = [f"fold {', '.join(done)} is finished: skipped"] if done else []
    parts += [f"goes on with {', '.join(begun)}"] if begun else []
    return [f"  {'resumes':<10} {'; '.join(parts)}"] if parts else []


def _epochs_done(fold_folder: Path) -> int:
    return len(read_epochs(fold_folder / CSV_NAME))


def _by(sizes: Sequence[float], number_format: str = "") -> str:
    return " x ".join(format(size, number_format) for size in sizes)
