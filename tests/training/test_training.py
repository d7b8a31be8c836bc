"""From preprocessed cases to predictions, on a phantom small enough for seconds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from omegaconf import DictConfig
from training_runs import make_trainer

from gsl_experiments.config import model_folder, preprocessed_folder
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.stage import preprocess
from gsl_experiments.training.experiment import write_experiment_plans
from gsl_experiments.training.fold import held_out_cases, is_finished
from gsl_experiments.training.held_out import share_of
from gsl_experiments.training.launch import train
from gsl_experiments.training.trainer import nnUNetTrainerGSL

Configure = Callable[..., DictConfig]


def on_the_workspaces_data(protocol: str) -> list[str]:
    """Overrides for a protocol's training, on the data that the workspace has preprocessed for another one."""
    planning = {"plans_name": "paperPlans", "target_spacing": "paper", "zscore_on_nonzero": "true"}
    planning |= {"batch_size": "2", "patch_size": "[16,24,16]", "base_features": "4"}
    return [f"protocol={protocol}", *(f"planning.{key}={value}" for key, value in planning.items())]


def log_of(fold_folder: Path) -> dict[str, list[float]]:
    # our own checkpoint of a moment ago: nnU-Net stores NumPy numbers in it
    return torch.load(fold_folder / "checkpoint_final.pth", weights_only=False)["logging"]


@pytest.mark.parametrize("protocol", ["paper", "released_code", "nnunet"])
@pytest.mark.parametrize(
    ("loss", "schedule"),
    [
        ("dl", None),
        ("dice_ce", None),
        ("gdl", None),
        ("hl", "linear"),
        ("bl", "cosine"),
        ("gsl", "linear"),
        ("gsl", "step5"),
        ("gsl", "step25"),
        ("gsl", "step50"),
        ("gsl", "cosine"),
        ("gsl", "constant"),
    ],
)
def test_a_step_of_every_loss_changes_the_network(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, loss: str, schedule: str | None, protocol: str
) -> None:
    chosen = [f"loss={loss}", "suffix=step", "training.epochs=120", *on_the_workspaces_data(protocol)]
    cfg = configure(*chosen, *([f"schedule={schedule}"] if schedule else []))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    trainer = make_trainer(cfg)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    trainer.loss.alpha = 0.5
    before = [p.detach().clone() for p in trainer.network.parameters()]
    batch = next(trainer.dataloader_train)
    assert (batch["dtm"] is None) == (schedule is None)
    outcome = trainer.train_step(batch)
    assert all(np.isfinite(value) for value in outcome.values())
    changed = [not torch.equal(b, p) for b, p in zip(before, trainer.network.parameters(), strict=True)]
    assert sum(changed) > len(changed) / 2
    if schedule is not None:
        expected = 0.5 * outcome["region"] + 0.5 * outcome["boundary"]
        np.testing.assert_allclose(outcome["loss"], expected, rtol=1e-5)


