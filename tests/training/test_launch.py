"""Trainings as the user starts them: signals, two nodes, and what is refused before hours are spent."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig
from waiting import is_alive, wait_for

from gsl_experiments.checks import check
from gsl_experiments.config import model_folder, preprocessed_folder
from gsl_experiments.errors import UserError
from gsl_experiments.locking import exclusive
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.training import launch
from gsl_experiments.training.fold import held_out_cases, is_finished
from gsl_experiments.training.interruption import EXIT_STATUS
from gsl_experiments.training.launch import train

Configure = Callable[..., DictConfig]
TRAIN = Path(__file__).parents[2] / "scripts" / "train.py"
LONG = ["training.epochs=12", "training.iterations_per_epoch=4"]


class Started:
    """A training in a process of its own, which no test leaves behind."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(TRAIN), *arguments], stdout=file, stderr=file
            )

    def descendants(self) -> list[int]:
        """The processes below it: ranks, loaders and their helpers."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]

    def status(self) -> int:
        return self.process.wait(timeout=300)


Start = Callable[..., Started]


@pytest.fixture
def start(overrides: list[str], tmp_path: Path) -> Iterator[Start]:
    """Start `scripts/train.py` on the workspace."""
    started: list[Started] = []

    def start_with(*arguments: str) -> Started:
        started.append(Started([*overrides, "fold=0", *arguments], tmp_path / f"log_{len(started)}.txt"))
        return started[-1]

    yield start_with
    for training in started:
        training.process.kill()
        training.process.wait()


def fold_folder(cfg: DictConfig) -> Path:
    return model_folder(cfg) / "fold_0"


def folds_begun(cfg: DictConfig, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The folds whose training begins, which it then does not."""
    begun: list[int] = []
    monkeypatch.setattr(launch, "train_fold", lambda *arguments: begun.append(arguments[3]))
    train(cfg)
    return begun


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_to_every_process_is_a_checkpoint_and_status_75(
    configure: Configure, start: Start, name: str, processes: int
) -> None:
    """As a batch system signals the processes of a job, ranks and loaders; the same command then ends the fold."""
    run = [
        "loss=gsl",
        f"suffix=stop-{name}-{processes}",
        f"cpu_processes={processes}",
        "loader_processes=2",
        *LONG,
    ]
    cfg = configure(*run, "fold=0")
    training = start(*run)
    latest = fold_folder(cfg) / "checkpoint_latest.pth"
    wait_for(latest.exists)
    before = training.descendants()
    for pid in [*before, training.process.pid]:
        os.kill(pid, getattr(signal, name))
    assert training.status() == EXIT_STATUS, training.log.read_text()
    line = training.log.read_text().splitlines()[-1]
    assert re.search(rf"was interrupted by {name} \(epoch \d+, step \d+.*\): call again to continue", line)
    assert latest.exists()
    wait_for(lambda: not any(is_alive(pid) for pid in before))

    again = start(*run)
    assert again.status() == 0, again.log.read_text()
    assert is_finished(fold_folder(cfg), held_out_cases(preprocessed_folder(cfg), 0), ".nii.gz")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_outlives_a_killed_training(configure: Configure, start: Start, processes: int) -> None:
    run = ["loss=gsl", f"suffix=kill-{processes}", f"cpu_processes={processes}", "loader_processes=2", *LONG]
    training = start(*run)
    wait_for((fold_folder(configure(*run)) / "checkpoint_latest.pth").exists)
    below = training.descendants()
    assert len(below) >= 2 * processes
    training.process.kill()
    assert training.status() == -signal.SIGKILL
    wait_for(lambda: not any(is_alive(pid) for pid in below))


