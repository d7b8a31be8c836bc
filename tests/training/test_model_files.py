"""Model files: nothing in them is executed, damage is named, and predictions are nnU-Net's own."""

import json
import os
import pickle
import shutil
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor, predict_entry_point_modelfolder
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from omegaconf import DictConfig

from gsl_experiments.config import preprocessed_folder
from gsl_experiments.errors import UserError
from gsl_experiments.inference import load_model, make_predictor, predict, trained_folds
from gsl_experiments.training.model_files import read_checkpoint, read_dataset_json, read_plans

Configure = Callable[..., DictConfig]
CASE = "BraTS20_Phantom_001"


def checkpoint_of_nnunet() -> dict[str, Any]:
    """What nnU-Net's trainer saves: tensors, plain values, a device, and NumPy's numbers in the log."""
    return {
        "network_weights": OrderedDict(weight=torch.arange(6.0).reshape(2, 3)),
        "optimizer_state": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 3e-4}]},
        "grad_scaler_state": None,
        "logging": {
            "mean_fg_dice": [np.float64(0.25), np.float64("nan")],
            "train_losses": [np.float32(1.5)],
            "dice_per_class_or_region": [[np.float64(0.125), np.float64(0.5)]],
            "lrs": [0.01],
        },
        "_best_ema": np.float64(0.25),
        "current_epoch": 1,
        "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }


