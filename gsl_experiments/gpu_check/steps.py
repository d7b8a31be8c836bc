"""Training steps as the trainer takes them: how long one takes, how much memory, and whether it ends well."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, perf_counter

import torch
from torch import Tensor, nn

from gsl_experiments.gpu_check.setting import Setting, loss_of
from gsl_experiments.training.precision import mixed_precision

WARM_UP = {"cuda": 3, "cpu": 1}  # cuDNN tries its algorithms, torch.compile compiles
STEPS = {"cuda": 10, "cpu": 3}
LONGEST_SECONDS = 8.0  # of the timed steps of one loss


@dataclass(frozen=True)
class StepCost:
    """What a training step costs.

    Attributes:
        milliseconds: median of its time, forward, backward and optimiser.
        peak_gib: largest memory that PyTorch held on the GPU; nan on a CPU.
        loss: after the last step.
    """

    milliseconds: float
    peak_gib: float
    loss: float


class Bench:
    """One network on a device, trained for some steps with one loss after the other.

    Args:
        setting: of network and batch.
        device: to train on.
        amp: mixed precision, as :func:`~gsl_experiments.training.precision.mixed_precision` gives it.
        compiled: with ``torch.compile``, as nnU-Net does.
    """

    def __init__(self, setting: Setting, device: torch.device, *, amp: bool, compiled: bool) -> None:
        torch.manual_seed(0)
        self.setting, self.device, self.amp = setting, device, amp
        self.network = setting.network().to(device)
        if compiled:
            self.network.compile()
        self.batch = setting.batch(device)

    def measure(self, name: str) -> StepCost:
        """Train with a loss and return what a step costs.

        Raises:
            FloatingPointError: the loss is not finite after the last step.
        """
        loss = loss_of(name, self.setting.classes).to(self.device)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-4)
        scaler = torch.GradScaler(self.device.type, enabled=self.amp and self.device.type == "cuda")

        def step() -> Tensor:
            return self._step(loss, optimizer, scaler)

        for _ in range(WARM_UP[self.device.type]):
            step()
        self._reset_peak()
        milliseconds, value = self._time(step)
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss became {value}")
        return StepCost(milliseconds, self._peak_gib(), value)

    def _step(self, loss: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.GradScaler) -> Tensor:
        image, labels, maps = self.batch
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(self.device, enabled=self.amp):
            value: Tensor = loss(self.network(image), labels, maps)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        return value.detach()

    def _time(self, step: Callable[[], Tensor]) -> tuple[float, float]:
        times: list[float] = []
        value, start = math.nan, monotonic()
        while len(times) < STEPS[self.device.type] and (
            len(times) < 2 or monotonic() - start < LONGEST_SECONDS
        ):
            self._synchronise()
            began = perf_counter()
            value = float(step())
            self._synchronise()
            times.append(1000 * (perf_counter() - began))
        return statistics.median(times), value

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _reset_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _peak_gib(self) -> float:
        return (
            torch.cuda.max_memory_allocated(self.device) / 2**30 if self.device.type == "cuda" else math.nan
        )
