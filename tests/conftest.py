"""Fixtures that several test modules share."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from gsl_experiments.cli import compose
from gsl_experiments.config import configure_nnunet

# Six cases of a few thousand voxels: five folds, all three tumour labels, exact zeros around the brain.
TINY_PHANTOM = [
    "dataset=phantom_brats",
    "dataset.generate.cases=6",
    "dataset.generate.size=[32,36,32]",
    "dataset.patch_size=[16,24,16]",
    "dataset.base_features=4",
    "dataset.epochs=2",
    "dataset.iterations_per_epoch=2",
    "dataset.val_iterations_per_epoch=1",
    "gpus=0",
    "processes=1",
    "loader_processes=0",
]

Configure = Callable[..., DictConfig]

# A shell has its background jobs ignore Ctrl-C, and they hand that on; tests send it to themselves and to others.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny raw BraTS phantom, preprocessed as `make preprocess` does."""
    folder = tmp_path_factory.mktemp("workspace")
    before = dict(os.environ)
    from gsl_experiments.preprocessing.stage import preprocess

    cfg = compose(_overrides(folder))
    configure_nnunet(cfg)
    preprocess(cfg)
    os.environ.clear()
    os.environ.update(before)
    return folder


@pytest.fixture(scope="session")
def overrides(workspace: Path) -> list[str]:
    """The command line of a script that works in the workspace."""
    return _overrides(workspace)


@pytest.fixture
def configure(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Compose a configuration for the workspace and point nnU-Net at it."""
    for variable in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{variable}", str(workspace / variable))
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")  # restored after a training has set it
    monkeypatch.setenv("nnUNet_def_n_proc", "1")

    def compose_with(*overrides: str) -> DictConfig:
        cfg = compose([*_overrides(workspace), *overrides])
        configure_nnunet(cfg)
        return cfg

    return compose_with


def _overrides(folder: Path) -> list[str]:
    paths = [f"paths.{name}={folder / name}" for name in ("raw", "preprocessed", "results", "tables")]
    return [*TINY_PHANTOM, f"dataset.raw={folder / 'source'}", *paths]
