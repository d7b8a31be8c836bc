"""How a metric is distributed over the cases, by run, and how each run differs from a baseline case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from gsl_experiments.figures.canvas import new_figure, styled
from gsl_experiments.figures.style import BLACK

LONG_TAIL = 10.0  # a value this many times the median asks for a log axis
ROW_MM = 7.5  # height of one run
Values = NDArray[np.float64]
Interval = tuple[float, float, float]  # mean, low, high

_DIAMOND: dict[str, Any] = {
    "linestyle": "none",
    "marker": "D",
    "markersize": 3.4,
    "markerfacecolor": "white",
    "markeredgecolor": BLACK,
    "markeredgewidth": 0.8,
}


@dataclass(frozen=True)
class Look:
    """Name and look of a run."""

    name: str
    color: str
    line: Any = "-"
    marker: str = "o"


@styled
def draw_distributions(
    values: Mapping[str, Sequence[Values]], looks: Sequence[Look], *, label: str, width_mm: float
) -> Figure:
    """Draw every case as a point beside a box (quartiles, median, whiskers of 1.5 interquartile ranges).

    Args:
        values: region -> the metric of each case, one array for each run, in the order of `looks`.
        looks: the runs, from top to bottom.
        label: of the value axis, with its unit.
        width_mm: of the figure as printed.
    """
    figure, panels = _panels(values, looks, width_mm)
    pooled = [run for runs in values.values() for run in runs if run.size]
    long_tail = has_long_tail(np.concatenate(pooled)) if pooled else False
    for axes, (region, runs) in zip(panels, values.items(), strict=True):
        _draw_rows(axes, runs, looks)
        axes.set_title(region)
        axes.set_xlabel(label)
        if long_tail:
            _set_log(axes, np.concatenate(pooled))
    return figure


@styled
def draw_differences(
    differences: Mapping[str, Sequence[Values]],
    looks: Sequence[Look],
    *,
    means: Mapping[str, Sequence[Interval]],
    label: str,
    higher_is_better: bool,
    width_mm: float,
) -> Figure:
    """Draw, case by case, a run's metric minus the baseline's; a diamond with a line is the mean with its interval.

    Args:
        differences: region -> one array for each run, in the order of `looks`, over the cases that both have.
        looks: the runs without the baseline, from top to bottom.
        means: region -> mean difference of each run and the two ends of its interval.
        label: of the value axis, with its unit.
        higher_is_better: whether a positive difference is an improvement.
        width_mm: of the figure as printed.
    """
    figure, panels = _panels(differences, looks, width_mm)
    pooled = [run for runs in differences.values() for run in runs if run.size]
    long_tail = has_long_tail(np.abs(np.concatenate(pooled))) if pooled else False
    for axes, (region, runs) in zip(panels, differences.items(), strict=True):
        _draw_rows(axes, runs, looks)
        for place, (mean, low, high) in enumerate(means[region]):
            axes.plot([low, high], [place - 0.02] * 2, color=BLACK, linewidth=1.4, zorder=4, gid="interval")
            axes.plot([mean], [place - 0.02], zorder=5, gid="mean", **_DIAMOND)
        axes.axvline(0.0, color=BLACK, linewidth=0.8, zorder=1)
        axes.set_title(region)
        sides = ("worse", "better") if higher_is_better else ("better", "worse")
        axes.set_xlabel(f"← {sides[0]}      {sides[1]} →\n{label}")
        if long_tail:
            _set_log(axes, np.abs(np.concatenate(pooled)))
    return figure


def has_long_tail(values: Values) -> bool:
    """Whether the largest of the values, none of them negative, is more than ten times their median."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if not positive.size:
        return False
    return bool(
        finite.max() > LONG_TAIL * max(float(np.median(finite)), float(np.median(positive)) / LONG_TAIL)
    )


def spread_points(values: Values, *, width: float) -> Values:
    """Places across the axis for points that would cover each other, within `width` to each side of 0.

    Points of similar value (one of forty bins between the extremes) are laid out evenly in turn to both sides, so
    the same values give the same picture.
    """
    places = np.zeros(values.size)
    if values.size < 2 or values.min() == values.max():
        bins = np.zeros(values.size, dtype=int)
    else:
        bins = np.minimum(((values - values.min()) / np.ptp(values) * 40).astype(int), 39)
    fullest = int(np.bincount(bins, minlength=1).max()) if values.size else 1
    step = min(2 * width / max(fullest, 1), width / 4)
    for number in np.unique(bins):
        members = np.flatnonzero(bins == number)
        places[members] = (np.arange(members.size) - (members.size - 1) / 2) * step
    return places


def _panels(
    values: Mapping[str, Sequence[Values]], looks: Sequence[Look], width_mm: float
) -> tuple[Figure, Sequence[Axes]]:
    """A panel a region, side by side, with the runs' names at the left."""
    figure = new_figure(width_mm, 17 + ROW_MM * len(looks))
    panels = figure.subplots(1, len(values), squeeze=False, sharey=True, sharex=True)[0]
    panels[0].set_yticks(range(len(looks)), [look.name for look in looks])
    panels[0].set_ylim(len(looks) - 0.45, -0.55)
    return figure, panels


def _draw_rows(axes: Axes, runs: Sequence[Values], looks: Sequence[Look]) -> None:
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    for place, (run, look) in enumerate(zip(runs, looks, strict=True)):
        finite = run[np.isfinite(run)]
        if not finite.size:
            axes.text(0.5, place, "no case", transform=axes.get_yaxis_transform(), ha="center", va="center")
            continue
        axes.plot(
            finite,
            place + 0.24 + spread_points(finite, width=0.17),
            linestyle="none",
            marker=look.marker,
            markersize=2.6 if finite.size <= 60 else 1.6,
            markerfacecolor=look.color,
            markeredgewidth=0,
            alpha=0.7 if finite.size <= 60 else 0.4,
            clip_on=False,
            zorder=2,
        )
        axes.boxplot(
            [finite],
            positions=[place - 0.28],
            widths=0.24,
            orientation="horizontal",
            showfliers=False,
            manage_ticks=False,
            patch_artist=True,
            boxprops={"facecolor": look.color, "alpha": 0.55, "linewidth": 0.6},
            medianprops={"color": BLACK, "linewidth": 1.2},
            whiskerprops={"linewidth": 0.6},
            capprops={"linewidth": 0.6},
            zorder=3,
        )


def _set_log(axes: Axes, magnitudes: Values) -> None:
    """A log axis, linear below the first quartile of what is not 0: distances may be 0, and differences negative."""
    positive = magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)]
    threshold = 10.0 ** np.floor(np.log10(np.percentile(positive, 25)))
    axes.set_xscale("symlog", linthresh=threshold, linscale=0.5)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