class Touch:
    """A pickle of this creates a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.file}",)


def test_a_checkpoint_of_nnunets_is_read_as_it_was_written(tmp_path: Path) -> None:
    content = checkpoint_of_nnunet()
    torch.save(content, tmp_path / "checkpoint.pth")
    read = read_checkpoint(tmp_path / "checkpoint.pth", torch.device("cpu"))
    assert torch.equal(read["network_weights"]["weight"], content["network_weights"]["weight"])
    assert read["optimizer_state"] == content["optimizer_state"]
    np.testing.assert_equal(read["logging"], content["logging"])
    assert type(read["logging"]["train_losses"][0]) is np.float32
    assert read["init_args"] == content["init_args"]
    assert read["inference_allowed_mirroring_axes"] == (0, 1, 2)


@pytest.mark.parametrize(
    "value",
    [
        *(np.dtype(code).type(1) for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"),
        np.arange(6.0).reshape(2, 3),
        np.arange(624, dtype=np.uint32),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.dtype}",
)
@pytest.mark.parametrize("numpy_1", [False, True], ids=["numpy2", "numpy1"])
def test_numpys_numbers_and_arrays_are_read(tmp_path: Path, value: Any, numpy_1: bool) -> None:
    file = tmp_path / "checkpoint.pth"
    torch.save(checkpoint_of_nnunet() | {"value": value}, file)
    if numpy_1:  # the same file by the module's former name
        rename_in_pickle(file, b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    read = read_checkpoint(file)["value"]
    assert read.dtype == value.dtype
    np.testing.assert_array_equal(read, value)


def rename_in_pickle(file: Path, before: bytes, after: bytes) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            assert not name.endswith("data.pkl") or before in content
            archive.writestr(name, content.replace(before, after) if name.endswith("data.pkl") else content)


@pytest.mark.parametrize("where", ["logging", "network_weights", "value"])
def test_a_checkpoint_that_would_run_a_command_is_refused_and_runs_none(tmp_path: Path, where: str) -> None:
    file, trace = tmp_path / "checkpoint.pth", tmp_path / "trace"
    content = checkpoint_of_nnunet()
    if where == "value":
        content[where] = Touch(trace)
    else:
        content[where]["extra"] = Touch(trace)
    torch.save(content, file)
    with pytest.raises(
        UserError, match=rf"^{file} is refused, and nothing of it was run: .*\.system, which"
    ) as e:
        read_checkpoint(file)
    assert "\n" not in str(e.value)
    assert not trace.exists()
    torch.load(file, weights_only=False)  # the file does what it was made for
    assert trace.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_pickle_that_would_run_a_command_runs_none(tmp_path: Path, protocol: int) -> None:
    file, trace = tmp_path / "checkpoint.pth", tmp_path / "trace"
    file.write_bytes(pickle.dumps(Touch(trace), protocol))
    with pytest.raises(UserError, match=rf"^{file} is .*nothing of it was run"):
        read_checkpoint(file)
    assert not trace.exists()


def test_a_numpy_object_array_smuggles_nothing_in(tmp_path: Path) -> None:
    file, trace = tmp_path / "checkpoint.pth", tmp_path / "trace"
    torch.save(checkpoint_of_nnunet() | {"value": np.array([Touch(trace)], dtype=object)}, file)
    with pytest.raises(UserError, match="nothing of it was run"):
        read_checkpoint(file)
    assert not trace.exists()


def test_a_checkpoint_cut_off_anywhere_is_named(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    torch.save(checkpoint_of_nnunet(), file)
    whole = file.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"^{file} is cut off, damaged or no checkpoint") as error:
            read_checkpoint(file)
        assert "\n" not in str(error.value)


def test_a_single_wrong_bit_of_a_weight_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    content = checkpoint_of_nnunet()
    weights = torch.rand(1000)
    torch.save(content | {"network_weights": {"weight": weights}}, file)
    whole = bytearray(file.read_bytes())
    whole[whole.index(weights.numpy().tobytes()) + 1000] ^= 1
    file.write_bytes(whole)
    torch.load(file, weights_only=False)  # PyTorch does not notice
    with pytest.raises(UserError, match=r"is cut off, damaged or no checkpoint.*wrong checksum"):
        read_checkpoint(file)


def test_what_is_no_checkpoint_of_nnunets(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    with pytest.raises(UserError, match=rf"^{file} is missing"):
        read_checkpoint(file)
    for content in (torch.zeros(3), {"network_weights": {}}):
        torch.save(content, file)
        with pytest.raises(UserError, match=rf"^{file} is no checkpoint of nnU-Net's"):
            read_checkpoint(file)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("nonlin", "subprocess.Popen"),
        ("nonlin", "torch.nn.no_such_module"),
        ("norm_op", "torch.nn.functional.relu"),
        ("conv_op", ["torch.nn.Conv3d"]),
        ("network_class_name", "os.system"),
    ],
)
def test_plans_that_would_call_something_else_than_a_network(tmp_path: Path, key: str, name: Any) -> None:
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "dropout_op": None,
            "nonlin": "torch.nn.LeakyReLU",
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    plans = {"dataset_name": "D", "plans_name": "p", "configurations": {"3d": {"architecture": architecture}}}
    file = tmp_path / "plans.json"
    file.write_text(json.dumps(plans))
    assert read_plans(tmp_path) == plans
    changed = architecture if key == "network_class_name" else architecture["arch_kwargs"]
    changed[key] = name
    file.write_text(json.dumps(plans))
    with pytest.raises(UserError, match=rf"^{file} is refused: the network would be built of"):
        read_plans(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing: a model folder holds"),
        ('{"configurations": {', "is damaged"),
        ("[]", "lacks"),
        ('{"labels": {}}', "lacks"),
        (b"\xff\xfe", "is damaged"),
    ],
)
def test_a_broken_description_is_named(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    for name, read in (("plans.json", read_plans), ("dataset.json", read_dataset_json)):
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UserError, match=rf"^{tmp_path / name} {message}"):
            read(tmp_path)


@pytest.fixture
def stock_model(configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a model of nnU-Net's own trainer: two folds with random weights, never trained."""
    cfg = configure(f"paths.results={tmp_path / 'results'}")
    monkeypatch.setenv("nnUNet_compile", "f")
    preprocessed = preprocessed_folder(cfg)
    plans = json.loads((preprocessed / "paperPlans.json").read_text())
    dataset_json = json.loads((preprocessed / "dataset.json").read_text())
    plans["continue_training"] = False
    for fold in (0, 1):
        torch.manual_seed(fold)
        trainer = nnUNetTrainer(dict(plans), "3d_fullres", fold, dataset_json, torch.device("cpu"))
        trainer.initialize()
        for key in ("mean_fg_dice", "train_losses", "val_losses"):
            trainer.logger.log(key, np.float32(0.5), 0)
        folder = Path(trainer.output_folder)
        folder.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(str(folder / "checkpoint_final.pth"))
    model = folder.parent
    (model / "plans.json").write_text(json.dumps(plans))
    (model / "dataset.json").write_text(json.dumps(dataset_json))
    return model


