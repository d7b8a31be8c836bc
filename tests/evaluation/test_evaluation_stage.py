"""`make evaluate` of two folders: what it writes, and what it refuses before it writes anything."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.cli import compose
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.cases import CASE_COLUMNS
from gsl_experiments.evaluation.stage import evaluate


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
    record = json.loads((tmp_path / "out" / "table.json").read_text())
    assert record["regions"] == ["label 4"]
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
    assert json.loads((tmp_path / "out" / "table.json").read_text())["regions"] == {"Tumor": [4]}


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


def test_a_folder_in_the_place_of_the_table(configuration, tmp_path):
    (tmp_path / "out" / "table.csv").mkdir(parents=True)
    with pytest.raises(UserError, match=r"table\.csv is a folder: call with OUT=file\.csv"):
        evaluate(configuration("evaluate.regions=labels"))
