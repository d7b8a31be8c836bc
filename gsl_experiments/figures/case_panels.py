"""Figures 3 and 4 of the paper: cases from easy to hard, the reference and what each loss predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from skimage.measure import find_contours

from gsl_experiments.figures.canvas import new_figure, styled
from gsl_experiments.figures.errors_of_case import ErrorPoint, Mask, square_around
from gsl_experiments.figures.style import BLACK, FONT_SIZE, REFERENCE_COLOR

MARGIN = 0.15  # around the object, as a share of its extent
LEAST_MM = 20.0  # no crop is smaller
SCALE_BARS_MM = (200, 100, 50, 20, 10, 5, 2, 1)
TEXT_MM = 8.0  # height of the lines below a panel
SIDE_MM = 9.0  # width of the rows' titles
NARROW_MM = 25.0  # panels narrower than this have smaller letters
REFERENCE_LINE = (0, (2.2, 1.8))  # over the prediction's solid line: where both agree, both are seen
HALO = (withStroke(linewidth=1.8, foreground=BLACK, alpha=0.55),)  # sets lines apart from bright tissue


_MARK: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 6.5,
    "markerfacecolor": "none",
    "markeredgecolor": "white",
    "markeredgewidth": 1.0,
    "path_effects": [withStroke(linewidth=2.2, foreground=BLACK)],
}


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one run predicts in the slice.

    Attributes:
        mask: (rows, columns).
        hd95_mm: of the whole case.
        worst: the largest error in this slice; None without one.
        missed: whether nothing is predicted in the whole case, although there is something.
    """

    mask: Mask
    hd95_mm: float
    worst: ErrorPoint | None = None
    missed: bool = False


@dataclass(frozen=True, eq=False)
class CaseRow:
    """One row of the figure: a slice of one case.

    Attributes:
        title: what is written at its left, such as `easy`.
        case: its identifier.
        image: (rows, columns), with any values.
        window: the values that are black and white.
        reference: mask of the slice.
        spacing_mm: of rows and columns.
        predictions: one for each run, in the order of the figure's columns.
        reference_ml: volume of the reference in the whole case; None for a 2D image, which has none.
    """

    title: str
    case: str
    image: NDArray[Any]
    window: tuple[float, float]
    reference: Mask
    spacing_mm: tuple[float, float]
    predictions: tuple[Prediction, ...]
    reference_ml: float | None


@dataclass(frozen=True)
class Column:
    """Title and colour of a run's predictions."""

    title: str
    color: str


@styled
def draw_cases(rows: Sequence[CaseRow], columns: Sequence[Column], *, width_mm: float) -> Figure:
    """Draw one row a case: the image, the reference, and each run's prediction over the reference.

    Axes are in mm with equal scales, so a voxel has its true shape. All panels of a row show the same crop, a square
    around everything that is segmented in the slice. Below each prediction stand HD95 of the whole case and the worst
    error of the slice, which a ring marks.

    Args:
        rows: the cases.
        columns: the runs, as many as each row has predictions.
        width_mm: of the figure as printed.
    """
    number = len(columns) + 2
    panel_mm = (width_mm - SIDE_MM) / number
    height_mm = len(rows) * (panel_mm + TEXT_MM) + 9
    figure = new_figure(width_mm, height_mm)
    panels = figure.subplots(len(rows), number, squeeze=False)
    for place, (axes, row) in enumerate(zip(panels, rows, strict=True)):
        _draw_row(axes, row, columns, letters=FONT_SIZE if panel_mm > NARROW_MM else FONT_SIZE - 1.5)
        if place == 0:
            for panel, title in zip(axes, ("Image", "Reference", *(c.title for c in columns)), strict=True):
                panel.set_title(title)
    figure.legend(
        handles=[
            Line2D(
                [], [], color=REFERENCE_COLOR, linestyle=REFERENCE_LINE, path_effects=HALO, label="reference"
            ),
            *(Line2D([], [], color=column.color, linewidth=1.5, label=column.title) for column in columns),
            Line2D([], [], label="worst error of the slice", **_MARK),
        ],
        loc="outside lower center",
        ncols=min(number, 5),
    )
    return figure