@pytest.mark.slow
def test_two_nodes_train_together(configure: Configure, start: Start) -> None:
    """Two launchers on this machine, told that they are machines: one process each, half a batch each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = ["loss=gsl", "suffix=nodes", "nodes=2", f"rendezvous=127.0.0.1:{port}"]
    nodes = [start(*run), start(*run)]
    assert [node.status() for node in nodes] == [0, 0], [node.log.read_text() for node in nodes]
    cfg = configure(*run)
    assert is_finished(fold_folder(cfg), held_out_cases(preprocessed_folder(cfg), 0), ".nii.gz")
    assert len(list(fold_folder(cfg).glob("training_log_*.txt"))) == 1, (
        "more than the first process wrote there"
    )
    assert "2 nodes" in nodes[0].log.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nodes=2"], "rendezvous=null with nodes=2: allowed are host:port"),
        (["nodes=2", "rendezvous=node1"], "rendezvous=node1 with nodes=2"),
        (["nodes=2", "rendezvous='node1:99999'"], "rendezvous=node1:99999 with nodes=2"),
        (["rendezvous='node1:29400'"], "rendezvous=node1:29400 with nodes=1: .* null for one"),
    ],
)
def test_nodes_that_cannot_meet(configure: Configure, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(configure("loss=gsl", *options))


def test_a_batch_that_cannot_be_shared_by_the_nodes(configure: Configure) -> None:
    cfg = configure("loss=gsl", "suffix=four", "nodes=2", "rendezvous='node1:29400'", "cpu_processes=2")
    with pytest.raises(
        UserError, match="nodes=2 cpu_processes=2: a batch of 2 cannot be split over 4 processes"
    ):
        train(cfg)


@pytest.mark.parametrize(
    "missing",
    [
        "{data}/{case}.b2nd",
        "{data}/{case}_seg.b2nd",
        "{data}/{case}.pkl",
        "{maps}/{case}.b2nd",
        "gt_segmentations/{case}.nii.gz",
    ],
)
def test_a_missing_file_of_a_case_is_named(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    cfg = configure("loss=gsl", "fold=0", "suffix=missing")
    preprocessed = preprocessed_folder(cfg)
    data = "paperPlans_3d_fullres"
    maps = maps_folder(preprocessed / data)
    name = missing.format(
        data=data, maps=maps.relative_to(preprocessed), case=held_out_cases(preprocessed, 0)[0]
    )
    kept = (preprocessed / name).rename(preprocessed / "kept")
    try:
        with pytest.raises(UserError, match=f"{name} is missing, which fold 0 needs: preprocess"):
            train(cfg)
        assert not model_folder(cfg).exists()
        if str(maps) in str(preprocessed / name):  # a region loss reads no maps
            assert folds_begun(configure("loss=dl", "fold=0", "suffix=no-maps"), monkeypatch) == [0]
    finally:
        kept.rename(preprocessed / name)


def test_a_disk_without_room_for_the_checkpoints(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five checkpoints of three numbers a parameter, 4 bytes each, and 50 MB of logs a fold."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * 10**8))
    cfg = configure("loss=gsl", "suffix=full")
    with pytest.raises(
        UserError, match=r"0\.2 GB are free, .* 5 folds take up to 0\.3 GB; make room"
    ) as refusal:
        train(cfg)
    assert str(model_folder(cfg)) in str(refusal.value)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=3 * 10**8))
    assert folds_begun(cfg, monkeypatch) == [0, 1, 2, 3, 4]


def test_a_results_folder_that_cannot_be_written_to(configure: Configure, workspace: Path) -> None:
    """A file where the folder should be: the superuser, who runs tests in containers, may write anywhere else."""
    (workspace / "a_file").touch()
    cfg = configure("loss=gsl", f"paths.results={workspace / 'a_file'}")
    with pytest.raises(UserError, match=r"cannot be written to \(Not a directory\).*paths.results"):
        train(cfg)


def test_a_fold_is_trained_by_one_process_at_a_time(configure: Configure) -> None:
    cfg = configure("loss=gsl", "fold=0", "suffix=twice-at-once")
    with (
        exclusive(fold_folder(cfg), what="training"),
        pytest.raises(UserError, match=rf"fold 0: another process \({os.getpid()} on .*\) is at it"),
    ):
        train(cfg)