def test_batches_hold_the_map_of_their_labels(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """A voxel lies inside its own class (D <= 0) and outside every other (D > 0); no augmentation in validation."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    trainer = make_trainer(configure("loss=gsl", "suffix=batch"))
    trainer.on_train_start()
    for _ in range(4):
        batch = next(trainer.dataloader_val)
        inside_image = (batch["data"] != 0).any(1, keepdim=True)
        onehot = torch.zeros_like(batch["dtm"]).scatter_(1, batch["target"].long(), 1)
        assert (batch["dtm"][(onehot == 1) & inside_image] <= 0).all()
        assert (batch["dtm"][(onehot == 0) & inside_image] > 0).all()


def test_pseudo_dice_counts_false_positives_in_the_padding(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patch's second half is padding: background, image and maps 0. What is predicted there is wrong.

    class   right   wrong             missed   Dice
    1       1       1 in the padding  1        2 / (2 + 1 + 1) = 1/2
    2       2       1 in the padding  0        4 / (4 + 1 + 0) = 4/5
    3       1       1 in the image    1        2 / (2 + 1 + 1) = 1/2
    """
    trainer = make_trainer(configure("loss=gsl", "suffix=pseudo_dice"))
    trainer.initialize()
    target = torch.tensor([[1, 1, 2, 2, 3, 3, 0, 0], 8 * [0]]).view(1, 1, 2, 2, 4)
    predicted = torch.tensor([[1, 0, 2, 2, 3, 0, 0, 3], [1, 0, 2, 0, 0, 0, 0, 0]]).view(1, 1, 2, 2, 4)
    image = torch.ones(1, 4, 2, 2, 4)
    image[:, :, 1] = 0
    logits = torch.zeros(1, 4, 2, 2, 4).scatter_(1, predicted, 1)
    monkeypatch.setattr(trainer, "network", lambda data: logits)
    outputs = trainer.validation_step({"data": image, "target": target, "dtm": 5 * image})
    assert [outputs[count].tolist() for count in ("tp_hard", "fp_hard", "fn_hard")] == [
        [1, 2, 1],
        [1, 1, 1],
        [1, 0, 1],
    ]
    trainer.on_validation_epoch_end([outputs])
    logged = {
        name: trainer.logger.get_value(name, step=0) for name in ("dice_per_class_or_region", "mean_fg_dice")
    }
    assert logged["dice_per_class_or_region"] == pytest.approx([1 / 2, 4 / 5, 1 / 2])
    assert logged["mean_fg_dice"] == pytest.approx(3 / 5)


def test_a_run_from_training_to_predictions(configure: Configure, workspace: Path) -> None:
    cfg = configure("loss=gsl", "schedule=linear", "fold=0", "training.epochs=3")
    train(cfg)
    fold_folder = model_folder(cfg) / "fold_0"
    log = log_of(fold_folder)
    assert log["alpha"] == [1.0, 0.5, 0.0]
    for epoch, alpha in enumerate(log["alpha"]):
        total = alpha * log["region_losses"][epoch] + (1 - alpha) * log["boundary_losses"][epoch]
        np.testing.assert_allclose(log["train_losses"][epoch], total, rtol=1e-4)

    held_out = held_out_cases(preprocessed_folder(cfg), 0)
    assert is_finished(fold_folder, held_out, ".nii.gz")
    for case in held_out:
        prediction = sitk.ReadImage(str(fold_folder / "validation" / f"{case}.nii.gz"))
        original = sitk.ReadImage(str(workspace / "source" / case / f"{case}_seg.nii.gz"))
        assert prediction.GetSize() == original.GetSize()
        for geometry in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(
                getattr(prediction, geometry)(), getattr(original, geometry)(), atol=1e-5
            )

    provenance = json.loads((fold_folder / "provenance.json").read_text())
    assert provenance["packages"]["nnunetv2"] == "2.8.1"
    assert provenance["config"]["boundary_term"]["_target_"].endswith("GeneralizedSurfaceLoss")
    assert provenance["config"]["seed"] == 42

    stamp = (fold_folder / "checkpoint_final.pth").stat().st_mtime_ns
    train(cfg)
    assert (fold_folder / "checkpoint_final.pth").stat().st_mtime_ns == stamp, (
        "a finished fold was trained again"
    )


@pytest.mark.parametrize("protocol", ["released_code", "nnunet"])
def test_a_fold_of_the_other_protocols(configure: Configure, protocol: str) -> None:
    """Inner split, constant blending and no mirroring for one; SGD, clipping and deep supervision for the other."""
    length = ["training.epochs=8", "training.iterations_per_epoch=2", "training.val_iterations_per_epoch=1"]
    cfg = configure("loss=gsl", "schedule=linear", "fold=0", *length, *on_the_workspaces_data(protocol))
    train(cfg)
    held_out = held_out_cases(preprocessed_folder(cfg), 0)
    assert is_finished(model_folder(cfg) / "fold_0", held_out, ".nii.gz")


def test_a_broken_off_run_continues_with_its_next_epoch(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = configure("loss=gsl", "schedule=linear", "fold=1", "training.epochs=4", "suffix=resumed")
    start_epoch = nnUNetTrainerGSL.on_train_epoch_start
    started = []

    def fail_in_epoch_2(trainer: nnUNetTrainerGSL) -> None:
        if trainer.current_epoch == 2 and not started:
            started.append(2)
            raise KeyboardInterrupt
        start_epoch(trainer)

    monkeypatch.setattr(nnUNetTrainerGSL, "on_train_epoch_start", fail_in_epoch_2)
    with pytest.raises(KeyboardInterrupt):
        train(cfg)
    fold_folder = model_folder(cfg) / "fold_1"
    assert not (fold_folder / "checkpoint_final.pth").exists()

    epochs = []
    monkeypatch.setattr(
        nnUNetTrainerGSL, "on_train_epoch_start", lambda t: (epochs.append(t.current_epoch), start_epoch(t))
    )
    train(cfg)
    assert epochs == [2, 3]
    np.testing.assert_allclose(log_of(fold_folder)["alpha"], [1, 2 / 3, 1 / 3, 0])


def test_missing_predictions_are_made_without_training_again(configure: Configure) -> None:
    cfg = configure("loss=dl", "fold=2", "training.epochs=1")
    train(cfg)
    fold_folder = model_folder(cfg) / "fold_2"
    case = held_out_cases(preprocessed_folder(cfg), 2)[0]
    prediction = fold_folder / "validation" / f"{case}.nii.gz"
    content, stamp = prediction.read_bytes(), (fold_folder / "checkpoint_final.pth").stat().st_mtime_ns
    prediction.unlink()
    for rank in (0, 1):  # as a call with two processes leaves them that is killed while it writes
        (fold_folder / "validation" / f".partial_{rank}").mkdir()
        (fold_folder / "validation" / f".partial_{rank}" / f"{case}.nii.gz").write_bytes(b"half")
    train(cfg)
    assert prediction.read_bytes() == content
    assert not list((fold_folder / "validation").glob(".partial_*"))
    assert (fold_folder / "checkpoint_final.pth").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("name", ["summary.txt", "validation/summary.json"])
def test_a_missing_summary_is_written_without_training_again(configure: Configure, name: str) -> None:
    cfg = configure("loss=dl", "fold=3", "training.epochs=1")
    train(cfg)
    fold_folder = model_folder(cfg) / "fold_3"
    final = (fold_folder / "checkpoint_final.pth").stat().st_mtime_ns
    (fold_folder / name).unlink()
    train(cfg)
    assert (fold_folder / name).exists()
    assert (fold_folder / "checkpoint_final.pth").stat().st_mtime_ns == final


def test_the_2d_configuration_trains(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of the image, of its labels and of their maps; a map knows the distance to other slices too."""
    cfg = configure(
        "loss=gsl", "configuration=2d", "planning.patch_size=[24,16]", "suffix=2d", "training.epochs=2"
    )
    preprocess(cfg)
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    trainer = make_trainer(cfg)
    trainer.run_training()
    batch = next(trainer.get_dataloaders()[1])
    assert batch["dtm"].shape == (2, 4, 24, 16)
    assert np.isfinite(trainer.logger.get_value("train_losses", step=None)).all()


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("number", [0, 1, 2, 5, 8])
def test_every_held_out_case_is_predicted_once(number: int, processes: int) -> None:
    cases = [f"case_{i}" for i in range(number)]
    shares = [share_of(cases, rank, processes) for rank in range(processes)]
    assert sorted(case for share in shares for case in share) == cases
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_two_processes_share_a_batch(configure: Configure) -> None:
    cfg = configure("loss=gsl", "fold=0", "training.epochs=3", "suffix=ddp", "cpu_processes=2")
    train(cfg)
    fold_folder = model_folder(cfg) / "fold_0"
    assert is_finished(fold_folder, held_out_cases(preprocessed_folder(cfg), 0), ".nii.gz")
    assert log_of(fold_folder)["alpha"] == [1.0, 0.5, 0.0]
    assert not list(fold_folder.glob("*.partial"))


def test_only_the_first_process_writes_checkpoints(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second process that renames the first one's unfinished file would undo the care taken to write it."""
    trainer = make_trainer(configure("loss=dl", "suffix=rank"))
    (tmp_path / "checkpoint.pth.partial").write_text("half written by the first process")
    monkeypatch.setattr(trainer, "local_rank", 1)
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pth.partial"]


def test_a_batch_that_cannot_be_split(configure: Configure) -> None:
    cfg = configure("loss=gsl", "fold=0", "training.epochs=1", "suffix=ddp3", "cpu_processes=3")
    with pytest.raises(UserError, match="cpu_processes=3: a batch of 2 cannot be split over 3 processes"):
        train(cfg)


def test_the_inner_split_never_holds_a_test_case(configure: Configure) -> None:
    cfg = configure("loss=dl", "suffix=inner", "training.inner_validation=0.34")
    trainer = make_trainer(cfg)
    chosen, inner = (set(dataset.identifiers) for dataset in trainer.get_tr_and_val_datasets())
    outer_train, outer_test = (set(keys) for keys in trainer.do_split())
    assert chosen | inner == outer_train
    assert not chosen & inner
    assert not inner & outer_test


def test_the_best_epoch_on_the_inner_split_is_the_final_checkpoint(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nnUNetTrainerGSL, "perform_actual_validation", lambda self: None)
    monkeypatch.setattr("gsl_experiments.training.launch.write_fold_summary", lambda folder: "")
    validate = nnUNetTrainerGSL.on_validation_epoch_end

    def first_epoch_is_best(trainer: nnUNetTrainerGSL, outputs: list[dict[str, np.ndarray]]) -> None:
        validate(trainer, outputs)
        trainer.logger.local_logger.my_fantastic_logging["ema_fg_dice"][-1] = 1 - 0.1 * trainer.current_epoch

    monkeypatch.setattr(nnUNetTrainerGSL, "on_validation_epoch_end", first_epoch_is_best)
    cfg = configure("loss=dl", "fold=0", "suffix=best", "training.inner_validation=0.34", "training.epochs=3")
    train(cfg)
    fold_folder = model_folder(cfg) / "fold_0"
    final, best = (
        torch.load(fold_folder / f"checkpoint_{which}.pth", weights_only=False) for which in ("final", "best")
    )
    assert best["current_epoch"] == 1
    for key, weights in best["network_weights"].items():
        assert torch.equal(final["network_weights"][key], weights)
    assert len(final["logging"]["train_losses"]) == 3
    assert json.loads((fold_folder / "provenance.json").read_text())["training_seconds"] > 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("training.epochs=2", r"epochs was 1 and is 2"),
        ("planning.batch_size=4", r"planning\.batch_size was 2 and is 4"),
        ("planning.base_features=8", r"planning\.architecture\.arch_kwargs\.features_per_stage was"),
    ],
)
def test_a_name_is_not_used_twice_for_different_settings(
    configure: Configure, option: str, message: str
) -> None:
    chosen = ["loss=gdl", "fold=0", "suffix=twice", "training.epochs=1"]
    train(configure(*chosen))
    with pytest.raises(UserError, match=rf"gdl_twice is already there with other settings \({message}"):
        train(configure(*chosen, option))


@pytest.mark.parametrize(
    "option",
    [
        "loss.boundary._target_=no.such.Loss",
        "training.optimizer._target_=torch.no",
        "region_terms.dice_ce=null",
    ],
)
def test_what_the_configuration_names_is_built_before_anything_is_written(
    configure: Configure, option: str
) -> None:
    cfg = configure("loss=gsl", "suffix=slip", option)
    with pytest.raises(
        UserError, match=rf"{option.split('=')[0].removesuffix('._target_')}: cannot be built"
    ):
        write_experiment_plans(cfg)
    assert not (preprocessed_folder(cfg) / "gsl_linear_slip.json").exists()


def test_a_damaged_checkpoint_is_named(configure: Configure) -> None:
    cfg = configure("loss=bl", "schedule=linear", "fold=0", "suffix=damaged")
    latest = model_folder(cfg) / "fold_0" / "checkpoint_latest.pth"
    latest.parent.mkdir(parents=True)
    latest.write_bytes(b"PK half of a checkpoint")
    with pytest.raises(
        UserError, match=rf"{latest} is cut off.*no older checkpoint is whole: delete {latest.parent}"
    ):
        train(cfg)


def test_training_before_preprocessing(configure: Configure) -> None:
    with pytest.raises(UserError, match=r"paperPlans.json is missing: preprocess first"):
        write_experiment_plans(configure("dataset.nnunet_name=Dataset599_Nowhere"))


def test_plans_without_an_experiment_are_refused(configure: Configure) -> None:
    cfg = configure()
    plans = json.loads((preprocessed_folder(cfg) / "paperPlans.json").read_text())
    with pytest.raises(UserError, match="paperPlans carry no experiment"):
        nnUNetTrainerGSL(plans, "3d_fullres", 0, {}, torch.device("cpu"))


def test_all_runs_share_one_preprocessed_copy(configure: Configure) -> None:
    plans = [write_experiment_plans(configure(f"loss={loss}", "suffix=shared")) for loss in ("dl", "gsl")]
    assert plans[0]["plans_name"] != plans[1]["plans_name"]
    identifiers = {p["configurations"]["3d_fullres"]["data_identifier"] for p in plans}
    assert identifiers == {"paperPlans_3d_fullres"}
