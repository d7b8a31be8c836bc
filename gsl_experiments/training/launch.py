"""The training stage: the folds of one run, one after the other, on the CPU, one GPU or several."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import distributed as dist

from gsl_experiments.atomic import write_json
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
from gsl_experiments.provenance import collect
from gsl_experiments.training.experiment import write_experiment_plans
from gsl_experiments.training.fold import held_out_cases, is_finished
from gsl_experiments.training.trainer import nnUNetTrainerGSL


def train(cfg: DictConfig) -> None:
    """Train the configured folds of the run and predict their held-out cases; what is finished is skipped."""
    gpus = resolve_gpus(cfg, torch.cuda.device_count())
    plans = write_experiment_plans(cfg)
    processes = _processes(cfg, gpus, plans["configurations"][cfg.configuration]["batch_size"])
    device = torch.device("cuda" if gpus else "cpu")
    loaders = math.ceil(loader_processes(cfg) / processes)
    folder, preprocessed = model_folder(cfg), preprocessed_folder(cfg)
    file_ending = json.loads((preprocessed / "dataset.json").read_text())["file_ending"]
    write_json(folder / "provenance.json", collect(OmegaConf.to_container(cfg, resolve=True)))
    _announce(cfg, plans, f"{processes} x {'GPU' if gpus else 'CPU'}", folder)

    for fold in folds(cfg):
        if is_finished(folder / f"fold_{fold}", held_out_cases(preprocessed, fold), file_ending):
            print(f"{run_name(cfg)} fold {fold} is finished: skipped")
            continue
        start = time.monotonic()
        with _loader_processes(loaders):
            if processes > 1:
                _train_with_torchrun(cfg, fold, processes, device)
            else:
                train_fold(preprocessed, run_name(cfg), cfg.configuration, fold, device)
        print(f"{run_name(cfg)} fold {fold} took {(time.monotonic() - start) / 60:.1f} minutes")


def train_fold(
    preprocessed: Path, plans_name: str, configuration: str, fold: int, device: torch.device
) -> None:
    """Train one fold, from its last checkpoint if there is one, and predict its held-out cases."""
    processes = dist.get_world_size() if dist.is_initialized() else 1
    torch.set_num_threads(max(1, available_cores() // processes) if device.type == "cpu" else 1)
    if (
        device.type == "cuda"
    ):  # as nnU-Net's own launcher; and a fold does not inherit the last one's compilations
        torch.backends.cudnn.benchmark = True
        torch._dynamo.reset()
    plans = json.loads((preprocessed / f"{plans_name}.json").read_text())
    dataset_json = json.loads((preprocessed / "dataset.json").read_text())
    plans["continue_training"] = True
    trainer = nnUNetTrainerGSL(plans, configuration, fold, dataset_json, device)
    final, latest = (Path(trainer.output_folder) / f"checkpoint_{which}.pth" for which in ("final", "latest"))
    checkpoint = next((file for file in (final, latest) if file.exists()), None)
    if checkpoint is not None:
        _load(trainer, checkpoint)
    if checkpoint != final:
        trainer.run_training()
    trainer.perform_actual_validation()


@contextmanager
def _loader_processes(number: int) -> Iterator[None]:
    """Tell the trainer, and processes it starts, how many loaders to run; nnU-Net's planning could not bear a 0."""
    before = os.environ["nnUNet_n_proc_DA"]
    os.environ["nnUNet_n_proc_DA"] = str(number)
    try:
        yield
    finally:
        os.environ["nnUNet_n_proc_DA"] = before


def _load(trainer: nnUNetTrainerGSL, checkpoint: Path) -> None:
    try:
        trainer.load_checkpoint(str(checkpoint))
    except (RuntimeError, EOFError, UnpicklingError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{checkpoint} cannot be continued from ({reason}): delete it to train the fold again"
        ) from error


def _processes(cfg: DictConfig, gpus: int, batch_size: int) -> int:
    """Return how many processes share a batch: one a GPU, at most one an example."""
    processes = gpus or cfg.cpu_processes
    if processes <= batch_size:
        return int(processes)
    if gpus and cfg.gpus == "all":
        print(f"{gpus} GPUs are visible; a batch of {batch_size} is shared by {batch_size} of them")
        return batch_size
    option = "gpus" if gpus else "cpu_processes"
    raise UserError(
        f"{option}={processes}: a batch of {batch_size} cannot be split over {processes} processes; "
        f"allowed are up to {batch_size}, or a larger planning.batch_size"
    )


def _train_with_torchrun(cfg: DictConfig, fold: int, processes: int, device: torch.device) -> None:
    """Train the fold in several processes; they read the plans that have just been written."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    worker = ["-m", "gsl_experiments.training.worker", str(preprocessed_folder(cfg)), run_name(cfg)]
    call = [sys.executable, *torchrun, *worker, cfg.configuration, str(fold), device.type]
    if subprocess.run(call, check=False).returncode != 0:
        raise UserError(
            f"fold {fold} failed on {processes} processes: its errors are above; call again to continue"
        )


def _announce(cfg: DictConfig, plans: dict[str, Any], devices: str, folder: Path) -> None:
    planned = plans["configurations"][cfg.configuration]
    features = planned["architecture"]["arch_kwargs"]["features_per_stage"]
    region = f", region term {cfg.loss.region}" if cfg.loss.boundary is not None else ""
    schedule = f", alpha {cfg.schedule.name}" if cfg.schedule.name else ""
    print(f"Training {run_name(cfg)} on {cfg.dataset.nnunet_name}, protocol {cfg.protocol}")
    print(f"  loss {cfg.loss.name}{region}{schedule}")
    print(f"  folds {', '.join(str(f) for f in folds(cfg))}, on {devices}, {available_cores()} cores")
    print(
        f"  {cfg.training.epochs} epochs of {cfg.training.iterations_per_epoch} steps, "
        f"batch {planned['batch_size']}, patch {' x '.join(str(p) for p in planned['patch_size'])}"
    )
    print(f"  network of {features} channels")
    print(f"  into {folder}")
