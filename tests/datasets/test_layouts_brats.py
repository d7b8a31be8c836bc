"""Every edition of BraTS as it lies on disk: what is found, and that its regions are the standard ones."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from gsl_experiments.datasets import DatasetError, RawDataset, read_brats, restore_labels, write_nnunet_raw
from gsl_experiments.datasets.description import label_map, original_labels, raw_regions
from gsl_experiments.evaluation.cases import evaluate_folder

Write = Callable[..., Path]
SHAPE = (6, 5, 4)
# The value that fills a contrast's image here, so that a mixed up order shows.
T1, T1CE, T2, FLAIR = 10.0, 20.0, 30.0, 40.0
OLD = {"t1": T1, "t1ce": T1CE, "t2": T2, "flair": FLAIR}
NEW = {"t1n": T1, "t1c": T1CE, "t2w": T2, "t2f": FLAIR}
Regions = dict[str, set[int]]
WITH_4: Regions = {"Whole Tumor": {1, 2, 4}, "Tumor Core": {1, 4}, "Enhancing Tumor": {4}}
WITH_3: Regions = {"Whole Tumor": {1, 2, 3}, "Tumor Core": {1, 3}, "Enhancing Tumor": {3}}
DECATHLON: Regions = {"Whole Tumor": {1, 2, 3}, "Tumor Core": {2, 3}, "Enhancing Tumor": {3}}


@dataclass(frozen=True)
class Edition:
    """One edition: where its two cases lie, and the raw labels of the regions, from the release's own page."""

    name: str
    folders: tuple[str, ...]
    contrasts: dict[str, float]
    regions: Regions
    ending: str = ".nii.gz"
    labels: tuple[int, ...] = (0, 1, 2, 4)


EDITIONS = {
    "2017": Edition("BraTS 2017", ("HGG/Brats17_2013_2_1", "LGG/Brats17_TCIA_101_1"), OLD, WITH_4),
    "2018": Edition(
        "BraTS 2018",
        ("MICCAI_BraTS_2018_Data_Training/HGG/Brats18_2013_2_1", "LGG/Brats18_TCIA_101_1"),
        OLD,
        WITH_4,
    ),
    "2019": Edition(
        "BraTS 2019",
        ("MICCAI_BraTS_2019_Data_Training/HGG/BraTS19_CBICA_AAB_1", "LGG/BraTS19_TMC_06643_1"),
        OLD,
        WITH_4,
    ),
    "2020": Edition("BraTS 2020", ("BraTS20_Training_001", "BraTS20_Training_002"), OLD, WITH_4),
    "2020 at Kaggle": Edition(
        "BraTS 2020",
        tuple(
            f"BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData/BraTS20_Training_{n}"
            for n in ("001", "369")
        ),
        OLD,
        WITH_4,
        ending=".nii",
    ),
    "2021": Edition("BraTS 2021", ("BraTS2021_00000", "BraTS2021_01666"), OLD, WITH_4),
    "2023": Edition(
        "BraTS 2023 or later, GLI",
        ("TrainingData/BraTS-GLI-00000-000", "TrainingData/BraTS-GLI-00002-001"),
        NEW,
        WITH_3,
        labels=(0, 1, 2, 3),
    ),
    "2023 Africa": Edition(
        "BraTS 2023 or later, SSA",
        ("BraTS-SSA-00002-000", "BraTS-SSA-00007-000"),
        NEW,
        WITH_3,
        labels=(0, 1, 2, 3),
    ),
    "2024 post-treatment": Edition(
        "BraTS 2023 or later, GLI",
        ("training_data1_v2/BraTS-GLI-00005-100", "training_data1_v2/BraTS-GLI-00006-100"),
        NEW,
        WITH_3,
        labels=(0, 1, 2, 3, 4),
    ),
}


def _labels(values: tuple[int, ...], seed: int) -> Any:
    return np.random.default_rng(seed).choice(np.uint8(values), SHAPE)


def _write_case(raw: Path, folder: str, edition: Edition, write: Write, seed: int = 0) -> None:
    name = Path(folder).name
    separator = "-" if edition.contrasts is NEW else "_"
    for contrast, value in edition.contrasts.items():
        write(
            raw / folder / f"{name}{separator}{contrast}{edition.ending}", np.full(SHAPE, value, np.float32)
        )
    write(raw / folder / f"{name}{separator}seg{edition.ending}", _labels(edition.labels, seed))


