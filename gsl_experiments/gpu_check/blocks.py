"""The checks in blocks, each a process of its own: what breaks or hangs in one leaves the others alone.

``python -m gsl_experiments.gpu_check.blocks BLOCK DEVICE`` prints each row of its table as soon as it is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

import torch

from gsl_experiments.config import CHECKOUT
from gsl_experiments.gpu_check.gradients import LARGEST_ERROR, is_finite_in, logits_error, network_error
from gsl_experiments.gpu_check.loss_alone import CONTESTANTS, SETTING, SMALL, contestants
from gsl_experiments.gpu_check.setting import LOSSES, STOCK, setting_of
from gsl_experiments.gpu_check.steps import Bench, loss_costs

ROW = "@row "  # begins a line that holds a row; the libraries print too
TRAININGS = ("preprocess", "train", "train, deep supervision", "train on 2 GPUs")


@dataclass(frozen=True)
class Row:
    """A row of a block's table: its cells, and what went wrong, if anything did."""

    name: str
    cells: dict[str, str | float]
    failure: str | None = None


def rows_of(block: str) -> tuple[str, ...]:
    """Return the names of the rows that a block will have."""
    kind = block.split()[0]
    rows = {
        "gradients": LOSSES,
        "loss": CONTESTANTS,
        "steps": (STOCK, *LOSSES),
        "trainings": TRAININGS,
    }
    return rows[kind]


def run_block(block: str, device: torch.device) -> Iterator[Row]:
    """Yield the rows of a block; a row that fails says so and the next one is tried.

    Args:
        block: ``gradients``, ``trainings``, ``loss float32|mixed eager|compiled``, or
            ``steps DATASET float32|mixed eager|compiled``.
        device: ``cuda``, or ``cpu`` for networks and patches that suit it.
    """
    kind, *choices = block.split()
    if kind == "gradients":
        yield from (_guarded(name, partial(_gradients, name, device)) for name in LOSSES)
    elif kind == "loss":
        precision, mode = choices
        yield from (
            _guarded(
                name, partial(_loss, name, device, half=precision == "mixed", compiled=mode == "compiled")
            )
            for name in CONTESTANTS
        )
    elif kind == "steps":
        dataset, precision, mode = choices
        setting = setting_of(dataset, small=device.type == "cpu")
        bench = Bench(setting, device, amp=precision == "mixed", compiled=mode == "compiled")
        yield from (_guarded(name, partial(_step, bench, name)) for name in rows_of(block))
    else:
        yield from _trainings()


Outcome = tuple[dict[str, str | float], str | None]


def _guarded(name: str, measure: Callable[[], Outcome]) -> Row:
    try:
        return Row(name, *measure())
    except Exception as error:  # whatever it is, it belongs into the table
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if isinstance(error, torch.OutOfMemoryError):
            return Row(name, {}, "out of memory")
        lines = str(error).splitlines() or [""]
        return Row(name, {}, f"{type(error).__name__}: {lines[0]}")


def _gradients(name: str, device: torch.device) -> Outcome:
    errors = {"of the logits": logits_error(name, device), "of the network": network_error(name, device)}
    finite = {
        f"finite in {str(dtype).removeprefix('torch.')}": is_finite_in(name, device, dtype)
        for dtype in (torch.float16, torch.bfloat16)
    }
    cells = {key: f"{error:.1e}" for key, error in errors.items()}
    cells |= {key: "yes" if is_finite else "no" for key, is_finite in finite.items()}
    wrong = [f"gradient {key}" for key, error in errors.items() if not error <= LARGEST_ERROR]
    wrong += [f"not {key}" for key, is_finite in finite.items() if not is_finite]
    return dict(cells), ", ".join(wrong) or None


def _step(bench: Bench, name: str) -> Outcome:
    return asdict(bench.measure(name)), None


def _loss(name: str, device: torch.device, *, half: bool, compiled: bool) -> Outcome:
    on_gpu = device.type == "cuda"
    dtype = (torch.float16 if on_gpu else torch.bfloat16) if half else torch.float32
    work = contestants(SETTING if on_gpu else SMALL, device, dtype, compiled=compiled)
    return asdict(loss_costs({name: work[name]}, device)[name]), None


def _trainings() -> Iterator[Row]:
    """Preprocess a phantom and train two epochs of it by the commands that a user calls."""
    with tempfile.TemporaryDirectory() as folder:
        common = [f"paths.{name}={folder}/{name}" for name in ("raw", "preprocessed", "results")]
        common += ["dataset=phantom_brats", f"dataset.raw={folder}/source"]
        short = [
            "fold=0",
            "training.epochs=2",
            "training.iterations_per_epoch=10",
            "loss=gsl",
            "schedule=linear",
        ]
        calls = {
            "preprocess": ["preprocess.py", *common],
            "train": ["train.py", *common, *short, "gpus=1", "suffix=one"],
            "train, deep supervision": [
                *("train.py", *common, *short, "gpus=1", "suffix=deep"),
                "training.deep_supervision=true",
            ],
            "train on 2 GPUs": ["train.py", *common, *short, "gpus=2", "suffix=two"],
        }
        for name in TRAININGS:
            if name == "train on 2 GPUs" and torch.cuda.device_count() < 2:
                yield Row(name, {"ended well": "not measured: one GPU"})
                continue
            yield _guarded(name, partial(_call, *calls[name]))


def _call(script: str, *overrides: str) -> Outcome:
    call = [sys.executable, str(CHECKOUT / "scripts" / script), *overrides]
    outcome = subprocess.run(call, capture_output=True, text=True, check=False)
    if outcome.returncode == 0:
        return {"ended well": "yes"}, None
    print(outcome.stdout[-2000:], outcome.stderr[-4000:], file=sys.stderr)
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    return {"ended well": "no"}, lines[-1] if lines else f"status {outcome.returncode}"


def main() -> None:
    """Run the block that the command line names and print its rows."""
    block, device = sys.argv[1:]
    for row in run_block(block, torch.device(device)):
        print(ROW + json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    main()
