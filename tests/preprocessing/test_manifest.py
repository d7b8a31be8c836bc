"""The manifest: what it takes for unchanged, and what it has redone."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import blosc2
import numpy as np
import pytest
from omegaconf import DictConfig

from gsl_experiments.errors import UserError
from gsl_experiments.file_record import FileRecord
from gsl_experiments.preprocessing.manifest import (
    CaseEntry,
    entry_file,
    manifest_folder,
    read_entry,
    write_entry,
)
from gsl_experiments.preprocessing.maps import maps_folder, open_maps
from gsl_experiments.preprocessing.stage import preprocess

Configure = Callable[..., DictConfig]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"voxels")
    return path


@pytest.fixture
def cases(workspace: Path) -> Path:
    return workspace / "preprocessed" / "Dataset512_PhantomBraTS" / "paperPlans_3d_fullres"


def all_files(cases: Path) -> dict[Path, int]:
    """Every file of the preprocessed cases, with its time."""
    folders = (cases, maps_folder(cases), manifest_folder(cases), cases.parent / "gt_segmentations")
    return {f: f.stat().st_mtime_ns for folder in folders for f in folder.iterdir() if f.is_file()}


class TestFileRecord:
    def test_holds_size_time_and_sha256(self, file: Path) -> None:
        os.utime(file, ns=(5, 7))
        digest = hashlib.sha256(b"voxels").hexdigest()
        assert FileRecord.of(file) == FileRecord(str(file), 6, 7, digest)

    def test_a_touched_file_is_told_by_its_content(self, file: Path) -> None:
        record = FileRecord.of(file)
        os.utime(file, ns=(5, 7))
        assert not record.looks_like(file)
        assert record.matches(file)

    def test_another_content_of_the_same_size(self, file: Path) -> None:
        record = FileRecord.of(file)
        file.write_bytes(b"VOXELS")
        os.utime(file, ns=(5, 7))
        assert not record.matches(file)

    def test_another_size_and_no_file_at_all(self, file: Path) -> None:
        record = FileRecord.of(file)
        file.write_bytes(b"more voxels")
        assert not record.matches(file)
        file.unlink()
        assert not record.matches(file)
        assert not record.looks_like(file)

    def test_a_known_content_is_not_read_again(self, file: Path) -> None:
        known = FileRecord(str(file), 6, file.stat().st_mtime_ns, "as recorded")
        assert FileRecord.of(file, known) == known
        os.utime(file, ns=(5, 7))
        assert FileRecord.of(file, known).sha256 == hashlib.sha256(b"voxels").hexdigest()


def test_an_entry_comes_back_as_it_was(tmp_path: Path, file: Path) -> None:
    record = FileRecord.of(file)
    entry = CaseEntry("a", {"spacing": [1.0, 2.0]}, (record, record), {"cases/a.b2nd": record}, (3, 4))
    write_entry(entry, tmp_path / "cases")
    assert read_entry(tmp_path / "cases", "a") == entry


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"case": "a", "inputs": [{"size": 1}]}'])
def test_an_entry_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    assert read_entry(tmp_path / "cases", "a") is None
    path = entry_file(tmp_path / "cases", "a")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert read_entry(tmp_path / "cases", "a") is None


def test_entries_hold_the_hashes_of_all_files_of_a_case(cases: Path, workspace: Path) -> None:
    content = json.loads((manifest_folder(cases) / "BraTS20_Phantom_002.json").read_text())
    raw = workspace / "raw" / "Dataset512_PhantomBraTS"
    expected_inputs = [f"imagesTr/BraTS20_Phantom_002_{c:04d}.nii.gz" for c in range(4)]
    expected_inputs.append("labelsTr/BraTS20_Phantom_002.nii.gz")
    assert [record["path"] for record in content["inputs"]] == [str(raw / name) for name in expected_inputs]
    assert sorted(content["outputs"]) == [
        "gt_segmentations/BraTS20_Phantom_002.nii.gz",
        "paperPlans_3d_fullres/BraTS20_Phantom_002.b2nd",
        "paperPlans_3d_fullres/BraTS20_Phantom_002.pkl",
        "paperPlans_3d_fullres/BraTS20_Phantom_002_seg.b2nd",
        "paperPlans_3d_fullres_dtm/BraTS20_Phantom_002.b2nd",
    ]
    for record in [*content["inputs"], *content["outputs"].values()]:
        stored = Path(record["path"])
        assert hashlib.sha256(stored.read_bytes()).hexdigest() == record["sha256"]
        assert stored.stat().st_size == record["size"]
    assert content["recipe"]["planning.absent_class"] == "diagonal"


def test_a_finished_dataset_is_left_alone(configure: Configure, cases: Path) -> None:
    before = all_files(cases)
    preprocess(configure())
    after = all_files(cases)
    weights = maps_folder(cases) / "class_weights.json"
    assert {f: t for f, t in after.items() if f != weights} == {
        f: t for f, t in before.items() if f != weights
    }


def test_touched_files_are_recorded_anew_but_not_made_anew(
    configure: Configure, cases: Path, workspace: Path
) -> None:
    """Raw files and cases that were copied elsewhere, with new times and the old content."""
    raw = workspace / "raw" / "Dataset512_PhantomBraTS" / "labelsTr" / "BraTS20_Phantom_001.nii.gz"
    touched = cases / "BraTS20_Phantom_001.b2nd"
    later = raw.stat().st_mtime_ns + 10**9
    os.utime(raw, ns=(later, later))
    os.utime(touched, ns=(later, later))
    before = all_files(cases)
    preprocess(configure())
    after = all_files(cases)
    changed = {f.name for f in before if after[f] != before[f]}
    assert changed == {"BraTS20_Phantom_001.json", "class_weights.json"}
    assert (
        read_entry(cases, "BraTS20_Phantom_001")
        .outputs[  # type: ignore[union-attr]
            f"{cases.name}/{touched.name}"
        ]
        .looks_like(touched)
    )


@pytest.mark.parametrize("end", [".pkl", ".b2nd", "_seg.b2nd"])
def test_a_damaged_case_is_made_again(configure: Configure, cases: Path, end: str) -> None:
    victim = cases / f"BraTS20_Phantom_006{end}"
    content = victim.read_bytes()
    image = str(cases / "BraTS20_Phantom_006.b2nd")
    before = np.asarray(blosc2.open(image, mode="r")[:])
    victim.write_bytes(content[:-20])
    preprocess(configure())
    assert len(victim.read_bytes()) == len(content)
    np.testing.assert_array_equal(np.asarray(blosc2.open(image, mode="r")[:]), before)


def test_a_lost_entry_has_its_case_made_again(configure: Configure, cases: Path) -> None:
    entry = manifest_folder(cases) / "BraTS20_Phantom_002.json"
    recorded = json.loads(entry.read_text())
    entry.unlink()
    preprocess(configure())
    assert json.loads(entry.read_text())["voxels"] == recorded["voxels"]


def test_a_lost_reference_is_placed_again(configure: Configure, cases: Path, workspace: Path) -> None:
    reference = cases.parent / "gt_segmentations" / "BraTS20_Phantom_002.nii.gz"
    reference.unlink()
    image = (cases / "BraTS20_Phantom_002.b2nd").stat().st_mtime_ns
    preprocess(configure())
    label = workspace / "raw" / "Dataset512_PhantomBraTS" / "labelsTr" / reference.name
    assert reference.read_bytes() == label.read_bytes()
    assert (cases / "BraTS20_Phantom_002.b2nd").stat().st_mtime_ns == image


def test_cases_of_an_older_encoding_of_maps_are_refused(
    configure: Configure, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsl_experiments.preprocessing.recipe.ENCODING", "of tomorrow")
    with pytest.raises(
        UserError, match=r"encoding of maps was .* and is of tomorrow.*: set planning.plans_name"
    ):
        preprocess(configure())


def test_cases_that_nnunet_preprocessed_are_taken_as_they_are(
    configure: Configure, cases: Path, workspace: Path
) -> None:
    """nnU-Net's own plans have no mark of ours, and its cases no entries: only maps are added."""
    plans = json.loads((cases.parent / "paperPlans.json").read_text())
    del plans["gsl_preprocessing"]
    plans["plans_name"] = "nnUNetPlans"
    plans["configurations"]["3d_fullres"]["data_identifier"] = "nnUNetPlans_3d_fullres"
    (cases.parent / "nnUNetPlans.json").write_text(json.dumps(plans))
    stock = cases.with_name("nnUNetPlans_3d_fullres")
    shutil.copytree(cases, stock)  # with new times: younger than the raw files
    for copied in stock.iterdir():
        os.utime(copied)
    before = {f: f.stat().st_mtime_ns for f in stock.iterdir()}
    own = ["planning.plans_name=nnUNetPlans", "planning.patch_size=null", "planning.batch_size=null"]
    preprocess(configure(*own))
    assert {f: f.stat().st_mtime_ns for f in stock.iterdir()} == before
    for maps in maps_folder(cases).glob("*.b2nd"):
        np.testing.assert_array_equal(
            open_maps(maps)[:], open_maps(maps_folder(stock) / maps.name)[:], err_msg=maps.name
        )
    victim = "BraTS20_Phantom_003"
    raw = workspace / "raw" / "Dataset512_PhantomBraTS" / "labelsTr" / f"{victim}.nii.gz"
    os.utime(raw)
    for recorded in manifest_folder(stock).glob("*.json"):
        recorded.unlink()
    preprocess(configure(*own))
    after = {f: f.stat().st_mtime_ns for f in stock.iterdir()}
    changed = {f.name for f in before if after[f] != before[f]}
    assert changed == {f"{victim}{end}" for end in (".pkl", ".b2nd", "_seg.b2nd")}, "older than its raw label"


def test_what_was_made_of_a_case_that_is_gone_is_deleted(
    configure: Configure, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """nnU-Net's loader would take its files for a case; other cases stay as they are."""
    shutil.copytree(workspace / "preprocessed", tmp_path / "preprocessed")
    cfg = configure(f"paths.preprocessed={tmp_path / 'preprocessed'}")
    cases = tmp_path / "preprocessed" / "Dataset512_PhantomBraTS" / "paperPlans_3d_fullres"
    entry = read_entry(cases, "BraTS20_Phantom_001")
    assert entry is not None
    record = FileRecord.of(cases / "BraTS20_Phantom_001.pkl")
    gone = replace(
        entry, case="gone", outputs={f"{cases.name}/gone{end}": record for end in (".pkl", ".b2nd")}
    )
    write_entry(gone, cases)
    for name in gone.outputs:
        (cases.parent / name).write_bytes(b"")
    before = {f: t for f, t in all_files(cases).items() if "gone" not in f.name and f.suffix != ".json"}
    preprocess(cfg)
    after = {f: t for f, t in all_files(cases).items() if f.suffix != ".json"}
    assert after == before
    assert not entry_file(cases, "gone").exists()
    assert "gone is not in the dataset any more" in capsys.readouterr().out
