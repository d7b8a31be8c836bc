"""Curves over the epochs: what a training did, and the schedules of alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gsl_experiments.figures.canvas import new_figure, styled
from gsl_experiments.figures.style import (
    ALPHA,
    BLACK,
    BLUE,
    GREY,
    SCHEDULE_COLORS,
    SCHEDULE_LINES,
    SCHEDULE_NAMES,
    VERMILION,
)

PANELS_A_ROW = 3
PANEL_HEIGHT_MM = 34.0
Epochs = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True)
class Training:
    """A run's folds as `epochs.csv` holds them: fold -> epoch -> column -> value."""

    name: str
    folds: Mapping[int, Epochs]
    has_alpha: bool = True


@dataclass(frozen=True)
class _Line:
    column: str
    label: str
    color: str
    line: Any


_LOSS_LINES = (
    _Line("train_loss", "training loss", BLACK, "-"),
    _Line("val_loss", "loss of validation patches", VERMILION, "--"),
)
_DICE_LINES = (_Line("pseudo_dice_average", "Dice of validation patches, moving average", BLUE, "-"),)
_ALPHA = _Line("alpha", ALPHA, GREY, ":")


@styled
def draw_learning_curves(trainings: Sequence[Training], *, width_mm: float) -> Figure:
    """Draw each run's loss above and its Dice below, with alpha on the right axis, over the epochs.

    Thin lines are folds, thick ones their mean. The losses have units of their own, so each has its own scale.

    Args:
        trainings: the runs, three in a row.
        width_mm: of the figure as printed.
    """
    blocks = -(-len(trainings) // PANELS_A_ROW)
    columns = min(len(trainings), PANELS_A_ROW)
    figure = new_figure(width_mm, 8 + blocks * 1.7 * PANEL_HEIGHT_MM)
    panels = figure.subplots(2 * blocks, columns, squeeze=False, sharex=True, height_ratios=[1, 0.7] * blocks)
    for place in range(blocks * columns):
        block, column = divmod(place, columns)
        above, below = panels[2 * block, column], panels[2 * block + 1, column]
        if place >= len(trainings):
            above.remove()
            below.remove()
            continue
        _draw_training(above, below, trainings[place], labelled=column == 0)
    figure.legend(
        handles=[
            Line2D([], [], color=line.color, linestyle=line.line, label=line.label)
            for line in (*_LOSS_LINES, *_DICE_LINES, _ALPHA)
        ],
        loc="outside lower center",
        ncols=4,
    )
    return figure


@styled
def draw_schedules(alphas: Mapping[str, Sequence[float]], *, width_mm: float) -> Figure:
    """Draw alpha over the epochs, one line a schedule; what falls in steps is drawn in steps.

    Args:
        alphas: schedule -> alpha of each epoch.
        width_mm: of the figure as printed.
    """
    figure = new_figure(width_mm, 0.7 * width_mm)
    axes = figure.subplots()
    for name, values in alphas.items():
        axes.plot(
            range(len(values)),
            values,
            drawstyle="steps-post" if name.startswith("step") else "default",
            color=SCHEDULE_COLORS.get(name, BLACK),
            linestyle=SCHEDULE_LINES.get(name, "-"),
            label=SCHEDULE_NAMES.get(name, name),
        )
    axes.set(xlabel="epoch", ylabel=f"{ALPHA}, weight of the region loss", ylim=(-0.02, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.margins(x=0.01)
    axes.grid()
    figure.legend(loc="outside lower center", handlelength=2.8, ncols=3)
    return figure


def mean_of_folds(folds: Mapping[int, Epochs], column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Epochs that every fold has, and the mean of a column over the folds."""
    curves = [_curve(epochs, column) for epochs in folds.values()]
    shared = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    means = [float(np.mean([curve[epoch] for curve in curves])) for epoch in shared]
    return np.array(shared, dtype=np.int64), np.array(means)


def _curve(epochs: Epochs, column: str) -> dict[int, float]:
    return {epoch: row[column] for epoch, row in epochs.items() if np.isfinite(row.get(column, np.nan))}


def _draw_training(above: Axes, below: Axes, training: Training, *, labelled: bool) -> None:
    above.set_title(training.name)
    for axes, lines in ((above, _LOSS_LINES), (below, _DICE_LINES)):
        for line in lines:
            _draw_line(axes, training, line)
        axes.grid()
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    below.set(xlabel="epoch", ylim=(0, 1))
    below.tick_params(labelbottom=True)
    if labelled:
        above.set_ylabel("loss")
        below.set_ylabel("Dice")
    if training.has_alpha:
        right = above.twinx()
        _draw_line(right, training, _ALPHA)
        right.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1], ylabel=ALPHA)
        right.spines["right"].set_visible(True)
        right.spines["right"].set_color(GREY)
        right.tick_params(axis="y", colors=GREY)
        right.yaxis.label.set_color(GREY)


def _draw_line(axes: Axes, training: Training, line: _Line) -> None:
    if len(training.folds) > 1 and line is not _ALPHA:
        for epochs in training.folds.values():
            curve = _curve(epochs, line.column)
            axes.plot(list(curve), list(curve.values()), color=line.color, linewidth=0.4, alpha=0.5)
    x, y = mean_of_folds(training.folds, line.column)
    axes.plot(x, y, color=line.color, linestyle=line.line, linewidth=1.2, gid=line.column)