def contour_lines(mask: Mask, spacing_mm: Sequence[float]) -> list[NDArray[np.float64]]:
    """The outline of a 2D mask in mm, half-way between its voxels and their neighbours: closed lines of (x, y).

    Voxel (0, 0) has its centre at the origin. What touches the edge of the image is closed along that edge.
    """
    outline = find_contours(np.pad(mask, 1).astype(np.float64), 0.5)
    return [(line[:, ::-1] - 1) * np.asarray(spacing_mm)[::-1] for line in outline]


def _draw_row(axes: Sequence[Axes], row: CaseRow, columns: Sequence[Column], *, letters: float) -> None:
    shown = np.logical_or.reduce([row.reference, *(p.mask for p in row.predictions)])
    crop = square_around(shown, row.spacing_mm, margin=MARGIN, least_mm=LEAST_MM)
    for panel in axes:
        _draw_image(panel, row, crop)
    axes[0].set_ylabel(row.title, fontsize=letters)
    axes[0].set_xlabel(row.case, fontsize=letters)
    _draw_scale_bar(axes[0], crop)
    _draw_contour(axes[1], row.reference, row.spacing_mm, REFERENCE_COLOR, path_effects=HALO)
    axes[1].set_xlabel(_volume(row.reference_ml), fontsize=letters)
    for panel, column, prediction in zip(axes[2:], columns, row.predictions, strict=True):
        _draw_contour(panel, prediction.mask, row.spacing_mm, column.color, linewidths=1.5)
        _draw_contour(
            panel,
            row.reference,
            row.spacing_mm,
            REFERENCE_COLOR,
            linestyles=[REFERENCE_LINE],
            linewidths=0.9,
            path_effects=HALO,
        )
        panel.set_xlabel(_below(prediction), fontsize=letters)
        if prediction.worst is not None:
            row_mm, column_mm = row.spacing_mm
            x, y = prediction.worst.column * column_mm, prediction.worst.row * row_mm
            panel.plot([x], [y], gid="worst error", **_MARK)


def _below(prediction: Prediction) -> str:
    """What is written below a prediction."""
    if prediction.missed:
        return f"HD95 {prediction.hd95_mm:.1f} mm\nnothing predicted"
    worst = "no error here" if prediction.worst is None else f"worst {prediction.worst.distance_mm:.1f} mm"
    return f"HD95 {prediction.hd95_mm:.1f} mm\n{worst}"


def _volume(volume_ml: float | None) -> str:
    if volume_ml is None:
        return ""
    return f"{volume_ml:.0f} ml" if volume_ml >= 100 else f"{volume_ml:.3g} ml"


def _draw_image(axes: Axes, row: CaseRow, crop: tuple[float, float, float, float]) -> None:
    height, width = row.image.shape
    row_mm, column_mm = row.spacing_mm
    low, high = row.window
    axes.imshow(
        row.image,
        cmap="gray",
        vmin=low,
        vmax=high,
        interpolation="nearest",
        extent=(-0.5 * column_mm, (width - 0.5) * column_mm, (height - 0.5) * row_mm, -0.5 * row_mm),
    )
    left, right, top, bottom = crop
    axes.set(xlim=(left, right), ylim=(bottom, top), facecolor=BLACK, aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.xaxis.labelpad = 2


def _draw_contour(axes: Axes, mask: Mask, spacing_mm: Sequence[float], color: str, **line: Any) -> None:
    axes.add_collection(LineCollection(contour_lines(mask, spacing_mm), colors=color, **line), autolim=False)


def _draw_scale_bar(axes: Axes, crop: tuple[float, float, float, float]) -> None:
    left, right, top, bottom = crop
    side = right - left
    length = next((bar for bar in SCALE_BARS_MM if bar <= side / 3), SCALE_BARS_MM[-1])
    x, y = left + 0.06 * side, bottom - 0.07 * (bottom - top)
    axes.plot(
        [x, x + length],
        [y, y],
        color="white",
        linewidth=1.6,
        solid_capstyle="butt",
        gid="scale bar",
        path_effects=[withStroke(linewidth=2.8, foreground=BLACK)],
    )
    axes.text(
        x,
        y - 0.03 * side,
        f"{length} mm",
        color="white",
        fontsize=FONT_SIZE - 1.5,
        va="bottom",
        ha="left",
        path_effects=[withStroke(linewidth=1.4, foreground=BLACK)],
    )
