"""What a training says before it starts, and how well it knows its memory."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from gsl_experiments.cli import compose
from gsl_experiments.config import model_folder, preprocessed_folder
from gsl_experiments.preprocessing.planning import plan_network
from gsl_experiments.training.announcement import announcement
from gsl_experiments.training.epoch_log import EpochRecords
from gsl_experiments.training.memory_estimate import GIB, NetworkSize, measure_network, step_gib

CPU = torch.device("cpu")


def configuration_of(patch: list[int], base_features: int, batch_size: int) -> dict[str, Any]:
    """A 3D configuration as nnU-Net plans it."""
    arguments = {
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": arguments,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    planned = {
        "spacing": [2.5, 0.8, 0.8],
        "patch_size": patch,
        "batch_size": batch_size,
        "architecture": architecture,
    }
    return plan_network(planned, patch_size=patch, batch_size=batch_size, base_features=base_features)


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[DictConfig, dict[str, Any]]:
    """The configuration of a LiTS run, and the plans of it; only what an announcement reads is on disk."""
    paths = [f"paths.{name}={tmp_path / name}" for name in ("raw", "preprocessed", "results")]
    cfg = compose(["dataset=lits", "loss=gsl", "schedule=step5", "gpus=0", "loader_processes=3", *paths])
    folder = preprocessed_folder(cfg)
    folder.mkdir(parents=True)
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}}
    (folder / "dataset.json").write_text(json.dumps(description))
    cases = [f"case_{i}" for i in range(131)]
    folds = [{"train": cases[:105], "val": cases[105:]}] * 4 + [{"train": cases[:104], "val": cases[104:]}]
    (folder / "splits_final.json").write_text(json.dumps(folds))
    return cfg, {"configurations": {"3d_fullres": configuration_of([128, 256, 256], 32, 2)}}


def told(text: str) -> dict[str, str]:
    """The lines of an announcement by their first word."""
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_a_dozen_lines_about_a_run(prepared: tuple[DictConfig, dict[str, Any]]) -> None:
    cfg, plans = prepared
    text = announcement(cfg, plans, processes=1, device=CPU, finished={0: False, 4: False})
    lines = told(text)
    assert len(text.splitlines()) == 11
    assert lines["Training"] == "gsl_step5, protocol paper"
    assert lines["dataset"] == "Dataset501_LiTS, background, liver"
    assert lines["folds"] == "0 (105 + 26), 4 (104 + 27) cases to train on + held out"
    assert lines["loss"] == "gsl: alpha x dice_ce + (1 - alpha) x boundary term, alpha step5 (prose)"
    assert lines["patch"] == "128 x 256 x 256 voxels of 2.5 x 0.8 x 0.8 mm, batch 2"
    assert lines["network"].startswith(
        "PlainConvUNet, 7 stages of 32, 64, 128, 256, 320, 320, 320 channels, "
    )
    assert lines["optimiser"] == "Adam, learning rate 0.0003 (constant)"
    assert lines["steps"] == "250 epochs of 23: 5750 a fold"
    assert "3 background loaders each" in lines["device"]
    assert lines["into"] == str(model_folder(cfg))
    assert not model_folder(cfg).exists()


def test_what_is_done_and_what_goes_on(prepared: tuple[DictConfig, dict[str, Any]]) -> None:
    cfg, plans = prepared
    fold = model_folder(cfg) / "fold_1"
    records = EpochRecords(fold)
    for epoch in range(3):
        records.write(epoch, {"train_loss": 1.0})
    records.close()
    (fold / "checkpoint_latest.pth").touch()
    finished = {0: True, 1: False, 2: False}
    lines = told(announcement(cfg, plans, processes=1, device=CPU, finished=finished))
    assert lines["resumes"] == (
        "fold 0 is finished: skipped; goes on with fold 1 from its last checkpoint (3 of 250 epochs are recorded)"
    )


def test_processes_share_the_batch_and_its_memory(prepared: tuple[DictConfig, dict[str, Any]]) -> None:
    cfg, plans = prepared

    def gib(processes: int) -> float:
        lines = told(announcement(cfg, plans, processes=processes, device=CPU, finished={0: False}))
        return float(lines["memory"].split()[1])

    assert 0.45 < gib(2) / gib(1) < 0.6


def test_the_memory_of_one_convolution_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd keeps the image for the first convolution, its output for the ReLU's mask (as the ReLU's own output, in
    place) and the same tensor for the second convolution: 2 x 1 x 4^3 + 2 x 8 x 4^3 numbers."""

    def tiny(*args: Any, **kwargs: Any) -> nn.Module:
        return nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv3d(8, 3, 1))

    monkeypatch.setattr("gsl_experiments.training.memory_estimate.get_network_from_plans", tiny)
    configuration = {
        "patch_size": [4, 4, 4],
        "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
    }
    size = measure_network(configuration, channels=1, classes=3, batch_size=2, deep_supervision=False)
    assert size.parameters == (8 * 27 + 8) + (3 * 8 + 3)
    assert size.activations == 2 * 1 * 64 + 2 * 8 * 64
    assert size.largest_activation == 2 * 8 * 64
    assert size.logits == 2 * 3 * 64


def test_the_network_has_as_many_parameters_as_the_real_one() -> None:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    planned = configuration_of([32, 48, 48], 8, 2)
    architecture = planned["architecture"]
    real = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        4,
        3,
        deep_supervision=True,
    )
    size = measure_network(planned, channels=4, classes=3, batch_size=2, deep_supervision=True)
    assert size.parameters == sum(p.numel() for p in real.parameters())
    assert size.logits == 2 * 3 * 32 * 48 * 48


def test_half_precision_halves_the_activations_and_nothing_else() -> None:
    size = NetworkSize(parameters=GIB // 16, activations=GIB // 4, largest_activation=0, logits=0)
    assert step_gib(size, optimizer="Adam", half_precision=False) == 4 * 4 / 16 + 4 / 4
    assert step_gib(size, optimizer="Adam", half_precision=True) == 4 * 4 / 16 + 2 / 4
    assert step_gib(size, optimizer="SGD", half_precision=True) == 4 * 3 / 16 + 2 / 4