def _write_edition(raw: Path, edition: Edition, write: Write) -> Path:
    for seed, folder in enumerate(edition.folders):
        _write_case(raw, folder, edition, write, seed)
    return raw


def _write_decathlon(raw: Path, write: Write, **entries: Any) -> Path:
    """The fourth axis as the task has it: FLAIR, T1w, T1gd, T2w."""
    for seed, stem in enumerate(("BRATS_001", "BRATS_484")):
        image = np.broadcast_to(np.float32([FLAIR, T1, T1CE, T2]), (*SHAPE, 4))
        write(raw / "imagesTr" / f"{stem}.nii.gz", image)
        write(raw / "labelsTr" / f"{stem}.nii.gz", _labels((0, 1, 2, 3), seed))
        write(raw / "imagesTs" / "BRATS_485.nii.gz", image)
    pairs = [
        {"image": f"./imagesTr/{stem}.nii.gz", "label": f"./labelsTr/{stem}.nii.gz"}
        for stem in ("BRATS_484", "BRATS_001")
    ]
    description = {
        "name": "BRATS",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {
            "0": "background",
            "1": "edema",
            "2": "non-enhancing tumor",
            "3": "enhancing tumour",
        },
        "training": pairs,
        "test": ["./imagesTs/BRATS_485.nii.gz"],
    }
    (raw / "dataset.json").write_text(json.dumps(description | entries))
    return raw


def _voxels(file: Path) -> Any:
    return np.asanyarray(nib.load(file).dataobj)


def _dice(first: Any, second: Any) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def _check_standard(dataset: RawDataset, regions: Regions, tmp_path: Path) -> None:
    """Channels, nnU-Net labels, regions, export and folder evaluation, against the raw files themselves."""
    folder = tmp_path / "Dataset502_BraTS"
    write_nnunet_raw(dataset, folder)
    description = json.loads((folder / "dataset.json").read_text())
    ending = description["file_ending"]
    assert description["edition"] == dataset.edition
    assert description["channel_names"] == {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}
    assert list(description["labels"].items())[:4] == [
        ("background", 0),
        ("necrotic_core", 1),
        ("edema", 2),
        ("enhancing_tumor", 3),
    ]
    for case in dataset.cases:
        for channel, value in enumerate((T1, T1CE, T2, FLAIR)):
            image = _voxels(folder / "imagesTr" / f"{case.identifier}_{channel:04d}{ending}")
            assert image.shape == SHAPE
            np.testing.assert_array_equal(image, value)
        raw = _voxels(case.label)
        written = folder / "labelsTr" / f"{case.identifier}{ending}"
        core, edema, enhancing = (
            regions["Tumor Core"] - regions["Enhancing Tumor"],
            regions["Whole Tumor"] - regions["Tumor Core"],
            regions["Enhancing Tumor"],
        )
        for label, of in ((1, core), (2, edema), (3, enhancing)):
            np.testing.assert_array_equal(_voxels(written) == label, np.isin(raw, list(of)))
        for name, of in regions.items():
            ours = np.isin(_voxels(written), description["evaluation_regions"][name])
            np.testing.assert_array_equal(ours, np.isin(raw, list(of)))
        restore_labels(
            written, tmp_path / "back" / f"{case.identifier}{ending}", original_labels(description)
        )
        np.testing.assert_array_equal(_voxels(tmp_path / "back" / f"{case.identifier}{ending}"), raw)
        references = tmp_path / "references" / f"{case.identifier}{ending}"
        references.parent.mkdir(exist_ok=True)
        # A "prediction" of raw labels that is wrong in one half.
        wrong = nib.load(case.label)
        moved = np.where(np.arange(SHAPE[0])[:, None, None] < 3, raw, np.roll(raw, 1, axis=2))
        predictions = tmp_path / "predictions" / f"{case.identifier}{ending}"
        predictions.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(moved, wrong.affine), predictions)
        nib.save(nib.Nifti1Image(raw, wrong.affine), references)
    table = evaluate_folder(
        tmp_path / "predictions",
        tmp_path / "references",
        raw_regions(description),
        processes=1,
        known_labels=label_map(description).keys(),
    ).set_index(["case", "region"])
    assert set(table.index.get_level_values("region")) == set(regions)
    for case in dataset.cases:
        predicted, raw = (
            _voxels(tmp_path / side / f"{case.identifier}{ending}") for side in ("predictions", "references")
        )
        for name, of in regions.items():
            expected = _dice(np.isin(predicted, list(of)), np.isin(raw, list(of)))
            assert table.loc[(case.identifier, name), "dice"] == pytest.approx(expected)


