"""`make figures` from runs on disk: which cases, slices and runs are drawn, what is written, what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from omegaconf import DictConfig

from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import evaluate_runs
from gsl_experiments.figures.curves import draw_schedules
from gsl_experiments.figures.planned import DrawnFigure, write_figure
from gsl_experiments.figures.stage import make_figures
from gsl_experiments.figures.volumes import grey_window, read_volumes
from gsl_experiments.reporting import gather_tables
from gsl_experiments.reporting.paper import PaperTables
from gsl_experiments.reporting.stage import table_settings

Configure = Callable[..., DictConfig]
AddRun = Callable[..., None]


@pytest.fixture
def two_runs(add_run: AddRun) -> None:
    add_run("dice_ce", None, errors=(1, 4, 2, 6))
    add_run("gsl", "linear", errors=(1, 1, 1, 2))


def words(folder: Path, name: str) -> dict[str, Any]:
    """Caption, alt text and sources of a figure."""
    return json.loads((folder / "tables" / "phantom_lits" / "figures" / f"{name}.json").read_text())


@pytest.mark.usefixtures("two_runs")
def test_every_figure_is_written_with_its_words(folder: Path, configure: Configure, capsys: Any) -> None:
    make_figures(configure("figures.percentiles=[0,100]", "figures.metric=hd95_surface_mm"))
    figures = folder / "tables" / "phantom_lits" / "figures"
    names = {
        "cases_liver",
        "surface_liver",
        "losses_hd95_mm",
        "losses_hd95_mm_differences",
        "losses_curves",
        "alpha_schedules",
        "class_weights",
    }
    assert {file.stem for file in figures.glob("*.svg")} == names
    overview = (figures / "README.md").read_text()
    for name in names:
        told = words(folder, name)
        assert told["alt"]
        assert told["caption"] in overview
        assert f"]({name}.svg)" in overview
    assert "7 figures" in capsys.readouterr().out
    assert json.loads((figures / "provenance.json").read_text())["git"].keys() == {"commit", "dirty"}


@pytest.mark.usefixtures("two_runs")
def test_the_easy_and_the_hard_case_and_their_slice(folder: Path, configure: Configure) -> None:
    make_figures(configure("figures.percentiles=[0,50,100]", "figures.metric=hd_mm"))
    easy, middle, hard = words(folder, "cases_liver")["sources"]["cases"]
    # the baseline errs by 1, 4, 2 and 6 columns in cases 1 to 4; place 1.5 of 0 to 3 is rounded to 2
    assert [row["case"] for row in (easy, middle, hard)] == ["a_1", "a_2", "a_4"]
    assert {row["slice"] for row in (easy, middle, hard)} == {3}  # the largest
    caption = words(folder, "cases_liver")["caption"]
    assert "largest area of the reference" in caption
    assert "percentiles 0, 50 and 100" in caption


@pytest.mark.usefixtures("two_runs")
def test_the_slice_of_the_worst_error_and_its_distance(folder: Path, configure: Configure) -> None:
    make_figures(configure("figures.cases=[a_4]", "figures.slice=worst_error"))
    (row,) = words(folder, "cases_liver")["sources"]["cases"]
    assert row["slice"] == 4
    # 6 columns of 1.5 mm beyond the edge, or one slice below a voxel of slice 3 that is nearer: 4 mm down, 5 columns
    assert row["predictions"]["Dice-CE"]["worst_in_slice_mm"] == pytest.approx(
        min(6 * 1.5, np.hypot(4, 5 * 1.5))
    )
    assert row["predictions"]["GSL"]["worst_in_slice_mm"] == pytest.approx(2 * 1.5)
    assert row["window"] == [-160, 240]


def test_the_same_figure_gives_the_same_files(tmp_path: Path) -> None:
    def write() -> dict[str, bytes]:
        figure = draw_schedules({"linear": [1.0, 0.5, 0.0]}, width_mm=84)
        drawn = DrawnFigure("alpha", figure, "Caption.", "Alt.", {"epochs": 3})
        files = write_figure(drawn, tmp_path, formats=("svg", "pdf", "png"), dpi=100)
        return {file.name: file.read_bytes() for file in files}

    files = write()
    assert list(files) == ["alpha.svg", "alpha.pdf", "alpha.png", "alpha.json"]
    assert write() == files


def test_runs_without_a_complete_fold_are_named_and_left_out(
    folder: Path, configure: Configure, add_run: AddRun, capsys: Any
) -> None:
    add_run("dice_ce", None, errors=(1, 4, 2, 6))
    add_run("gsl", "linear", errors=(1, 1), folds=1)
    add_run("bl", "linear", errors=(), folds=0)
    make_figures(configure("figures.cases=[a_1]"))
    assert (
        "nnUNetTrainerGSL__bl_linear__3d_fullres: no complete fold yet, left out" in capsys.readouterr().err
    )
    told = words(folder, "losses_hd95_mm_differences")
    assert [(run["run"], run["cases"]) for run in told["sources"]["runs"]] == [
        ("dice_ce", 4),
        ("gsl_linear", 2),
    ]
    assert "(2 cases that both have)" in told["caption"]
    assert "Dice-CE: 2/2 folds; GSL: 1/2 folds" in told["caption"]


def test_three_runs_are_ranked(folder: Path, configure: Configure, add_run: AddRun) -> None:
    for loss, errors in (("dl", (7, 7, 7, 7)), ("dice_ce", (4, 4, 4, 4)), ("gdl", (1, 1, 1, 1))):
        add_run(loss, None, errors=errors)
    make_figures(configure("figures.metrics=[hd_mm]", "figures.cases=[a_1]"))
    ranks = words(folder, "losses_hd_mm_ranks")["sources"]["ranks"]["Liver"]
    assert ranks["mean_ranks"] == {"GDL": 1.0, "Dice-CE": 2.0, "DL": 3.0}
    assert ranks["cases"] == 4


@pytest.mark.usefixtures("two_runs")
def test_a_missing_image_costs_one_figure_and_one_line(
    folder: Path, configure: Configure, capsys: Any
) -> None:
    image = folder / "raw" / "Dataset511_PhantomLiTS" / "imagesTr" / "a_1_0000.nii.gz"
    image.unlink()
    make_figures(configure("figures.cases=[a_1]"))
    assert f"{image}: no such image, figure of cases of Liver left out" in capsys.readouterr().err
    assert not (folder / "tables" / "phantom_lits" / "figures" / "cases_liver.svg").exists()
    assert words(folder, "surface_liver")["sources"]["case"] == "a_1"


@pytest.mark.usefixtures("two_runs")
def test_the_surface_is_of_a_case_that_has_one(folder: Path, configure: Configure, capsys: Any) -> None:
    references = folder / "preprocessed" / "Dataset511_PhantomLiTS" / "gt_segmentations"
    for case, drawn in (("a_1", "a_2"), ("a_2", None)):
        file = str(references / f"{case}.nii.gz")
        sitk.WriteImage(sitk.ReadImage(file) * 0, file)
        make_figures(configure("figures.cases=[a_2,a_1]"))
        told = "no case shown has Liver in its reference and in a prediction"
        assert (told in capsys.readouterr().out) == (drawn is None)
        if drawn:
            assert words(folder, "surface_liver")["sources"]["case"] == drawn


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "figures.cases=[b_1]",
            "figures.cases: b_1 has no prediction of all of Dice-CE, GSL; a_1, a_2, a_3, a_4 have",
        ),
        (
            "figures.runs=[gsl_step5]",
            "figures.runs: no run gsl_step5 with predictions; there are dice_ce, gsl_linear",
        ),
        ("figures.region=Kidney", "figures.region=Kidney: allowed are Liver"),
        ("figures.channel=T1", "figures.channel=T1: allowed are CT"),
        ("figures.dataset=brats", "figures.dataset=brats: no run of it in"),
        ("figures.metric=jaccard", "figures.metric=jaccard: allowed are dice, hd95_mm"),
        ("figures.metrics=[]", "figures.metrics=(): allowed is a list"),
        ("figures.formats=[gif]", "figures.formats=gif: allowed are pdf, svg, png"),
        ("figures.percentiles=[101]", "figures.percentiles=101: allowed is a number from 0 to 100"),
        ("figures.slice=first", "figures.slice=first: allowed are largest_area, worst_error"),
        ("figures.plane=oblique", "figures.plane=oblique: allowed are axial, coronal, sagittal"),
        (
            "figures.ct_window=[240,-160]",
            "figures.ct_window=[240, -160]: allowed are two numbers in HU, low and high",
        ),
        ("figures.dpi=5", "figures.dpi=5: allowed is a number from 50 to 1200"),
    ],
)
@pytest.mark.usefixtures("two_runs")
def test_a_slip_is_one_line_before_anything_is_drawn(
    folder: Path, configure: Configure, override: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        make_figures(configure(override))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not (folder / "tables").exists()


def test_nothing_to_draw_is_one_line(folder: Path, configure: Configure, add_run: AddRun) -> None:
    with pytest.raises(UserError, match="holds no trained run: train one first"):
        make_figures(configure())
    add_run("gsl", "linear", errors=(), folds=0)
    with pytest.raises(UserError, match="nothing to draw: no run of this protocol has a complete fold"):
        make_figures(configure())
    assert not (folder / "tables").exists()


def test_planes_are_turned_as_on_a_screen(tmp_path: Path) -> None:
    """A voxel at the head, the back and the left of a volume that a scanner wrote from the other ends."""
    array = np.zeros((4, 5, 6), np.uint8)
    array[0, 0, 0] = 1
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, -1))  # x to the right, y to the front, z to the feet
    file = tmp_path / "labels.nii.gz"
    sitk.WriteImage(image, str(file))
    found = {}
    for plane in ("axial", "coronal", "sagittal"):
        volumes = read_volumes(None, file, [file], plane=plane)
        (voxel,) = np.argwhere(volumes.predictions[0])
        assert np.array_equal(volumes.predictions[0], volumes.reference)
        found[plane] = (voxel.tolist(), [float(s) for s in volumes.spacing_mm])
    # slices count towards head, back and left; the back is below (axial) or right, the head is up
    assert found == {
        "axial": ([3, 4, 5], [3.0, 2.0, 1.0]),
        "coronal": ([4, 0, 5], [2.0, 3.0, 1.0]),
        "sagittal": ([5, 0, 4], [1.0, 3.0, 2.0]),
    }


def test_the_window_is_fixed_for_ct_and_follows_the_voxels_outside_of_zero_otherwise() -> None:
    image = np.concatenate([np.zeros(1000), np.arange(1, 1001)]).reshape(2, 10, 100)
    assert grey_window(image, is_ct=True, ct_window=(-160, 240)) == (-160, 240)
    low, high = grey_window(image, is_ct=False, ct_window=(-160, 240))
    assert (low, high) == (pytest.approx(5.995), pytest.approx(995.005))
    assert grey_window(np.full((2, 2, 2), 7), is_ct=False, ct_window=(0, 1)) == (7.0, 8.0)


def test_differences_and_ranks_are_those_of_the_tables(
    folder: Path, configure: Configure, add_run: AddRun
) -> None:
    """Of a baseline, level, seed and bootstrap of one's own, in both tables, with a run that is not complete."""
    add_run("dice_ce", None, errors=(1, 4, 2, 6))
    for schedule, errors in (("linear", (1, 1, 1, 2)), ("step5", (3, 1, 5, 2)), ("cosine", (2, 2, 6, 1))):
        add_run("gsl", schedule, errors=errors)
    add_run("bl", "linear", errors=(5, 5), folds=1)
    cfg = configure(
        "tables.baseline=dice_ce",
        "tables.alpha=0.2",
        "tables.resamples=33",
        "seed=5",
        "figures.metrics=[hd_mm]",
    )
    make_figures(cfg)
    results = evaluate_runs(folder / "results", folder / "preprocessed")
    (tables,) = gather_tables(results, paper=PaperTables({}), settings=table_settings(cfg))
    names = {"Linear": "linear", "Step - 5": "step 5", "Cosine": "cosine"}
    compared = 0
    for table, group in (("table1", "losses"), ("table2", "schedules")):
        (part,) = next(one for one in tables.tables if one.name == table).parts
        told = words(folder, f"{group}_hd_mm_differences")
        assert told["sources"]["baseline"] == "Dice-CE"
        assert "mean with its 80 % bootstrap interval" in told["caption"]
        entry = next(one for one in part.statistics if one.metric.column == "hd_mm")
        for variant in entry.variants:
            if variant.comparison is not None:
                shown = told["sources"]["differences"]["Liver"][names.get(variant.variant, variant.variant)]
                assert shown["mean"] == variant.comparison.mean_difference
                assert shown["interval"] == [variant.comparison.low, variant.comparison.high]
                compared += 1
    assert compared == 2 + 3
    ranked = words(folder, "schedules_hd_mm_ranks")
    assert entry.ranks is not None
    shown_ranks = ranked["sources"]["ranks"]["Liver"]
    assert shown_ranks["mean_ranks"] == {names.get(k, k): rank for k, rank in entry.ranks.mean_rank.items()}
    assert shown_ranks["critical_difference"] == entry.ranks.critical_difference
    assert "at the 20 % level" in ranked["caption"]
    assert not (
        folder / "tables" / "phantom_lits" / "figures" / "losses_hd_mm_ranks.json"
    ).exists()  # two complete


