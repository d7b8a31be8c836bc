"""A loss or gradient that is not finite: the step is not taken, and after some patience the run stops."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import nn
from training_runs import assert_same, make_trainer, weights_of

from gsl_experiments.errors import UserError
from gsl_experiments.losses import LossInputs
from gsl_experiments.training.trainer import nnUNetTrainerGSL

Configure = Callable[..., DictConfig]


class Spoiled(nn.Module):
    """A loss whose value, or whose gradient alone, is not finite."""

    def __init__(self, loss: nn.Module, what: str) -> None:
        super().__init__()
        self.loss, self.what = loss, what

    def forward(self, inputs: LossInputs) -> torch.Tensor:
        value = self.loss(inputs)
        if self.what == "value":
            return value * math.nan
        shifted = inputs.logits - inputs.logits.detach()
        return value + shifted.abs().sqrt().sum()  # 0, with an infinite gradient


class Larger(nn.Module):
    """A thousand times a loss."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, inputs: LossInputs) -> torch.Tensor:
        return 1000 * self.loss(inputs)


def spoil(trainer: nnUNetTrainerGSL, what: str) -> None:
    trainer.loss.region = Spoiled(trainer.loss.region, what)


@pytest.fixture
def trainer(configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nnUNetTrainerGSL:
    cfg = configure("loss=gsl", "suffix=finite", "training.non_finite_patience=1")
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    trainer = make_trainer(cfg)
    trainer.output_folder = str(tmp_path)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


@pytest.mark.parametrize("what", ["value", "gradient"])
def test_the_run_stops_and_says_where(trainer: nnUNetTrainerGSL, tmp_path: Path, what: str) -> None:
    spoil(trainer, what)
    before = weights_of(trainer)
    batch = next(trainer.dataloader_train)
    trainer.train_step(batch)
    trainer.steps_done = 1
    with pytest.raises(UserError, match="2 steps in a row") as stopped:
        trainer.train_step(batch)
    assert_same(weights_of(trainer), before)
    message = str(stopped.value)
    for told in ("epoch 0", "step 1", "alpha 1", "region term", "boundary term", *batch["keys"]):
        assert told in message
    saved: dict[str, Any] = torch.load(tmp_path / "non_finite_batch_rank0.pt", weights_only=True)
    assert_same(saved["batch"], batch)
    assert str(tmp_path / "non_finite_batch_rank0.pt") in message


def test_patience_is_for_steps_in_a_row(trainer: nnUNetTrainerGSL) -> None:
    healthy = trainer.loss.region
    for _ in range(3):
        spoil(trainer, "value")
        trainer.train_step(next(trainer.dataloader_train))
        trainer.loss.region = healthy
        trainer.train_step(next(trainer.dataloader_train))
    assert trainer.non_finite_steps.in_a_row == 0


def test_the_scaler_giving_way_is_no_failure(trainer: nnUNetTrainerGSL) -> None:
    """A scale at the end of float32's range overflows the gradient; each step halves it, and the training goes on."""
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    healthy, before = trainer.loss.region, weights_of(trainer)
    trainer.loss.region = Larger(healthy)
    batch, steps = next(trainer.dataloader_train), 0
    while all(torch.equal(w, before[name]) for name, w in weights_of(trainer).items()):
        trainer.train_step(batch)
        steps += 1
    assert steps > 3  # more than the patience
    assert trainer.grad_scaler.get_scale() < 2.0**127
    assert trainer.non_finite_steps.in_a_row == 0


def test_a_loss_that_is_not_finite_is_none_of_the_scalers_business(trainer: nnUNetTrainerGSL) -> None:
    trainer.grad_scaler = torch.amp.GradScaler("cpu")
    spoil(trainer, "value")
    trainer.train_step(next(trainer.dataloader_train))
    with pytest.raises(UserError, match="not finite"):
        trainer.train_step(next(trainer.dataloader_train))


def test_an_epochs_mean_is_over_its_finite_steps(trainer: nnUNetTrainerGSL) -> None:
    outputs = [{"loss": value, "region": value, "boundary": value} for value in (1.0, math.nan, 3.0)]
    trainer.on_train_epoch_end(outputs)
    assert trainer.logger.get_value("train_losses", -1) == 2.0
