"""A worker process whose training is a loop of all-reduces instead of nnU-Net's; the run's name says what befalls it.

The "fold" is the number of steps. The "preprocessed folder" gets each rank's pid, and a checkpoint: the next step.
"""

import os
import signal
import sys
import time
import types
from pathlib import Path

import torch
from torch import distributed as dist

from gsl_experiments.errors import UserError
from gsl_experiments.training.interruption import Interrupted, StopRequest
from gsl_experiments.training.worker import main

SECONDS_PER_STEP = 0.05


def train_fold(folder: Path, fate: str, _: str, steps: int, __: torch.device, stop: StopRequest) -> None:
    rank, is_first_attempt = dist.get_rank(), os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    print(f"output of rank {rank}", flush=True)
    checkpoint = folder / "checkpoint"
    (folder / f"pid_{rank}").write_text(str(os.getpid()))
    start = int(checkpoint.read_text()) if checkpoint.exists() else 0
    dist.barrier()
    with (folder / f"steps_{rank}").open("a", buffering=1) as log:
        for step in range(start, steps):
            if rank == 1 and step == 5 and is_first_attempt:
                _befall(fate, stop)
            if rank == 0 and step == 5 and fate == "the other hangs":
                time.sleep(1000)  # as a process that waits for nccl
            time.sleep(SECONDS_PER_STEP)
            asked = torch.tensor(float(stop.requested))
            dist.all_reduce(asked, op=dist.ReduceOp.MAX)
            log.write(f"{step}\n")
            if rank == 0:
                checkpoint.write_text(str(step + 1))
            if asked.item():
                raise Interrupted(f"step {step}")
        if fate == "deaf":
            (folder / f"deaf_{rank}").touch()
            time.sleep(1000)
        with stop.at_once("predicting"):
            if fate == "predicts":
                (folder / f"predicting_{rank}").touch()
                dist.barrier() if rank else time.sleep(1000)


def _befall(fate: str, stop: StopRequest) -> None:
    if fate in ("throws", "the other hangs"):
        raise ArithmeticError("the sum of rank 1")
    if fate == "user":
        raise UserError("case_007.b2nd is damaged: preprocess the dataset again")
    if fate == "disk":
        raise OSError(28, "No space left on device", "/results/checkpoint_latest.pth")
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


launch = types.ModuleType("gsl_experiments.training.launch")
launch.train_fold = train_fold  # type: ignore[attr-defined]
sys.modules[launch.__name__] = launch
main()
