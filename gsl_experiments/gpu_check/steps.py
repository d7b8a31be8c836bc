"""Training steps as the trainer takes them: how long one takes, how much memory, and whether it ends well."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
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


def loss_costs(work: Mapping[str, Callable[[], Tensor]], device: torch.device) -> dict[str, StepCost]:
    """Return what each piece of work costs, done some times, after warming up; on a GPU its kernels alone count."""
    costs = {}
    for name, once in work.items():
        for _ in range(WARM_UP[device.type]):
            once()
        _reset_peak(device)
        milliseconds, value = (_time_kernels if device.type == "cuda" else _time)(once, device)
        costs[name] = StepCost(milliseconds, _peak_gib(device), value)
    return costs


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
        self.setting, self.device, self.amp, self.compiled = setting, device, amp, compiled
        self.network = setting.network().to(device)
        if compiled:
            self.network.compile()
        self.batch = setting.batch(device)

    def measure(self, name: str) -> StepCost:
        """Train with a loss and return what a step costs.

        Raises:
            FloatingPointError: the loss is not finite after the last step.
        """
        loss = loss_of(name, self.setting.classes, compiled=self.compiled).to(self.device)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-4)
        scaler = torch.GradScaler(self.device.type, enabled=self.amp and self.device.type == "cuda")

        def step() -> Tensor:
            return self._step(loss, optimizer, scaler)

        for _ in range(WARM_UP[self.device.type]):
            step()
        _reset_peak(self.device)
        milliseconds, value = _time(step, self.device)
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss became {value}")
        return StepCost(milliseconds, _peak_gib(self.device), value)

    def _step(self, loss: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.GradScaler) -> Tensor:
        image, labels, maps = self.batch
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(self.device, enabled=self.amp):
            value: Tensor = loss(self.network(image), labels, maps)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        return value.detach()


def _time(step: Callable[[], Tensor], device: torch.device) -> tuple[float, float]:
    times: list[float] = []
    value, start = math.nan, monotonic()
    while len(times) < STEPS[device.type] and (len(times) < 2 or monotonic() - start < LONGEST_SECONDS):
        _synchronise(device)
        began = perf_counter()
        result = step()
        _synchronise(device)
        times.append(1000 * (perf_counter() - began))
        value = float(result.flatten()[0])
    return statistics.median(times), value


def _time_kernels(step: Callable[[], Tensor], device: torch.device) -> tuple[float, float]:
    """Time steps that wait on the GPU in a row, as behind a network, so that starting them costs nothing."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(2 * 10**8)  # cycles, about a tenth of a second: long enough to queue all steps
    began.record()
    for _ in range(STEPS["cuda"]):
        result = step()
    ended.record()
    _synchronise(device)
    return began.elapsed_time(ended) / STEPS["cuda"], float(result.flatten()[0])


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else math.nan