def test_a_run_with_open_folds_is_not_ranked(folder: Path, configure: Configure, add_run: AddRun) -> None:
    for loss, errors in (("dl", (7, 7, 7, 7)), ("dice_ce", (4, 4, 4, 4)), ("gdl", (1, 1, 1, 1))):
        add_run(loss, None, errors=errors)
    add_run("gsl", "linear", errors=(1, 1), folds=1)
    make_figures(configure("figures.metrics=[hd_mm]", "figures.cases=[a_1]"))
    told = words(folder, "losses_hd_mm_ranks")
    assert told["sources"]["ranks"]["Liver"]["mean_ranks"].keys() == {"GDL", "Dice-CE", "DL"}
    assert told["sources"]["ranks"]["Liver"]["cases"] == 4
    assert "Not ranked, because folds are open: GSL." in told["caption"]


@pytest.mark.usefixtures("two_runs")
@pytest.mark.parametrize("baseline", ["null", "bl_linear"])
def test_without_a_baseline_there_are_no_differences(
    folder: Path, configure: Configure, capsys: Any, baseline: str
) -> None:
    make_figures(configure(f"tables.baseline={baseline}", "figures.metric=hd_mm", "figures.percentiles=[0]"))
    assert not (folder / "tables" / "phantom_lits" / "figures" / "losses_hd95_mm_differences.json").exists()
    assert ("no run bl_linear (tables.baseline) is compared" in capsys.readouterr().err) == (
        baseline != "null"
    )
    assert (
        "percentiles 0 of Hausdorff (mm) of Dice-CE" in words(folder, "cases_liver")["caption"]
    )  # the first run


