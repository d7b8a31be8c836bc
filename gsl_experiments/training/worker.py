"""One process of a training over several; ``make train`` starts them, or ``torchrun`` by hand does."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

# Only what loads in no time is imported up here: the process has to hear signals, and to notice the death of its
# launcher, while the rest is being imported.
from gsl_experiments.errors import UserError
from gsl_experiments.training.interruption import Interrupted, StopRequest, end_with_parent, stop_requests
from gsl_experiments.training.rank_folder import RankFolder

USER_ERROR_STATUS = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Join the process group and train a fold.

    Exits with status 0 when the fold is finished or was interrupted on request, 2 after an error that the user can
    mend, 1 after any other. Where torchrun has given the rank a file for its error, the launcher prints it.
    """
    chosen = _parser().parse_args(arguments)
    end_with_parent()
    folder = RankFolder.of_this_process()
    with stop_requests(announce=False) as stop:
        if folder:
            folder.enter()
        status = _run(chosen, stop, folder)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # no farewell to peers that may be gone, or still at work on the checkpoint


def _run(chosen: argparse.Namespace, stop: StopRequest, folder: RankFolder | None) -> int:
    from torch.distributed.elastic.multiprocessing.errors import record

    try:
        interrupted = record(_train)(chosen, stop)
    except Exception as error:
        if folder is None or os.environ.get("LOCAL_RANK") != "0":  # rank 0 shares the launcher's terminal
            traceback.print_exc()
        return USER_ERROR_STATUS if isinstance(error, UserError) else 1
    if folder:
        folder.leave_interrupted(str(interrupted)) if interrupted else folder.leave()
    return 0


def _train(chosen: argparse.Namespace, stop: StopRequest) -> Interrupted | None:
    """Train and return None, or how the training was interrupted."""
    import torch
    from torch import distributed as dist

    from gsl_experiments.cli import users_error
    from gsl_experiments.training.launch import train_fold

    device = torch.device(chosen.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    try:
        # processes wait for each other's predictions of whole volumes, longer than the default 10 minutes
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
        train_fold(chosen.preprocessed, chosen.plans, chosen.configuration, chosen.fold, device, stop)
        dist.destroy_process_group()
    except Interrupted as interrupted:
        return interrupted
    except Exception as error:
        line = users_error(error)
        if line is None:
            raise
        raise UserError(line) from error
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torchrun [torchrun's options] -m gsl_experiments.training.worker",
        description="One process of the training of one fold over several. nnUNet_results says where it writes.",
    )
    parser.add_argument("preprocessed", type=Path, help="the dataset's folder in nnUNet_preprocessed")
    parser.add_argument("plans", help="name of a run, whose plans `make plans` or `make train` has written")
    parser.add_argument("configuration", help="nnU-Net's configuration, 3d_fullres")
    parser.add_argument("fold", type=int, help="0 to 4")
    parser.add_argument("device", choices=["cuda", "cpu"], help="one GPU a process (nccl), or the CPU (gloo)")
    return parser


if __name__ == "__main__":
    main()
