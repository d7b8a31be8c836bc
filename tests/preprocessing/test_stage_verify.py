"""`make verify`: a finished dataset passes, and every way to damage it is named."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig

from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.preprocessing.stage import preprocess
from gsl_experiments.preprocessing.verify import verify

Configure = Callable[..., DictConfig]
CASE = "BraTS20_Phantom_003"


@pytest.fixture
def cfg(configure: Configure, tmp_path: Path) -> DictConfig:
    """The tiny dataset, in a preprocessed folder of its own that may be damaged."""
    finished = configure()
    preprocess(finished)
    shutil.copytree(Path(finished.paths.preprocessed), tmp_path / "preprocessed")
    return configure(f"paths.preprocessed={tmp_path / 'preprocessed'}")


@pytest.fixture
def cases(cfg: DictConfig) -> Iterator[Path]:
    return Path(cfg.paths.preprocessed) / "Dataset512_PhantomBraTS" / "paperPlans_3d_fullres"


def flip_a_byte(file: Path) -> None:
    """Damage that neither size nor time tells."""
    times, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def problems(
    cfg: DictConfig, capsys: pytest.CaptureFixture[str], match: str = r": 1 problem in 6 cases"
) -> str:
    with pytest.raises(UserError, match=match):
        verify(cfg)
    return capsys.readouterr().out


def test_a_finished_dataset_is_whole(cfg: DictConfig, capsys: pytest.CaptureFixture[str]) -> None:
    verify(cfg)
    assert "Dataset512_PhantomBraTS: 6 cases, 30 files, 0.00 GB as recorded" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        f"paperPlans_3d_fullres/{CASE}.b2nd",
        f"paperPlans_3d_fullres/{CASE}_seg.b2nd",
        f"paperPlans_3d_fullres/{CASE}.pkl",
        f"paperPlans_3d_fullres_dtm/{CASE}.b2nd",
        f"gt_segmentations/{CASE}.nii.gz",
        "dataset_fingerprint.json",
    ],
)
def test_every_file_is_compared_with_its_hash(
    cfg: DictConfig, cases: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = cases.parent / name
    flip_a_byte(file)
    assert problems(cfg, capsys) == f"{file}: damaged, its content is not what was written\n"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-1])
    assert problems(cfg, capsys) == f"{file}: {size - 1} bytes where {size} were written\n"
    file.unlink()
    assert problems(cfg, capsys) == f"{file}: missing\n"


def test_everything_that_is_wrong_is_listed(
    cfg: DictConfig, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cases / f"{CASE}.pkl").unlink()
    flip_a_byte(maps_folder(cases) / "BraTS20_Phantom_001.b2nd")
    (cases / "ghost.b2nd").write_bytes(b"")
    (maps_folder(cases) / "class_weights.json").unlink()
    lines = problems(
        cfg, capsys, r": 4 problems in 6 cases; delete the damaged files and call make preprocess"
    )
    assert len(lines.splitlines()) == 4
    assert f"{cases / 'ghost.b2nd'}: not recorded, and nnU-Net would take it for a case" in lines
    assert "class_weights.json: missing, preprocessing has not finished" in lines


def test_weights_must_follow_from_the_cases(
    cfg: DictConfig, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = maps_folder(cases) / "class_weights.json"
    stored = json.loads(file.read_text())
    file.write_text(json.dumps(stored | {"class_weights": [0.25] * 4}))
    assert problems(cfg, capsys) == f"{file}: its weights do not follow from its voxel counts\n"
    file.write_text(json.dumps(stored | {"voxels": [1, 2, 3, 4]}))
    assert problems(cfg, capsys) == f"{file}: its voxel counts are not those of the cases\n"
    file.write_text("{")
    assert problems(cfg, capsys) == f"{file}: not valid JSON\n"


def test_folds_must_hold_every_case_once(
    cfg: DictConfig, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = cases.parent / "splits_final.json"
    folds = json.loads(file.read_text())
    leaking = [folds[0] | {"train": [*folds[0]["train"], folds[0]["val"][0]]}, *folds[1:]]
    file.write_text(json.dumps(leaking))
    assert problems(cfg, capsys) == f"{file}: fold 0: {folds[0]['val'][0]} is both trained on and held out\n"
    other = [folds[0] | {"val": ["stranger"]}, *folds[1:]]
    file.write_text(json.dumps(other))
    lines = problems(cfg, capsys, r": \d problems in 6 cases")
    assert f"{file}: stranger is not a case of the dataset\n" in lines
    assert f"{file}: {folds[0]['val'][0]} is held out in no fold\n" in lines
    file.unlink()
    with pytest.raises(UserError, match=r"splits_final.json is missing: preprocess the dataset again"):
        verify(cfg)


def test_a_lost_entry_is_a_case_that_is_not_there(
    cfg: DictConfig, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (maps_folder(cases) / "manifest" / f"{CASE}.json").unlink()
    lines = problems(cfg, capsys, r": \d problems in 5 cases")
    assert f"{cases.parent / 'splits_final.json'}: {CASE} is not a case of the dataset\n" in lines


def test_settings_must_be_those_that_the_cases_were_made_with(
    cfg: DictConfig, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = json.loads((cases.parent / "paperPlans.json").read_text())
    plans["configurations"]["3d_fullres"]["spacing"] = [1.0, 1.0, 1.0]
    (cases.parent / "paperPlans.json").write_text(json.dumps(plans))
    lines = problems(cfg, capsys, r": 6 problems in 6 cases")
    assert f"{CASE}: was preprocessed with other settings\n" in lines


@pytest.mark.parametrize(
    "name",
    [f"raw/Dataset512_PhantomBraTS/labelsTr/{CASE}.nii.gz", f"source/{CASE}/{CASE}_seg.nii.gz"],
    ids=["converted", "the user's own"],
)
def test_a_raw_file_that_has_changed_is_named(
    cfg: DictConfig, workspace: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    label = workspace / name
    times, content = label.stat(), label.read_bytes()
    label.write_bytes(content + b"\0")
    assert problems(cfg, capsys) == f"{label}: has changed since {CASE} was preprocessed\n"
    label.write_bytes(content)
    os.utime(label, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_dataset_that_is_not_there(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"paperPlans.json is missing: preprocess first \(make preprocess "):
        verify(configure(f"paths.preprocessed={tmp_path / 'nowhere'}"))
    with pytest.raises(UserError, match="configuration=3d_lowres: allowed are 2d, 3d_fullres"):
        verify(configure("configuration=3d_lowres"))
