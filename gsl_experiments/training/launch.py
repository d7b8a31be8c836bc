"""The training stage: the folds of one run, one after the other, on the CPU, one GPU or several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from gsl_experiments.config import (
    available_cores,
    folds,
    loader_processes,
    model_folder,
    preprocessed_folder,
    resolve_gpus,
    run_name,
)
from gsl_experiments.errors import UserError
from gsl_experiments.training.experiment import write_experiment_plans
from gsl_experiments.training.trainer import nnUNetTrainerGSL


def train(cfg: DictConfig) -> None:
    """Train the configured folds of the run and predict their held-out cases; what is finished is skipped."""
    gpus = resolve_gpus(cfg, torch.cuda.device_count())
    os.environ["nnUNet_n_proc_DA"] = str(loader_processes(cfg))
    plans = write_experiment_plans(cfg)
    folder, preprocessed = model_folder(cfg), preprocessed_folder(cfg)
    dataset_json = json.loads((preprocessed / "dataset.json").read_text())
    _announce(cfg, plans, gpus, folder)

    for fold in folds(cfg):
        if is_finished(
            folder / f"fold_{fold}", held_out_cases(preprocessed, fold), dataset_json["file_ending"]
        ):
            print(f"{run_name(cfg)} fold {fold} is finished: skipped")
            continue
        start = time.monotonic()
        processes = gpus if gpus > 0 else cfg.cpu_processes
        if processes > 1:
            _train_with_torchrun(cfg, fold, processes, device="cuda" if gpus else "cpu")
        else:
            device = torch.device("cuda" if gpus else "cpu")
            train_fold(preprocessed, run_name(cfg), cfg.configuration, fold, device)
        print(f"{run_name(cfg)} fold {fold} took {(time.monotonic() - start) / 60:.1f} minutes")


def train_fold(
    preprocessed: Path, plans_name: str, configuration: str, fold: int, device: torch.device
) -> None:
    """Train one fold, from its last checkpoint if there is one, and predict its held-out cases."""
    torch.set_num_threads(available_cores() if device.type == "cpu" else 1)
    plans = json.loads((preprocessed / f"{plans_name}.json").read_text())
    dataset_json = json.loads((preprocessed / "dataset.json").read_text())
    plans["continue_training"] = True
    trainer = nnUNetTrainerGSL(plans, configuration, fold, dataset_json, device)
    final, latest = (Path(trainer.output_folder) / f"checkpoint_{which}.pth" for which in ("final", "latest"))
    checkpoint = next((file for file in (final, latest) if file.exists()), None)
    if checkpoint is not None:
        trainer.load_checkpoint(str(checkpoint))
    if checkpoint != final:
        trainer.run_training()
    trainer.perform_actual_validation()


def held_out_cases(preprocessed: Path, fold: int) -> list[str]:
    """Return the identifiers of the cases that the fold holds out."""
    return json.loads((preprocessed / "splits_final.json").read_text())[fold]["val"]


def is_finished(fold_folder: Path, held_out: list[str], file_ending: str) -> bool:
    """Return whether the fold has its final checkpoint and a prediction of every held-out case."""
    predictions = fold_folder / "validation"
    return (fold_folder / "checkpoint_final.pth").exists() and all(
        (predictions / f"{case}{file_ending}").exists() for case in held_out
    )


def _train_with_torchrun(cfg: DictConfig, fold: int, processes: int, device: str) -> None:
    """Train the fold with one process a GPU; the worker reads the plans that have just been written."""
    batch_size = json.loads((preprocessed_folder(cfg) / f"{run_name(cfg)}.json").read_text())[
        "configurations"
    ][cfg.configuration]["batch_size"]
    if batch_size < processes:
        raise UserError(
            f"gpus={processes}: a batch of {batch_size} cannot be split over {processes} processes; "
            f"take gpus={batch_size} or planning.batch_size={processes}"
        )
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    worker = ["-m", "gsl_experiments.training.worker", str(preprocessed_folder(cfg)), run_name(cfg)]
    call = [sys.executable, *torchrun, *worker, cfg.configuration, str(fold), device]
    if subprocess.run(call, check=False).returncode != 0:
        raise UserError(
            f"fold {fold} failed on {processes} processes: its errors are above; call again to continue"
        )


def _announce(cfg: DictConfig, plans: dict[str, Any], gpus: int, folder: Path) -> None:
    planned = plans["configurations"][cfg.configuration]
    features = planned["architecture"]["arch_kwargs"]["features_per_stage"]
    training = cfg.training
    region = f", region term {cfg.loss.region}" if cfg.loss.boundary is not None else ""
    schedule = f", alpha {cfg.schedule.name}" if cfg.schedule.name else ""
    where = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else f"CPU, {available_cores()} cores"
    print(f"Training {run_name(cfg)} on {cfg.dataset.nnunet_name}, protocol {cfg.protocol}")
    print(f"  loss {cfg.loss.name}{region}{schedule}")
    print(f"  folds {', '.join(str(f) for f in folds(cfg))}, on {where}")
    print(
        f"  {training.epochs} epochs of {training.iterations_per_epoch} steps, batch {planned['batch_size']}"
    )
    print(f"  patch {' x '.join(str(p) for p in planned['patch_size'])}, network of {features} channels")
    print(f"  into {folder}")
