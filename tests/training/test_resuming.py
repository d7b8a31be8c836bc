"""A training that is stopped, killed or damaged ends with the weights of one that was left alone."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from training_runs import assert_same, make_trainer, weights_of

from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.manifest import read_entries, write_entry
from gsl_experiments.training.checkpoints import (
    BEST,
    LATEST,
    PREVIOUS,
    check_best,
    plain,
    read_newest,
    set_damaged_aside,
    write_checkpoint,
)
from gsl_experiments.training.interruption import Interrupted
from gsl_experiments.training.model_files import read_checkpoint
from gsl_experiments.training.trainer import nnUNetTrainerGSL

Configure = Callable[..., DictConfig]
CHOSEN = ["loss=gsl", "schedule=linear", "deterministic=true", "training.epochs=3"]


@pytest.fixture(autouse=True)
def _deterministic_algorithms() -> Any:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def cfg(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    cfg = configure(*CHOSEN, "suffix=resuming")
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    return cfg


@pytest.fixture
def undisturbed(cfg: DictConfig, tmp_path: Path) -> dict[str, Any]:
    trainer = trainer_in(tmp_path / "undisturbed", cfg)
    trainer.run_training()
    return outcome_of(trainer)


def trainer_in(folder: Path, cfg: DictConfig) -> nnUNetTrainerGSL:
    """Return a trainer that has read the newest checkpoint of the folder, if there is one."""
    trainer = make_trainer(cfg)
    folder.mkdir(exist_ok=True)
    trainer.output_folder = str(folder)
    trainer.save_every = 1
    path, content, _ = read_newest(folder, trainer.device)
    if path is not None:
        trainer.load_checkpoint(content)
    return trainer


def outcome_of(trainer: nnUNetTrainerGSL) -> dict[str, Any]:
    """Return all that a training leaves, but for the times of day."""
    log = {k: v for k, v in trainer.logger.get_checkpoint().items() if "timestamp" not in k}
    optimizer = trainer.optimizer.state_dict()["state"]
    return plain({"weights": weights_of(trainer), "optimizer": optimizer, "log": log})


class RaiseAt:
    """Stands for a stop request or a crash when it is asked for the nth time."""

    def __init__(self, ask: int) -> None:
        self.left = ask

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left == 0


# Two steps and one validation step an epoch: 1, 2 and 3 are asked in the first epoch, the last one in validation.
@pytest.mark.parametrize("asked", [1, 3, 5, 9])
def test_a_stop_after_any_step_changes_nothing(
    cfg: DictConfig, undisturbed: dict[str, Any], tmp_path: Path, asked: int
) -> None:
    folder = tmp_path / "stopped"
    trainer = trainer_in(folder, cfg)
    trainer.stop_request = RaiseAt(asked)  # type: ignore[assignment]
    with pytest.raises(Interrupted, match=rf"epoch {(asked - 1) // 3}, step {min((asked - 1) % 3 + 1, 2)}"):
        trainer.run_training()

    resumed = trainer_in(folder, cfg)
    assert (resumed.current_epoch, resumed.steps_done) == ((asked - 1) // 3, min((asked - 1) % 3 + 1, 2))
    resumed.run_training()
    assert_same(outcome_of(resumed), undisturbed)


def test_a_training_does_not_go_on_with_other_data(cfg: DictConfig, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    trainer = trainer_in(folder, cfg)
    trainer.stop_request = RaiseAt(1)  # type: ignore[assignment]
    with pytest.raises(Interrupted):
        trainer.run_training()

    cases = Path(trainer.preprocessed_dataset_folder)
    entry = next(read_entries(cases))
    name, output = next(iter(entry.outputs.items()))
    try:
        write_entry(replace(entry, outputs=entry.outputs | {name: replace(output, sha256="0" * 64)}), cases)
        with pytest.raises(UserError, match=rf"{cases} has changed since the training in {folder} began"):
            trainer_in(folder, cfg)
    finally:
        write_entry(entry, cases)
    assert trainer_in(folder, cfg).steps_done == 1


@pytest.mark.parametrize("loaders", ["1", "2"])
def test_loader_processes_change_nothing(
    cfg: DictConfig,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loaders: str,
) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", loaders)
    trainer = trainer_in(tmp_path / "loaders", cfg)
    trainer.run_training()
    assert_same(outcome_of(trainer), undisturbed)


def test_another_seed_changes_the_weights(
    configure: Configure, cfg: DictConfig, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    trainer = trainer_in(tmp_path / "seed", configure(*CHOSEN, "suffix=seed", "seed=1"))
    trainer.run_training()
    weights, before = outcome_of(trainer)["weights"], undisturbed["weights"]
    assert any(not torch.equal(weights[name], before[name]) for name in weights)


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_the_checkpoint_before_a_damaged_one_is_used(
    cfg: DictConfig, undisturbed: dict[str, Any], tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "damaged"
    trainer = trainer_in(folder, cfg)
    trainer.stop_request = RaiseAt(8)  # type: ignore[assignment]
    with pytest.raises(Interrupted):
        trainer.run_training()
    latest, previous = folder / LATEST, folder / PREVIOUS
    assert previous.exists()
    content = bytearray(latest.read_bytes())
    if damage == "cut":
        latest.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":  # one bit in the middle of the weights, which torch.load does not notice
        content[len(content) // 2] ^= 1
        latest.write_bytes(content)
    else:
        latest.unlink()

    path, _, warnings = read_newest(folder, torch.device("cpu"))
    assert path == previous
    assert [str(latest) in warning for warning in warnings] == ([] if damage == "missing" else [True])
    resumed = trainer_in(folder, cfg)
    assert (resumed.current_epoch, resumed.steps_done) == (2, 0)
    resumed.run_training()
    assert_same(outcome_of(resumed), undisturbed)


def test_a_fold_whose_checkpoints_are_all_damaged(tmp_path: Path) -> None:
    for name in (LATEST, PREVIOUS):
        (tmp_path / name).write_bytes(b"PK half of a checkpoint")
    with pytest.raises(
        UserError, match=rf"{tmp_path / LATEST} .*no older checkpoint is whole: delete {tmp_path}"
    ):
        read_newest(tmp_path, torch.device("cpu"))


def test_a_damaged_checkpoint_never_replaces_the_one_before(tmp_path: Path) -> None:
    whole = {"network_weights": {}, "trainer_name": "", "init_args": {}}
    write_checkpoint(whole, tmp_path / PREVIOUS)
    (tmp_path / LATEST).write_bytes(b"PK half of a checkpoint")
    path, _, _ = read_newest(tmp_path, torch.device("cpu"))
    assert path == tmp_path / PREVIOUS
    set_damaged_aside(path)
    write_checkpoint(whole, tmp_path / LATEST)
    for name in (LATEST, PREVIOUS):
        assert read_checkpoint(tmp_path / name)["trainer_name"] == ""
    assert (tmp_path / f"{LATEST}.damaged").read_bytes() == b"PK half of a checkpoint"


def test_a_damaged_choice_of_the_inner_split_is_said_before_the_rest_is_trained(tmp_path: Path) -> None:
    check_best(tmp_path)
    write_checkpoint({"network_weights": {}, "trainer_name": "", "init_args": {}}, tmp_path / BEST)
    check_best(tmp_path)
    (tmp_path / BEST).write_bytes(b"PK half of a checkpoint")
    with pytest.raises(UserError, match=rf"{BEST} .*delete it to choose among the epochs still to come"):
        check_best(tmp_path)


WITH_LITTLE_SPACE = """
import resource, sys, torch
from pathlib import Path
from gsl_experiments.errors import UserError
from gsl_experiments.training.checkpoints import write_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_checkpoint({"network_weights": torch.zeros(10**6)}, Path(sys.argv[1]))
except UserError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; torch's writer fails the same way."""
    path = tmp_path / LATEST
    write_checkpoint({"network_weights": torch.zeros(10), "trainer_name": "", "init_args": {}}, path)
    before = path.read_bytes()
    call = [sys.executable, "-c", WITH_LITTLE_SPACE, str(path)]
    told = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    assert told.startswith(f"{path} cannot be written (")
    assert "see that the disk has space" in told
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [LATEST]
