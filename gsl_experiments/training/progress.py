"""How far the training of a fold is: a bar on a terminal, a line an epoch in a file."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from time import monotonic

from tqdm import tqdm


class TrainingProgress:
    """Shows loss, its terms, alpha, pseudo Dice, steps a second and the time left while a fold is trained.

    The bar goes to standard error if that is a terminal; else, or where standard output is a file, each epoch ends with
    a line on standard output.

    Args:
        description: what is trained, such as ``gsl_step5 fold 0``.
        epochs: of the whole training.
        steps_per_epoch: steps of the optimiser in an epoch.
        start_step: steps that earlier processes have done; need not be the first of an epoch.
    """

    def __init__(self, description: str, epochs: int, steps_per_epoch: int, start_step: int = 0) -> None:
        self.description, self.epochs, self.steps_per_epoch = description, epochs, steps_per_epoch
        self.step_number = self._start_step = start_step
        self._started_at = monotonic()
        self._sums: dict[str, float] = {}
        self._steps_of_epoch = 0
        self._pseudo_dice = math.nan
        has_terminal = sys.stderr.isatty()
        self._prints_lines = not (has_terminal and sys.stdout.isatty())
        self._bar = tqdm(
            total=epochs * steps_per_epoch,
            initial=start_step,
            desc=description,
            unit="step",
            dynamic_ncols=True,
            disable=not has_terminal,
        )

    def step(self, *, loss: float, region: float, boundary: float, alpha: float) -> None:
        """Count a step; the bar shows the means of the losses over the epoch's steps so far."""
        self.step_number += 1
        self._steps_of_epoch += 1
        for name, value in (("loss", loss), ("region", region), ("boundary", boundary)):
            self._sums[name] = self._sums.get(name, 0.0) + value
        means = {name: total / self._steps_of_epoch for name, total in self._sums.items()}
        epoch = (self.step_number - 1) // self.steps_per_epoch
        self._bar.set_postfix_str(self._describe(epoch, means | {"alpha": alpha}), refresh=False)
        self._bar.update()

    def epoch(self, values: Mapping[str, float]) -> None:
        """End an epoch with its values, by the columns of ``epochs.csv``."""
        self._sums, self._steps_of_epoch = {}, 0
        self._pseudo_dice = values["pseudo_dice"]
        shown = {
            "loss": values["train_loss"],
            "region": values["region_loss"],
            "boundary": values["boundary_loss"],
            "alpha": values["alpha"],
        }
        described = self._describe((self.step_number - 1) // self.steps_per_epoch, shown)
        self._bar.set_postfix_str(described)
        if self._prints_lines:
            print(f"{self.description}: {described}, {self._pace()}", flush=True)

    def close(self) -> None:
        """Leave the bar as it is and end its line."""
        self._bar.close()

    def _describe(self, epoch: int, values: Mapping[str, float]) -> str:
        parts = [f"epoch {epoch + 1}/{self.epochs}", f"loss {values['loss']:.4f}"]
        parts += [f"region {values['region']:.4f}", f"boundary {values['boundary']:.4f}"]
        parts.append(f"alpha {values['alpha']:.3f}")
        if not math.isnan(self._pseudo_dice):
            parts.append(f"pseudo Dice {self._pseudo_dice:.4f}")
        return ", ".join(parts)

    def _pace(self) -> str:
        """Return steps a second since this process began, validation and saving included, and what is left at it."""
        pace = (self.step_number - self._start_step) / max(monotonic() - self._started_at, 1e-9)
        if pace == 0:
            return "no step done here"
        left = (self.epochs * self.steps_per_epoch - self.step_number) / pace
        return f"{pace:.3g} steps/s, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time as a person would say it: ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
