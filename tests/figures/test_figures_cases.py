"""The panels of a case: contours lie on the edges of masks, marks on the worst voxels, and voxels have their shape."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gsl_experiments.figures.case_panels import CaseRow, Column, Prediction, contour_lines, draw_cases
from gsl_experiments.figures.errors_of_case import ErrorPoint
from gsl_experiments.figures.style import BLUE, REFERENCE_COLOR, VERMILION

SPACING_MM = (3.0, 1.0)
REFERENCE = np.zeros((20, 40), np.bool_)
REFERENCE[5:12, 10:25] = True
WRONG = np.zeros_like(REFERENCE)
WRONG[5:12, 10:31] = True


def row(title: str = "easy") -> CaseRow:
    return CaseRow(
        title=title,
        case="case_7",
        image=np.arange(800.0).reshape(20, 40),
        window=(100.0, 500.0),
        reference=REFERENCE,
        spacing_mm=SPACING_MM,
        predictions=(
            Prediction(WRONG, 12.34, ErrorPoint(8, 30, 6.0)),
            Prediction(np.zeros_like(REFERENCE), 72.1, None, missed=True),
        ),
        reference_ml=0.315,
    )


@pytest.fixture(scope="module")
def figure() -> Figure:
    return draw_cases([row(), row("hard")], [Column("GSL", VERMILION), Column("BL", BLUE)], width_mm=174)


def lines_of(axes: object) -> dict[str, LineCollection]:
    return {to_hex(c.get_color()[0]).upper(): c for c in axes.collections}  # type: ignore[attr-defined]


def test_a_contour_lies_on_the_edge_of_its_mask_in_mm() -> None:
    (line,) = contour_lines(REFERENCE, SPACING_MM)
    # voxels have their centres on multiples of the spacing: their edges lie half a voxel further
    assert line[:, 0].min() == pytest.approx(9.5)
    assert line[:, 0].max() == pytest.approx(24.5)
    assert line[:, 1].min() == pytest.approx(4.5 * 3)
    assert line[:, 1].max() == pytest.approx(11.5 * 3)
    x, y = line.T
    area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2  # shoelace
    corners = 4 * (0.5 * 0.5 * 3 * 1) / 2  # cut off at half a voxel
    assert area == pytest.approx(REFERENCE.sum() * 3 - corners)


def test_a_mask_at_the_edge_of_the_image_has_a_closed_contour() -> None:
    (line,) = contour_lines(np.ones((4, 4), np.bool_), (1.0, 1.0))
    assert tuple(line[0]) == tuple(line[-1])
    assert line.min() == pytest.approx(-0.5)


def test_two_objects_have_two_contours_and_nothing_has_none() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[1, 1] = mask[6, 6] = True
    assert len(contour_lines(mask, (1.0, 1.0))) == 2
    assert contour_lines(np.zeros_like(mask), (1.0, 1.0)) == []


def test_predictions_and_reference_are_drawn_in_their_colours(figure: Figure) -> None:
    image, reference, wrong, missed = figure.axes[:4]
    assert not image.collections
    assert list(lines_of(reference)) == [REFERENCE_COLOR]
    drawn = lines_of(wrong)
    assert set(drawn) == {VERMILION, REFERENCE_COLOR}
    right_edge = max(path.vertices[:, 0].max() for path in drawn[VERMILION].get_paths())
    assert right_edge == pytest.approx(30.5)
    assert lines_of(missed)[REFERENCE_COLOR].get_paths()


def test_the_ring_sits_on_the_worst_voxel(figure: Figure) -> None:
    wrong, missed = figure.axes[2:4]
    (ring,) = [line for line in wrong.lines if line.get_gid() == "worst error"]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (30.0, 24.0)  # column 30 of 1 mm, row 8 of 3 mm
    assert not [line for line in missed.lines if line.get_gid() == "worst error"]


def test_the_words_below_the_panels(figure: Figure) -> None:
    _, reference, wrong, missed = figure.axes[:4]
    assert reference.get_xlabel() == "0.315 ml"
    assert wrong.get_xlabel() == "HD95 12.3 mm\nworst 6.0 mm"
    assert missed.get_xlabel() == "HD95 72.1 mm\nnothing predicted"
    assert [axes.get_title() for axes in figure.axes[:4]] == ["Image", "Reference", "GSL", "BL"]
    assert figure.axes[4].get_ylabel() == "hard"


def test_voxels_keep_their_shape_and_the_window_is_the_rows(figure: Figure) -> None:
    for axes in figure.axes:
        assert axes.get_aspect() == 1.0
        (picture,) = axes.images
        assert picture.get_extent() == pytest.approx([-0.5, 39.5, 19.5 * 3, -1.5])
        assert picture.get_clim() == (100.0, 500.0)
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert right - left == pytest.approx(bottom - top)  # a square, rows downwards


def test_the_scale_bar_is_as_long_as_it_says(figure: Figure) -> None:
    (bar,) = [line for line in figure.axes[0].lines if line.get_gid() == "scale bar"]
    (text,) = figure.axes[0].texts
    assert text.get_text() == f"{np.ptp(bar.get_xdata()):.0f} mm"
