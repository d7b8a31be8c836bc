import json
import shutil
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from omegaconf import DictConfig
from sklearn.model_selection import KFold

from gsl_experiments.config import folds
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.folds import write_folds
from gsl_experiments.preprocessing.manifest import manifest_folder
from gsl_experiments.preprocessing.maps import maps_folder, open_maps, read_metadata
from gsl_experiments.preprocessing.stage import preprocess, write_class_weights

Configure = Callable[..., DictConfig]
NUM_CLASSES = 4


@pytest.fixture
def cases(workspace: Path) -> Path:
    return workspace / "preprocessed" / "Dataset512_PhantomBraTS" / "paperPlans_3d_fullres"


def identifiers(cases: Path) -> list[str]:
    return sorted(infer_dataset_class(str(cases)).get_identifiers(str(cases)))


def labels_of(cases: Path, identifier: str) -> np.ndarray:
    return np.asarray(blosc2.open(str(cases / f"{identifier}_seg.b2nd"), mode="r")[0])


def test_maps_do_not_become_ghost_cases(cases: Path) -> None:
    assert identifiers(cases) == [f"BraTS20_Phantom_{n:03d}" for n in range(1, 7)]
    assert sorted(f.name for f in maps_folder(cases).glob("*.b2nd")) == [
        f"{i}.b2nd" for i in identifiers(cases)
    ]


def test_maps_are_itks_signed_maurer_maps_of_every_class(cases: Path) -> None:
    plans = json.loads((cases.parent / "paperPlans.json").read_text())
    spacing_mm = plans["configurations"]["3d_fullres"]["spacing"]
    seen_absent = False
    for identifier in identifiers(cases):
        labels = labels_of(cases, identifier)
        maps = np.asarray(open_maps(maps_folder(cases) / f"{identifier}.b2nd")[:])
        assert maps.shape == (NUM_CLASSES, *labels.shape)
        for label in range(NUM_CLASSES):
            mask = labels <= 0 if label == 0 else labels == label  # -1, outside the brain, is background
            if not mask.any():
                diagonal = np.linalg.norm(np.array(labels.shape) * spacing_mm)
                expected = np.full(labels.shape, diagonal)
                seen_absent = True
            else:
                image = sitk.GetImageFromArray(mask.astype(np.uint8))
                image.SetSpacing(spacing_mm[::-1])
                itk = sitk.SignedMaurerDistanceMap(
                    image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
                )
                expected = sitk.GetArrayFromImage(itk)
            # stored in steps of 1/16 mm
            np.testing.assert_allclose(maps[label], expected, rtol=0, atol=1 / 32 + 1e-4)
    assert seen_absent, "no case of the phantom lacks a class"


def test_outside_of_the_brain_is_marked_and_not_counted(cases: Path) -> None:
    counted = np.zeros(NUM_CLASSES, dtype=int)
    for identifier in identifiers(cases):
        labels = labels_of(cases, identifier)
        assert labels.min() == -1
        counts = [int((labels == label).sum()) for label in range(NUM_CLASSES)]
        assert read_metadata(maps_folder(cases) / f"{identifier}.b2nd")["voxels"] == counts
        counted += counts
    stored = json.loads((maps_folder(cases) / "class_weights.json").read_text())
    assert stored["voxels"] == counted.tolist()
    expected = (1 / counted) / (1 / counted).sum()  # eq. (13)
    np.testing.assert_allclose(stored["class_weights"], expected, rtol=1e-12)


def test_folds_are_kfold_over_the_sorted_identifiers(cases: Path) -> None:
    folds = json.loads((cases.parent / "splits_final.json").read_text())
    names = np.array(identifiers(cases))
    for fold, (train, val) in zip(folds, KFold(5, shuffle=True, random_state=42).split(names), strict=True):
        assert fold == {"train": names[train].tolist(), "val": names[val].tolist()}