@pytest.mark.parametrize("key", EDITIONS)
def test_every_edition_has_the_standard_regions(key: str, tmp_path: Path, write_nifti: Write) -> None:
    edition = EDITIONS[key]
    dataset = read_brats(_write_edition(tmp_path / "raw", edition, write_nifti))
    assert dataset.edition == edition.name
    assert [case.identifier for case in dataset.cases] == sorted(Path(f).name for f in edition.folders)
    assert not dataset.incomplete
    _check_standard(dataset, edition.regions, tmp_path)


def test_the_decathlons_task_has_the_standard_regions(tmp_path: Path, write_nifti: Write) -> None:
    dataset = read_brats(_write_decathlon(tmp_path / "raw" / "Task01_BrainTumour", write_nifti))
    assert dataset.edition == "Decathlon Task01_BrainTumour"
    assert [case.identifier for case in dataset.cases] == ["BRATS_001", "BRATS_484"]
    _check_standard(dataset, DECATHLON, tmp_path)


def test_the_decathlons_channels_and_labels_go_by_their_names(tmp_path: Path, write_nifti: Write) -> None:
    modality = {"0": "T2w", "1": "T1gd", "2": "FLAIR", "3": "T1w"}
    labels = {"0": "background", "1": "enhancing tumor", "2": "edema", "3": "non-enhancing tumor"}
    dataset = read_brats(_write_decathlon(tmp_path / "raw", write_nifti, modality=modality, labels=labels))
    assert dataset.channel_order == (3, 1, 0, 2)
    assert dataset.label_map == {0: 0, 1: 3, 2: 2, 3: 1}


def test_another_decathlon_task_is_refused(tmp_path: Path, write_nifti: Write) -> None:
    raw = _write_decathlon(
        tmp_path / "raw", write_nifti, modality={"0": "MRI"}, labels={"0": "b", "1": "Anterior"}
    )
    with pytest.raises(DatasetError, match=r"channels MRI and labels background, Anterior, which are not"):
        read_brats(raw)


def test_the_cavity_of_post_treatment_cases_is_no_part_of_a_region(
    tmp_path: Path, write_nifti: Write
) -> None:
    dataset = read_brats(_write_edition(tmp_path / "raw", EDITIONS["2024 post-treatment"], write_nifti))
    assert dataset.labels["resection_cavity"] == 4
    assert all(4 not in region for region in dataset.regions.values())


def test_label_4_before_treatment_is_refused(tmp_path: Path, write_nifti: Write) -> None:
    """A 2023 case with the labels of 2021 has been converted by somebody: better say so than guess."""
    edition = EDITIONS["2023"]
    raw = _write_edition(tmp_path / "raw", edition, write_nifti)
    case = raw / edition.folders[0]
    write_nifti(case / f"{case.name}-seg.nii.gz", _labels((0, 1, 2, 4), 0))
    with pytest.raises(DatasetError, match=r"-seg\.nii\.gz: label value 4 where only 0, 1, 2, 3 are allowed"):
        write_nnunet_raw(read_brats(raw), tmp_path / "out")


def test_case_355_of_2020(tmp_path: Path, write_nifti: Write) -> None:
    folder = "MICCAI_BraTS2020_TrainingData/BraTS20_Training_355"
    for ending in (".nii", ".nii.gz"):
        raw = tmp_path / ending
        _write_case(raw, folder, EDITIONS["2020"], write_nifti)
        label = raw / folder / "BraTS20_Training_355_seg.nii.gz"
        odd = write_nifti(raw / folder / f"W39_1998.09.19_Segm{ending}", _voxels(label))
        label.unlink()
        (case,) = read_brats(raw).cases
        assert (case.identifier, case.label) == ("BraTS20_Training_355", odd)


