"""One process of a training over several: ``torchrun -m gsl_experiments.training.worker ...``."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from gsl_experiments.training.launch import train_fold


@record
def main() -> None:
    """Join the process group and train: preprocessed folder, plans name, configuration, fold, device."""
    preprocessed, plans_name, configuration, fold, kind = sys.argv[1:]
    device = torch.device(kind, int(os.environ["LOCAL_RANK"])) if kind == "cuda" else torch.device(kind)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # processes wait for each other's predictions of whole volumes, longer than the default 10 minutes
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
    try:
        train_fold(Path(preprocessed), plans_name, configuration, int(fold), device)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
