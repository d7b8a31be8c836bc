"""The nnU-Net trainer of this project: all it adds to nnU-Net's own is here, in short overrides."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from hydra.utils import instantiate
from nnunetv2.training.loss.dice import get_tp_fp_fn_tn
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from gsl_experiments.atomic import write_json
from gsl_experiments.class_weights import class_weights
from gsl_experiments.config import EXPERIMENT_KEY
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.provenance import collect
from gsl_experiments.training.checkpoints import BEST
from gsl_experiments.training.dataloading import MapDataset, PatchBatches, load_batches, seed_everything
from gsl_experiments.training.epoch_log import EpochLog, EpochRecords
from gsl_experiments.training.held_out import predict_held_out
from gsl_experiments.training.loop import ResumableTrainer
from gsl_experiments.training.model_files import read_checkpoint
from gsl_experiments.training.non_finite import NonFiniteSteps
from gsl_experiments.training.objective import LossTerms, Objective
from gsl_experiments.training.precision import mixed_precision
from gsl_experiments.training.progress import TrainingProgress
from gsl_experiments.training.transforms import as_released_code, by_fixed_algorithms, carry_maps

# What a seed is combined with, so that no two purposes draw the same numbers.
_WEIGHTS, _TRAINING, _VALIDATION, _NETWORK = range(4)


class nnUNetTrainerGSL(ResumableTrainer):  # noqa: N801 - nnU-Net finds trainers by this kind of name
    """nnU-Net training with a loss, a schedule for alpha and settings read from the plans (``gsl_experiment``).

    Args:
        plans: an experiment's plans, as :func:`~gsl_experiments.training.experiment.write_experiment_plans` makes them.
        configuration: nnU-Net's configuration, ``3d_fullres``.
        fold: 0 to 4.
        dataset_json: nnU-Net's description of the dataset.
        device: CPU or GPU; under torchrun each process takes the GPU of its local rank.

    Raises:
        UserError: the plans carry no experiment.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        if EXPERIMENT_KEY not in plans:
            raise UserError(
                f"plans {plans['plans_name']} carry no experiment: "
                "train with -p and the name of plans that `make plans` wrote"
            )
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self.is_ddp:
            # torchrun names the GPU of this process; nnU-Net's own launcher knows one machine, where the rank does
            local_rank = int(os.environ.get("LOCAL_RANK", dist.get_rank()))
            self.device = torch.device("cuda", local_rank) if device.type == "cuda" else device
        if self.device.type != "cuda":
            self.grad_scaler = None

        self.experiment = plans[EXPERIMENT_KEY]
        settings = self.experiment["training"]
        self.initial_lr = settings["optimizer"]["lr"]
        self.num_epochs = settings["epochs"]
        self.num_iterations_per_epoch = settings["iterations_per_epoch"]
        self.num_val_iterations_per_epoch = settings["val_iterations_per_epoch"]
        self.enable_deep_supervision = settings["deep_supervision"]
        self.save_every = settings["save_every"]
        self.logger.local_logger = EpochLog(self.num_epochs)
        self.alpha_schedule = instantiate(self.experiment["alpha"]) if self.experiment["alpha"] else None
        self.non_finite_steps = NonFiniteSteps(settings["non_finite_patience"])
        self._progress: TrainingProgress | None = None
        self._records: EpochRecords | None = None

    # What is trained

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Return nnU-Net's planned network, initialised as PyTorch or as nnU-Net does."""
        settings = plans_manager.plans[EXPERIMENT_KEY]["training"]
        network = get_network_from_plans(
            configuration_manager.network_arch_class_name,
            configuration_manager.network_arch_init_kwargs,
            configuration_manager.network_arch_init_kwargs_req_import,
            num_input_channels,
            num_output_channels,
            allow_init=settings["initialization"] == "nnunet",
            deep_supervision=enable_deep_supervision,
        )
        # the heads of scales that the loss leaves out, the coarsest or all but the finest, would stop DDP
        heads = network.decoder.seg_layers
        heads[: 1 if settings["deep_supervision"] and len(heads) > 1 else -1].requires_grad_(False)
        return network

    def initialize(self) -> None:
        """Seed everything, then build network, optimiser and loss."""
        if self.experiment["deterministic"]:
            make_deterministic()
        seed_everything([self.experiment["seed"], _WEIGHTS])
        # nnU-Net wraps the network for CUDA alone; leave that to the lines below
        self.is_ddp = False
        super().initialize()
        self.is_ddp = dist.is_initialized()
        if self.is_ddp:
            gpus = [self.device.index] if self.device.type == "cuda" else None
            self.network = DistributedDataParallel(self.network, device_ids=gpus)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        """Return the experiment's optimiser, and nnU-Net's learning rate schedule or a constant one."""
        settings = self.experiment["training"]
        optimizer = instantiate(settings["optimizer"])(self.network.parameters())
        exponent = {"constant": 0.0, "poly": 0.9}[settings["lr_schedule"]]
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs, exponent=exponent)

    def _build_loss(self) -> Objective:
        if self.label_manager.has_regions or self.label_manager.has_ignore_label:
            raise UserError(
                f"{self.plans_manager.dataset_name}: losses over distance maps need plain labels; "
                "region-based training and an ignore label are not supported"
            )
        boundary = self.experiment["boundary_term"]
        return Objective(
            instantiate(self.experiment["region_term"]),
            instantiate(boundary) if boundary else None,
            class_weights=self._load_class_weights(),
            scale_weights=self._scale_weights(),
            compiled=self._do_i_compile(),
        ).to(self.device)

    def _load_class_weights(self) -> Tensor:
        """Return eq. (13), or eq. (17) where the experiment sets a power, from the dataset's voxel counts."""
        file = maps_folder(Path(self.preprocessed_dataset_folder)) / "class_weights.json"
        if not file.exists():
            raise UserError(
                f"{file} is missing: preprocess the dataset with this project first (make preprocess)"
            )
        voxels = np.array(json.loads(file.read_text())["voxels"])
        weights = class_weights(voxels, power=self.experiment["class_weight_power"])
        return torch.as_tensor(weights, dtype=torch.float32)

    def _scale_weights(self) -> list[float]:
        """Return nnU-Net's weights of the deep supervision outputs: halved from scale to scale, none for the last."""
        if not self.enable_deep_supervision:
            return [1.0]
        weights = 0.5 ** np.arange(len(self._get_deep_supervision_scales()))
        if len(weights) > 1:
            weights[-1] = 0.0
        return list(weights / weights.sum())

    # What it is trained on

    def get_tr_and_val_datasets(self) -> tuple[MapDataset, MapDataset]:
        """Return the fold's training cases and those of the online validation, with maps if the loss reads them."""
        train, validation = self.do_split()
        inner = self.experiment["training"]["inner_validation"]
        if inner:
            train, validation = train_test_split(train, test_size=inner, random_state=self.experiment["seed"])
        with_maps = self.experiment["boundary_term"] is not None
        folder = self.preprocessed_dataset_folder
        return MapDataset(folder, train, with_maps=with_maps), MapDataset(
            folder, validation, with_maps=with_maps
        )

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Return endless streams of training and validation batches, from where the fold stands."""
        processes, pin_memory = get_allowed_n_proc_DA(), self.device.type == "cuda"
        training, validation = self.batches()
        step = self.current_epoch * self.num_iterations_per_epoch + self.steps_done
        val_step = self.current_epoch * self.num_val_iterations_per_epoch
        return (
            load_batches(training, first=step, processes=processes, pin_memory=pin_memory),
            load_batches(validation, first=val_step, processes=(processes + 1) // 2, pin_memory=pin_memory),
        )

    def batches(self) -> tuple[PatchBatches, PatchBatches]:
        """Return the fold's training and validation batches: nnU-Net's patches and augmentation, with maps."""
        patch_size = self.configuration_manager.patch_size
        scales = self._get_deep_supervision_scales()
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        augmentation = self.get_training_transforms(
            patch_size,
            rotation,
            scales,
            mirror_axes,
            dummy_2d,
            use_mask_for_norm=self.configuration_manager.use_mask_for_norm,
            foreground_labels=self.label_manager.foreground_labels,
        )
        if self.experiment["training"]["augmentation"] == "released_code":
            augmentation, initial_patch_size = as_released_code(augmentation), patch_size
        if self.experiment["deterministic"]:
            augmentation = by_fixed_algorithms(augmentation)
        none = self.get_validation_transforms(scales, foreground_labels=self.label_manager.foreground_labels)
        training, validation = self.get_tr_and_val_datasets()

        def batches(
            dataset: MapDataset, size: Sequence[int], transforms: ComposeTransforms, purpose: int
        ) -> PatchBatches:
            return PatchBatches(
                dataset,
                size,
                patch_size,
                self.label_manager,
                batch_size=self.configuration_manager.batch_size,
                places=self.places,
                oversample_foreground=self.oversample_foreground_percent,
                transforms=carry_maps(transforms, scales, spacing_mm=self.configuration_manager.spacing),
                seed=[self.experiment["seed"], purpose],
            )

        return (
            batches(training, initial_patch_size, augmentation, _TRAINING),
            batches(validation, patch_size, none, _VALIDATION),
        )

    @property
    def places(self) -> list[int]:
        """The places in the batch whose examples this process takes; processes share a batch as evenly as can be."""
        rank, processes = (dist.get_rank(), dist.get_world_size()) if self.is_ddp else (0, 1)
        shares = np.array_split(np.arange(self.configuration_manager.batch_size), processes)
        return [int(place) for place in shares[rank]]

    @property
    def share(self) -> float:
        """How this process's mean over examples counts in the mean over processes that is the mean over the batch."""
        processes = dist.get_world_size() if self.is_ddp else 1
        return len(self.places) * processes / self.configuration_manager.batch_size

    # How it is trained

    def run_training(self) -> None:
        """Train from where the fold stands to its end, or to where it is interrupted."""
        try:
            super().run_training()
        finally:
            for shown in (self._progress, self._records):
                if shown is not None:
                    shown.close()

    def on_train_start(self) -> None:
        """Prepare as nnU-Net does, write where this run comes from, and start the progress bar."""
        super().on_train_start()
        if self.local_rank == 0:
            if (
                self.current_epoch == self.steps_done == 0
            ):  # predictions of an earlier training would pass for this one's
                shutil.rmtree(Path(self.output_folder) / "validation", ignore_errors=True)
            write_json(Path(self.output_folder) / "provenance.json", collect(self.experiment))
            steps = self.num_iterations_per_epoch
            self._records = EpochRecords(Path(self.output_folder), self.current_epoch)
            self._records.complete(self.logger.local_logger, self.current_epoch)
            self._progress = TrainingProgress(
                f"{self.plans_manager.plans_name} fold {self.fold}",
                self.num_epochs,
                steps,
                self.current_epoch * steps + self.steps_done,
            )

    def on_train_epoch_start(self) -> None:
        """Set alpha for the epoch."""
        super().on_train_epoch_start()
        if self.alpha_schedule is not None:
            self.loss.alpha = float(self.alpha_schedule(self.current_epoch, self.num_epochs))
        self.logger.log("alpha", self.loss.alpha, self.current_epoch)
        self.print_to_log_file(f"alpha {self.loss.alpha:.4f}")

    def train_step(self, batch: dict[str, Any]) -> dict[str, float]:
        """Take one step of the optimiser and return the loss and its terms, means over the whole batch.

        A step whose loss or gradient is not finite leaves the weights as they are.
        """
        step = self.current_epoch * self.num_iterations_per_epoch + self.steps_done
        seed_everything([self.experiment["seed"], _NETWORK, self.local_rank, step])
        self.optimizer.zero_grad(set_to_none=True)
        terms, _ = self._forward(batch)
        total = terms.total * self.share
        if self.grad_scaler is None:
            total.backward()
        else:
            self.grad_scaler.scale(total).backward()
            self.grad_scaler.unscale_(self.optimizer)
        norm = self._clip_gradient()

        processes = dist.get_world_size() if self.is_ddp else 1
        values = torch.stack([*terms]).detach().double() * (self.share / processes)
        loss, region, boundary = self.sum_over_processes(values.tolist())
        finite = math.isfinite(loss) and math.isfinite(norm)
        if self.grad_scaler is not None:
            scale = self.grad_scaler.get_scale()
            self.grad_scaler.step(
                self.optimizer
            )  # skipped by the scaler itself if the gradient is not finite
            self.grad_scaler.update()
            # float16's range was exceeded, and the scaler can still give way
            finite = finite or (math.isfinite(loss) and scale > 1)
        elif finite:
            self.optimizer.step()
        self.non_finite_steps.record(
            finite,
            batch=batch,
            values={
                "epoch": self.current_epoch,
                "step": self.steps_done,
                "alpha": self.loss.alpha,
                "region term": region,
                "boundary term": boundary,
                "norm of the gradient": norm,
            },
            folder=Path(self.output_folder),
        )
        if self._progress is not None:
            self._progress.step(loss=loss, region=region, boundary=boundary, alpha=self.loss.alpha)
        return {"loss": loss, "region": region, "boundary": boundary}

    def _clip_gradient(self) -> float:
        """Clip the gradient as the experiment says and return the norm that it had."""
        clip = self.experiment["training"]["gradient_clip"]
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if clip is not None:
            nn.utils.clip_grads_with_norm_(self.network.parameters(), clip, norm)
        return float(norm)

    def _forward(self, batch: dict[str, Any]) -> tuple[LossTerms, Tensor]:
        """Return the loss of a batch and the network's output at full resolution."""
        data, target, dtm = (self._to_device(batch[name]) for name in ("data", "target", "dtm"))
        with mixed_precision(self.device, enabled=self.experiment["training"]["mixed_precision"]):
            output = self.network(data[0])
            outputs = output if isinstance(output, list | tuple) else [output]
            maps: Sequence[Tensor | None] = dtm or [None] * len(target)
            return self.loss(outputs, target, maps), outputs[0]

    def _to_device(self, tensors: Tensor | list[Tensor] | None) -> list[Tensor]:
        """Return the tensors of all scales on the device; one scale is a list of one."""
        if tensors is None:
            return []
        listed = tensors if isinstance(tensors, list) else [tensors]
        return [tensor.to(self.device, non_blocking=True) for tensor in listed]

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the loss of a batch and the counts for nnU-Net's pseudo Dice."""
        terms, output = self._forward(batch)
        target = self._to_device(batch["target"])[0]
        predicted = torch.zeros_like(output, dtype=torch.float32)  # half precision cannot count that far
        predicted.scatter_(1, output.argmax(1, keepdim=True), 1)
        axes = [0, *range(2, output.ndim)]
        counts = get_tp_fp_fn_tn(predicted, target, axes=axes)[:3]
        tp, fp, fn = (count[1:].float().cpu().numpy() for count in counts)  # without the background
        return {"loss": terms.total.item() * self.share, "tp_hard": tp, "fp_hard": fp, "fn_hard": fn}

    def on_epoch_end(self) -> None:
        """Log, save and draw as nnU-Net does, and show and record the epoch's values."""
        super().on_epoch_end()
        if self._progress is not None and self._records is not None:
            ended = self.current_epoch - 1
            values = self.logger.local_logger.values(ended)
            self._records.write(ended, values)
            self._progress.epoch(values)

    def on_train_end(self) -> None:
        """Keep the best checkpoint as the final one where an inner validation split chooses it; else the last."""
        if self.experiment["training"]["inner_validation"]:
            self._restore_best_weights()
        super().on_train_end()
        if self.local_rank == 0:
            self._record_duration()

    def _restore_best_weights(self) -> None:
        if self.is_ddp:
            dist.barrier()  # the first process may still be writing them
        best = Path(self.output_folder) / BEST
        if not best.exists():
            self.print_to_log_file(
                "final checkpoint: the last epoch; the best on the inner split was deleted"
            )
            return
        checkpoint = read_checkpoint(best, self.device)
        self.bare_network().load_state_dict(checkpoint["network_weights"])
        best_epoch = checkpoint["current_epoch"] - 1
        self.print_to_log_file(f"final checkpoint: epoch {best_epoch}, the best on the inner split")

    def _record_duration(self) -> None:
        """Add the time of all epochs, those before an interruption included, to the fold's provenance."""
        starts, ends = (
            self.logger.get_value(f"epoch_{which}_timestamps", step=None) for which in ("start", "end")
        )
        file = Path(self.output_folder) / "provenance.json"
        seconds = sum(end - start for start, end in zip(starts, ends, strict=True))
        write_json(file, json.loads(file.read_text()) | {"training_seconds": round(seconds, 1)})

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Predict the fold's held-out cases in their original geometry."""
        predict_held_out(self, save_probabilities)

    def print_to_log_file(
        self, *args: Any, also_print_to_console: bool = False, add_timestamp: bool = True
    ) -> None:
        """Write to the log file, and to the console only on request: the progress bar lives there."""
        super().print_to_log_file(
            *args, also_print_to_console=also_print_to_console, add_timestamp=add_timestamp
        )


def make_deterministic() -> None:
    """Have PyTorch choose the same algorithms in every run, at the price of speed on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
