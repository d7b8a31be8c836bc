"""What a training records of each epoch: nnU-Net's log with alpha and the loss's two terms, a CSV and TensorBoard."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from gsl_experiments.atomic import write_text
from gsl_experiments.errors import UserError

SECONDS_BETWEEN_PICTURES = 60.0
CSV_NAME = "epochs.csv"
TENSORBOARD_NAME = "tensorboard"
# column -> nnU-Net's name of it
COLUMNS = {
    "train_loss": "train_losses",
    "region_loss": "region_losses",
    "boundary_loss": "boundary_losses",
    "val_loss": "val_losses",
    "alpha": "alpha",
    "learning_rate": "lrs",
    "pseudo_dice": "mean_fg_dice",
    "pseudo_dice_average": "ema_fg_dice",
}


class EpochLog(LocalLogger):
    """nnU-Net's log of one value an epoch, for ``alpha``, ``region_losses`` and ``boundary_losses`` too.

    It holds plain numbers, so that a checkpoint of it is read without trusting its file. nnU-Net draws its picture
    (``progress.png``) after every epoch, which takes longer than a short epoch does; here a minute lies between two of
    them, and the last epoch is always drawn.
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
        super().log(key, [float(v) for v in value] if np.ndim(value) else float(value), epoch)

    def values(self, epoch: int) -> dict[str, float]:
        """Return what is known of an epoch that has ended, by the columns of ``epochs.csv``.

        ``train_loss``, ``region_loss``, ``boundary_loss`` and ``val_loss`` are means over the epoch, ``pseudo_dice`` is
        nnU-Net's Dice over the validation patches of the epoch, its mean and that of each foreground class (0 to 1, nan
        for a class that is nowhere), ``pseudo_dice_average`` its moving average, ``seconds`` the time that the epoch
        took.
        """
        log = self.my_fantastic_logging
        found = {column: log[key][epoch] for column, key in COLUMNS.items()}
        for label, dice in enumerate(log["dice_per_class_or_region"][epoch], start=1):
            found[f"pseudo_dice_{label}"] = dice
        found["seconds"] = log["epoch_end_timestamps"][epoch] - log["epoch_start_timestamps"][epoch]
        return found

    def plot_progress_png(self, output_folder: str) -> None:
        """Draw nnU-Net's picture if it is time."""
        is_last = len(self.my_fantastic_logging["train_losses"]) >= self.num_epochs
        if is_last or monotonic() - self._drawn_at > SECONDS_BETWEEN_PICTURES:
            super().plot_progress_png(output_folder)
            self._drawn_at = monotonic()


class EpochRecords:
    """The epochs of a fold as ``epochs.csv``, one row an epoch, and as scalars for TensorBoard in ``tensorboard/``.

    One process of a training keeps them. What an earlier process recorded of epochs before ``resume_epoch`` stays; what
    it recorded from there on, after its last checkpoint, is replaced.

    Args:
        folder: of the fold.
        resume_epoch: the first epoch that will be recorded; 0 starts anew.
    """

    def __init__(self, folder: Path, resume_epoch: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # heavy, and only for the process that records

        self.file = folder / CSV_NAME
        self.rows = {epoch: row for epoch, row in read_epochs(self.file).items() if epoch < resume_epoch}
        self._scalars = SummaryWriter(str(folder / TENSORBOARD_NAME), purge_step=resume_epoch)

    def write(self, epoch: int, values: dict[str, float]) -> None:
        """Record the values of an epoch, in place of any that it had."""
        self.rows[epoch] = dict(values)
        _write_epochs(self.file, self.rows)
        for name, value in values.items():
            if math.isfinite(value):
                self._scalars.add_scalar(_scalar_name(name), value, epoch)
        self._scalars.flush()

    def complete(self, log: EpochLog, epochs: int) -> None:
        """Record those of the first ``epochs`` epochs of a resumed log that lack a row.

        The last process may have been killed after its checkpoint and before its record, or the file be deleted.
        """
        for epoch in range(epochs):
            if epoch not in self.rows:
                self.write(epoch, log.values(epoch))

    def close(self) -> None:
        """Finish TensorBoard's file."""
        self._scalars.close()


def read_epochs(file: Path) -> dict[int, dict[str, float]]:
    """Return epoch -> column -> value of an ``epochs.csv``; nothing where there is no file.

    Raises:
        UserError: somebody has changed the file into something else.
    """
    if not file.is_file():
        return {}
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return {
                int(row.pop("epoch")): {name: float(value) for name, value in row.items() if value != ""}
                for row in csv.DictReader(lines)
            }
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is not as it was written ({error}): delete it, the epochs to come get a new one"
        ) from error


def _write_epochs(file: Path, rows: dict[int, dict[str, float]]) -> None:
    columns = dict.fromkeys(name for row in rows.values() for name in row)
    text = io.StringIO()
    table = csv.DictWriter(text, ["epoch", *columns], restval="", lineterminator="\n")
    table.writeheader()
    for epoch, row in sorted(rows.items()):
        table.writerow({"epoch": epoch} | {name: f"{value:.8g}" for name, value in row.items()})
    write_text(file, text.getvalue())


def _scalar_name(column: str) -> str:
    """Return TensorBoard's name of a column: what belongs into one group of pictures shares its first part."""
    for group in ("loss", "pseudo_dice"):
        if group in column:
            return f"{group}/{column}"
    return column
