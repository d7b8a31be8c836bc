"""The stages behind a training: tables, prediction of new images, evaluation of folders, nnU-Net's own commands."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813
from omegaconf import DictConfig

from gsl_experiments import EXT_TRAINER
from gsl_experiments.config import model_folder, preprocessed_folder
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.stage import evaluate
from gsl_experiments.inference import predict
from gsl_experiments.preprocessing.stage import preprocess
from gsl_experiments.reporting.stage import make_tables
from gsl_experiments.training.experiment import write_experiment_plans
from gsl_experiments.training.fold import held_out_cases
from gsl_experiments.training.launch import train

Configure = Callable[..., DictConfig]
CASES = ("BraTS20_Phantom_001", "BraTS20_Phantom_002")
GSL = ["loss=gsl", "schedule=linear", "training.epochs=2", "fold=[0,1]"]
DICE_CE = ["loss=dice_ce", "training.epochs=2", "fold=0"]


@pytest.fixture
def configure(configure: Configure, workspace: Path) -> Configure:
    """Keep the runs of this module apart from those of the other tests."""
    return lambda *overrides: configure(f"paths.results={workspace / 'pipeline_results'}", *overrides)


@pytest.fixture
def images(workspace: Path, tmp_path: Path) -> Path:
    """Two new cases, named as nnU-Net wants them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for case in CASES:
        for channel, contrast in enumerate(("t1", "t1ce", "t2", "flair")):
            source = workspace / "source" / case / f"{case}_{contrast}.nii.gz"
            shutil.copy(source, folder / f"{case}_{channel:04d}.nii.gz")
    return folder