def test_captions_name_what_differs_between_the_runs(
    folder: Path, configure: Configure, add_run: AddRun
) -> None:
    add_run("dice_ce", None, errors=(1, 4, 2, 6))
    add_run("bl", "linear", errors=(1, 1, 1, 1))
    training = {"schedule_formula": "prose", "lr": 0.01}
    add_run("gsl", "linear", errors=(1, 1), folds=1, seed=7, epochs=9, training=training)
    make_figures(configure())
    caption = words(folder, "losses_hd95_mm")["caption"]
    assert caption.count("epochs") == 3  # each run's own, once
    assert "The runs differ: GSL (seed 7, others 42); GSL lacks 2 cases that others have." in caption
    make_figures(configure("figures.runs=[dice_ce,bl_linear]"))
    assert words(folder, "runs_hd95_mm")["caption"].endswith("Protocol paper, 8 epochs, 2/2 folds.")


def flatten(folder: Path) -> None:
    """Make every image of the workspace 2D: its fifth slice."""
    for file in folder.rglob("*.nii.gz"):
        sitk.WriteImage(sitk.ReadImage(str(file))[:, :, 4], str(file))


@pytest.mark.usefixtures("two_runs")
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_a_2d_image_is_its_one_slice(folder: Path, configure: Configure, capsys: Any, plane: str) -> None:
    flatten(folder)
    make_figures(configure("figures.cases=[a_4]", "figures.slice=worst_error", f"figures.plane={plane}"))
    told = words(folder, "cases_liver")
    (row,) = told["sources"]["cases"]
    assert (row["slice"], row["slices"]) == (0, 1)
    # only within the slice: 6 columns of 1.5 mm
    assert row["predictions"]["Dice-CE"]["worst_in_slice_mm"] == pytest.approx(9.0)
    assert "Every image is one slice." in told["caption"]
    assert "2D distance" in told["caption"]
    assert " ml" not in (folder / "tables" / "phantom_lits" / "figures" / "cases_liver.svg").read_text()
    assert "surface_liver left out: case a_4 is one slice and has no surface" in capsys.readouterr().out
    assert words(folder, "losses_hd95_mm")["alt"]


