"""The nnU-Net raw folder: read back with nibabel and by nnU-Net itself."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from gsl_experiments.datasets import (
    DatasetError,
    RawCase,
    RawDataset,
    nnunet_case,
    read_brats,
    read_lits,
    read_msd,
    write_nnunet_raw,
)

SHAPE = (6, 5, 4)
AFFINE = np.array([[-0.8, 0, 0, 30.0], [0, -0.8, 0, 40.0], [0, 0, 2.5, -50.0], [0, 0, 0, 1.0]])
Write = Callable[..., Path]


def _voxels(path: Path) -> Any:
    return np.asanyarray(nib.load(path).dataobj)


def _all_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def _states(folder: Path) -> dict[str, int]:
    return {name: (folder / name).lstat().st_mtime_ns for name in _all_files(folder)}


@pytest.fixture
def one_case(tmp_path: Path, write_nifti: Write) -> Callable[..., RawDataset]:
    """One CT case whose label holds what is asked for."""

    def make(label: Any, *, label_affine: Any = AFFINE, **changes: Any) -> RawDataset:
        image = write_nifti(tmp_path / "raw" / "image.nii.gz", np.ones(SHAPE, np.float32))
        file = write_nifti(tmp_path / "raw" / "label.nii.gz", label, label_affine)
        entries: dict[str, Any] = {
            "cases": (RawCase("a", (image,), file),),
            "channel_names": ("CT",),
            "labels": {"background": 0, "x": 1},
            "label_map": {0: 0, 1: 1},
            "regions": {"X": (1,)},
        }
        return RawDataset(**(entries | changes))

    return make


def test_brats_folder(brats: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Dataset020_BraTS"
    write_nnunet_raw(read_brats(brats), folder)
    cases = ("BraTS20_Training_001", "BraTS20_Training_002")
    assert _all_files(folder) == [
        "dataset.json",
        *(f"imagesTr/{case}_{channel:04d}.nii.gz" for case in cases for channel in range(4)),
        *(f"labelsTr/{case}.nii.gz" for case in cases),
        *(f"sources/{case}.json" for case in cases),
    ]
    assert json.loads((folder / "dataset.json").read_text()) == {
        "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"},
        "labels": {"background": 0, "necrotic_core": 1, "edema": 2, "enhancing_tumor": 3},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "evaluation_regions": {"Whole Tumor": [1, 2, 3], "Tumor Core": [1, 3], "Enhancing Tumor": [3]},
        "original_labels": {"0": 0, "1": 1, "2": 2, "3": 4},
        "label_map": {"0": 0, "1": 1, "2": 2, "4": 3},
        "edition": "BraTS 2020",
    }


def test_images_are_absolute_links(brats: Path, tmp_path: Path) -> None:
    write_nnunet_raw(read_brats(brats), tmp_path / "out")
    link = tmp_path / "out" / "imagesTr" / "BraTS20_Training_002_0001.nii.gz"
    target = brats / "BraTS20_Training_002" / "BraTS20_Training_002_t1ce.nii.gz"
    assert link.readlink() == target.resolve()


def test_labels_are_mapped_voxel_by_voxel_and_keep_their_geometry(brats: Path, tmp_path: Path) -> None:
    write_nnunet_raw(read_brats(brats), tmp_path / "out")
    written = nib.load(tmp_path / "out" / "labelsTr" / "BraTS20_Training_001.nii.gz")
    assert written.get_data_dtype() == np.uint8
    # 0, 1, 2, 4 in turn over the raw voxels.
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.resize([0, 1, 2, 3], SHAPE))
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)


def test_lits_merges_lesions_and_stays_uncompressed(lits: Path, tmp_path: Path) -> None:
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["file_ending"] == ".nii"
    label = _voxels(tmp_path / "out" / "labelsTr" / "lits_010.nii")
    np.testing.assert_array_equal(label, np.resize([0, 1, 1], SHAPE))
    assert (tmp_path / "out" / "imagesTr" / "lits_010_0000.nii").resolve() == lits / "volume-10.nii"


def test_mixed_endings_are_rewritten_as_compressed(brats: Path, tmp_path: Path, write_nifti: Write) -> None:
    case = brats / "BraTS20_Training_001"
    (case / f"{case.name}_t2.nii.gz").unlink()
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    write_nifti(case / f"{case.name}_t2.nii", voxels)
    write_nnunet_raw(read_brats(brats), tmp_path / "out")
    written = nib.load(tmp_path / "out" / "imagesTr" / f"{case.name}_0002.nii.gz")
    assert written.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), voxels)
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)


# nnU-Net lists the files in forked processes, which Python 3.12 warns of where there are threads.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_nnunet_accepts_the_folder(brats: Path, lits: Path, msd: Path, tmp_path: Path) -> None:
    for name, dataset in {"b": read_brats(brats), "l": read_lits(lits), "m": read_msd(msd)}.items():
        write_nnunet_raw(dataset, tmp_path / name)
        found = get_filenames_of_train_images_and_targets(str(tmp_path / name))
        assert sorted(found) == [case.identifier for case in dataset.cases]
        assert all(len(files["images"]) == len(dataset.channel_names) for files in found.values())
        assert all(Path(files["label"]).is_file() for files in found.values())
    verify_dataset_integrity(str(tmp_path / "b"), num_processes=1)


def test_a_4d_file_is_split_into_its_channels(tmp_path: Path, write_nifti: Write, one_case: Any) -> None:
    channels = np.random.default_rng(0).normal(size=(*SHAPE, 2)).astype(np.float32)
    image = write_nifti(tmp_path / "raw" / "both.nii.gz", channels)
    dataset = one_case(np.ones(SHAPE, np.uint8))
    case = RawCase("a", (image,), dataset.cases[0].label)
    two = RawDataset((case,), ("T2", "ADC"), dataset.labels, dataset.label_map, dataset.regions)
    write_nnunet_raw(two, tmp_path / "out")
    for channel in range(2):
        written = nib.load(tmp_path / "out" / "imagesTr" / f"a_{channel:04d}.nii.gz")
        np.testing.assert_array_equal(written.get_fdata(), channels[..., channel])
        np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)
    three = RawDataset((case,), ("T2", "ADC", "T1"), dataset.labels, dataset.label_map, dataset.regions)
    with pytest.raises(DatasetError, match=r"both\.nii\.gz: 2 channels where 3 are needed"):
        write_nnunet_raw(three, tmp_path / "other")


def test_float_labels_are_cast(tmp_path: Path, one_case: Any) -> None:
    label = np.resize(np.float32([0, 1, 0.99999994]), SHAPE)
    write_nnunet_raw(one_case(label), tmp_path / "out")
    written = _voxels(tmp_path / "out" / "labelsTr" / "a.nii.gz")
    assert written.dtype == np.uint8
    np.testing.assert_array_equal(written, np.resize([0, 1, 1], SHAPE))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.full(SHAPE, 3, np.int16), r"label\.nii\.gz: label value 3 where only 0, 1 are allowed; correct"),
        (np.full(SHAPE, 0.5, np.float32), "label value 0.5 where only 0, 1"),
        (np.full(SHAPE, -1, np.int16), "label value -1 where"),
        (np.arange(120).reshape(SHAPE).astype(np.int16), r"label value 2, 3, 4, 5, 6, \.\.\. where"),
        (
            np.ones((6, 5, 3), np.uint8),
            r"not on the grid of its image \(shape \(6, 5, 3\) against \(6, 5, 4\)\)",
        ),
        (np.ones((*SHAPE, 2), np.uint8), r"not on the grid of its image \(4D against 3D\)"),
    ],
)
def test_bad_labels(tmp_path: Path, one_case: Any, label: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        write_nnunet_raw(one_case(label), tmp_path / "out")
    assert _all_files(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("row", "column", "name"), [(0, 3, "origin_mm"), (2, 2, "spacing_mm"), (0, 1, "direction")]
)
def test_geometry_of_the_label(tmp_path: Path, one_case: Any, row: int, column: int, name: str) -> None:
    """A difference of 0.0005 gives way to the image's; one of 0.1 is refused or, if said so, overruled."""
    ones = np.ones(SHAPE, np.uint8)

    def moved(by: float) -> Any:
        affine = AFFINE.copy()
        if name == "direction":
            affine[:2, :2] = np.array([[np.cos(by), -np.sin(by)], [np.sin(by), np.cos(by)]]) @ AFFINE[:2, :2]
        else:
            affine[row, column] += by
        return affine

    write_nnunet_raw(one_case(ones, label_affine=moved(5e-4)), tmp_path / "noise")
    np.testing.assert_allclose(nib.load(tmp_path / "noise/labelsTr/a.nii.gz").affine, AFFINE, atol=1e-5)
    with pytest.raises(
        DatasetError, match=rf"label\.nii\.gz: not on the grid of its image \({name} .* against"
    ):
        write_nnunet_raw(one_case(ones, label_affine=moved(0.1)), tmp_path / "far")
    write_nnunet_raw(
        one_case(ones, label_affine=moved(0.1), label_geometry_from_image=True), tmp_path / "overruled"
    )
    np.testing.assert_allclose(nib.load(tmp_path / "overruled/labelsTr/a.nii.gz").affine, AFFINE, atol=1e-5)