def labels_in(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


def test_from_runs_to_tables(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    for chosen in (GSL, DICE_CE):
        train(configure(*chosen))
    capsys.readouterr()
    cfg = configure()
    make_tables(cfg)
    printed = capsys.readouterr().out

    metrics = pd.read_csv(model_folder(configure(*GSL)) / "metrics.csv")
    cases = [c for fold in (0, 1) for c in held_out_cases(preprocessed_folder(cfg), fold)]
    assert sorted(metrics["case"].unique()) == sorted(cases)
    assert set(metrics["region"]) == {"Whole Tumor", "Tumor Core", "Enhancing Tumor"}

    tables = Path(cfg.paths.tables) / "phantom_brats"
    table = (tables / "table1.md").read_text()
    assert "Table 1: losses, protocol paper" in printed
    assert str(tables) in printed
    assert "2/5 folds" in table
    assert "1/5 folds" in table
    assert (tables / "table1.tex").exists()
    provenance = json.loads((tables / "provenance.json").read_text())[
        "nnUNetTrainerGSL__gsl_linear__3d_fullres"
    ]
    assert set(provenance) == {"fold_0", "fold_1"}
    assert provenance["fold_0"]["training_seconds"] > 0
    tidy = pd.read_csv(tables / "table1.csv")
    row = tidy[(tidy["variant"] == "GSL") & (tidy["region"] == "Whole Tumor") & (tidy["metric"] == "dice")]
    expected = metrics[metrics["region"] == "Whole Tumor"]["dice"]
    np.testing.assert_allclose(row["mean"].item(), expected.mean())
    np.testing.assert_allclose(row["std"].item(), expected.std(ddof=0))


def test_a_training_leaves_the_process_able_to_plan(configure: Configure) -> None:
    """nnU-Net's planning divides by the number of loaders, which a training in the foreground sets to 0."""
    train(configure(*DICE_CE))
    preprocess(configure())


def test_new_images_are_predicted_in_original_labels_and_geometry(
    configure: Configure, images: Path, workspace: Path, tmp_path: Path
) -> None:
    train(configure(*GSL))
    cfg = configure(*GSL, f"predict.input={images}", f"predict.output={tmp_path / 'out'}")
    predict(cfg)
    for case in CASES:
        prediction = sitk.ReadImage(str(tmp_path / "out" / f"{case}.nii.gz"))
        original = sitk.ReadImage(str(workspace / "source" / case / f"{case}_seg.nii.gz"))
        assert prediction.GetSize() == original.GetSize()
        np.testing.assert_allclose(prediction.GetOrigin(), original.GetOrigin(), atol=1e-5)
        assert set(np.unique(sitk.GetArrayFromImage(prediction))) <= {0, 1, 2, 4}
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [
        *(f"{case}.nii.gz" for case in CASES),
        "provenance.json",
    ]

    stamp = (tmp_path / "out" / f"{CASES[0]}.nii.gz").stat().st_mtime_ns
    (tmp_path / "out" / f"{CASES[1]}.nii.gz").unlink()
    predict(cfg)
    assert (tmp_path / "out" / f"{CASES[0]}.nii.gz").stat().st_mtime_ns == stamp
    assert (tmp_path / "out" / f"{CASES[1]}.nii.gz").exists()


def test_prediction_names_what_is_missing(configure: Configure, images: Path, tmp_path: Path) -> None:
    train(configure(*DICE_CE))
    with pytest.raises(UserError, match="holds no trained fold"):
        predict(configure("loss=hl", "suffix=untrained"))
    with pytest.raises(UserError, match=r"predict\.input is not set: call with INPUT=folder"):
        predict(configure(*DICE_CE))
    output = f"predict.output={tmp_path / 'out'}"
    with pytest.raises(UserError, match="no files named CASE_0000"):
        predict(configure(*DICE_CE, f"predict.input={tmp_path}", output))
    (images / f"{CASES[1]}_0002.nii.gz").unlink()
    with pytest.raises(UserError, match=rf"{CASES[1]}_0002.nii.gz is missing: channel 2 \(T2\)"):
        predict(configure(*DICE_CE, f"predict.input={images}", output))
    assert not (tmp_path / "out").exists()


def test_two_folders_are_compared_in_original_labels(
    configure: Configure, workspace: Path, tmp_path: Path
) -> None:
    """References against themselves, enhancing tumour stored as 4: Dice 1, HD95 and ASD 0."""
    references = tmp_path / "references"
    references.mkdir()
    for case in CASES:
        shutil.copy(workspace / "source" / case / f"{case}_seg.nii.gz", references / f"{case}.nii.gz")
    folders = [f"evaluate.predictions={references}", f"evaluate.references={references}"]
    output = tmp_path / "metrics.csv"
    evaluate(configure(*folders, f"evaluate.output={output}"))
    table = pd.read_csv(output)
    assert len(table) == len(CASES) * 3
    assert (table["dice"] == 1).all()
    assert (table[["hd95_mm", "asd_mm"]] == 0).all(axis=None)
    for case in CASES:
        enhancing = table[(table["case"] == case) & (table["region"] == "Enhancing Tumor")]
        image = sitk.ReadImage(str(references / f"{case}.nii.gz"))
        volume = (sitk.GetArrayFromImage(image) == 4).sum() * np.prod(image.GetSpacing()) / 1000
        np.testing.assert_allclose(enhancing["reference_ml"].item(), volume)

    image = sitk.ReadImage(str(references / f"{CASES[0]}.nii.gz"))
    sitk.WriteImage(image * 0 + 3, str(references / f"{CASES[0]}.nii.gz"))
    with pytest.raises(UserError, match=rf"{CASES[0]}.nii.gz: label 3 where only \[0, 1, 2, 4\] are known"):
        evaluate(configure(*folders, f"evaluate.output={output}"))


def test_nnunets_own_commands_train_and_predict_our_runs(
    configure: Configure, workspace: Path, images: Path, tmp_path: Path
) -> None:
    cfg = configure("loss=gsl", "schedule=linear", "training.epochs=2", "suffix=stock")
    write_experiment_plans(cfg)

    def nnunet(command: str, *arguments: str) -> None:
        call = [str(Path(sys.executable).parent / command), *arguments, "-device", "cpu"]
        environment = os.environ | {"nnUNet_extTrainer": EXT_TRAINER, "nnUNet_n_proc_DA": "1"}
        outcome = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr

    experiment = ["-tr", "nnUNetTrainerGSL", "-p", "gsl_linear_stock"]
    nnunet("nnUNetv2_train", "512", "3d_fullres", "0", *experiment)
    model = model_folder(cfg)
    case = held_out_cases(preprocessed_folder(cfg), 0)[0]
    assert (model / "fold_0" / "checkpoint_final.pth").exists()
    assert (model / "fold_0" / "validation" / f"{case}.nii.gz").exists()

    common = ["-i", str(images), "-f", "0", "-npp", "1", "-nps", "1"]
    by_name, by_folder = tmp_path / "by_name", tmp_path / "by_folder"
    nnunet("nnUNetv2_predict", *common, "-o", str(by_name), "-d", "512", "-c", "3d_fullres", *experiment)
    nnunet("nnUNetv2_predict_from_modelfolder", *common, "-o", str(by_folder), "-m", str(model))
    for name in CASES:
        np.testing.assert_array_equal(
            labels_in(by_name / f"{name}.nii.gz"), labels_in(by_folder / f"{name}.nii.gz")
        )