def test_z_scores_are_taken_over_the_brain_alone(cases: Path) -> None:
    for identifier in identifiers(cases):
        image = np.asarray(blosc2.open(str(cases / f"{identifier}.b2nd"), mode="r")[:])
        inside = labels_of(cases, identifier) >= 0
        assert (image[:, ~inside] == 0).all()
        np.testing.assert_allclose(image[:, inside].mean(axis=1), 0, atol=0.05)
        np.testing.assert_allclose(image[:, inside].std(axis=1), 1, atol=0.1)


def test_a_second_call_redoes_only_what_is_missing(configure: Configure, cases: Path) -> None:
    victim = maps_folder(cases) / "BraTS20_Phantom_003.b2nd"
    before = {
        file: file.stat().st_mtime_ns for file in [*cases.iterdir(), *maps_folder(cases).glob("*.b2nd")]
    }
    content = np.asarray(open_maps(victim)[:])
    victim.unlink()
    preprocess(configure())
    after = {file: file.stat().st_mtime_ns for file in [*cases.iterdir(), *maps_folder(cases).glob("*.b2nd")]}
    assert after.keys() == before.keys()
    assert [file for file in before if after[file] != before[file]] == [victim]
    np.testing.assert_array_equal(np.asarray(open_maps(victim)[:]), content)


def test_a_corrected_label_redoes_its_case_and_no_other(
    configure: Configure, cases: Path, workspace: Path
) -> None:
    victim = "BraTS20_Phantom_005"
    file = workspace / "source" / victim / f"{victim}_seg.nii.gz"
    image = sitk.ReadImage(str(file))
    voxels = sitk.GetArrayFromImage(image)
    corrected = sitk.GetImageFromArray(np.where(voxels == 1, 2, voxels).astype(np.uint8))
    corrected.CopyInformation(image)
    sitk.WriteImage(corrected, str(file))
    before = {f: f.stat().st_mtime_ns for f in cases.parent.rglob("*.b2nd")}
    preprocess(configure())
    changed = {f.name for f, stamp in before.items() if f.stat().st_mtime_ns != stamp}
    assert changed == {f"{victim}.b2nd", f"{victim}_seg.b2nd"}
    assert not (labels_of(cases, victim) == 1).any()
    absent = np.asarray(open_maps(maps_folder(cases) / f"{victim}.b2nd")[1])
    assert (absent == absent[0, 0, 0]).all()
    reference = sitk.ReadImage(str(cases.parent / "gt_segmentations" / f"{victim}.nii.gz"))
    assert not (sitk.GetArrayViewFromImage(reference) == 1).any()


def test_cases_of_plans_that_a_changed_dataset_makes_wrong_are_not_mixed(
    configure: Configure, cases: Path
) -> None:
    entry = manifest_folder(cases) / "BraTS20_Phantom_004.json"
    content = entry.read_text()
    older = json.loads(content)
    older["recipe"]["spacing"] = [2.0, 1.0, 1.0]
    entry.write_text(json.dumps(older))
    with pytest.raises(
        UserError, match=r"was preprocessed with other settings .*spacing was \[2.0, 1.0, 1.0\]"
    ):
        preprocess(configure())
    entry.write_text(content)


def test_other_settings_are_not_mixed_into_preprocessed_data(configure: Configure) -> None:
    with pytest.raises(UserError, match=r"planning\.absent_class was diagonal and is zero"):
        preprocess(configure("planning.absent_class=zero"))


def test_a_configuration_that_was_not_planned(configure: Configure) -> None:
    with pytest.raises(UserError, match="configuration=3d_cascade_fullres: nnU-Net planned 2d, 3d_fullres"):
        preprocess(configure("configuration=3d_cascade_fullres"))


