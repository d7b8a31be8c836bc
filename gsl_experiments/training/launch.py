"""The training stage: the folds of one run, one after the other, on the CPU, one GPU or several."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
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
    rendezvous,
    resolve_gpus,
    run_name,
)
from gsl_experiments.errors import UserError
from gsl_experiments.locking import exclusive
from gsl_experiments.provenance import collect
from gsl_experiments.training.announcement import announcement
from gsl_experiments.training.augmentation_picture import picture_of_batches
from gsl_experiments.training.checkpoints import FINAL, check_best, read_newest, set_damaged_aside
from gsl_experiments.training.experiment import write_experiment_plans
from gsl_experiments.training.fold import held_out_cases, is_finished
from gsl_experiments.training.held_out import predict_held_out
from gsl_experiments.training.interruption import EXIT_STATUS, Interrupted, StopRequest, stop_requests
from gsl_experiments.training.preflight import check_ready
from gsl_experiments.training.processes import Group, run_processes
from gsl_experiments.training.summary import has_summary, write_fold_summary
from gsl_experiments.training.trainer import nnUNetTrainerGSL


def train(cfg: DictConfig) -> None:
    """Train the configured folds of the run and predict their held-out cases; what is finished is skipped.

    Raises:
        UserError: the run cannot be trained as it is configured, or not here.
        SystemExit: a signal has interrupted the training (status 75: call again), or one of its processes has failed.
    """
    gpus = resolve_gpus(cfg, torch.cuda.device_count())
    plans = write_experiment_plans(cfg)
    processes = _processes(cfg, gpus, plans["configurations"][cfg.configuration]["batch_size"])
    device = torch.device("cuda" if gpus else "cpu")
    folder, preprocessed = model_folder(cfg), preprocessed_folder(cfg)
    file_ending = json.loads((preprocessed / "dataset.json").read_text())["file_ending"]
    finished = {
        fold: is_finished(folder / f"fold_{fold}", held_out_cases(preprocessed, fold), file_ending)
        and has_summary(folder / f"fold_{fold}")
        for fold in folds(cfg)
    }
    if cfg.debug == "augmentation":
        draw_augmentation(cfg, plans, device)
        return
    check_ready(cfg, plans, [fold for fold, is_done in finished.items() if not is_done])
    write_json(folder / "provenance.json", collect(OmegaConf.to_container(cfg, resolve=True)))
    print(announcement(cfg, plans, processes=processes, device=device, finished=finished))

    with stop_requests() as stop, _loader_processes(math.ceil(loader_processes(cfg) / processes)):
        for fold, is_done in finished.items():
            if is_done:
                print(f"{run_name(cfg)} fold {fold} is finished: skipped")
                continue
            try:
                _train_one(cfg, fold, processes, device, stop)
            except Interrupted as interrupted:
                by = f" by {stop.signal}" if stop.signal else ""
                print(
                    f"{run_name(cfg)} fold {fold} was interrupted{by} ({interrupted}): call again to continue"
                )
                raise SystemExit(EXIT_STATUS) from interrupted


def _train_one(cfg: DictConfig, fold: int, processes: int, device: torch.device, stop: StopRequest) -> None:
    """Train one fold, here or in several processes, which read the plans that have just been written."""
    start = time.monotonic()
    if stop.requested:
        raise Interrupted("before its start")
    if processes * cfg.nodes > 1:
        host, port = rendezvous(cfg) or (None, 0)
        group = Group(
            name=f"{run_name(cfg)}_fold_{fold}",
            processes=processes,
            nodes=cfg.nodes,
            # a port of its own for each fold, so that no node finds the last fold's rendezvous still open
            rendezvous=(host, port + fold) if host else None,
            max_restarts=cfg.max_restarts,
            logs=model_folder(cfg) / f"fold_{fold}" / "processes",
        )
        worker = ["-m", "gsl_experiments.training.worker", str(preprocessed_folder(cfg)), run_name(cfg)]
        run_processes([*worker, cfg.configuration, str(fold), device.type], group, stop)
    else:
        train_fold(preprocessed_folder(cfg), run_name(cfg), cfg.configuration, fold, device, stop)
    print(f"{run_name(cfg)} fold {fold} took {(time.monotonic() - start) / 60:.1f} minutes")


def train_fold(
    preprocessed: Path,
    plans_name: str,
    configuration: str,
    fold: int,
    device: torch.device,
    stop: StopRequest,
) -> None:
    """Train one fold, from its last checkpoint if there is one, and predict its held-out cases.

    Raises:
        Interrupted: ``stop`` was requested, and the fold is not finished.
        UserError: another process is training the fold, or its checkpoint cannot be continued from.
    """
    processes = int(os.environ["LOCAL_WORLD_SIZE"]) if dist.is_initialized() else 1
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
    trainer.stop_request = stop
    with _alone_in(Path(trainer.output_folder), f"training of {plans_name} fold {fold}"):
        trainer.initialize()
        if _load_newest(trainer) != FINAL:
            trainer.run_training()
        with stop.at_once("while held-out cases were predicted"):
            predict_held_out(trainer, keep=True)
        if trainer.local_rank == 0:
            print(write_fold_summary(Path(trainer.output_folder)), end="")


def draw_augmentation(cfg: DictConfig, plans: dict[str, Any], device: torch.device) -> None:
    """Draw some batches of the first configured fold before and after augmentation, and train nothing."""
    dataset_json = json.loads((preprocessed_folder(cfg) / "dataset.json").read_text())
    fold = folds(cfg)[0]
    of_run = plans | {"continue_training": True}
    trainer = nnUNetTrainerGSL(of_run, cfg.configuration, fold, dataset_json, device)
    batches, _ = trainer.batches()
    picture = picture_of_batches(
        batches,
        model_folder(cfg) / f"fold_{fold}" / "augmentation.png",
        class_names=list(dataset_json["labels"]),
        spacing_mm=plans["configurations"][cfg.configuration]["spacing"],
        numbers=range(3),
    )
    print(
        f"{picture} shows batches 1 to 3 of {run_name(cfg)} fold {fold}; nothing was trained (debug=augmentation)"
    )


def _alone_in(folder: Path, what: str) -> AbstractContextManager[None]:
    """Hold the fold's lock; of the processes of one training the first one does, which alone writes checkpoints."""
    is_first = not dist.is_initialized() or dist.get_rank() == 0
    return exclusive(folder, what=what, wait=False) if is_first else nullcontext()


