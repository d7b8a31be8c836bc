"""Mixed precision on whatever device there is."""

from __future__ import annotations

import torch
from torch import autocast


def mixed_precision(device: torch.device, *, enabled: bool = True) -> autocast:
    """Return autocast: float16 on a GPU as in nnU-Net, bfloat16 on a CPU that computes in it, else none."""
    on_gpu = device.type == "cuda"
    possible = on_gpu or (device.type == "cpu" and cpu_has_bfloat16())
    return autocast(
        device.type, dtype=torch.float16 if on_gpu else torch.bfloat16, enabled=enabled and possible
    )


def cpu_has_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16; without them it would be slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
