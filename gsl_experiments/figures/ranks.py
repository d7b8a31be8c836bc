"""The critical-difference picture: which runs' mean ranks are apart, and which are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsl_experiments.figures.canvas import new_figure, styled
from gsl_experiments.figures.style import BLACK, VERMILION

ROW_MM = 4.0
ABOVE = 2.6  # rows above the scale: its numbers, and the critical difference
CLIQUE_ROWS = 0.5


@dataclass(frozen=True)
class RankLine:
    """One scale of ranks.

    Attributes:
        title: above it, such as the region.
        mean_ranks: run -> mean rank over the cases.
        critical_difference: in ranks.
        cliques: groups of runs that are not told apart, by the names of `mean_ranks`.
    """

    title: str
    mean_ranks: Mapping[str, float]
    critical_difference: float
    cliques: Sequence[Sequence[str]]


@styled
def draw_critical_differences(lines: Sequence[RankLine], *, width_mm: float) -> Figure:
    """Draw mean ranks on a scale with 1, the best, at the left, as Demsar does (JMLR 7, 2006); one scale a line.

    A thick bar joins the runs of a clique: their ranks are less than the critical difference apart. The critical
    difference itself stands above the scale.

    Args:
        lines: the scales, from top to bottom.
        width_mm: of the figure as printed.
    """
    depths = [_depth(line) for line in lines]
    figure = new_figure(width_mm, 4 + sum(ROW_MM * (depth + ABOVE) for depth in depths))
    panels = figure.subplots(len(lines), 1, squeeze=False, height_ratios=[d + ABOVE for d in depths])[:, 0]
    for axes, line, depth in zip(panels, lines, depths, strict=True):
        _draw_line(axes, line, depth, title=line.title if len(lines) > 1 else "")
    return figure


def _depth(line: RankLine) -> float:
    """Rows of text and bars below a scale."""
    return 1.2 + CLIQUE_ROWS * len(line.cliques) + -(-len(line.mean_ranks) // 2)


def _draw_line(axes: Axes, line: RankLine, depth: float, *, title: str) -> None:
    order = sorted(line.mean_ranks, key=lambda name: line.mean_ranks[name])
    highest = len(order)
    room = 0.55 * (highest - 1)  # for the names at both sides
    axes.set(xlim=(1 - room, highest + room), ylim=(depth, -ABOVE), yticks=[], xticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    _draw_scale(axes, highest, line.critical_difference)
    for number, clique in enumerate(line.cliques):
        ranks = [line.mean_ranks[name] for name in clique]
        y = 0.5 + CLIQUE_ROWS * number
        ends = [min(ranks) - 0.03, max(ranks) + 0.03]
        axes.plot(ends, [y, y], color=VERMILION, linewidth=2.4, solid_capstyle="butt", gid="clique")
    half = -(-highest // 2)
    for place, name in enumerate(order):
        is_left = place < half
        rank = line.mean_ranks[name]
        y = 1.0 + CLIQUE_ROWS * len(line.cliques) + (place if is_left else highest - 1 - place)
        edge, outwards = (1 - 0.04 * room, -0.04 * room) if is_left else (highest + 0.04 * room, 0.04 * room)
        axes.plot([rank, rank, edge], [0, y, y], color=BLACK, linewidth=0.6, gid="rank")
        side = "right" if is_left else "left"
        axes.text(edge + outwards, y, f"{name} ({rank:.2f})", ha=side, va="center")


def _draw_scale(axes: Axes, highest: int, critical_difference: float) -> None:
    axes.plot([1, highest], [0, 0], color=BLACK, linewidth=0.8)
    for rank in range(1, highest + 1):
        axes.plot([rank, rank], [-0.15, 0], color=BLACK, linewidth=0.8)
        axes.text(rank, -0.25, str(rank), ha="center", va="bottom")
    axes.plot(
        [1, 1 + critical_difference],
        [-1.55, -1.55],
        color=BLACK,
        linewidth=1.2,
        marker="|",
        markersize=5,
        gid="critical difference",
    )
    axes.text(1 + critical_difference / 2, -1.75, f"CD {critical_difference:.2f}", ha="center", va="bottom")
