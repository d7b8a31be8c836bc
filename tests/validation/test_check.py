"""The check as a whole: all findings at once, stop or leave out, and no file read twice."""

import csv
import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from bad_inputs import BAD_INPUTS
from sound_datasets import CT_AFFINE, LAYOUTS, Sound, ct, labels, save

from gsl_experiments.atomic import write_text
from gsl_experiments.checks import check
from gsl_experiments.cli import compose
from gsl_experiments.datasets import DatasetError, RawDataset, read_lits, write_nnunet_raw
from gsl_experiments.errors import UserError
from gsl_experiments.validation import check as check_module
from gsl_experiments.validation import check_dataset, read_exclusion
from gsl_experiments.validation.stage import checked_dataset, validate
from gsl_experiments.validation.table import COLUMNS, to_text


def run_check(raw: Path, on_error: str = "stop", layout: str = "lits") -> RawDataset:
    return check_dataset(LAYOUTS[layout][1](raw), processes=1, on_error=on_error, folder=raw.parent / "out")


@pytest.fixture
def damaged(sound: Sound) -> Path:
    """LiTS with a volume that is cut off, a label with a value too many, one that is empty, and a sound case."""
    raw = sound("lits")
    save(raw / "volume-3.nii", ct(3))
    save(raw / "segmentation-3.nii", labels(1, 2))
    BAD_INPUTS["cut off"].damage(raw)
    save(raw / "segmentation-0.nii", labels(1, 2, 7))
    save(raw / "segmentation-2.nii.gz", labels())
    return raw


def test_all_findings_come_at_once(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        DatasetError, match=r"^4 cases checked: 2 errors in 2 cases; .*findings\.csv: mend them"
    ) as error:
        run_check(damaged)
    assert "dataset.on_error=exclude" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    with (damaged.parent / "out" / "findings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["severity"], row["kind"], row["case"]) for row in rows] == [
        ("error", "truncated file", "lits_001"),
        ("error", "unknown label", "lits_000"),
        ("warning", "empty label", "lits_002"),
    ]
    assert rows[0]["file"] == str(damaged / "volume-1.nii")
    printed = capsys.readouterr().out
    assert "2 errors in 2 cases, 1 warning in 1 case" in printed
    places = [printed.index(row["kind"]) for row in rows]
    assert places == sorted(places)
    for row in rows:
        assert Path(row["file"]).name in printed


def test_stopping_writes_nothing_but_the_findings(damaged: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in damaged.rglob("*")}
    with pytest.raises(DatasetError):
        run_check(damaged)
    assert {file: file.stat().st_mtime_ns for file in damaged.rglob("*")} == before
    written = {file.name for file in damaged.parent.rglob("*") if damaged not in (file, *file.parents)}
    assert written == {"out", "findings.csv", "scanned_files.json"}


def test_excluding_leaves_out_exactly_the_cases_with_errors(damaged: Path, tmp_path: Path) -> None:
    (damaged / "volume-7.nii").write_bytes((damaged / "volume-0.nii").read_bytes())  # has no segmentation
    dataset = run_check(damaged, "exclude")
    assert [case.identifier for case in dataset.cases] == ["lits_002", "lits_003"]
    assert dataset.incomplete == ()
    exclusion = read_exclusion(tmp_path / "out")
    assert exclusion.cases == 5
    assert exclusion.excluded.keys() == {"lits_000", "lits_001", "lits_007"}
    assert exclusion.excluded["lits_001"] == [
        f"{damaged / 'volume-1.nii'}: damaged or cut off (the file ends 100 bytes or more before its voxels do); "
        "download or convert it again"
    ]
    write_nnunet_raw(dataset, tmp_path / "Dataset001_LiTS")
    written = {file.name for file in (tmp_path / "Dataset001_LiTS" / "labelsTr").iterdir()}
    assert written == {"lits_002.nii.gz", "lits_003.nii.gz"}


def test_the_record_of_excluded_cases_goes_with_the_errors(
    damaged: Path, sound: Sound, tmp_path: Path
) -> None:
    run_check(damaged, "exclude")
    assert read_exclusion(tmp_path / "out").excluded
    shutil.rmtree(damaged)
    assert len(run_check(sound("lits")).cases) == 3
    assert not read_exclusion(tmp_path / "out").excluded
    assert not (tmp_path / "out" / "excluded_cases.json").exists()


