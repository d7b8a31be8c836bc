"""Values in the artists of the figures that show no case."""

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from gsl_experiments.figures.curves import Training, draw_learning_curves, draw_schedules, mean_of_folds
from gsl_experiments.figures.distributions import (
    Look,
    draw_differences,
    draw_distributions,
    has_long_tail,
    spread_points,
)
from gsl_experiments.figures.ranks import RankLine, draw_critical_differences
from gsl_experiments.figures.style import LOSS_COLORS, MM_PER_INCH, SCHEDULE_COLORS
from gsl_experiments.figures.surface import error_surface, outline
from gsl_experiments.figures.weights import draw_class_weights

LOOKS = [Look("DL", "#56B4E9"), Look("GSL", "#D55E00", marker="s")]


def with_gid(axes: Axes, gid: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_gid() == gid]


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("colors", [LOSS_COLORS, SCHEDULE_COLORS])
def test_each_run_has_a_colour_of_its_own_that_white_paper_shows(colors: dict[str, str]) -> None:
    assert len(set(colors.values())) == len(colors) == 6
    assert all(1.05 / (luminance(color) + 0.05) > 2 for color in colors.values())


def test_a_distribution_shows_every_case_and_the_median() -> None:
    first, second = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2.0, 2.0, 8.0])
    figure = draw_distributions({"Liver": [first, second]}, LOOKS, label="HD95 (mm)", width_mm=84)
    (axes,) = figure.axes
    points = {line.get_marker(): line for line in axes.lines if line.get_marker() in ("o", "s")}
    assert sorted(points["o"].get_xdata()) == first.tolist()
    assert sorted(points["s"].get_xdata()) == second.tolist()
    medians = [line.get_xdata()[0] for line in axes.lines if line.get_linewidth() == 1.2]
    assert medians == [3.0, 2.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["DL", "GSL"]
    assert axes.get_xscale() == "linear"
    assert figure.get_figwidth() * MM_PER_INCH == pytest.approx(84)


def test_a_long_tail_gets_a_log_axis_that_holds_zero() -> None:
    tail = np.array([0.0, 1.0, 1.2, 1.5, 90.0])
    assert has_long_tail(tail)
    assert not has_long_tail(np.array([1.0, 2.0, 5.0]))
    assert not has_long_tail(np.zeros(4))
    figure = draw_distributions({"Liver": [tail, tail]}, LOOKS, label="HD95 (mm)", width_mm=84)
    (axes,) = figure.axes
    assert axes.get_xscale() == "symlog"
    zero, one = axes.transData.transform([(0.0, 0.0), (1.0, 0.0)])[:, 0]
    assert -np.inf < zero < one


def test_a_run_without_a_case_says_so() -> None:
    values = {"Liver": [np.array([1.0, 2.0]), np.array([])]}
    (axes,) = draw_distributions(values, LOOKS, label="Dice", width_mm=84).axes
    assert [text.get_text() for text in axes.texts] == ["no case"]


def test_points_of_one_value_lie_beside_each_other_within_their_row() -> None:
    places = spread_points(np.array([0.0] * 9 + [1.0]), width=0.2)
    assert len(set(places[:9])) == 9
    assert np.abs(places).max() <= 0.2
    assert places[9] == 0.0


@pytest.mark.parametrize(
    ("higher", "words"), [(True, "← worse      better →"), (False, "← better      worse →")]
)
def test_differences_say_which_side_is_better_and_show_the_interval(higher: bool, words: str) -> None:
    figure = draw_differences(
        {"Liver": [np.array([-1.0, 0.5, 2.0])]},
        LOOKS[1:],
        means={"Liver": [(0.5, -0.7, 1.6)]},
        label="difference",
        higher_is_better=higher,
        width_mm=84,
    )
    (axes,) = figure.axes
    assert axes.get_xlabel().startswith(words)
    assert list(with_gid(axes, "interval")[0].get_xdata()) == [-0.7, 1.6]
    assert list(with_gid(axes, "mean")[0].get_xdata()) == [0.5]


def test_ranks_stand_on_their_scale_and_bars_join_cliques() -> None:
    line = RankLine("Liver", {"GSL": 1.25, "BL": 2.0, "DL": 2.75}, 0.9, [("GSL", "BL"), ("BL", "DL")])
    (axes,) = draw_critical_differences([line], width_mm=84).axes
    assert [stem.get_xdata()[0] for stem in with_gid(axes, "rank")] == [1.25, 2.0, 2.75]
    bars = [(min(bar.get_xdata()), max(bar.get_xdata())) for bar in with_gid(axes, "clique")]
    assert bars == [(pytest.approx(1.22), pytest.approx(2.03)), (pytest.approx(1.97), pytest.approx(2.78))]
    (width,) = with_gid(axes, "critical difference")
    assert np.ptp(width.get_xdata()) == pytest.approx(0.9)
    texts = {text.get_text() for text in axes.texts}
    assert {"GSL (1.25)", "BL (2.00)", "DL (2.75)", "CD 0.90", "1", "2", "3"} <= texts


def test_learning_curves_hold_the_mean_of_the_folds_and_alpha() -> None:
    folds = {
        0: {0: {"train_loss": 1.0, "alpha": 1.0}, 1: {"train_loss": 0.4, "alpha": 0.0}},
        1: {
            0: {"train_loss": 2.0, "alpha": 1.0},
            1: {"train_loss": 0.8, "alpha": 0.0},
            2: {"train_loss": 0.1},
        },
    }
    epochs, means = mean_of_folds(folds, "train_loss")
    assert (epochs.tolist(), means.tolist()) == ([0, 1], [1.5, pytest.approx(0.6)])
    figure = draw_learning_curves(
        [Training("GSL", folds), Training("DL", folds, has_alpha=False)], width_mm=174
    )
    drawn = [line for axes in figure.axes for line in axes.lines if line.get_gid() == "alpha"]
    assert [line.get_ydata().tolist() for line in drawn] == [[1.0, 0.0]]
    above = next(axes for axes in figure.axes if axes.get_title() == "GSL")
    assert with_gid(above, "train_loss")[0].get_ydata().tolist() == means.tolist()


def test_schedules_are_drawn_as_given() -> None:
    (axes,) = draw_schedules({"linear": [1.0, 0.5, 0.0], "step5": [1.0, 1.0, 0.0]}, width_mm=84).axes
    linear, steps = axes.lines
    assert list(linear.get_ydata()) == [1.0, 0.5, 0.0]
    assert steps.get_drawstyle() == "steps-post"
    assert [line.get_label() for line in axes.lines] == ["linear", "step 5"]


def test_class_weights_are_drawn_as_given() -> None:
    figure = draw_class_weights(["background", "liver"], [900, 100], [0.1, 0.9], width_mm=84)
    voxels, weights = figure.axes
    assert [bar.get_width() for bar in voxels.patches] == [900, 100]
    assert voxels.get_xscale() == "log"
    assert [bar.get_width() for bar in weights.patches] == [0.1, 0.9]
    assert [text.get_text() for text in weights.texts] == ["0.1", "0.9"]


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    before = dict(matplotlib.rcParams)
    draw_schedules({"linear": [1.0, 0.0]}, width_mm=84)
    assert dict(matplotlib.rcParams) == before


def ball(radius_mm: float, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    axes = [np.arange(n) * s - (n - 1) * s / 2 for n, s in zip((24, 48, 48), spacing_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.asarray(z**2 + y**2 + x**2 <= radius_mm**2)


def test_an_outline_lies_half_way_to_the_neighbours_in_mm() -> None:
    mask = np.zeros((6, 7, 8), np.bool_)
    mask[1:4, 2:5, 3:7] = True
    surface = outline(mask, (3.0, 1.0, 0.5))
    np.testing.assert_allclose(surface.vertices_mm.min(axis=0), [0.5 * 3, 1.5, 2.5 * 0.5])
    np.testing.assert_allclose(surface.vertices_mm.max(axis=0), [3.5 * 3, 4.5, 6.5 * 0.5])


def test_a_large_mask_is_merged_into_blocks_where_it_is() -> None:
    mask = np.zeros((150, 8, 8), np.bool_)
    mask[2:148, 2:6, 2:6] = True  # 146 voxels: blocks of three
    surface = outline(mask, (1.0, 1.0, 1.0))
    assert surface.vertices_mm[:, 0].min() == pytest.approx(1.5, abs=1.5)
    assert surface.vertices_mm[:, 0].max() == pytest.approx(147.5, abs=1.5)
    assert len(surface.vertices_mm) < len(outline(mask[:60], (1.0, 1.0, 1.0)).vertices_mm) * 1.5


def test_the_surface_of_a_perfect_prediction_has_no_error() -> None:
    mask = ball(15.0, (2.0, 1.0, 1.0))
    assert not error_surface("GSL", mask, mask, (2.0, 1.0, 1.0)).distances_mm.any()


@pytest.mark.parametrize("sign", [1, -1])
def test_concentric_balls_are_their_radii_apart(sign: int) -> None:
    spacing_mm = (2.0, 1.0, 1.0)
    small, large = ball(12.0, spacing_mm), ball(18.0, spacing_mm)
    prediction, reference = (large, small) if sign > 0 else (small, large)
    distances = error_surface("GSL", prediction, reference, spacing_mm).distances_mm
    assert np.median(distances) == pytest.approx(sign * 6.0, abs=0.5)
    assert (sign * distances > 0).all()
