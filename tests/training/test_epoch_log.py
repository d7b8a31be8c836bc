"""The records of a training's epochs: one row and one point an epoch, also after a resumed training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gsl_experiments.errors import UserError
from gsl_experiments.training.epoch_log import EpochLog, EpochRecords, read_epochs


def log_an_epoch(log: EpochLog, epoch: int, **changed: object) -> None:
    """Log what nnU-Net and this project's trainer do, with NumPy's numbers as they do."""
    values: dict[str, object] = {
        "train_losses": np.float32(0.5),
        "val_losses": np.float64(0.75),
        "region_losses": 0.25,
        "boundary_losses": 0.125,
        "alpha": 1.0,
        "lrs": 3e-4,
        "mean_fg_dice": np.float64(0.625),
        "ema_fg_dice": np.float64(0.875),
        "dice_per_class_or_region": [np.float64(0.25), np.float64(1.0)],
        "epoch_start_timestamps": 1000.0,
        "epoch_end_timestamps": 1002.5,
    }
    for key, value in (values | changed).items():
        log.log(key, value, epoch)


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """Read the points of a curve as TensorBoard shows them."""
    accumulator = EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


def test_the_values_of_an_epoch_are_flat_and_plain() -> None:
    log = EpochLog(2)
    log_an_epoch(log, 0)
    log_an_epoch(log, 1, train_losses=np.float32(0.25), epoch_end_timestamps=1001.0)
    assert log.values(0) == {
        "train_loss": 0.5,
        "region_loss": 0.25,
        "boundary_loss": 0.125,
        "val_loss": 0.75,
        "alpha": 1.0,
        "learning_rate": 3e-4,
        "pseudo_dice": 0.625,
        "pseudo_dice_average": 0.875,
        "pseudo_dice_1": 0.25,
        "pseudo_dice_2": 1.0,
        "seconds": 2.5,
    }
    assert log.values(1)["train_loss"] == 0.25
    assert log.values(1)["seconds"] == 1.0
    for values in log.get_checkpoint().values():
        for value in values:
            assert all(type(v) is float for v in (value if isinstance(value, list) else [value]))


def test_an_epoch_without_foreground_leaves_the_average() -> None:
    log = EpochLog(2)
    log_an_epoch(log, 0, ema_fg_dice=np.nan)
    assert log.values(0)["pseudo_dice_average"] == 0
    log_an_epoch(log, 1, ema_fg_dice=0.5)
    log_an_epoch(log, 2, ema_fg_dice=np.nan)
    assert log.values(2)["pseudo_dice_average"] == 0.5


def test_a_picture_a_minute_and_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("gsl_experiments.training.epoch_log.monotonic", lambda: now)
    log = EpochLog(5)
    log._drawn_at = -61.0
    drawn = []
    for epoch, now in enumerate((0.0, 30.0, 59.0, 61.0, 62.0)):  # noqa: B007 - the clock reads it
        log_an_epoch(log, epoch)
        log.plot_progress_png(str(tmp_path))
        picture = tmp_path / "progress.png"
        if picture.exists():
            drawn.append(epoch)
            picture.unlink()
    assert drawn == [0, 3, 4]


def test_rows_and_points_of_a_resumed_training(tmp_path: Path) -> None:
    """Killed in epoch 4 after a checkpoint of epoch 2: epochs 3 and 4 are recorded again, with other values."""
    first = EpochRecords(tmp_path)
    for epoch in range(5):
        first.write(epoch, {"train_loss": 10.0 + epoch, "alpha": 1 - epoch / 10})
    second = EpochRecords(tmp_path, resume_epoch=3)  # the first was not closed
    for epoch in range(3, 6):
        second.write(epoch, {"train_loss": 20.0 + epoch, "alpha": 1 - epoch / 10})
    second.close()

    table = pd.read_csv(tmp_path / "epochs.csv")
    assert list(table.columns) == ["epoch", "train_loss", "alpha"]
    assert list(table["epoch"]) == [0, 1, 2, 3, 4, 5]
    assert list(table["train_loss"]) == [10, 11, 12, 23, 24, 25]
    np.testing.assert_allclose(table["alpha"], [1, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert scalars(tmp_path, "loss/train_loss") == [(0, 10), (1, 11), (2, 12), (3, 23), (4, 24), (5, 25)]
    assert (tmp_path / "epochs.csv").read_text().count("train_loss") == 1


def test_epochs_of_the_checkpoint_that_lack_a_record_are_added(tmp_path: Path) -> None:
    """Killed between the checkpoint of epoch 1 and its record."""
    log = EpochLog(3)
    for epoch, loss in enumerate((3.0, 2.0)):
        log_an_epoch(log, epoch, train_losses=loss)
    first = EpochRecords(tmp_path)
    first.write(0, {"train_loss": 30.0})  # what was recorded stays
    second = EpochRecords(tmp_path, resume_epoch=2)
    second.complete(log, 2)
    second.write(2, {"train_loss": 1.0})
    second.close()
    table = read_epochs(tmp_path / "epochs.csv")
    assert {epoch: row["train_loss"] for epoch, row in table.items()} == {0: 30.0, 1: 2.0, 2: 1.0}
    assert scalars(tmp_path, "loss/train_loss") == [(0, 30.0), (1, 2.0), (2, 1.0)]


def test_a_training_from_the_start_keeps_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    for values in ([1.0, 2.0, 3.0], [4.0]):
        records = EpochRecords(tmp_path)
        for epoch, value in enumerate(values):
            records.write(epoch, {"train_loss": value})
        records.close()
    assert read_epochs(tmp_path / "epochs.csv") == {0: {"train_loss": 4.0}}
    assert scalars(tmp_path, "loss/train_loss") == [(0, 4.0)]


def test_a_class_that_is_nowhere_is_empty_in_tensorboard_and_nan_in_the_table(tmp_path: Path) -> None:
    records = EpochRecords(tmp_path)
    records.write(0, {"pseudo_dice_1": float("nan")})
    records.write(1, {"pseudo_dice_1": 0.5, "added_later": 1.0})
    records.close()
    assert scalars(tmp_path, "pseudo_dice/pseudo_dice_1") == [(1, 0.5)]
    table = pd.read_csv(tmp_path / "epochs.csv")
    assert table["pseudo_dice_1"].isna().tolist() == [True, False]
    assert table["added_later"].isna().tolist() == [True, False]
    assert "added_later" not in read_epochs(tmp_path / "epochs.csv")[0]


def test_a_changed_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "epochs.csv").write_text("my notes\n1\n")
    with pytest.raises(UserError, match=rf"{tmp_path / 'epochs.csv'} is not as it was written"):
        EpochRecords(tmp_path, resume_epoch=2)