def test_a_damaged_record_of_excluded_cases(tmp_path: Path) -> None:
    write_text(tmp_path / "excluded_cases.json", "[1]")
    with pytest.raises(UserError, match=r"excluded_cases\.json: damaged"):
        read_exclusion(tmp_path)


def test_no_case_is_left(sound: Sound) -> None:
    raw = sound("lits")
    for file in raw.glob("volume-*"):
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"^3 cases checked: 3 errors in 3 cases; .*: mend them$"):
        run_check(raw, "exclude")


def test_an_error_of_the_whole_dataset_cannot_be_left_out(sound: Sound) -> None:
    raw = sound("msd")
    BAD_INPUTS["class without a voxel"].damage(raw)
    with pytest.raises(DatasetError, match=r"^2 cases checked: 1 error in the whole dataset; .*: mend them$"):
        run_check(raw, "exclude", layout="msd")


def test_a_class_that_only_a_bad_case_holds_is_absent(sound: Sound) -> None:
    raw = sound("msd")
    save(raw / "labelsTr" / "case_0.nii.gz", labels(1), np.eye(4))
    (raw / "imagesTr" / "case_1.nii.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match="2 errors"):
        run_check(raw, "exclude", layout="msd")


def test_a_file_that_has_not_changed_is_not_read_again(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    original = check_module.scan_file

    def recording(file, **options):
        read.append(file.name)
        return original(file, **options)

    monkeypatch.setattr(check_module, "scan_file", recording)
    for _ in range(2):
        with pytest.raises(DatasetError, match="2 errors in 2 cases"):
            run_check(damaged)
    # What could not be read is tried again.
    assert len(set(read[:8])) == 8
    assert read[8:] == ["volume-1.nii"]
    read.clear()
    save(damaged / "volume-1.nii", ct(1))
    save(damaged / "segmentation-0.nii", labels(1, 2))
    os.utime(damaged / "volume-2.nii.gz")
    assert len(run_check(damaged).cases) == 4
    assert sorted(read) == ["segmentation-0.nii", "volume-1.nii", "volume-2.nii.gz"]


def test_facts_that_were_kept_are_the_facts(sound: Sound) -> None:
    raw = sound("brats")
    BAD_INPUTS["noise in headers"].damage(raw)
    voxels = nib.load(raw / "BraTS20_Training_003" / "BraTS20_Training_003_t1.nii.gz")
    values = np.asarray(voxels.dataobj).copy()
    values[0, 0, 0] = np.nan
    save(raw / "BraTS20_Training_003" / "BraTS20_Training_003_t1.nii.gz", values, np.eye(4))
    tables = []
    for _ in range(2):
        run_check(raw, "exclude", layout="brats")
        tables.append((raw.parent / "out" / "findings.csv").read_text())
    assert tables[0] == tables[1]
    assert tables[0].count("\n") == 3


def test_records_that_are_not_readable_are_written_anew(sound: Sound, tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "scanned_files.json", '{"version":')
    run_check(sound("lits"))
    assert json.loads((tmp_path / "out" / "scanned_files.json").read_text())["version"] == 1


def test_processes_find_what_one_finds(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for smallest, processes in ((1 << 40, 1), (1, 2)):
        monkeypatch.setattr(check_module, "_BYTES_PER_PROCESS", smallest)
        folder = damaged.parent / str(processes)
        with pytest.raises(DatasetError):
            check_dataset(read_lits(damaged), processes=processes, on_error="stop", folder=folder)
        tables.append((folder / "findings.csv").read_text())
    assert tables[0] == tables[1]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(damaged: Path, width: int) -> None:
    dataset = read_lits(damaged)
    report = check_module.inspect_dataset(dataset, processes=1, records=damaged.parent / "records.json")
    lines = to_text(report.findings, title="LiTS 2017, 3 cases", width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert max(map(len, lines)) > width - 40  # and makes use of it


def test_many_notes_are_counted_rather_than_listed(sound: Sound, capsys: pytest.CaptureFixture[str]) -> None:
    raw = sound("lits")
    noisy = CT_AFFINE.copy()
    noisy[0, 3] += 1e-4
    for number in range(3, 10):
        save(raw / f"volume-{number}.nii", ct(number))
        save(raw / f"segmentation-{number}.nii", labels(1, 2), noisy)
    run_check(raw)
    printed = capsys.readouterr().out
    assert printed.count("; mended") == 5
    assert "... and 2 more in the CSV" in printed


def test_a_large_image_is_read_in_blocks(tmp_path: Path) -> None:
    # Six million voxels in blocks of one: counts, extremes and hash go on from block to block.
    raw = tmp_path / "lits"
    voxels = np.full((256, 256, 96), -1000, np.int16)
    voxels[64:192, 64:192] = 100
    voxels[0, 0, 0], voxels[-1, -1, -1] = -1024, 3000
    label = (voxels == 100).astype(np.float32)
    for number in range(2):
        save(raw / f"volume-{number}.nii", voxels + np.int16(number))
        save(raw / f"segmentation-{number}.nii", label)
    save(raw / "segmentation-1.nii", np.where(np.arange(96) == 95, 5, label))
    with pytest.raises(DatasetError, match="1 error in 1 case;"):
        run_check(raw)
    assert f"label value 5 ({256 * 256} voxels)" in (tmp_path / "out" / "findings.csv").read_text()


def configuration(tmp_path: Path, *overrides: str):
    folders = [f"paths.{name}={tmp_path / name}" for name in ("raw", "preprocessed", "results")]
    return compose(["dataset=lits", "processes=1", *folders, *overrides])


def test_validate_writes_the_findings_where_it_is_told(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.csv"
    cfg = configuration(
        tmp_path, f"dataset.raw={damaged}", f"validate.output={output}", "dataset.on_error=exclude"
    )
    with pytest.raises(
        DatasetError, match=r"^4 cases checked: 2 errors in 2 cases; all findings are in .*mine\.csv"
    ):
        validate(cfg)
    assert output.read_text().count("\n") == 4
    assert not list(tmp_path.rglob("excluded_cases.json"))


def test_validate_passes_a_sound_dataset(
    sound: Sound, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    validate(configuration(tmp_path, f"dataset.raw={sound('lits')}"))
    printed = capsys.readouterr().out
    assert "LiTS 2017, 3 cases: nothing found" in printed
    assert str(tmp_path / "preprocessed" / "Dataset501_LiTS" / "findings.csv") in printed


def test_a_dataset_in_nnunet_raw_is_checked_and_left_where_it_is(sound: Sound, tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "Dataset042_Raw"
    raw.parent.mkdir()
    sound("nnunet").rename(raw)
    (raw / "imagesTr" / "case_1_0000.nii.gz").write_bytes(b"")
    cfg = configuration(tmp_path, "dataset.nnunet_name=Dataset042_Raw", "dataset.on_error=exclude")
    dataset = checked_dataset(cfg)
    assert dataset is not None
    assert [case.identifier for case in dataset.cases] == ["case_0"]
    assert (raw / "imagesTr" / "case_1_0000.nii.gz").exists()
    excluded = read_exclusion(tmp_path / "preprocessed" / "Dataset042_Raw").excluded
    assert excluded.keys() == {"case_1"}


def test_a_converted_dataset_was_checked_when_it_was_converted(sound: Sound, tmp_path: Path) -> None:
    write_nnunet_raw(read_lits(sound("lits")), tmp_path / "raw" / "Dataset501_LiTS")
    assert checked_dataset(configuration(tmp_path)) is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.raw=/nowhere", "^/nowhere: no such folder; call with RAW=folder"),
        ("seed=1", "dataset.raw is not set"),
    ],
)
def test_data_that_is_not_there(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        validate(configuration(tmp_path, override))


def test_on_error_has_two_values() -> None:
    with pytest.raises(UserError, match=r"^dataset\.on_error=ignore: allowed are stop, exclude"):
        check(compose(["dataset.on_error=ignore"]))


def test_other_file_formats_are_read_whole(tmp_path: Path) -> None:
    raw = tmp_path / "Dataset043_Nrrd"
    for number in range(3):
        for folder, voxels in (("imagesTr", ct(number)), ("labelsTr", labels(1))):
            image = sitk.GetImageFromArray(voxels.T)
            image.SetSpacing((0.8, 0.8, 2.5))
            name = f"case_{number}_0000.nrrd" if folder == "imagesTr" else f"case_{number}.nrrd"
            (raw / folder).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(raw / folder / name))
    (raw / "dataset.json").write_text(
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nrrd"}'
    )
    assert len(run_check(raw, layout="nnunet").cases) == 3
    file = raw / "imagesTr" / "case_1_0000.nrrd"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DatasetError, match="1 error in 1 case;"):
        run_check(raw, layout="nnunet")
