"""What the console shows of a training: a bar on a terminal, a line an epoch in a file."""

import io
import re
import sys

import pytest

from gsl_experiments.training.progress import TrainingProgress, duration

VALUES = {"train_loss": 0.5, "region_loss": 0.75, "boundary_loss": 0.25, "alpha": 0.5, "pseudo_dice": 0.8125}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set by the test."""
    now = [0.0]
    monkeypatch.setattr("gsl_experiments.training.progress.monotonic", lambda: now[0])
    return now


def redirect(monkeypatch: pytest.MonkeyPatch, stdout: io.StringIO, stderr: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", stderr)


def test_a_file_gets_a_line_an_epoch(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """Two steps a second, three of the ten epochs done: 7 epochs x 60 steps / 2 = 210 s, about 4 minutes."""
    out, err = io.StringIO(), io.StringIO()
    redirect(monkeypatch, out, err)
    progress = TrainingProgress("gsl_step5 fold 0", epochs=10, steps_per_epoch=60)
    for epoch in range(3):
        for _ in range(60):
            clock[0] += 0.5
            progress.step(loss=1.0, region=1.0, boundary=1.0, alpha=0.5)
        progress.epoch(VALUES | {"pseudo_dice": float("nan") if epoch == 0 else 0.8125})
    progress.close()
    lines = out.getvalue().splitlines()
    assert err.getvalue() == ""
    assert "\r" not in out.getvalue()
    assert len(lines) == 3
    described = "loss 0.5000, region 0.7500, boundary 0.2500, alpha 0.500"
    assert lines[0] == f"gsl_step5 fold 0: epoch 1/10, {described}, 2 steps/s, 4 min left"
    assert lines[2] == (
        f"gsl_step5 fold 0: epoch 3/10, {described}, pseudo Dice 0.8125, 2 steps/s, 4 min left"
    )


def test_a_terminal_gets_a_bar_with_the_epochs_means(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Terminal(), Terminal()
    redirect(monkeypatch, out, err)
    progress = TrainingProgress("dl fold 1", epochs=2, steps_per_epoch=2)
    for losses in ((1.0, 0.5, 0.25), (2.0, 1.0, 0.75)):
        progress.step(**dict(zip(("loss", "region", "boundary"), losses, strict=True)), alpha=0.75)
    progress._bar.refresh()
    shown = err.getvalue().split("\r")[-1]
    assert "dl fold 1:  50%" in shown
    assert "2/4" in shown
    assert "epoch 1/2, loss 1.5000, region 0.7500, boundary 0.5000, alpha 0.750" in shown
    assert "pseudo Dice" not in shown
    progress.epoch(VALUES)
    assert "pseudo Dice 0.8125" in err.getvalue().split("\r")[-1]
    progress.step(loss=4.0, region=4.0, boundary=4.0, alpha=0.5)
    progress._bar.refresh()
    shown = err.getvalue().split("\r")[-1]
    assert "epoch 2/2, loss 4.0000" in shown
    assert "pseudo Dice 0.8125" in shown
    progress.close()
    assert out.getvalue() == ""


def test_a_bar_and_lines_where_only_the_output_goes_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), Terminal()
    redirect(monkeypatch, out, err)
    progress = TrainingProgress("dl fold 1", epochs=1, steps_per_epoch=1)
    progress.step(loss=1.0, region=1.0, boundary=0.0, alpha=1.0)
    progress.epoch(VALUES)
    progress.close()
    assert len(out.getvalue().splitlines()) == 1
    assert "100%" in err.getvalue()


def test_a_resumed_training_goes_on_in_mid_epoch(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """17 of 40 steps were done before; the pace is that of the three done here: 1 step/s, 20 steps left."""
    out, err = io.StringIO(), Terminal()
    redirect(monkeypatch, out, err)
    progress = TrainingProgress("gsl fold 2", epochs=4, steps_per_epoch=10, start_step=17)
    progress._bar.refresh()
    assert "17/40" in err.getvalue()
    for _ in range(3):
        clock[0] += 1.0
        progress.step(loss=1.0, region=1.0, boundary=1.0, alpha=0.5)
    progress.epoch(VALUES)
    progress.close()
    assert out.getvalue().startswith("gsl fold 2: epoch 2/4, ")
    assert out.getvalue().endswith(", 1 steps/s, 20 s left\n")
    assert re.search(r"20/40 \[", err.getvalue())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3569, "59 min"),
        (3599, "1 h 00 min"),
        (11100, "3 h 05 min"),
        (86399, "1 d 0 h"),
        (190000, "2 d 4 h"),
    ],
)
def test_a_duration_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
