"""The gradient of a batch that two processes share is the gradient of one process that has it all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from omegaconf import DictConfig
from torch import Tensor, multiprocessing, nn
from torch import distributed as dist
from training_runs import make_trainer

from gsl_experiments.cli import compose
from gsl_experiments.config import configure_nnunet
from gsl_experiments.training.trainer import nnUNetTrainerGSL

Configure = Callable[..., DictConfig]
Result = dict[str, Any]

RUNS = {
    **{loss: [f"loss={loss}"] for loss in ("dl", "dice_ce", "gdl")},
    **{loss: [f"loss={loss}", "schedule=linear"] for loss in ("hl", "bl", "gsl")},
    **{
        f"gsl_{schedule}": ["loss=gsl", f"schedule={schedule}", "training.epochs=120"]
        for schedule in ("step5", "step25", "step50", "cosine", "constant")
    },
    "batch_dice": ["loss=dl", "training.batch_dice=true"],
    "batch_dice_in_gsl": ["loss=gsl", "schedule=linear", "training.batch_dice=true"],
    "deep_supervision": ["loss=gsl", "schedule=linear", "training.deep_supervision=true"],
    "clipped": ["loss=dice_ce", "training.gradient_clip=0.01"],
    "three_examples": ["loss=gsl", "schedule=linear", "planning.batch_size=3"],
    "three_examples_batch_dice": ["loss=dice_ce", "training.batch_dice=true", "planning.batch_size=3"],
}


class InFloat64(nnUNetTrainerGSL):
    """The trainer in double precision, in which two ways of adding up differ by little."""

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        network = nnUNetTrainerGSL.build_network_architecture(
            plans_manager,
            configuration_manager,
            num_input_channels,
            num_output_channels,
            enable_deep_supervision,
        )
        return network.double()

    def _to_device(self, tensors: Tensor | list[Tensor] | None) -> list[Tensor]:
        return [t.double() if t.is_floating_point() else t for t in super()._to_device(tensors)]


def one_step(overrides: list[str]) -> Result:
    """Return the gradient and the logged values of a step in the middle of a training."""
    cfg = compose([*overrides, "training.mixed_precision=false"])
    configure_nnunet(cfg)
    os.environ["nnUNet_n_proc_DA"] = "0"
    trainer = make_trainer(cfg, of=InFloat64)
    trainer.current_epoch = trainer.num_epochs // 2
    for name, values in trainer.logger.local_logger.my_fantastic_logging.items():
        values.extend([[0.0] * 3 if name == "dice_per_class_or_region" else 0.0] * trainer.current_epoch)
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    batch = next(trainer.dataloader_train)
    outputs = trainer.train_step(batch)
    trainer.on_train_epoch_end([outputs])
    with torch.no_grad():
        trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val))])
    logged = {k: v[-1] for k, v in trainer.logger.get_checkpoint().items() if v and "timestamp" not in k}
    gradient = {n.removeprefix("module."): p.grad for n, p in trainer.network.named_parameters()}
    return {"gradient": gradient, "logged": logged, "keys": batch["keys"]}


def run_all(rank: int, world: int, folder: Path, runs: dict[str, list[str]]) -> None:
    torch.set_num_threads(1)
    if world > 1:
        store = f"file://{folder / 'store'}"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    torch.save({name: one_step(run) for name, run in runs.items()}, folder / f"{world}_{rank}.pt")
    if world > 1:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(
    overrides: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Result, Result, Result]]:
    """One step of every run by one process, and by the first and the second of two."""
    folder = tmp_path_factory.mktemp("processes")
    runs = {name: [*overrides, f"suffix=equal_{name}", *run] for name, run in RUNS.items()}
    for world in (1, 2):
        multiprocessing.spawn(run_all, args=(world, folder, runs), nprocs=world)
    alone, first, second = (torch.load(folder / f"{f}.pt", weights_only=False) for f in ("1_0", "2_0", "2_1"))
    return {name: (alone[name], first[name], second[name]) for name in RUNS}


@pytest.mark.parametrize("run", RUNS)
def test_gradients_and_logged_values(results: dict[str, tuple[Result, Result, Result]], run: str) -> None:
    alone, first, second = results[run]
    assert first["keys"] + second["keys"] == alone["keys"]
    largest = max(float(g.abs().max()) for g in alone["gradient"].values() if g is not None)
    assert largest > 0
    for name, gradient in alone["gradient"].items():
        for shared in (first["gradient"][name], second["gradient"][name]):
            if gradient is None:
                assert shared is None
            else:
                assert float((shared - gradient).abs().max()) <= 1e-8 * max(largest, 1)
    for name, value in alone["logged"].items():
        for shared in (first["logged"][name], second["logged"][name]):
            np.testing.assert_allclose(shared, value, rtol=1e-9, err_msg=name)