@pytest.fixture
def image(workspace: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for channel, contrast in enumerate(("t1", "t1ce", "t2", "flair")):
        source = workspace / "source" / CASE / f"{CASE}_{contrast}.nii.gz"
        shutil.copy(source, folder / f"{CASE}_{channel:04d}.nii.gz")
    return folder


@pytest.mark.parametrize("folds", [[0], [1], [0, 1]], ids=str)
def test_logits_are_stock_nnunets_bit_by_bit(
    configure: Configure, stock_model: Path, folds: list[int]
) -> None:
    plans, dataset_json = read_plans(stock_model), read_dataset_json(stock_model)
    ours = make_predictor(configure(), plans)
    checkpoints = [stock_model / f"fold_{fold}" / "checkpoint_final.pth" for fold in folds]
    load_model(ours, checkpoints, plans, dataset_json)
    stock = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    stock.initialize_from_trained_model_folder(str(stock_model), folds)
    assert ours.allowed_mirroring_axes == stock.allowed_mirroring_axes
    ours.allow_tqdm = False
    volume = torch.randn(4, 20, 30, 20, generator=torch.Generator().manual_seed(0))
    expected, found = (p.predict_logits_from_preprocessed_data(volume.clone()) for p in (stock, ours))
    assert torch.equal(found, expected)
    assert len(torch.unique(expected.argmax(0))) > 1


def test_label_images_are_those_of_nnunets_own_command(
    configure: Configure, stock_model: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensemble of two folds, from image files to label images; ours holds the raw dataset's 4 for nnU-Net's 3."""
    out = tmp_path / "ours"
    predict(configure(f"predict.model={stock_model}", f"predict.input={image}", f"predict.output={out}"))
    call = ["-i", str(image), "-o", str(tmp_path / "stock"), "-m", str(stock_model), "-f", "0", "1"]
    monkeypatch.setattr(
        sys, "argv", ["nnUNetv2_predict", *call, *["-device", "cpu", "-npp", "1", "-nps", "1"]]
    )
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)  # only once a process
    predict_entry_point_modelfolder()
    ours, stock = (sitk.ReadImage(str(tmp_path / by / f"{CASE}.nii.gz")) for by in ("ours", "stock"))
    expected = sitk.GetArrayFromImage(stock)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), np.where(expected == 3, 4, expected))
    for geometry in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(ours, geometry)() == getattr(stock, geometry)()


def test_prediction_refuses_a_hostile_model_before_it_writes(
    configure: Configure, stock_model: Path, image: Path, tmp_path: Path
) -> None:
    cfg = configure(
        f"predict.model={stock_model}", f"predict.input={image}", f"predict.output={tmp_path / 'out'}"
    )
    checkpoint = stock_model / "fold_1" / "checkpoint_final.pth"
    content = read_checkpoint(checkpoint)
    torch.save(content | {"extra": Touch(tmp_path / "trace")}, checkpoint)
    with pytest.raises(UserError, match=rf"^{checkpoint} is refused"):
        predict(cfg)
    torch.save(content | {"network_weights": {}}, checkpoint)
    with pytest.raises(UserError, match=r"do not fit its plans\.json .*Missing key"):
        predict(cfg)
    torch.save(
        content | {"trainer_name": "nnUNetTrainerOfSomebody"}, stock_model / "fold_0" / checkpoint.name
    )
    with pytest.raises(UserError, match=r"do not fit its plans\.json .*nnUNetTrainerOfSomebody"):
        predict(cfg)
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "out").exists()


def test_a_model_of_all_cases(configure: Configure, stock_model: Path) -> None:
    """nnU-Net's fold `all` is taken where there is no other."""
    assert trained_folds(configure(), stock_model) == [0, 1]
    (stock_model / "fold_0").rename(stock_model / "fold_all")
    assert trained_folds(configure(), stock_model) == [1]
    shutil.rmtree(stock_model / "fold_1")
    assert trained_folds(configure(), stock_model) == ["all"]
    with pytest.raises(UserError, match="holds no trained fold"):
        trained_folds(configure("fold=0"), stock_model)