def test_the_odd_label_name_is_known_in_case_355_only(tmp_path: Path, write_nifti: Write) -> None:
    _write_edition(tmp_path, EDITIONS["2020"], write_nifti)
    case = tmp_path / "BraTS20_Training_002"
    (case / f"{case.name}_seg.nii.gz").rename(case / "W39_1998.09.19_Segm.nii.gz")
    (finding,) = read_brats(tmp_path).incomplete
    assert finding.file == case / "BraTS20_Training_002_seg.nii.gz"


@pytest.mark.parametrize("wrapper", ["BraTS2021_00000_flair.nii", "BraTS2021_00000_flair"])
def test_files_in_folders_of_their_own_names(wrapper: str, tmp_path: Path, write_nifti: Write) -> None:
    """As in a copy at Kaggle, where the file within has the name that it had before the release."""
    _write_edition(tmp_path, EDITIONS["2021"], write_nifti)
    case = tmp_path / "BraTS2021_00000"
    (case / f"{case.name}_flair.nii.gz").unlink()
    inner = write_nifti(case / wrapper / "00000057_brain_flair.nii", np.full(SHAPE, FLAIR, np.float32))
    dataset = read_brats(tmp_path)
    assert not dataset.incomplete
    assert dataset.cases[0].images[3] == inner


def test_a_folder_for_each_contrast(tmp_path: Path, write_nifti: Write) -> None:
    """Their names end as those of files do, but each holds files of several cases."""
    edition = EDITIONS["2020"]
    _write_edition(tmp_path / "release", edition, write_nifti)
    for file in list((tmp_path / "release").rglob("*.nii.gz")):
        folder = tmp_path / "raw" / f"site_{file.name.split('_')[-1].removesuffix('.nii.gz')}"
        folder.mkdir(parents=True, exist_ok=True)
        file.rename(folder / file.name)
    dataset = read_brats(tmp_path / "raw")
    assert not dataset.incomplete
    _check_standard(dataset, edition.regions, tmp_path)


def test_folders_behind_links_are_found_once(tmp_path: Path, write_nifti: Write) -> None:
    _write_edition(tmp_path / "disk", EDITIONS["2020"], write_nifti)
    (tmp_path / "raw").mkdir()
    for name in ("data", "again"):
        (tmp_path / "raw" / name).symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "raw")
    dataset = read_brats(tmp_path / "raw")
    assert len(dataset.cases) == 2
    assert not dataset.incomplete


