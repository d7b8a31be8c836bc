"""`make evaluate` of two folders: what it writes, and what it refuses before it writes anything."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.atomic import write_text
from gsl_experiments.cli import compose, users_error
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import stage
from gsl_experiments.evaluation.cases import CASE_COLUMNS
from gsl_experiments.evaluation.stage import evaluate
from gsl_experiments.metrics import METRICS_VERSION


def write_box(file, label, size=4):
    labels = np.zeros((8, 8, 10), np.uint8)
    labels[2 : 2 + size, 2:6, 2:6] = label
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(file))


@pytest.fixture
def configuration(tmp_path):
    def configuration(*overrides):
        write_box(tmp_path / "references" / "a.mha", 4)
        write_box(tmp_path / "predictions" / "a.nii.gz", 4, size=2)
        return compose(
            [
                f"evaluate.predictions={tmp_path / 'predictions'}",
                f"evaluate.references={tmp_path / 'references'}",
                f"evaluate.output={tmp_path / 'out' / 'table.csv'}",
                f"paths.raw={tmp_path / 'raw'}",
                "processes=1",
                *overrides,
            ]
        )

    return configuration


def test_any_two_folders_need_no_dataset(configuration, tmp_path):
    evaluate(configuration("evaluate.regions=labels", "evaluate.nsd_tolerance_mm=1.5"))
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert tuple(table.columns) == CASE_COLUMNS
    assert list(table["region"]) == ["label 4"]
    # 32 of 64 voxels are found: 2 * 32 / (32 + 64)
    assert table["dice"].item() == pytest.approx(2 / 3)
    record = json.loads((tmp_path / "out" / "table.csv.json").read_text())
    assert (record["regions"], record["metrics_version"]) == (["label 4"], METRICS_VERSION)
    assert record["config"]["evaluate"]["nsd_tolerance_mm"] == 1.5
    assert {"git", "packages", "time"} <= record.keys()


def test_regions_and_labels_of_a_dataset(configuration, tmp_path):
    description = {
        "labels": {"background": 0, "tumor": 1},
        "label_map": {"0": 0, "4": 1},
        "evaluation_regions": {"Tumor": [1]},
    }
    cfg = configuration("dataset=brats")
    with pytest.raises(
        UserError, match=r"dataset\.json: no such file, so the regions of brats are not known"
    ):
        evaluate(cfg)
    (tmp_path / "raw" / "Dataset502_BraTS").mkdir(parents=True)
    (tmp_path / "raw" / "Dataset502_BraTS" / "dataset.json").write_text(json.dumps(description))
    evaluate(cfg)
    assert list(pd.read_csv(tmp_path / "out" / "table.csv")["region"]) == ["Tumor"]
    assert json.loads((tmp_path / "out" / "table.csv.json").read_text())["regions"] == {"Tumor": [4]}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluate.references=null", r"evaluate\.references is not set: call with REF=folder"),
        ("evaluate.nsd_tolerance_mm=-1", r"nsd_tolerance_mm=-1: allowed is a length in mm"),
        ("evaluate.nsd_tolerance_mm=two", r"nsd_tolerance_mm=two: allowed is a length in mm"),
        ("evaluate.regions=all", r"evaluate\.regions=all: allowed are dataset, labels"),
    ],
)
def test_what_is_refused(configuration, tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        evaluate(configuration("evaluate.regions=labels", override))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["m.json", "table", "m.csv.gz"])
def test_a_table_that_is_no_csv_file(configuration, tmp_path, monkeypatch, name):
    monkeypatch.setattr(stage, "evaluate_folder", pytest.fail)
    with pytest.raises(UserError, match=rf"{name}: the table is a CSV file: call with OUT=file\.csv"):
        evaluate(configuration("evaluate.regions=labels", f"evaluate.output={tmp_path / 'out' / name}"))


def test_a_record_takes_no_other_files_place(configuration, tmp_path):
    """Beside dataset.json, and of two versions of one table."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset.json").write_text("{}")
    for name in ("dataset.csv", "run.v1.csv", "run.v2.csv"):
        evaluate(configuration("evaluate.regions=labels", f"evaluate.output={tmp_path / 'out' / name}"))
    assert (tmp_path / "out" / "dataset.json").read_text() == "{}"
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"dataset.csv.json", "run.v1.csv.json", "run.v2.csv.json"} <= names


def test_a_file_in_the_place_of_a_folder(configuration, tmp_path, monkeypatch):
    (tmp_path / "out").write_text("a file")
    cfg = configuration("evaluate.regions=labels")
    monkeypatch.setattr(stage, "evaluate_folder", pytest.fail)
    with pytest.raises(UserError, match=r"out is a file, not a folder: call with another OUT=file\.csv"):
        evaluate(cfg)
    with pytest.raises(FileExistsError) as error:
        write_text(tmp_path / "out" / "table.csv", "")
    assert users_error(error.value) == f"{tmp_path / 'out'}: File exists"


def test_a_table_without_the_two_folders(configuration):
    nothing = ("evaluate.predictions=null", "evaluate.references=null")
    with pytest.raises(
        UserError, match=r"OUT=.*table\.csv is for two folders: give REF=folder and PRED=folder"
    ):
        evaluate(configuration(*nothing))
    with pytest.raises(UserError, match="holds no trained run"):
        evaluate(configuration(*nothing, "evaluate.output=null", "paths.results=none"))


@pytest.mark.parametrize("description", [{}, {"labels": 3}, {"labels": {"background": 0, "a": [1, 2]}}])
def test_a_damaged_description_of_the_dataset(configuration, tmp_path, description):
    file = tmp_path / "raw" / "Dataset502_BraTS" / "dataset.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(description))
    with pytest.raises(UserError, match=rf"{file}: its labels, label_map or evaluation_regions are damaged"):
        evaluate(configuration("dataset=brats"))


def test_a_folder_in_the_place_of_the_table(configuration, tmp_path):
    (tmp_path / "out" / "table.csv").mkdir(parents=True)
    with pytest.raises(UserError, match=r"table\.csv is a folder: call with OUT=file\.csv"):
        evaluate(configuration("evaluate.regions=labels"))
