"""The loss alone, forward and backward: ours, nnU-Net's, and a copy of as many bytes as a loss reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from gsl_experiments.gpu_check.setting import STOCK, Setting, loss_of

OURS, COPY = "GSL with Dice-CE", "copy of the same bytes"
CONTESTANTS = (STOCK, OURS, COPY)
SETTING = Setting(1, 4, 2, (128, 128, 128), 32, (1.0, 1.0, 1.0))
SMALL = Setting(1, 4, 2, (32, 32, 32), 4, (1.0, 1.0, 1.0))

Work = Callable[[], Tensor]


def contestants(
    setting: Setting, device: torch.device, dtype: torch.dtype, *, compiled: bool
) -> Mapping[str, Work]:
    """Return what each contestant does once; each leaves the gradient of the same logits.

    Args:
        setting: batch, classes and patch.
        device: of all tensors.
        dtype: of the logits; labels are of int16 and maps of float32, as the loader gives them.
        compiled: losses as they are trained on a GPU.
    """
    generator = torch.Generator().manual_seed(0)
    _, labels, maps = setting.batch(device)
    labels = labels.short()
    logits = torch.randn(maps.shape, generator=generator).to(device, dtype).requires_grad_()
    read_and_written = [logits, labels, maps, logits]  # the last stands for the gradient
    numbers = sum(tensor.numel() * tensor.element_size() for tensor in read_and_written)
    source = torch.zeros(numbers // 2, dtype=torch.uint8, device=device)
    goal = torch.empty_like(source)

    def both_ways(loss: nn.Module) -> Work:
        def work() -> Tensor:
            logits.grad = None
            value: Tensor = loss(logits, labels, maps)
            value.backward()
            return value.detach()

        return work

    losses = {
        name: loss_of(choice, setting.classes, compiled=compiled).to(device)
        for name, choice in ((STOCK, STOCK), (OURS, "gsl"))
    }
    return {name: both_ways(loss) for name, loss in losses.items()} | {COPY: lambda: goal.copy_(source)}