def test_tables_hidden_files_and_other_images_are_passed_over(tmp_path: Path, write_nifti: Write) -> None:
    _write_edition(tmp_path, EDITIONS["2019"], write_nifti)
    (tmp_path / "LGG" / "name_mapping.csv").write_text("Grade,BraTS_2019_subject_ID\n")
    (tmp_path / "LGG" / "BraTS19_TMC_06643_1" / "._BraTS19_TMC_06643_1_t1.nii.gz").write_bytes(b"x")
    write_nifti(tmp_path / "LGG" / "BraTS19_TMC_06643_1" / "brain_mask.nii.gz", np.ones(SHAPE, np.uint8))
    (tmp_path / "__MACOSX" / "HGG").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "HGG" / "BraTS19_X_1_t1.nii.gz").write_bytes(b"x")
    dataset = read_brats(tmp_path)
    assert len(dataset.cases) == 2
    assert not dataset.incomplete


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("2018", "MICCAI_BraTS_2018_Data_Validation/Brats18_CBICA_AAM_1"),
        ("2019", "MICCAI_BraTS_2019_Data_Validation/BraTS19_CBICA_AAM_1"),
        ("2020", "BraTS20_Validation_001"),
        ("2020 at Kaggle", "BraTS2020_ValidationData/MICCAI_BraTS2020_ValidationData/BraTS20_Validation_001"),
        ("2021", "RSNA_ASNR_MICCAI_BraTS2021_ValidationData/BraTS2021_00001"),
        ("2023", "ASNR-MICCAI-BraTS2023-GLI-Challenge-ValidationData/BraTS-GLI-00001-000"),
        ("2024 post-treatment", "validation_data/BraTS-GLI-00009-100"),
        ("2023 Africa", "test/BraTS-SSA-00126-000"),
    ],
)
def test_unlabelled_sets_beside_the_training_set(
    key: str, folder: str, tmp_path: Path, write_nifti: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    edition = EDITIONS[key]
    _write_edition(tmp_path / "raw", edition, write_nifti)
    _write_case(tmp_path / "raw", folder, edition, write_nifti)
    next((tmp_path / "raw" / folder).glob("*seg*")).unlink()
    dataset = read_brats(tmp_path / "raw")
    assert (len(dataset.cases), dataset.unlabelled, dataset.incomplete) == (2, 1, ())
    write_nnunet_raw(dataset, tmp_path / "out")
    assert "1 cases of test or validation sets without labels are passed over" in capsys.readouterr().out


def test_a_lost_label_of_the_training_set_is_no_unlabelled_set(tmp_path: Path, write_nifti: Write) -> None:
    """Though the path holds the letters "test"."""
    raw = tmp_path / "raw"
    _write_edition(raw / "latest", EDITIONS["2020"], write_nifti)
    (raw / "latest" / "BraTS20_Training_002" / "BraTS20_Training_002_seg.nii.gz").unlink()
    dataset = read_brats(raw)
    assert (len(dataset.cases), len(dataset.incomplete), dataset.unlabelled) == (1, 1, 0)


def test_only_unlabelled_cases(tmp_path: Path, write_nifti: Write) -> None:
    _write_case(tmp_path, "BraTS20_Validation_001", EDITIONS["2020"], write_nifti)
    (tmp_path / "BraTS20_Validation_001" / "BraTS20_Validation_001_seg.nii.gz").unlink()
    with pytest.raises(DatasetError, match="no labelled ones among 1 cases found"):
        read_brats(tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ("2018", "2019", r"BraTS 2018 \(Brats18_2013_2_1\) and BraTS 2019 \(BraTS19_CBICA_AAB_1\)"),
        ("2020", "2021", r"BraTS 2020 \(.*\) and BraTS 2021 \(.*\)"),
        ("2021", "2023", r"BraTS 2021 \(.*\) and BraTS 2023 or later, GLI \(.*\)"),
        ("2023", "2023 Africa", r"BraTS 2023 or later, GLI \(.*\) and BraTS 2023 or later, SSA \(.*\)"),
    ],
)
def test_mixed_editions_are_refused(
    first: str, second: str, named: str, tmp_path: Path, write_nifti: Write
) -> None:
    for key in (first, second):
        _write_edition(tmp_path / key, EDITIONS[key], write_nifti)
    with pytest.raises(DatasetError, match=f"holds several editions, {named}; point at one of them") as error:
        read_brats(tmp_path)
    assert "\n" not in str(error.value)


def test_the_decathlon_beside_another_edition_is_refused(tmp_path: Path, write_nifti: Write) -> None:
    _write_edition(tmp_path / "2020", EDITIONS["2020"], write_nifti)
    _write_decathlon(tmp_path / "Task01_BrainTumour", write_nifti)
    with pytest.raises(DatasetError, match=r"BraTS 2020 \(.*\) and Decathlon \(Task01_BrainTumour\)"):
        read_brats(tmp_path)


def test_before_and_after_treatment_may_be_mixed(tmp_path: Path, write_nifti: Write) -> None:
    """As in 2025: the labels of both are the same but for the cavity."""
    for key in ("2023", "2024 post-treatment"):
        _write_edition(tmp_path, EDITIONS[key], write_nifti)
    dataset = read_brats(tmp_path)
    assert (len(dataset.cases), dataset.label_map[4]) == (4, 4)


def test_series_with_other_labels_are_refused(tmp_path: Path, write_nifti: Write) -> None:
    edition = Edition("", ("BraTS-PED-00002-000",), NEW, WITH_3)
    with pytest.raises(
        DatasetError, match=r"BraTS-PED labels other things than .*supported are the series GLI"
    ):
        read_brats(_write_edition(tmp_path, edition, write_nifti))