def test_data_that_is_not_there(configure: Configure, tmp_path: Path) -> None:
    elsewhere = ["dataset.nnunet_name=Dataset599_Nowhere", "dataset.generate=null"]
    with pytest.raises(UserError, match=r"dataset\.raw is not set: call with RAW="):
        preprocess(configure(*elsewhere, "dataset.raw=null"))
    with pytest.raises(UserError, match=str(tmp_path / "nowhere")):
        preprocess(configure(*elsewhere, f"dataset.raw={tmp_path / 'nowhere'}"))


def test_a_class_that_no_case_holds_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="class 1"):
        write_class_weights(np.array([10, 0, 5]), tmp_path / "cases")


def test_folds_of_the_user_are_kept_and_stale_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    own = [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]
    path.write_text(json.dumps(own))
    assert write_folds(["a", "b"], path) == own
    with pytest.raises(
        UserError, match="c is held out in no fold; correct it, or delete it to draw new folds"
    ):
        write_folds(["a", "b", "c"], path)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ([{"train": ["b"], "val": ["a"]}, {"train": ["a"], "val": ["b", "a"]}], "a is held out 2 times"),
        (
            [{"train": ["b", "a"], "val": ["a"]}, {"train": ["a"], "val": ["b"]}],
            "fold 0: a is both trained on",
        ),
        (
            [{"train": ["b", "x"], "val": ["a"]}, {"train": ["a"], "val": ["b"]}],
            "x is not a case of the dataset",
        ),
        ([{"val": ["a"]}], "not a list of"),
        ({"train": 1}, "not a list of"),
    ],
)
def test_folds_that_cannot_be_right(tmp_path: Path, written: object, problem: str) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(written))
    with pytest.raises(UserError, match=problem):
        write_folds(["a", "b"], path)


def test_the_number_of_folds_is_that_of_the_users_own_file(configure: Configure, tmp_path: Path) -> None:
    cfg = configure(f"paths.preprocessed={tmp_path}")
    assert folds(cfg) == [0, 1, 2, 3, 4]
    folder = tmp_path / cfg.dataset.nnunet_name
    folder.mkdir()
    three = [{"train": ["a", "b", "c"], "val": [case]} for case in "abc"]
    (folder / "splits_final.json").write_text(json.dumps(three))
    assert folds(cfg) == [0, 1, 2]
    cfg.fold = 3
    with pytest.raises(UserError, match="fold=3: allowed are all, a fold from 0 to 2"):
        folds(cfg)


def test_a_case_that_does_not_fit_is_named_before_anything_is_written(
    configure: Configure, tmp_path: Path
) -> None:
    cfg = configure(
        f"paths.raw={tmp_path / 'raw'}", f"paths.preprocessed={tmp_path / 'pre'}", "memory_gb=0.21"
    )
    with pytest.raises(
        UserError, match=r"_t1\.nii\.gz: case BraTS20_Phantom_\d+ needs about .* GB of memory"
    ):
        preprocess(cfg)
    assert not (tmp_path / "raw").exists()


def test_cases_found_bad_after_a_first_call_can_be_left_out(
    configure: Configure, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("source", "raw", "preprocessed"):
        shutil.copytree(workspace / name, tmp_path / name, symlinks=True)
    paths = [f"paths.{name}={tmp_path / name}" for name in ("raw", "preprocessed")]
    cfg = configure(*paths, f"dataset.raw={tmp_path / 'source'}", "dataset.generate=null")
    (bad,) = (tmp_path / "source").rglob("BraTS20_Phantom_003_seg.nii.gz")
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(UserError, match="1 error in 1 case"):
        preprocess(cfg)
    cfg.dataset.on_error = "exclude"
    (tmp_path / "preprocessed" / cfg.dataset.nnunet_name / "splits_final.json").unlink()
    preprocess(cfg)
    told = capsys.readouterr().out
    assert "5 of 6 cases are used, 1 left out" in told
    assert "BraTS20_Phantom_003 is not in the dataset any more" in told


def test_too_few_cases_for_the_folds(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 cases are too few for 5 folds"):
        write_folds(["a", "b", "c", "d"], tmp_path / "splits_final.json")
