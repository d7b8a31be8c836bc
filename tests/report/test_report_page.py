"""The report's file: valid, whole, with the numbers of the runs, and nothing that a name in the data can break."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import html5lib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from ellipsoids import CASES, HOSTILE, MISSED, RECORD
from omegaconf import DictConfig

from gsl_experiments.cli import compose
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import find_runs
from gsl_experiments.evaluation.run_metrics import read_metrics
from gsl_experiments.report.stage import make_report

Configure = Callable[..., DictConfig]
METRICS = ("dice", "hd95_mm", "asd_mm", "hd95_surface_mm", "assd_mm", "hd_mm", "nsd")


@pytest.fixture(scope="module")
def page(report_file: Path):
    """The page as the HTML standard reads it; any error of syntax is raised."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(report_file.read_text())


@pytest.fixture(scope="module")
def data(page):
    (script,) = page.findall(".//script[@id='report-data']")
    return json.loads(script.text)


def text_of(element) -> str:
    return "".join(element.itertext()).strip()


def test_ids_are_unique_and_what_refers_to_them_finds_them(page) -> None:
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for attribute in ("aria-labelledby", "aria-describedby"):
        used = [element.get(attribute) for element in page.iter() if element.get(attribute)]
        assert used
        assert set(used) <= set(ids)
    links = [element.get("href") for element in page.iter("a")]
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_nothing_is_loaded_from_elsewhere(page, report_file: Path) -> None:
    sources = [
        element.get(name) for element in page.iter() for name in ("src", "href", "srcset", "action", "data")
    ]
    assert {re.split("[:#]", source)[0] for source in sources if source} == {"data", ""}
    (style,) = page.findall(".//style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    policy = page.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe-eval" not in policy


def test_the_parts_of_the_page_are_named(page) -> None:
    assert [text_of(heading) for heading in page.iter("h1")] == ["ellipsoids"]
    titles = [text_of(heading) for heading in page.iter("h2")]
    assert titles == ["Tables", "Cases", "Viewer", "Training", "Figures", "Provenance"]
    assert page.find("html") is None or page.get("lang") == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(list(page.iter(landmark))) == 1
    drawn = [image for image in page.iter("img") if image.get("id") != "slice-image"]
    assert len(drawn) > 3
    assert all(len(image.get("alt")) > 20 for image in drawn)
    assert all(table.find("caption") is not None for table in page.iter("table"))


def test_every_number_of_every_run_is_in_the_page(data, report_workspace: Path) -> None:
    labels = [run["label"] for run in data["runs"]]
    assert labels == ["Dice-CE", "HL", "GSL", "GSL, step 5"]
    names = dict(zip(("dice_ce", "hl_linear", "gsl_linear", "gsl_step5"), range(4), strict=True))
    compared = 0
    for run in find_runs(report_workspace / "results"):
        place = names[run.name.split("__")[1]]
        table = read_metrics(run.path / "metrics.csv").set_index(["region", "case"])
        for region in data["regions"]:
            for case_place, case in enumerate(data["cases"]):
                for metric in METRICS:
                    shown = region["values"][metric][place][case_place]
                    if (region["name"], case) in table.index:
                        assert shown == table.loc[(region["name"], case), metric]
                        compared += 1
                    else:
                        assert shown is None
    assert compared == (3 * 14 + 6) * 2 * len(METRICS)
    assert sorted(data["cases"]) == sorted(CASES)
    organ = data["regions"][0]
    missed = data["cases"].index(MISSED)
    volumes = [of_run[missed] for of_run in organ["prediction_ml"]]
    assert volumes[2] == 0 < volumes[0]
    assert volumes[1] is None or volumes[1] > 0
    empty = [case for case, flag in zip(data["cases"], organ["empty"], strict=True) if flag]
    assert empty == [MISSED]


def test_the_tables_hold_the_means_of_the_metrics(page, report_workspace: Path) -> None:
    table = page.find(".//table[@id='table1-paper-means']")
    rows = {(text_of(row[0]), text_of(row[1])): row for row in table.find("tbody")}
    assert set(rows) == {
        (region, loss) for region in ("Organ", "Lesion") for loss in ("Dice-CE", "HL", "GSL")
    }
    for run in find_runs(report_workspace / "results"):
        loss = {"dice_ce": "Dice-CE", "gsl_linear": "GSL", "hl_linear": "HL"}.get(run.name.split("__")[1])
        metrics = read_metrics(run.path / "metrics.csv")
        for region in ("Organ", "Lesion"):
            if loss is None:
                continue
            values = metrics.loc[metrics["region"] == region, "dice"].to_numpy()
            cell = rows[region, loss][2]
            assert text_of(cell[0]) == f"{values.mean():.4f} ({values.std():.4f})"
            assert float(cell.get("data-order")) == values.mean()
            assert f"median {np.median(values):.4f}" in text_of(cell[1])
    assert "incomplete: 1/2 folds" in text_of(rows["Organ", "HL"])


def test_differences_are_those_of_the_cases(data) -> None:
    dice = np.array(data["regions"][0]["values"]["dice"], dtype=float)
    assert data["baselines"] == [0, 0, 0, 0]
    comparisons = data["comparisons"]["Organ"]["dice"]
    assert comparisons[0] is None
    for place in (1, 2, 3):
        differences = dice[place] - dice[0]
        differences = differences[np.isfinite(differences)]
        assert comparisons[place]["mean"] == pytest.approx(differences.mean(), abs=1e-12)
        counts = [(differences > 0).sum(), (differences == 0).sum(), (differences < 0).sum()]
        assert comparisons[place]["counts"] == counts


def test_a_name_cannot_become_markup(page, report_file: Path) -> None:
    assert HOSTILE not in report_file.read_text()
    assert not [element for element in page.iter() if element.get("onerror")]
    assert HOSTILE in [script.get("data-case") for script in page.iter("script")]
    (configuration, *_) = page.iter("pre")
    assert json.loads(text_of(configuration)) == RECORD["config"]


def test_every_run_says_where_it_comes_from(page) -> None:
    articles = {text_of(article.find("h3")): article for article in page.iter("article")}
    assert set(articles) == {"Dice-CE", "HL", "GSL", "GSL, step 5"}
    text = " ".join(text_of(articles["GSL"]).split())
    for fact in (
        "0123456789ab",
        "numpy 2.0.0",
        "a processor",
        RECORD["time"],
        RECORD["command"],
        "1.5 min",
        "2 of 2",
    ):
        assert fact in text


def test_the_viewer_holds_the_cases_of_the_figures_and_the_worst(page, data) -> None:
    held = [script.get("data-case") for script in page.iter("script") if script.get("class") == "slices"]
    assert held == list(data["viewer"])
    assert len(held) == 12
    assert [reason.split(",")[0] for reason in data["viewer"].values()][:3] == ["easy", "middle", "hard"]
    assert "worst of GSL" in data["viewer"][MISSED]
    slices = next(script for script in page.iter("script") if script.get("data-case") == MISSED)
    planes = json.loads(slices.text)
    assert set(planes) == {"axial", "coronal", "sagittal"}
    paths = planes["axial"]["paths"]["Organ"]
    assert any(paths["reference"])
    assert not any(paths["2"])  # GSL predicts nothing there
    assert {len(paths[name]) for name in paths} == {len(planes["axial"]["images"])}


def test_without_images_no_image_is_read_or_written(configure_report: Configure, tmp_path: Path) -> None:
    overrides = ["report.images=false", f"paths.tables={tmp_path}", f"paths.raw={tmp_path / 'nowhere'}"]
    (file,) = make_report(configure_report(*overrides))
    text = file.read_text()
    assert "data:image/webp" not in text
    assert 'class="slices"' not in text
    assert "This file holds no images of cases." in text
    assert file == tmp_path / "ellipsoids" / "report.html"


def test_what_cannot_be_done_is_one_line(configure_report: Configure, tmp_path: Path) -> None:
    for overrides, message in (
        (["report.planes=[oblique]"], "report.planes=oblique: allowed are axial, coronal, sagittal"),
        (["report.images=1"], "report.images=1: allowed are true, false"),
        (["report.max_slices=0"], "report.max_slices=0: allowed is a whole number from 1"),
        (["report.cases=[]"], "report.cases=.*: allowed is a list or null"),
        (["report.cases=[nobody]"], "report.cases: no run has a case nobody"),
        (
            ["report.dataset=other"],
            "no run of dataset other has a finished fold; there are runs of ellipsoids",
        ),
        ([f"paths.results={tmp_path}"], "holds no trained run"),
        (["figures.channel=T1"], "figures.channel=T1: allowed are CT"),
        ([f"paths.raw={tmp_path}"], "no such image; report.images=false makes a report without images"),
    ):
        with pytest.raises(UserError, match=message):
            make_report(configure_report(*overrides, f"paths.tables={tmp_path / 'tables'}"))
    assert not (tmp_path / "tables").exists()


def test_a_report_of_given_cases_and_attribution(configure_report: Configure, tmp_path: Path, capsys) -> None:
    overrides = [
        "report.cases=[case_01]",
        "report.dataset=7",
        "report.attribution='me, <CC0>'",
        "report.planes=[axial]",
    ]
    (file,) = make_report(configure_report(*overrides, f"paths.tables={tmp_path}"))
    text = file.read_text()
    assert re.findall(r'class="slices" data-case="([^"]*)"', text) == ["case_01"]
    assert "Data: me, &lt;CC0&gt;" in text
    assert str(file) in capsys.readouterr().out


def test_2d_datasets_have_a_report_with_images_of_the_chosen_channel(
    report_workspace: Path, tmp_path: Path, capsys
) -> None:
    for part in ("raw", "preprocessed", "results"):
        shutil.copytree(report_workspace / part, tmp_path / part)
    for file in tmp_path.rglob("*.nii.gz"):
        sitk.WriteImage(sitk.ReadImage(str(file))[:, :, 10], str(file))
    for file in tmp_path.rglob("*_0000.nii.gz"):
        file.rename(str(file).replace("_0000", "_0001"))
    for file in tmp_path.rglob("dataset.json"):
        file.write_text(file.read_text().replace('{"0": "CT"}', '{"0": "CT", "1": "FLAIR"}'))
    paths = [f"paths.{name}={tmp_path / name}" for name in ("raw", "preprocessed", "results", "tables")]
    overrides = ["processes=1", "tables.resamples=20", "report.cases=[case_01]", "figures.channel=flair"]
    (file,) = make_report(compose([*paths, *overrides]))
    text = file.read_text()
    (slices,) = re.findall(r'class="slices" data-case="case_01">(.*?)</script>', text)
    assert json.loads(slices)["axial"]["total"] == 1
    assert "Slices with contours of Organ" in text  # the figure of cases
    assert "surface_organ left out: case" in capsys.readouterr().err


def test_one_name_for_two_dataset_folders_is_one_line(report_workspace: Path, tmp_path: Path) -> None:
    for part in ("raw", "preprocessed", "results"):
        for name in ("Dataset007_Ellipsoids", "Dataset008_Others"):
            shutil.copytree(report_workspace / part / "Dataset007_Ellipsoids", tmp_path / part / name)
    paths = [f"paths.{name}={tmp_path / name}" for name in ("raw", "preprocessed", "results", "tables")]
    overrides = [*paths, "processes=1", "tables.resamples=20", "report.images=false"]
    with pytest.raises(
        UserError, match=r"differ in dataset folder \(Dataset007_\w+, Dataset008_\w+\): choose"
    ):
        make_report(compose(overrides))
    assert not (tmp_path / "tables").exists()
    (file,) = make_report(compose([*overrides, "report.dataset=8"]))
    assert "Dataset007_" not in file.read_text().split("This report")[0]