@pytest.mark.parametrize(("contrasts", "enhancing"), [(OLD, 4), (NEW, 3)])
def test_cases_of_other_names_follow_their_file_names(
    contrasts: dict[str, float], enhancing: int, tmp_path: Path, write_nifti: Write
) -> None:
    dataset = read_brats(
        _write_edition(tmp_path, Edition("", ("site-a/patient-7",), contrasts, WITH_4), write_nifti)
    )
    assert [case.identifier for case in dataset.cases] == ["patient-7"]
    assert dataset.edition.startswith("files named as in BraTS")
    assert dataset.original_labels[3] == enhancing


def test_a_stray_case_among_those_of_an_edition(tmp_path: Path, write_nifti: Write) -> None:
    _write_edition(tmp_path, EDITIONS["2020"], write_nifti)
    write_nifti(tmp_path / "atlas" / "atlas_t1.nii.gz", np.ones(SHAPE, np.float32))
    dataset = read_brats(tmp_path)
    assert len(dataset.cases) == 2
    (finding,) = dataset.incomplete
    assert (finding.severity, finding.kind, finding.case) == ("error", "foreign case", "atlas")
    assert str(finding) == (
        f"{tmp_path / 'atlas'}: atlas is no case of BraTS 2020; move it elsewhere or rename it"
    )


@pytest.mark.parametrize(("key", "enhancing"), [("2020", 4), ("2023", 3)])
def test_a_stray_case_does_not_decide_on_the_labels(
    key: str, enhancing: int, tmp_path: Path, write_nifti: Write
) -> None:
    """Though it comes first and has the files' names of the other years."""
    _write_edition(tmp_path, EDITIONS[key], write_nifti)
    stray = Edition("", ("A-first",), NEW if key == "2020" else OLD, WITH_4)
    dataset = read_brats(_write_edition(tmp_path, stray, write_nifti))
    assert [finding.case for finding in dataset.incomplete] == ["A-first"]
    assert dataset.original_labels[3] == enhancing


def test_a_case_of_2023_with_file_names_of_before(tmp_path: Path, write_nifti: Write) -> None:
    edition = Edition("", ("BraTS-GLI-00000-000",), OLD, WITH_3, labels=(0, 1, 2, 3))
    assert read_brats(_write_edition(tmp_path, edition, write_nifti)).original_labels[3] == 3


def test_every_problem_of_every_case_is_found(tmp_path: Path, write_nifti: Write) -> None:
    folders = tuple(f"BraTS20_Training_{n:03d}" for n in range(1, 6))
    _write_edition(tmp_path, Edition("", folders, OLD, WITH_4), write_nifti)
    for name in ("001_t1ce", "001_seg", "003_flair"):
        (tmp_path / f"BraTS20_Training_{name[:3]}" / f"BraTS20_Training_{name}.nii.gz").unlink()
    write_nifti(tmp_path / folders[3] / f"{folders[3]}_t2.nii", np.ones(SHAPE, np.float32))
    dataset = read_brats(tmp_path)
    assert [case.identifier[-3:] for case in dataset.cases] == ["002", "005"]
    assert [(f.case[-3:], f.kind, f.file.name[21:]) for f in dataset.incomplete] == [
        ("001", "missing file", "t1ce.nii.gz"),
        ("001", "missing file", "seg.nii.gz"),
        ("003", "missing file", "flair.nii.gz"),
        ("004", "duplicate file", "t2.nii.gz"),
    ]
    assert all(finding.severity == "error" for finding in dataset.incomplete)
    with pytest.raises(
        DatasetError, match=r"001_t1ce\.nii\.gz: missing .* \(and 3 more problems\)$"
    ) as error:
        write_nnunet_raw(dataset, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_case_that_lies_in_two_places(tmp_path: Path, write_nifti: Write) -> None:
    for copy in ("a", "b"):
        _write_edition(tmp_path / copy, EDITIONS["2020"], write_nifti)
    with pytest.raises(DatasetError, match=re.escape("no case is complete: ")) as error:
        read_brats(tmp_path)
    assert str(error.value).endswith("keep one of the two (and 1 more problem)")
