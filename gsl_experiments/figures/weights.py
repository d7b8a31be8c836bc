"""The voxel counts of the classes and the weights of eq. (13) that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from gsl_experiments.figures.canvas import new_figure, styled
from gsl_experiments.figures.style import BLUE, VERMILION


@styled
def draw_class_weights(
    names: Sequence[str], voxels: Sequence[int], weights: Sequence[float], *, width_mm: float
) -> Figure:
    """Draw how many voxels each class has in the whole dataset (log axis), and its weight beside it.

    Args:
        names: of the classes, background first.
        voxels: N_k.
        weights: w_k of eq. (13), 1 together.
        width_mm: of the figure as printed.
    """
    figure = new_figure(width_mm, 15 + 6 * len(names))
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(names))
    left.barh(places, voxels, color=BLUE, height=0.6)
    left.set(xscale="log", xlabel=r"voxels $N_k$", xlim=(min(voxels) / 10, None))
    left.set_yticks(places, names)
    left.invert_yaxis()
    right.barh(places, weights, color=VERMILION, height=0.6)
    right.set(xlabel=r"weight $w_k$", xlim=(0, 1.28), xticks=[0, 0.5, 1])
    for axes in (left, right):
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    for place, weight in zip(places, weights, strict=True):
        right.text(weight + 0.03, place, f"{weight:.3g}", va="center")
    return figure
