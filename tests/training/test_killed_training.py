"""A training that is killed again and again, in whatever it is doing, ends as one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_runs import assert_same
from waiting import wait_for

from gsl_experiments.config import CHECKOUT
from gsl_experiments.training.model_files import read_checkpoint

LENGTH = ["training.epochs=12", "training.iterations_per_epoch=3"]
CHOSEN = ["loss=gsl", "schedule=step5", "fold=0", "deterministic=true", *LENGTH]


def start(overrides: list[str], *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHECKOUT / "scripts" / "train.py"), *overrides, *CHOSEN, *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(overrides: list[str], *options: str) -> str:
    process = start(overrides, *options)
    told, _ = process.communicate()
    assert process.returncode == 0, told
    return told


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_times(workspace: Path, overrides: list[str], processes: int) -> None:
    options = ["cpu_processes=2"] if processes == 2 else ["loader_processes=2"]
    finish(overrides, f"suffix=left_alone_{processes}", *options)
    results = workspace / "results" / "Dataset512_PhantomBraTS"
    alone, killed = (
        results / f"nnUNetTrainerGSL__gsl_step5_{suffix}_{processes}__3d_fullres" / "fold_0"
        for suffix in ("left_alone", "killed")
    )
    # the first kill comes as soon as there is a checkpoint, the others within seconds of the next ones
    chance = random.Random(0)
    for _ in range(4):
        before = {file: file.stat().st_mtime_ns for file in killed.glob("checkpoint_latest.pth")}
        process = start(overrides, f"suffix=killed_{processes}", *options)

        def has_gone_on(before: dict[Path, int] = before, process: subprocess.Popen[str] = process) -> bool:
            now = {file: file.stat().st_mtime_ns for file in killed.glob("checkpoint_latest.pth")}
            return (bool(now) and now != before) or process.poll() is not None

        wait_for(has_gone_on)
        time.sleep(chance.uniform(0, 0.4))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        time.sleep(2)  # by then a process that shared the batch has noticed, and let go of the fold
    told = finish(overrides, f"suffix=killed_{processes}", *options)
    assert "finished: skipped" not in told

    final = [read_checkpoint(folder / "checkpoint_final.pth") for folder in (alone, killed)]
    for part in ("network_weights", "optimizer_state", "current_epoch", "_best_ema"):
        assert_same(final[0][part], final[1][part])
    logs = [{k: v for k, v in c["logging"].items() if "timestamps" not in k} for c in final]
    assert_same(*logs)
    predictions = [sorted((folder / "validation").glob("*.nii.gz")) for folder in (alone, killed)]
    assert [file.name for file in predictions[0]] == [file.name for file in predictions[1]]
    for left, right in zip(*predictions, strict=True):
        assert left.read_bytes() == right.read_bytes()
