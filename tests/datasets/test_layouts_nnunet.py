"""A dataset that lies in nnUNet_raw already: found by number or name, and what is said of a bad one."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.cli import compose
from gsl_experiments.config import CHECKOUT, configure_nnunet, name_dataset
from gsl_experiments.datasets import DatasetError, read_nnunet
from gsl_experiments.errors import UserError

DESCRIPTION: dict[str, Any] = {
    "channel_names": {"0": "T2", "1": "ADC"},
    "labels": {"background": 0, "TZ": 2, "PZ": 1},
    "numTraining": 3,
    "file_ending": ".nrrd",
}


def _write(folder: Path, **entries: Any) -> Path:
    description = DESCRIPTION | entries
    ending = description["file_ending"]
    for subfolder in ("imagesTr", "labelsTr"):
        (folder / subfolder).mkdir(parents=True)
    for case in ("prostate_00", "prostate_01", "prostate_02"):
        for channel in range(2):
            image = sitk.GetImageFromArray(np.full((4, 5, 6), channel, np.float32))
            sitk.WriteImage(image, str(folder / "imagesTr" / f"{case}_{channel:04d}{ending}"))
        label = sitk.GetImageFromArray(np.resize(np.uint8([0, 1, 2]), (4, 5, 6)))
        sitk.WriteImage(label, str(folder / "labelsTr" / f"{case}{ending}"))
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
def test_cases_channels_and_labels(ending: str, tmp_path: Path) -> None:
    folder = _write(tmp_path / "Dataset005_Prostate", file_ending=ending)
    (folder / "imagesTr" / "._prostate_00_0000.nrrd").touch()
    dataset = read_nnunet(folder)
    assert [case.identifier for case in dataset.cases] == ["prostate_00", "prostate_01", "prostate_02"]
    assert [image.name for image in dataset.cases[1].images] == [
        f"prostate_01_0000{ending}",
        f"prostate_01_0001{ending}",
    ]
    assert dataset.channel_names == ("T2", "ADC")
    assert dataset.labels == {"background": 0, "PZ": 1, "TZ": 2}
    assert dataset.regions == {"PZ": (1,), "TZ": (2,)}
    assert dataset.original_labels == {0: 0, 1: 1, 2: 2}
    assert dataset.edition == "Dataset005_Prostate"


def test_regions_of_its_own(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", evaluation_regions={"Prostate": [1, 2]})
    assert read_nnunet(folder).regions == {"Prostate": (1, 2)}


def test_files_that_the_description_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _write(tmp_path / "d")
    monkeypatch.setenv("ELSEWHERE", str(folder))
    entry = {
        "images": ["imagesTr/prostate_01_0000.nrrd", "$ELSEWHERE/imagesTr/prostate_01_0001.nrrd"],
        "label": "labelsTr/prostate_01.nrrd",
    }
    short = {"images": ["imagesTr/prostate_02_0000.nrrd"], "label": "labelsTr/prostate_02.nrrd"}
    listed = DESCRIPTION | {"dataset": {"mine": entry, "short": short}}
    (folder / "dataset.json").write_text(json.dumps(listed))
    dataset = read_nnunet(folder)
    (case,) = dataset.cases
    assert case.identifier == "mine"
    assert [*case.images, case.label] == [
        folder / "imagesTr" / "prostate_01_0000.nrrd",
        folder / "imagesTr" / "prostate_01_0001.nrrd",
        folder / "labelsTr" / "prostate_01.nrrd",
    ]
    (finding,) = dataset.incomplete
    assert finding.problem == "1 images are listed for 2 channels"
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION | {"dataset": {"mine": {}}}))
    with pytest.raises(DatasetError, match='each entry of "dataset" needs "images" and a "label"'):
        read_nnunet(folder)


def test_every_missing_file_is_found(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d")
    for name in ("imagesTr/prostate_00_0001", "labelsTr/prostate_02"):
        (folder / f"{name}.nrrd").unlink()
    dataset = read_nnunet(folder)
    assert [case.identifier for case in dataset.cases] == ["prostate_01"]
    assert [finding.file for finding in dataset.incomplete] == [
        folder / "imagesTr" / "prostate_00_0001.nrrd",
        folder / "labelsTr" / "prostate_02.nrrd",
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"labels": {"background": 0, "whole": [1, 2], "core": 2}},
            "ignore label and regions .* not supported",
        ),
        ({"labels": {"background": 0, "a": 1, "ignore": 2}}, "ignore label and regions .* not supported"),
        ({"labels": {"background": 0, "a": "x"}}, '"labels" must map names to numbers'),
        ({"labels": {"background": 0, "a": 2}}, "labels must be background = 0 and then 1, 2"),
        ({"labels": ["a"]}, "no usable 'labels'; add it as"),
        ({"channel_names": None}, "no usable 'channel_names'"),
        ({"channel_names": {"T2": 0}}, '"channel_names" must number the channels'),
        ({"file_ending": ".tif"}, r"imagesTr: no file that ends in \.tif"),
    ],
)
def test_bad_description(entries: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = _write(tmp_path / "d")
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION | entries))
    with pytest.raises(DatasetError, match=message) as error:
        read_nnunet(folder)
    assert "\n" not in str(error.value)


def test_no_description(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json: no such file; an nnU-Net raw dataset has"):
        read_nnunet(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match=r"dataset\.json: not valid JSON"):
        read_nnunet(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Three datasets of nnU-Net's, one of them only preprocessed; as overrides."""
    for name in ("raw/Dataset004_Hippocampus", "raw/Dataset027_ACDC", "raw/Dataset028_ACDC", "raw/Dataset_x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "preprocessed" / "Dataset005_Prostate").mkdir(parents=True)
    return [f"paths.{name}={tmp_path / name}" for name in ("raw", "preprocessed", "results")]


@pytest.mark.parametrize("choice", ["4", "004", "Dataset004_Hippocampus", "Hippocampus"])
def test_a_dataset_is_named_by_its_number_or_name(choice: str, folders: list[str]) -> None:
    cfg = compose(["dataset=nnunet", f"dataset.id={choice}", *folders])
    name_dataset(cfg)
    assert cfg.dataset.nnunet_name == cfg.dataset.name == "Dataset004_Hippocampus"


def test_a_dataset_that_is_only_preprocessed(folders: list[str]) -> None:
    cfg = compose(["dataset=nnunet", "dataset.id=5", *folders])
    name_dataset(cfg)
    assert cfg.dataset.nnunet_name == "Dataset005_Prostate"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.id=9"], "id=9: no such dataset; .*hold Dataset004_Hippocampus, Dataset005_Prostate, Dat"),
        (["dataset.id=ACDC"], "several datasets are called so; .* hold Dataset027_ACDC, Dataset028_ACDC$"),
        ([], "dataset.id=null: choose a dataset; .* hold Dataset004"),
        (["dataset.id=4", "dataset.raw=/data"], "raw=/data: an nnU-Net dataset is taken from .*raw; put it"),
    ],
)
def test_no_single_dataset_of_that_name(overrides: list[str], message: str, folders: list[str]) -> None:
    with pytest.raises(UserError, match=message):
        configure_nnunet(compose(["dataset=nnunet", *overrides, *folders]))


@pytest.mark.parametrize(
    ("dataset", "overrides"),
    [
        ("4", "dataset=nnunet dataset.id=4"),
        ("Dataset004_Hippocampus", "dataset=nnunet dataset.id=Dataset004_Hippocampus"),
        ("lits", "'dataset=lits'"),
    ],
)
def test_make_takes_a_number_or_a_name(dataset: str, overrides: str) -> None:
    call = ["make", "--dry-run", "--old-file=.venv/.ready", "preprocess", f"DATASET={dataset}"]
    made = subprocess.run(call, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert f"scripts/preprocess.py {overrides} " in made
