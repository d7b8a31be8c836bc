"""An epoch at the paper's patch, loader included: ours with GSL, stock nnU-Net's Dice-CE, and ours without loading.

All have the same network, optimiser and mixed precision, and no deep supervision, as in the paper. The loaders run in
the background, one process a core but one. What they have loaded ahead during the turns of the others is used up,
untimed, before each turn: an epoch is timed at the pace at which batches are made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import torch

from benchmarks.loader_example import streams_of
from benchmarks.turns import OURS, STOCK, Row, in_turns
from gsl_experiments.config import available_cores
from gsl_experiments.gpu_check.setting import STOCK as STOCK_LOSS
from gsl_experiments.gpu_check.setting import Setting, loss_of, setting_of
from gsl_experiments.training.precision import mixed_precision

NO_LOADING = "gsl_experiments, the same batch again"
STEPS = {"brats": 66, "lits": 23}
NAMES = {"brats": "BraTS", "lits": "LiTS"}


def line_of(dataset: str, steps: int) -> str:
    """Return how an epoch is called on the page."""
    return f"{NAMES[dataset]}, an epoch of {steps} steps"


def measure(
    dataset: str = "brats",
    *,
    device: str = "cuda",
    setting: Setting | None = None,
    steps: int | None = None,
    repetitions: int = 3,
) -> list[Row]:
    """Time epochs in turns.

    Args:
        dataset: `brats` or `lits`.
        device: to train on.
        setting: of network and batch, the paper's for the dataset by default.
        steps: of an epoch, the paper's by default.
        repetitions: of each contestant.
    """
    chosen, steps = setting or setting_of(dataset), steps or STEPS[dataset]
    on = torch.device(device)
    processes = max(1, available_cores() - 1)
    with tempfile.TemporaryDirectory() as folder:
        streams = streams_of(
            Path(folder),
            chosen.patch_size,
            chosen.classes,
            channels=chosen.channels,
            batch_size=chosen.batch_size,
            processes=processes,
        )
        again = repeat(next(streams[OURS]))
        epochs = {
            OURS: Epoch(chosen, "gsl", streams[OURS], on, steps),
            STOCK: Epoch(chosen, STOCK_LOSS, streams[STOCK], on, steps),
            NO_LOADING: Epoch(chosen, "gsl", again, on, steps),
        }
        ahead = max(6, 2 * processes)  # what our processes hold at most; nnU-Net's hold fewer
        emptied = {name: partial(_use_up, streams[name], ahead) for name in streams} | {
            NO_LOADING: lambda: None
        }
        rows = in_turns(line_of(dataset, steps), epochs, repetitions=repetitions, prepare=emptied)
        for stream in streams.values():
            getattr(stream, "_finish", lambda: None)()  # ends nnU-Net's processes
    return rows


def _use_up(batches: Iterator[Any], number: int) -> None:
    """Take what the processes of a loader have in store."""
    for _ in islice(batches, number):
        pass


class Epoch:
    """Some steps of a training, with its own network and a stream of batches."""

    def __init__(
        self, setting: Setting, loss: str, batches: Iterator[Any], device: torch.device, steps: int
    ) -> None:
        torch.manual_seed(0)
        self.batches, self.device, self.steps = batches, device, steps
        self.network = setting.network().to(device)
        on_gpu = device.type == "cuda"
        if on_gpu:
            self.network.compile()
        self.loss = loss_of(loss, setting.classes, compiled=on_gpu).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-4)
        self.scaler = torch.GradScaler(device.type, enabled=on_gpu)

    def __call__(self) -> float:
        """Train, and return the last loss; to read it waits for the GPU."""
        value = torch.nan
        for batch in islice(self.batches, self.steps):
            value = self._step(batch)
        return float(value)

    def _step(self, batch: Any) -> torch.Tensor:
        image, target = (batch[name].to(self.device, non_blocking=True) for name in ("data", "target"))
        maps = batch.get("dtm")
        maps = None if maps is None else maps.to(self.device, non_blocking=True)
        self.optimizer.zero_grad(set_to_none=True)
        with mixed_precision(self.device, enabled=self.device.type == "cuda"):
            value: torch.Tensor = self.loss(self.network(image), target, maps)
        self.scaler.scale(value).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value.detach()
