"""The GPU check on a CPU: it notices wrong gradients, and one failure, crash or hang leaves the rest alone."""

import fcntl
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gsl_experiments.gpu_check import blocks, gradients, loss_alone, report, run, setting, steps
from gsl_experiments.gpu_check.blocks import Row, rows_of, run_block
from gsl_experiments.gpu_check.setting import LOSSES, STOCK, Setting, setting_of

CPU = torch.device("cpu")
TINY = Setting(1, 2, 2, (16, 16, 16), 2, (1.0, 1.0, 1.0))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as tiny as these lose time with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_papers_patches_and_networks() -> None:
    lits, brats = setting_of("lits"), setting_of("brats")
    assert (lits.patch_size, lits.batch_size, lits.classes) == ((128, 256, 256), 2, 2)
    assert (brats.patch_size, brats.batch_size, brats.classes) == ((128, 128, 128), 2, 4)
    assert lits.base_features == brats.base_features == 32


def test_the_boundary_losses_read_the_maps_and_the_others_do_not() -> None:
    image, labels, maps = TINY.batch(CPU)
    logits = image.repeat(1, 2, 1, 1, 1) * torch.tensor([1.0, -1.0]).view(1, 2, 1, 1, 1)
    for name in (*LOSSES, STOCK):
        loss = setting.loss_of(name, 2)
        changed = not torch.equal(loss(logits, labels, maps), loss(logits, labels, maps / 3 + 1))
        assert changed == (name in ("hl", "bl", "gsl")), name


def test_stock_nnunets_loss_is_that_of_its_own_trainer() -> None:
    """nnU-Net adds soft Dice (negative) and cross entropy; checked against both written out."""
    logits = torch.randn(2, 2, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 2, (2, 1, 6, 6, 6), generator=torch.Generator().manual_seed(1))
    found = setting.loss_of(STOCK, 2)(logits, labels, torch.zeros(2, 2, 6, 6, 6))
    p, t = logits.softmax(1)[:, 1].flatten(1), labels[:, 0].float().flatten(1)
    dice = ((2 * (p * t).sum(1) + 1e-5) / (p.sum(1) + t.sum(1) + 1e-5)).mean()
    torch.testing.assert_close(found, nn.functional.cross_entropy(logits, labels[:, 0]) - dice)


class WrongAfter(nn.Module):
    """A mean of logits of either sign, its gradient a hundredth too large in float32 only."""

    def forward(self, logits: Tensor, labels: Tensor, maps: Tensor) -> Tensor:
        return (logits * maps.sign()).mean() * (1.01 if logits.dtype == torch.float32 else 1.0)


def test_a_wrong_gradient_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gradients.logits_error("gsl", CPU) < 1e-5
    assert gradients.network_error("gsl", CPU) < 1e-4
    monkeypatch.setattr(gradients, "loss_of", lambda name, classes: WrongAfter())
    assert gradients.logits_error("gsl", CPU) == pytest.approx(0.01, rel=1e-3)
    monkeypatch.setattr(blocks, "LOSSES", ("gsl",))
    (row,) = run_block("gradients", CPU)
    assert row.failure == "gradient of the logits, gradient of the network"
    assert row.cells["finite in float16"] == "yes"


class Overflow(nn.Module):
    def forward(self, logits: Tensor, labels: Tensor, maps: Tensor) -> Tensor:
        return (logits * maps.to(logits.dtype)).square().sum()  # 500 mm x 100 squared is beyond float16


@pytest.mark.parametrize(("dtype", "finite"), [(torch.float16, False), (torch.bfloat16, True)])
def test_an_overflow_is_not_finite(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, finite: bool) -> None:
    monkeypatch.setattr(gradients, "loss_of", lambda name, classes: Overflow())
    assert gradients.is_finite_in("gsl", CPU, dtype) == finite


def test_steps_train_and_one_failure_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """`hl` raises and `bl` becomes infinite; the other four and stock nnU-Net's are measured."""
    real = setting.loss_of

    class Broken(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor, maps: Tensor) -> Tensor:
            raise RuntimeError("first line\nsecond line")

    class Infinite(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor, maps: Tensor) -> Tensor:
            return logits.mean() + math.inf

    broken = {"hl": Broken(), "bl": Infinite()}
    monkeypatch.setattr(steps, "loss_of", lambda name, classes, **_: broken.get(name) or real(name, classes))
    monkeypatch.setattr(blocks, "setting_of", lambda dataset, small: TINY)
    rows = {row.name: row for row in run_block("steps lits mixed eager", CPU)}
    assert tuple(rows) == (STOCK, *LOSSES)
    assert rows["hl"].failure == "RuntimeError: first line"
    assert rows["bl"].failure == "FloatingPointError: the loss became inf"
    for name in (STOCK, "dl", "dice_ce", "gdl", "gsl"):
        assert rows[name].failure is None
        assert float(rows[name].cells["milliseconds"]) > 0
        assert math.isnan(float(rows[name].cells["peak_gib"]))
    assert list(report.failures({"steps": list(rows.values())})) == [
        "steps, hl: RuntimeError: first line",
        "steps, bl: FloatingPointError: the loss became inf",
    ]


def test_the_loss_alone() -> None:
    rows = {row.name: row for row in run_block("loss float32 eager", CPU)}
    assert tuple(rows) == loss_alone.CONTESTANTS
    assert all(row.failure is None and float(row.cells["milliseconds"]) > 0 for row in rows.values())
    assert float(rows[loss_alone.OURS].cells["loss"]) != float(rows[STOCK].cells["loss"])
    work = loss_alone.contestants(loss_alone.SMALL, CPU, torch.float32, compiled=False)
    voxels = 2 * 32**3
    assert work[loss_alone.COPY]().numel() == voxels * (4 * 4 + 2 + 4 * 4 + 4 * 4) // 2