@contextmanager
def _loader_processes(number: int) -> Iterator[None]:
    """Tell the trainer, and processes it starts, how many loaders to run; nnU-Net's planning could not bear a 0."""
    before = os.environ["nnUNet_n_proc_DA"]
    os.environ["nnUNet_n_proc_DA"] = str(number)
    try:
        yield
    finally:
        os.environ["nnUNet_n_proc_DA"] = before


def _load_newest(trainer: nnUNetTrainerGSL) -> str | None:
    """Continue from the newest checkpoint that is whole, and return its name; None where there is none."""
    path, checkpoint, warnings = read_newest(Path(trainer.output_folder), trainer.device)
    if path is None:
        return None
    if trainer.local_rank == 0:
        for warning in warnings:
            print(f"warning: {warning}; going on from {path.name}", file=sys.stderr)
        if trainer.experiment["training"]["inner_validation"]:
            check_best(Path(trainer.output_folder))
        set_damaged_aside(path)
    try:
        trainer.load_checkpoint(checkpoint)
    except (RuntimeError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} cannot be continued from ({reason}): delete it to train the fold again"
        ) from error
    return path.name


def _processes(cfg: DictConfig, gpus: int, batch_size: int) -> int:
    """Return how many processes of this node share a batch: one a GPU, over all nodes at most one an example."""
    processes = gpus or cfg.cpu_processes
    at_most = batch_size // cfg.nodes
    if processes <= at_most:
        return int(processes)
    if gpus and cfg.gpus == "all" and at_most:
        print(f"{gpus} GPUs are visible; a batch of {batch_size} is shared by {at_most} of them")
        return at_most
    option = f"nodes={cfg.nodes} " if cfg.nodes > 1 else ""
    option += f"gpus={processes}" if gpus else f"cpu_processes={processes}"
    raise UserError(
        f"{option}: a batch of {batch_size} cannot be split over {processes * cfg.nodes} processes; "
        f"allowed are up to {batch_size}, or a larger planning.batch_size"
    )
