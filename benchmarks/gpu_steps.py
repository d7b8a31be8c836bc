"""Training steps at the paper's patches on a GPU: each loss beside nnU-Net's Dice-CE, with the same network."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks.cost import STEP_LINES
from benchmarks.turns import Row, missing_row
from gsl_experiments.gpu_check.blocks import run_block


def measure(*, device: str = "cuda", blocks: Sequence[str] = tuple(STEP_LINES.values())) -> list[Row]:
    """Return a row a loss; its one number of seconds is the median of `make gpu-check`."""
    rows: list[Row] = []
    for block in blocks:
        for found in run_block(block, torch.device(device)):
            if "milliseconds" not in found.cells:
                rows.append(missing_row(block, found.name, found.failure or "not measured"))
                continue
            seconds = float(found.cells["milliseconds"]) / 1000
            peak_mb = float(found.cells["peak_gib"]) * 2**30 / 1e6
            rows.append({"line": block, "contestant": found.name, "seconds": [seconds], "peak_mb": peak_mb})
    return rows