def test_a_colour_image_shows_its_first_channel(tmp_path: Path) -> None:
    colours = np.stack([np.full((4, 5), value, np.uint8) for value in (7, 8, 9)], axis=-1)
    files = [tmp_path / "image.png", tmp_path / "labels.png"]
    for array, file in zip(
        (sitk.GetImageFromArray(colours, isVector=True), np.eye(4, 5)), files, strict=True
    ):
        image = array if isinstance(array, sitk.Image) else sitk.GetImageFromArray(array.astype(np.uint8))
        sitk.WriteImage(image, str(file))
    volumes = read_volumes(files[0], files[1], [files[1]], plane="axial")
    assert volumes.image is not None
    assert volumes.image.shape == volumes.reference.shape == (1, 4, 5)
    assert set(volumes.image.ravel()) == {7}
    assert volumes.is_2d


@pytest.mark.usefixtures("two_runs")
def test_one_name_for_two_dataset_folders_is_one_line(folder: Path, configure: Configure) -> None:
    for part in ("results", "preprocessed", "raw"):
        shutil.copytree(folder / part / "Dataset511_PhantomLiTS", folder / part / "Dataset512_PhantomLiTS")
    with pytest.raises(
        UserError, match=r"differ in dataset folder \(Dataset511_\w+, Dataset512_\w+\): choose"
    ):
        make_figures(configure())
    assert not (folder / "tables").exists()
    make_figures(configure("figures.dataset=Dataset512_PhantomLiTS"))
    (one, _) = words(folder, "losses_hd95_mm")["sources"]["runs"]
    assert one["folder"].startswith("Dataset512_PhantomLiTS/")