def test_memory_that_runs_out_is_said_in_three_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: steps.Bench, name: str) -> steps.StepCost:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. ...")

    monkeypatch.setattr(steps.Bench, "measure", fail)
    monkeypatch.setattr(blocks, "setting_of", lambda dataset, small: TINY)
    assert {row.failure for row in run_block("steps lits float32 eager", CPU)} == {"out of memory"}


def printing(name: str, then: str) -> list[str]:
    """A process that prints a row as a block does, and something else, and then does what it is told."""
    row = blocks.ROW + json.dumps(asdict(Row(name, {"of the logits": "1e-7"})))
    return [sys.executable, "-c", f"print('noise'); print({row!r}, flush=True); {then}"]


def test_a_block_that_dies_keeps_its_rows_and_fails_the_others() -> None:
    rows = run.run_apart("gradients", printing("dl", "import os; os._exit(7)"), seconds=60)
    assert rows[0] == Row("dl", {"of the logits": "1e-7"})
    assert [row.name for row in rows] == list(LOSSES)
    assert {row.failure for row in rows[1:]} == {"its process ended with status 7"}


def test_a_block_that_hangs_is_stopped_with_what_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The time is up once the block's own child holds a lock, which only its death releases."""
    lock = tmp_path / "lock"
    lock.touch()
    child = (
        f"import fcntl, pathlib, time; file = open({str(lock)!r}); fcntl.flock(file, fcntl.LOCK_EX); "
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch(); time.sleep(30); "
        f"pathlib.Path({str(tmp_path / 'late')!r}).touch()"
    )

    class TimeIsUp(threading.Thread):
        def __init__(self, seconds: float, stop: Callable[[], None]) -> None:
            super().__init__(daemon=True)
            self.stop = stop

        def run(self) -> None:
            while not (tmp_path / "ready").exists():
                time.sleep(0.05)
            self.stop()

        def cancel(self) -> None:
            pass

    monkeypatch.setattr(threading, "Timer", TimeIsUp)
    hang = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    rows = run.run_apart("gradients", printing("dl", hang), seconds=60)
    assert rows[0].failure is None
    assert {row.cells.get("not measured") for row in rows[1:]} == {"out of time"}
    assert not any(row.failure for row in rows)
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
    assert not (tmp_path / "late").exists()


def test_no_time_left() -> None:
    rows = run.run_apart("trainings", ["no such program"], seconds=0)
    assert [row.cells for row in rows] == [{"not measured": "out of time"}] * len(blocks.TRAININGS)


def test_the_table_of_steps() -> None:
    def cost(name: str, ms: float, gib: float) -> Row:
        return Row(name, {"milliseconds": ms, "peak_gib": gib, "loss": 0.5})

    eager = [cost(STOCK, 200, 10), cost("dl", 250, 12.5), Row("dice_ce", {}, "out of memory")]
    eager += [cost(name, 100, math.nan) for name in LOSSES[2:]]
    compiled = [Row(name, {"not measured": "out of time"}) for name in rows_of("steps lits mixed compiled")]
    outcomes = {"a": eager, "b": compiled}
    lines = report.steps_table(outcomes | {"steps": eager}, {"mixed": "steps"}).splitlines()
    assert lines[0] == "| loss | mixed |"
    assert lines[2] == f"| {STOCK} | 200.0 ms, x 1.00, 10.00 GiB |"
    assert lines[3] == "| dl | 250.0 ms, x 1.25, 12.50 GiB |"
    assert lines[4] == "| dice_ce | failed: out of memory |"
    assert lines[5] == "| gdl | 100.0 ms, x 0.50 |"
    assert report.not_measured(outcomes) == ["b, all: out of time"]


@pytest.fixture
def without_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str | None], None]:
    """Let every block answer at once, all rows with the given failure, and results go to a scratch folder."""
    cells = {"of the logits": "1e-7", "milliseconds": 1.0, "peak_gib": 2.0, "ended well": "yes"}

    def answer(failure: str | None) -> None:
        monkeypatch.setattr(
            run,
            "run_apart",
            lambda block, call, seconds: [Row(name, cells, failure) for name in rows_of(block)],
        )

    monkeypatch.setattr(run, "CHECKOUT", tmp_path)
    return answer


def test_without_a_gpu_it_says_what_was_not_measured(
    without_blocks: Callable[[str | None], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    without_blocks(None)
    assert run.run_checks(9.0) == 2
    printed = capsys.readouterr().out
    assert "no GPU" in printed
    assert "- everything on a GPU: gradients, the paper's patches, memory, float16, torch.compile" in printed
    assert "patch 32 x 32 x 32" in printed
    assert not list(tmp_path.iterdir())
    without_blocks("wrong")
    assert run.run_checks(9.0) == 1
    assert "- gradients, gsl: wrong" in capsys.readouterr().out


def test_with_a_gpu_the_tables_are_written(
    without_blocks: Callable[[str | None], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    without_blocks(None)
    assert run.run_checks(9.0) == 0
    written = (tmp_path / "results" / "gpu" / "nvidia-h100-80gb-hbm3.md").read_text()
    assert written in capsys.readouterr().out
    assert written.startswith("# NVIDIA H100 80GB HBM3\n")
    assert "patch 128 x 256 x 256, batch 2, 2 classes, 32 features" in written
    assert "| loss | mixed | float32 | mixed, compiled | float32, compiled |" in written
    assert "## Failed\n\nNothing." in written
    assert "## Not measured\n\nNothing." in written
