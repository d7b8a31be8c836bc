"""nnU-Net's training loop, made to survive: it stops and goes on at any step, alone or as one of several processes."""

from __future__ import annotations

import math
import time
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.helpers import empty_cache
from torch import distributed as dist
from torch import nn
from torch._dynamo import OptimizedModule

from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.manifest import hash_of_cases
from gsl_experiments.training.checkpoints import BEST, FINAL, LATEST, PREVIOUS, write_checkpoint
from gsl_experiments.training.interruption import Interrupted, StopRequest
from gsl_experiments.training.model_files import read_checkpoint


class ResumableTrainer(nnUNetTrainer):
    """nnU-Net's trainer with a loop that can stop after any step and go on from there as if nothing had happened.

    A checkpoint is all that a training is: weights, optimiser, scaler, log, and how many steps of the epoch are done.
    There is no random state in it, because every random draw is a function of the seed and the step.

    Attributes:
        steps_done: steps of the current epoch that are done.
        epoch_outputs: what :meth:`train_step` returned for each of them.
        stop_request: asked after every step whether to stop; set by whoever handles signals.
    """

    is_ddp: bool
    current_epoch: int
    dataloader_train: Any
    dataloader_val: Any
    _best_ema: float | None
    network: nn.Module

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps_done = 0
        self.epoch_outputs: list[dict[str, float]] = []
        self.stop_request = StopRequest()

    def run_training(self) -> None:
        """Train from where the fold stands to its end.

        Raises:
            Interrupted: a stop was requested; the checkpoint is written.
        """
        self.on_train_start()
        while self.current_epoch < self.num_epochs:
            self._run_epoch()
        self.on_train_end()

    def _run_epoch(self) -> None:
        self.on_epoch_start()
        self.on_train_epoch_start()
        while self.steps_done < self.num_iterations_per_epoch:
            self.epoch_outputs.append(self.train_step(next(self.dataloader_train)))
            self.steps_done += 1
            self._stop_if_requested()
        self.on_train_epoch_end(self.epoch_outputs)
        with torch.no_grad():
            self.on_validation_epoch_start()
            outputs = []
            for _ in range(self.num_val_iterations_per_epoch):
                outputs.append(self.validation_step(next(self.dataloader_val)))
                self._stop_if_requested()
            self.on_validation_epoch_end(outputs)
        self.on_epoch_end()

    def _stop_if_requested(self) -> None:
        """Stop in all processes at the same step, as soon as one of them has been asked to."""
        if not self.agree(self.stop_request.requested):
            return
        self.save_checkpoint(str(Path(self.output_folder) / LATEST))
        if self.is_ddp:
            dist.barrier()  # the first process has written it
        raise Interrupted(f"epoch {self.current_epoch}, step {self.steps_done}")

    def agree(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return self.sum_over_processes([float(flag)])[0] > 0

    def sum_over_processes(self, values: list[float]) -> list[float]:
        """Return the sums of the values of all processes."""
        if not self.is_ddp:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    # Epochs

    def on_train_epoch_end(self, train_outputs: list[dict[str, float]]) -> None:
        """Log the epoch's means, over its finite steps."""
        for name, key in (
            ("loss", "train_losses"),
            ("region", "region_losses"),
            ("boundary", "boundary_losses"),
        ):
            values = [output[name] for output in train_outputs if math.isfinite(output[name])]
            self.logger.log(key, float(np.mean(values)) if values else math.nan, self.current_epoch)

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Log as nnU-Net does; a class that is neither there nor predicted has no Dice (nan), which is no warning."""
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            super().on_validation_epoch_end(val_outputs)

    def on_epoch_end(self) -> None:
        """Log, save and draw as nnU-Net does, the best checkpoint first: the latest one holds what is the best."""
        epoch = self.current_epoch
        self.logger.log("epoch_end_timestamps", time.time(), epoch)
        for text, key in (
            ("train_loss", "train_losses"),
            ("region_loss", "region_losses"),
            ("boundary_loss", "boundary_losses"),
            ("val_loss", "val_losses"),
            ("Pseudo dice", "dice_per_class_or_region"),
        ):
            self.print_to_log_file(text, np.round(self.logger.get_value(key, epoch), 4))
        self.current_epoch, self.steps_done, self.epoch_outputs = epoch + 1, 0, []

        mean_dice = self.logger.get_value("ema_fg_dice", epoch)
        if self._best_ema is None or mean_dice > self._best_ema:
            self._best_ema = mean_dice
            self.print_to_log_file(f"Best moving average of the pseudo Dice so far: {mean_dice:.4f}")
            self.save_checkpoint(str(Path(self.output_folder) / BEST))
        if self.current_epoch % self.save_every == 0 and self.current_epoch < self.num_epochs:
            self.save_checkpoint(str(Path(self.output_folder) / LATEST))
        if self.local_rank == 0:
            self.logger.plot_progress_png(self.output_folder)

    def on_train_end(self) -> None:
        """Write the final checkpoint, remove those on the way to it, and end the loaders."""
        self.save_checkpoint(str(Path(self.output_folder) / FINAL))
        if self.local_rank == 0:
            for name in (LATEST, PREVIOUS):
                (Path(self.output_folder) / name).unlink(missing_ok=True)
        self.dataloader_train = self.dataloader_val = None
        empty_cache(self.device)
        self.print_to_log_file("Training done.")

    # Checkpoints

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint, in the first process."""
        if self.local_rank == 0 and not self.disable_checkpointing:
            write_checkpoint(self._state(), Path(filename))

    def _state(self) -> dict[str, Any]:
        """Return nnU-Net's content of a checkpoint and, with it, how far the epoch is."""
        log = {key: values[: self.current_epoch] for key, values in self.logger.get_checkpoint().items()}
        return {
            "network_weights": self.bare_network().state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": self.grad_scaler.state_dict() if self.grad_scaler is not None else None,
            "logging": log,
            "_best_ema": self._best_ema,
            "current_epoch": self.current_epoch,
            "steps_done": self.steps_done,
            "epoch_outputs": self.epoch_outputs,
            "init_args": self.my_init_kwargs,
            "trainer_name": type(self).__name__,
            "hash_of_cases": self.hash_of_cases,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
        }

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """Continue from a checkpoint's content; from a file as nnU-Net's own command hands it over.

        Raises:
            UserError: the preprocessed cases are not those that the training began with.
        """
        if isinstance(filename_or_checkpoint, str):
            filename_or_checkpoint = read_checkpoint(Path(filename_or_checkpoint), self.device)
        checkpoint = filename_or_checkpoint
        if not self.was_initialized:
            self.initialize()
        if checkpoint.get("hash_of_cases", self.hash_of_cases) != self.hash_of_cases:
            raise UserError(
                f"{self.preprocessed_dataset_folder} has changed since the training in {self.output_folder} began: "
                "delete that folder to train on the new data, or name a new run (suffix=...)"
            )
        self.bare_network().load_state_dict(checkpoint["network_weights"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state"])
        if self.grad_scaler is not None and checkpoint["grad_scaler_state"] is not None:
            self.grad_scaler.load_state_dict(checkpoint["grad_scaler_state"])
        self.logger.load_checkpoint(checkpoint["logging"])
        self._best_ema = checkpoint["_best_ema"]
        self.current_epoch = checkpoint["current_epoch"]
        self.steps_done = checkpoint["steps_done"]
        self.epoch_outputs = checkpoint["epoch_outputs"]
        self.inference_allowed_mirroring_axes = checkpoint["inference_allowed_mirroring_axes"]

    @cached_property
    def hash_of_cases(self) -> str:
        """Tells the preprocessed cases of the dataset from any others."""
        return hash_of_cases(Path(self.preprocessed_dataset_folder))

    def bare_network(self) -> nn.Module:
        """Return the network without what DDP and torch.compile have wrapped around it."""
        network: Any = self.network.module if self.is_ddp else self.network
        return network._orig_mod if isinstance(network, OptimizedModule) else network
