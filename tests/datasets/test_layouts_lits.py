"""Both editions of LiTS as they lie on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from gsl_experiments.datasets import DatasetError, read_lits, restore_labels, write_nnunet_raw
from gsl_experiments.datasets.description import label_map, original_labels, raw_regions
from gsl_experiments.evaluation.cases import evaluate_folder

Write = Callable[..., Path]
SHAPE = (6, 5, 4)
BATCHES = "media/nas/01_Datasets/CT/LITS/Training Batch"


def _label(seed: int) -> Any:
    return np.random.default_rng(seed).choice(np.uint8([0, 1, 2]), SHAPE)


def _write_pair(volume: Path, segmentation: Path, write: Write, seed: int) -> None:
    write(volume, np.full(SHAPE, seed, np.int16))
    write(segmentation, _label(seed))


def _write_challenge(raw: Path, places: dict[int, tuple[str, str]], write: Write) -> Path:
    for number, (volumes, segmentations) in places.items():
        volume, segmentation = f"volume-{number}.nii", f"segmentation-{number}.nii"
        _write_pair(raw / volumes / volume, raw / segmentations / segmentation, write, number)
    return raw


def _write_decathlon(raw: Path, write: Write, **entries: Any) -> Path:
    for number in (0, 7, 130):
        _write_pair(
            raw / f"imagesTr/liver_{number}.nii.gz", raw / f"labelsTr/liver_{number}.nii.gz", write, number
        )
    write(raw / "imagesTs" / "liver_132.nii.gz", np.ones(SHAPE, np.int16))
    description = {
        "name": "LIVER",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "cancer"},
        "training": [
            {"image": f"./imagesTr/liver_{n}.nii.gz", "label": f"./labelsTr/liver_{n}.nii.gz"}
            for n in (130, 0, 7)
        ],
    }
    (raw / "dataset.json").write_text(json.dumps(description | entries))
    return raw


def _voxels(file: Path) -> Any:
    return np.asanyarray(nib.load(file).dataobj)


LAYOUTS = {
    "one folder": {0: ("", ""), 7: ("", ""), 130: ("", "")},
    "the two batches": {
        0: (f"{BATCHES} 1", f"{BATCHES} 1"),
        7: (f"{BATCHES} 1", f"{BATCHES} 1"),
        130: (f"{BATCHES} 2", f"{BATCHES} 2"),
    },
    "Kaggle's two parts": {
        0: ("part-1/volume_pt1", "part-1/segmentations"),
        7: ("part-1/volume_pt2", "part-1/segmentations"),
        130: ("part-2/volume_pt8", "part-1/segmentations"),
    },
    "sibling folders": dict.fromkeys((0, 7, 130), ("volumes", "segmentations")),
    "folders named like files": {n: (f"volume-{n}.nii", f"segmentation-{n}.nii") for n in (0, 7, 130)},
}


@pytest.mark.parametrize("edition", [*LAYOUTS, "Decathlon"])
def test_every_layout_gives_the_same_binary_dataset(edition: str, tmp_path: Path, write_nifti: Write) -> None:
    raw = tmp_path / "raw"
    if edition == "Decathlon":
        _write_decathlon(raw / "Task03_Liver", write_nifti)
    else:
        _write_challenge(raw, LAYOUTS[edition], write_nifti)
    dataset = read_lits(raw)
    assert [case.identifier for case in dataset.cases] == ["lits_000", "lits_007", "lits_130"]
    assert dataset.edition == ("Decathlon Task03_Liver" if edition == "Decathlon" else "LiTS 2017")
    assert not dataset.incomplete
    folder = tmp_path / "Dataset501_LiTS"
    write_nnunet_raw(dataset, folder)
    description = json.loads((folder / "dataset.json").read_text())
    ending = description["file_ending"]
    assert description["labels"] == {"background": 0, "liver": 1}
    for number in (0, 7, 130):
        stem = f"lits_{number:03d}"
        np.testing.assert_array_equal(_voxels(folder / "imagesTr" / f"{stem}_0000{ending}"), number)
        liver = np.isin(_label(number), (1, 2))
        np.testing.assert_array_equal(_voxels(folder / "labelsTr" / f"{stem}{ending}"), liver)
        back = tmp_path / "back" / f"{stem}{ending}"
        restore_labels(folder / "labelsTr" / f"{stem}{ending}", back, original_labels(description))
        np.testing.assert_array_equal(_voxels(back), liver)
        reference = dataset.cases[[0, 7, 130].index(number)].label
        (tmp_path / "references").mkdir(exist_ok=True)
        (tmp_path / "references" / back.name).symlink_to(reference)
    # The export holds the liver as 1, the reference its lesions as 2: the same region.
    table = evaluate_folder(
        tmp_path / "back",
        tmp_path / "references",
        raw_regions(description),
        processes=1,
        known_labels=label_map(description).keys(),
    )
    assert set(table["region"]) == {"Liver"}
    assert (table["dice"] == 1).all()


def test_test_volumes_are_counted_not_missed(tmp_path: Path, write_nifti: Write) -> None:
    _write_challenge(tmp_path, LAYOUTS["one folder"], write_nifti)
    for number in (0, 69):
        write_nifti(tmp_path / "LITS-Challenge-Test-Data" / f"test-volume-{number}.nii", np.ones(SHAPE))
    dataset = read_lits(tmp_path)
    assert (len(dataset.cases), dataset.unlabelled, dataset.incomplete) == (3, 2, ())


def test_every_problem_is_found(tmp_path: Path, write_nifti: Write) -> None:
    _write_challenge(tmp_path, dict.fromkeys(range(5), ("volumes", "segmentations")), write_nifti)
    (tmp_path / "volumes" / "volume-1.nii").unlink()
    (tmp_path / "segmentations" / "segmentation-2.nii").unlink()
    write_nifti(tmp_path / "copy" / "volume-3.nii.gz", np.ones(SHAPE, np.int16))
    dataset = read_lits(tmp_path)
    assert [case.identifier for case in dataset.cases] == ["lits_000", "lits_004"]
    assert [str(finding).replace(f"{tmp_path}/", "") for finding in dataset.incomplete] == [
        "segmentations/segmentation-1.nii: volume-1.nii[.gz] is missing; add it or remove this file",
        "volumes/volume-2.nii: segmentation-2.nii[.gz] is missing; add it or remove this file",
        "volumes/volume-3.nii: a second volume-3 beside copy/volume-3.nii.gz; keep one of the two",
    ]
    assert {(f.severity, f.case) for f in dataset.incomplete} == {
        ("error", f"lits_{n:03d}") for n in (1, 2, 3)
    }
    with pytest.raises(DatasetError, match=r"volume-1\.nii\[\.gz\] is missing.* \(and 2 more problems\)"):
        write_nnunet_raw(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_both_editions_in_one_folder_are_refused(tmp_path: Path, write_nifti: Write) -> None:
    _write_challenge(tmp_path / "LiTS", LAYOUTS["one folder"], write_nifti)
    _write_decathlon(tmp_path / "Task03_Liver", write_nifti)
    with pytest.raises(DatasetError, match=r"holds LiTS twice, .* a Decathlon task in .*Task03_Liver; point"):
        read_lits(tmp_path)


def test_the_editions_are_not_mixed_in_one_nnunet_folder(tmp_path: Path, write_nifti: Write) -> None:
    """Same identifiers, other spacings: the folder belongs to the edition that it was written from."""
    _write_challenge(tmp_path / "a", LAYOUTS["one folder"], write_nifti)
    for file in (tmp_path / "a").iterdir():  # the same file ending, so that only the edition differs
        write_nifti(tmp_path / "b" / f"{file.name}.gz", _voxels(file))
    write_nnunet_raw(read_lits(tmp_path / "b"), tmp_path / "out")
    decathlon = _write_decathlon(tmp_path / "Task03_Liver", write_nifti)
    with pytest.raises(
        DatasetError, match=r"edition is LiTS 2017, not Decathlon Task03_Liver\); delete the folder"
    ):
        write_nnunet_raw(read_lits(decathlon), tmp_path / "out")


def test_a_folder_from_before_editions_were_told_apart_is_taken(tmp_path: Path, write_nifti: Write) -> None:
    dataset = read_lits(_write_challenge(tmp_path / "raw", LAYOUTS["one folder"], write_nifti))
    write_nnunet_raw(dataset, tmp_path / "out")
    file = tmp_path / "out" / "dataset.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in description.items() if key != "edition"}))
    write_nnunet_raw(dataset, tmp_path / "out")
    assert json.loads(file.read_text()) == description


@pytest.mark.parametrize(
    "entries",
    [
        {"labels": {"0": "background", "1": "pancreas", "2": "cancer"}},
        {"labels": {"0": "background", "1": "liver"}},
    ],
)
def test_other_decathlon_tasks_are_refused(
    entries: dict[str, Any], tmp_path: Path, write_nifti: Write
) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json: labels .* where Task03_Liver has 1 = liver"):
        read_lits(_write_decathlon(tmp_path, write_nifti, **entries))


def test_several_decathlon_tasks_are_refused(tmp_path: Path, write_nifti: Write) -> None:
    for task in ("Task03_Liver", "Task07_Pancreas"):
        _write_decathlon(tmp_path / task, write_nifti)
    with pytest.raises(DatasetError, match=r"2 folders .* \(Task03_Liver, Task07_Pancreas\); point at one"):
        read_lits(tmp_path)


def test_missing_files_of_the_decathlons_task(tmp_path: Path, write_nifti: Write) -> None:
    _write_decathlon(tmp_path, write_nifti)
    (tmp_path / "labelsTr" / "liver_7.nii.gz").unlink()
    dataset = read_lits(tmp_path)
    assert [case.identifier for case in dataset.cases] == ["lits_000", "lits_130"]
    (finding,) = dataset.incomplete
    assert (finding.case, finding.file) == ("lits_007", tmp_path / "labelsTr" / "liver_7.nii.gz")
