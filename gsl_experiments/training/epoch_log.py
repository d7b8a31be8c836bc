"""nnU-Net's per-epoch log, with alpha and the two terms of the loss."""

from __future__ import annotations

from time import monotonic
from typing import Any

import numpy as np
from nnunetv2.training.logging.nnunet_logger import LocalLogger

SECONDS_BETWEEN_PICTURES = 60.0


class EpochLog(LocalLogger):
    """nnU-Net's log of one value an epoch, for ``alpha``, ``region_losses`` and ``boundary_losses`` too.

    nnU-Net draws its picture (``progress.png``) after every epoch, which takes longer than a short epoch does; here
    a minute lies between two of them, and the last epoch is always drawn.
    """

    def __init__(self, num_epochs: int) -> None:
        super().__init__()
        self.num_epochs = num_epochs
        self.my_fantastic_logging.update(alpha=[], region_losses=[], boundary_losses=[])
        self._drawn_at = -SECONDS_BETWEEN_PICTURES

    def log(self, key: str, value: Any, epoch: int) -> None:
        """Log a value; an epoch whose validation patches hold no foreground leaves the moving average as it was."""
        if key == "ema_fg_dice" and np.isnan(value):
            value = self.get_value(key, epoch - 1) if epoch > 0 else 0.0
        super().log(key, value, epoch)

    def plot_progress_png(self, output_folder: str) -> None:
        """Draw nnU-Net's picture if it is time."""
        is_last = len(self.my_fantastic_logging["train_losses"]) >= self.num_epochs
        if is_last or monotonic() - self._drawn_at > SECONDS_BETWEEN_PICTURES:
            super().plot_progress_png(output_folder)
            self._drawn_at = monotonic()
