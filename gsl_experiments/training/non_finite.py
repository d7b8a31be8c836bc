"""What to do about a step whose loss or gradient is infinite or not a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from gsl_experiments.errors import UserError


class NonFiniteSteps:
    """Counts steps in a row that came to nothing, and stops the training when its patience is over.

    Args:
        patience: how many such steps in a row are borne; the next one stops the training.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.in_a_row = 0

    def record(self, finite: bool, *, batch: dict[str, Any], values: dict[str, float], folder: Path) -> None:
        """Count a step.

        Args:
            finite: whether loss and gradient were finite, in every process.
            batch: this process's share of the batch, saved for inspection if the training stops.
            values: what to tell: ``epoch``, ``step``, ``alpha``, the terms of the loss, the norm of the gradient.
            folder: where the batch is saved.

        Raises:
            UserError: more steps in a row than the patience allows.
        """
        self.in_a_row = 0 if finite else self.in_a_row + 1
        if self.in_a_row <= self.patience:
            return
        cases, rank = [batch["keys"]], 0
        if dist.is_initialized():
            cases, rank = [[]] * dist.get_world_size(), dist.get_rank()
            dist.all_gather_object(cases, batch["keys"])
        file = folder / f"non_finite_batch_rank{rank}.pt"
        torch.save({"batch": batch, "values": values}, file)
        told = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
        raise UserError(
            f"training stopped, the loss or its gradient is not finite, {self.in_a_row} steps in a row ({told}; "
            f"cases {', '.join(key for keys in cases for key in keys)}): look at the batch in {file}, and see "
            "training.optimizer.lr, training.gradient_clip and training.mixed_precision"
        )
