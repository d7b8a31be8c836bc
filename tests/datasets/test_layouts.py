"""What all layouts have in common: what they find, and what they say about each bad input."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsl_experiments.datasets import DatasetError, RawCase, RawDataset, read_brats, read_lits, read_msd


def _fails(message: str) -> Any:
    return pytest.raises(DatasetError, match=message)


def test_lits_cases_in_order_of_their_numbers(lits: Path) -> None:
    dataset = read_lits(lits)
    assert dataset.cases == (
        RawCase("lits_000", (lits / "volume-0.nii",), lits / "segmentation-0.nii"),
        RawCase("lits_010", (lits / "volume-10.nii",), lits / "segmentation-10.nii"),
    )
    assert dataset.channel_names == ("CT",)
    assert dataset.labels == {"background": 0, "liver": 1}
    assert dataset.label_map == {0: 0, 1: 1, 2: 1}
    assert dataset.regions == {"Liver": (1,)}


def test_lits_merges_liver_and_lesion_back_into_the_smaller_label(lits: Path) -> None:
    assert read_lits(lits).original_labels == {0: 0, 1: 1}


def test_lits_takes_compressed_files_and_leaves_others(lits: Path) -> None:
    (lits / "volume-10.nii").rename(lits / "volume-10.nii.gz")
    (lits / "test-volume-3.nii").touch()
    (lits / "._volume-4.nii").touch()
    (lits / "volume-5.nii").mkdir()
    assert [case.images[0].name for case in read_lits(lits).cases] == ["volume-0.nii", "volume-10.nii.gz"]


def test_lits_errors(lits: Path, tmp_path: Path) -> None:
    with _fails(r"nowhere: no such folder; point it at the folder that holds volume-N\.nii"):
        read_lits(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with _fails(r"empty: no LiTS volume found; expected volume-N\.nii\[\.gz\] and segmentation-N"):
        read_lits(tmp_path / "empty")
    for number in (0, 10):
        (lits / f"volume-{number}.nii.gz").touch()
    with _fails(
        r"no case is complete: .*volume-0\.nii\.gz: a second volume-0 .*; keep .* \(and 1 more problem\)"
    ):
        read_lits(lits)


@pytest.mark.parametrize(("removed", "left"), [("volume", "segmentation"), ("segmentation", "volume")])
def test_lits_without_a_counterpart(lits: Path, removed: str, left: str) -> None:
    (lits / f"{removed}-10.nii").unlink()
    dataset = read_lits(lits)
    assert [case.identifier for case in dataset.cases] == ["lits_000"]
    (finding,) = dataset.incomplete
    assert str(finding) == (
        f"{lits / left}-10.nii: {removed}-10.nii[.gz] is missing; add it or remove this file"
    )


def test_brats_channels_labels_and_regions(brats: Path) -> None:
    dataset = read_brats(brats)
    assert [case.identifier for case in dataset.cases] == ["BraTS20_Training_001", "BraTS20_Training_002"]
    assert [image.name.split("_")[-1] for image in dataset.cases[0].images] == [
        "t1.nii.gz",
        "t1ce.nii.gz",
        "t2.nii.gz",
        "flair.nii.gz",
    ]
    assert dataset.channel_names == ("T1", "T1ce", "T2", "FLAIR")
    assert dataset.labels == {"background": 0, "necrotic_core": 1, "edema": 2, "enhancing_tumor": 3}
    assert dataset.label_map == {0: 0, 1: 1, 2: 2, 4: 3}
    assert dataset.original_labels == {0: 0, 1: 1, 2: 2, 3: 4}
    assert dataset.regions == {"Whole Tumor": (1, 2, 3), "Tumor Core": (1, 3), "Enhancing Tumor": (3,)}


def test_brats_takes_uncompressed_files(brats: Path) -> None:
    case = brats / "BraTS20_Training_001"
    (case / f"{case.name}_t2.nii.gz").rename(case / f"{case.name}_t2.nii")
    assert read_brats(brats).cases[0].images[2].name == "BraTS20_Training_001_t2.nii"


def test_brats_errors(brats: Path, tmp_path: Path) -> None:
    with _fails("nowhere: no such folder; point it at the folder that holds the BraTS case folders"):
        read_brats(tmp_path / "nowhere")
    (tmp_path / "empty" / "notes").mkdir(parents=True)
    with _fails(r"empty: no BraTS case found; expected CASE/CASE_\{t1,t1ce,t2,flair,seg\}\.nii"):
        read_brats(tmp_path / "empty")


def test_brats_names_the_files_beside_a_missing_one(brats: Path) -> None:
    case = brats / "BraTS20_Training_001"
    (case / f"{case.name}_t1ce.nii.gz").unlink()
    (finding,) = read_brats(brats).incomplete
    stem = str(case / case.name)
    assert str(finding) == (
        f"{stem}_t1ce.nii.gz: missing (also as .nii); this case has {case.name}_flair.nii.gz, "
        f"{case.name}_seg.nii.gz, {case.name}_t1.nii.gz, {case.name}_t2.nii.gz; "
        "add the file or rename the one that it is"
    )


def test_msd_skips_hidden_files_and_sorts_the_rest(msd: Path) -> None:
    dataset = read_msd(msd)
    assert [case.identifier for case in dataset.cases] == ["hippocampus_001", "hippocampus_003"]
    assert dataset.cases[0].label == msd / "labelsTr" / "hippocampus_001.nii.gz"
    assert dataset.channel_names == ("MRI",)
    assert dataset.labels == {"background": 0, "Anterior": 1, "Posterior": 2}
    assert dataset.label_map == {0: 0, 1: 1, 2: 2}
    assert dataset.regions == {"Anterior": (1,), "Posterior": (2,)}


def _edit(msd: Path, **entries: Any) -> None:
    file = msd / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def test_msd_below_the_folder(msd: Path) -> None:
    dataset = read_msd(msd.parent)
    assert dataset.cases == read_msd(msd).cases
    assert dataset.edition == "Decathlon Task04_Hippocampus"


def test_msd_image_that_is_there_twice(msd: Path) -> None:
    (msd / "imagesTr" / "hippocampus_001.nii").touch()
    dataset = read_msd(msd)
    assert [case.identifier for case in dataset.cases] == ["hippocampus_003"]
    (finding,) = dataset.incomplete
    assert "hippocampus_001.nii: the same image as hippocampus_001.nii.gz; keep one" in str(finding)


def test_msd_folder_without_a_list_misses_images_too(msd: Path) -> None:
    _edit(msd, training=[])
    (msd / "imagesTr" / "hippocampus_001.nii.gz").unlink()
    (finding,) = read_msd(msd).incomplete
    assert finding.file == msd / "imagesTr" / "hippocampus_001.nii.gz"


def test_msd_nnunet_dataset_is_sent_elsewhere(msd: Path) -> None:
    _edit(msd, file_ending=".nii.gz")
    with _fails("an nnU-Net dataset, not a Decathlon task; put its folder into nnUNet_raw and choose"):
        read_msd(msd)


def test_msd_without_a_list_takes_the_folder(msd: Path) -> None:
    _edit(msd, training=[])
    assert [case.identifier for case in read_msd(msd).cases] == ["hippocampus_001", "hippocampus_003"]


def test_msd_accepts_the_way_that_nnunet_writes_channels_and_labels(msd: Path) -> None:
    file = msd / "dataset.json"
    file.write_text('{"channel_names": {"1": "T2", "0": "T1"}, "labels": {"Background": 0, "b": 5, "a": 2}}')
    dataset = read_msd(msd)
    assert dataset.channel_names == ("T1", "T2")
    assert dataset.labels == {"background": 0, "a": 1, "b": 2}
    assert dataset.original_labels == {0: 0, 1: 2, 2: 5}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"modality": None}, 'no channels; add "modality"'),
        ({"modality": {"T1": "0"}}, 'no channels; add "modality"'),
        ({"training": ["imagesTr/hippocampus_001.nii.gz"]}, 'each entry of "training" needs an "image"'),
        ({"labels": None}, '"labels" must map values to names'),
        ({"labels": {"a": "b"}}, '"labels" must map values to names'),
        ({"labels": {"1": "a"}}, '"labels" must hold 0 for the background'),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, "name each value once"),
        ({"training": [{"image": "imagesTr/.DS_Store"}]}, "no training case; expected imagesTr/CASE"),
    ],
)
def test_msd_bad_description(msd: Path, entries: dict[str, Any], message: str) -> None:
    _edit(msd, **entries)
    with _fails(message):
        read_msd(msd)


def test_msd_missing_files(msd: Path, tmp_path: Path) -> None:
    with _fails(r"nowhere/dataset\.json: no such file; point at a Decathlon task folder"):
        read_msd(tmp_path / "nowhere")
    (msd / "labelsTr" / "hippocampus_003.nii.gz").unlink()
    (finding,) = read_msd(msd).incomplete
    assert str(finding) == (
        f"{msd}/labelsTr/hippocampus_003.nii.gz: missing (also as .nii); add it or remove this case"
    )
    _edit(msd, training=[])
    (msd / "imagesTr").rename(msd / "images")
    with _fails("imagesTr: no such folder; restore it"):
        read_msd(msd)
    (msd / "dataset.json").write_text("{")
    with _fails(r"dataset\.json: not valid JSON"):
        read_msd(msd)
    (msd / "dataset.json").write_text("[]")
    with _fails(r"dataset\.json: not a JSON object"):
        read_msd(msd)


GOOD: dict[str, Any] = {
    "cases": (RawCase("a", (Path("a.nii"),), Path("a_seg.nii")),),
    "channel_names": ("CT",),
    "labels": {"background": 0, "x": 1},
    "label_map": {0: 0, 1: 1},
    "regions": {"X": (1,)},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cases": ()}, "at least one case and one channel, not 0 and 1"),
        ({"channel_names": ()}, "at least one case and one channel, not 1 and 0"),
        ({"cases": GOOD["cases"] * 2}, "a_seg.nii: a second case named 'a'"),
        ({"channel_names": ("T1", "T2"), "cases": (RawCase("a", (Path(),) * 3, Path()),)}, "3 images for 2"),
        ({"labels": {"x": 0, "background": 1}}, "labels must be background = 0 and then 1, 2"),
        ({"labels": {"background": 0, "x": 2}}, "labels must be background = 0 and then 1, 2"),
        ({"labels": {}}, "labels must be background = 0"),
        ({"label_map": {0: 0}}, "must reach each of the labels"),
        ({"label_map": {0: 0, 1: 1, 2: 2}}, "must reach each of the labels"),
        ({"regions": {"X": (0, 1)}}, r"region 'X' = \(0, 1\) must list foreground labels"),
        ({"regions": {"X": ()}}, "must list foreground labels"),
    ],
)
def test_dataset_that_does_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with _fails(message):
        RawDataset(**(GOOD | changes))


@pytest.mark.parametrize("identifier", ["", "a b", "a/b", ".a", "é", "a_seg", "$HOME"])
def test_identifier_that_nnunet_chokes_on(identifier: str) -> None:
    with _fails(re.escape(f"{identifier!r} cannot be a case identifier")):
        RawDataset(**(GOOD | {"cases": (RawCase(identifier, (Path("a.nii"),), Path("l.nii")),)}))


def test_at_most_255_labels() -> None:
    many = {"background": 0} | {f"l{value}": value for value in range(1, 256)}
    with _fails("at most 255 labels are supported, not 256"):
        RawDataset(**(GOOD | {"labels": many, "label_map": {int(v): int(v) for v in np.arange(256)}}))
