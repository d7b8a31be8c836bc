"""What several test modules need to train a fold of the tiny phantom and look at the outcome."""

import json
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from gsl_experiments.config import preprocessed_folder
from gsl_experiments.training.experiment import write_experiment_plans
from gsl_experiments.training.trainer import nnUNetTrainerGSL


def make_trainer(
    cfg: DictConfig, fold: int = 0, of: type[nnUNetTrainerGSL] = nnUNetTrainerGSL
) -> nnUNetTrainerGSL:
    """Return the trainer of a fold, on the CPU, as the training stage makes it."""
    plans = write_experiment_plans(cfg) | {"continue_training": False}
    dataset_json = json.loads((preprocessed_folder(cfg) / "dataset.json").read_text())
    return of(plans, cfg.configuration, fold, dataset_json, torch.device("cpu"))


def weights_of(trainer: nnUNetTrainerGSL) -> dict[str, Tensor]:
    """Return a copy of the network's weights."""
    return {name: value.clone() for name, value in trainer.bare_network().state_dict().items()}


def assert_same(left: Any, right: Any) -> None:
    """Assert that two nested structures of tensors and plain values are the same, bit for bit."""
    assert type(left) is type(right)
    if isinstance(left, Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right or (left != left and right != right)