def test_lits_label_without_geometry(
    lits: Path, tmp_path: Path, write_nifti: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write_nifti(lits / "segmentation-10.nii", np.ones(SHAPE, np.uint8), np.eye(4))
    with caplog.at_level(logging.WARNING):
        write_nnunet_raw(read_lits(lits), tmp_path / "out")
    assert "segmentation-10.nii: takes the geometry of its image" in caplog.text
    np.testing.assert_allclose(nib.load(tmp_path / "out/labelsTr/lits_010.nii").affine, AFFINE, atol=1e-5)
    write_nifti(lits / "segmentation-10.nii", np.ones((6, 5, 3), np.uint8), np.eye(4))
    with pytest.raises(DatasetError, match=r"segmentation-10\.nii: not on the grid of its image \(shape"):
        write_nnunet_raw(read_lits(lits), tmp_path / "other")


def test_channels_on_different_grids(brats: Path, tmp_path: Path, write_nifti: Write) -> None:
    flair = brats / "BraTS20_Training_001" / "BraTS20_Training_001_flair.nii.gz"
    noise, far = AFFINE.copy(), AFFINE.copy()
    noise[2, 2] += 4e-4
    far[2, 2] += 0.1
    write_nifti(flair, np.ones(SHAPE, np.float32), noise)
    write_nnunet_raw(read_brats(brats), tmp_path / "noise")
    # nnU-Net refuses channels whose spacings differ at all.
    files = sorted((tmp_path / "noise" / "imagesTr").glob("BraTS20_Training_001_*"))
    assert SimpleITKIO().read_images([str(file) for file in files])[0].shape == (4, *SHAPE[::-1])
    write_nifti(flair, np.ones(SHAPE, np.float32), far)
    with pytest.raises(DatasetError, match=r"flair\.nii\.gz: not on the grid of .*_t1\.nii\.gz \(spacing_mm"):
        write_nnunet_raw(read_brats(brats), tmp_path / "far")


def test_unreadable_files(lits: Path, tmp_path: Path) -> None:
    (lits / "volume-0.nii").write_bytes(b"no image")
    dataset = read_lits(lits)
    with pytest.raises(DatasetError, match=r"volume-0\.nii: not readable as NIfTI \(.*\); download"):
        write_nnunet_raw(dataset, tmp_path / "out")
    (lits / "volume-0.nii").unlink()
    with pytest.raises(DatasetError, match=r"volume-0\.nii: no such file; restore it"):
        write_nnunet_raw(dataset, tmp_path / "out")


def test_all_cases_are_checked_and_the_others_counted(
    brats: Path, tmp_path: Path, write_nifti: Write
) -> None:
    for case in ("BraTS20_Training_001", "BraTS20_Training_002"):
        write_nifti(brats / case / f"{case}_seg.nii.gz", np.full(SHAPE, 3, np.uint8))
    with pytest.raises(DatasetError) as error:
        write_nnunet_raw(read_brats(brats), tmp_path / "out")
    assert "BraTS20_Training_001_seg.nii.gz: label value 3 where only 0, 1, 2, 4" in str(error.value)
    assert str(error.value).endswith("(1 more of 2 cases are bad)")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_a_second_call_touches_nothing(brats: Path, tmp_path: Path) -> None:
    write_nnunet_raw(read_brats(brats), tmp_path / "out")
    before = _states(tmp_path / "out")
    write_nnunet_raw(read_brats(brats), tmp_path / "out")
    assert _states(tmp_path / "out") == before


def test_a_resumed_call_writes_what_is_missing_or_out_of_date(lits: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_nnunet_raw(read_lits(lits), out)
    before = _states(out)
    (out / "labelsTr" / "lits_000.nii").unlink()
    write_nnunet_raw(read_lits(lits), out)
    changed = {name for name, state in _states(out).items() if state != before[name]}
    case = {"imagesTr/lits_000_0000.nii", "labelsTr/lits_000.nii", "sources/lits_000.json"}
    assert changed == {"dataset.json"} | case


@pytest.mark.parametrize("seconds", [-(10**6), 1])
def test_a_label_that_was_corrected_is_converted_again(lits: Path, tmp_path: Path, seconds: int) -> None:
    """Whether its time is newer or, as after unpacking an archive, older than the last conversion."""
    out = tmp_path / "out"
    write_nnunet_raw(read_lits(lits), out)
    corrected = lits / "segmentation-10.nii"
    label = sitk.ReadImage(str(corrected))
    label[0, 0, 0] = 1 - min(label[0, 0, 0], 1)
    sitk.WriteImage(label, str(corrected))
    time = (out / "labelsTr" / "lits_010.nii").stat().st_mtime_ns + seconds * 10**9
    os.utime(corrected, ns=(time, time))
    before = _states(out)
    write_nnunet_raw(read_lits(lits), out)
    assert sitk.ReadImage(str(out / "labelsTr" / "lits_010.nii"))[0, 0, 0] == label[0, 0, 0]
    assert _states(out)["labelsTr/lits_000.nii"] == before["labelsTr/lits_000.nii"]


def test_cases_left_out_later_may_stay_in_the_folder(lits: Path, tmp_path: Path) -> None:
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    (lits / "volume-10.nii").unlink()
    (lits / "segmentation-10.nii").unlink()
    write_nnunet_raw(read_lits(lits), tmp_path / "out", excluded=["lits_010"])
    assert (tmp_path / "out" / "labelsTr" / "lits_010.nii").is_file()
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["numTraining"] == 1


def test_moved_raw_files_are_linked_anew(lits: Path, tmp_path: Path) -> None:
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    lits.rename(tmp_path / "moved")
    write_nnunet_raw(read_lits(tmp_path / "moved"), tmp_path / "out")
    link = tmp_path / "out" / "imagesTr" / "lits_000_0000.nii"
    assert link.resolve() == tmp_path / "moved" / "volume-0.nii"


def test_copies_where_links_are_not_possible(
    lits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    copy = tmp_path / "out" / "imagesTr" / "lits_000_0000.nii"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (lits / "volume-0.nii").read_bytes()
    before = _states(tmp_path / "out")
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    assert _states(tmp_path / "out") == before


def test_nothing_partial_stays_behind(lits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_written(image: Any, name: str, **_: Any) -> None:
        Path(name).write_bytes(b"half")
        raise RuntimeError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("gsl_experiments.datasets.nifti.sitk.WriteImage", half_written)
        with pytest.raises(RuntimeError, match="disk full"):
            write_nnunet_raw(read_lits(lits), tmp_path / "out")
    assert list((tmp_path / "out" / "labelsTr").iterdir()) == []
    assert not (tmp_path / "out" / "dataset.json").exists()
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    assert (tmp_path / "out" / "dataset.json").is_file()


def test_another_dataset_is_not_mixed_in(lits: Path, msd: Path, tmp_path: Path) -> None:
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    with pytest.raises(DatasetError, match=r"dataset\.json: describes another dataset \(channel_names is"):
        write_nnunet_raw(read_msd(msd), tmp_path / "out")
    (lits / "volume-10.nii").unlink()
    (lits / "segmentation-10.nii").unlink()
    with pytest.raises(DatasetError, match=r"lits_010_0000\.nii: not a case of this dataset; delete it"):
        write_nnunet_raw(read_lits(lits), tmp_path / "out")
    for text, message in (("{", "not valid JSON"), ("[]", "not a JSON object")):
        (tmp_path / "out" / "dataset.json").write_text(text)
        with pytest.raises(DatasetError, match=rf"dataset\.json: {message}"):
            write_nnunet_raw(read_lits(lits), tmp_path / "out")


def test_cases_can_be_added(lits: Path, tmp_path: Path, write_nifti: Write) -> None:
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    write_nifti(lits / "volume-2.nii", np.ones(SHAPE, np.float32))
    write_nifti(lits / "segmentation-2.nii", np.ones(SHAPE, np.uint8))
    write_nnunet_raw(read_lits(lits), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["numTraining"] == 3


def test_worker_processes_write_the_same(tmp_path: Path, write_nifti: Write, one_case: Any) -> None:
    dataset = one_case(np.ones(SHAPE, np.uint8))
    image, bad = dataset.cases[0].images[0], write_nifti(tmp_path / "bad.nii.gz", np.full(SHAPE, 7, np.uint8))
    labels = [dataset.cases[0].label] * 14 + [bad] * 2
    cases = tuple(RawCase(f"c{index:02d}", (image,), label) for index, label in enumerate(labels))
    entries = (dataset.channel_names, dataset.labels, dataset.label_map, dataset.regions)
    with pytest.raises(DatasetError, match=r"bad\.nii\.gz: label value 7 .* \(1 more of 16 cases are bad\)"):
        write_nnunet_raw(RawDataset(cases, *entries), tmp_path / "bad", processes=2)
    write_nnunet_raw(RawDataset(cases[:14], *entries), tmp_path / "one")
    written = [(tmp_path / out / "labelsTr" / "c13.nii.gz").read_bytes() for out in ("one", "bad")]
    assert written[0] == written[1]


def test_processes_are_checked(tmp_path: Path, one_case: Any) -> None:
    with pytest.raises(ValueError, match="processes must be at least 1, not 0"):
        write_nnunet_raw(one_case(np.ones(SHAPE, np.uint8)), tmp_path / "out", processes=0)


def test_label_values_at_the_end_of_a_byte() -> None:
    """255 marks unknown values while mapping: it may still be a raw value."""
    values = np.array([[0, 255, 254]], np.uint8)
    mapped = nnunet_case._map_labels(Path("x"), values, {0: 0, 255: 1, 254: 254})
    np.testing.assert_array_equal(mapped, [[0, 1, 254]])
