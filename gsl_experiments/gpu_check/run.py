"""Everything that needs a GPU, in one call of under ten minutes: gradients, mixed precision, step times, trainings.

It prints Markdown tables and, where there is a GPU, writes them to `results/gpu/`. The exit status is 1 if a check
fails and 2 if there is no GPU: then it runs what a CPU can at small sizes, and says what was not measured.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import date
from time import monotonic

import torch

from gsl_experiments.atomic import write_text
from gsl_experiments.config import CHECKOUT
from gsl_experiments.gpu_check import report
from gsl_experiments.gpu_check.blocks import ROW, Row, rows_of
from gsl_experiments.gpu_check.setting import setting_of
from gsl_experiments.provenance import collect
from gsl_experiments.training.precision import cpu_has_bfloat16

DATASETS = {"LiTS": "lits", "BraTS": "brats"}
# what matters most comes first, should the time run out
ON_GPU = (
    "gradients",
    "loss mixed compiled",
    "loss float32 compiled",
    "steps brats mixed eager",
    "steps lits mixed eager",
    "steps brats float32 eager",
    "steps lits float32 eager",
    "trainings",
    "steps brats mixed compiled",
    "steps lits mixed compiled",
    "steps brats float32 compiled",
    "steps lits float32 compiled",
)


def blocks_for(device: str) -> tuple[str, ...]:
    """Return the blocks that a device can run."""
    if device == "cuda":
        return ON_GPU
    precisions = ["float32", "mixed"] if cpu_has_bfloat16() else ["float32"]
    losses = tuple(f"loss {p} eager" for p in precisions)
    return ("gradients", *losses, *(f"steps {d} {p} eager" for d in DATASETS.values() for p in precisions))


def run_apart(block: str, call: Sequence[str], seconds: float) -> list[Row]:
    """Run a block in a process of its own, for at most some seconds; rows that it does not print are marked."""
    if seconds <= 0:
        return _marked(block, [], "out of time", failed=False)
    rows: list[Row] = []
    out_of_time = threading.Event()
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, start_new_session=True
    ) as process:

        def stop() -> None:
            out_of_time.set()
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            for line in process.stdout or ():
                if line.startswith(ROW):
                    rows.append(Row(**json.loads(line.removeprefix(ROW))))
                    print(f"  {rows[-1].name}: {rows[-1].failure or 'done'}", file=sys.stderr, flush=True)
        except BaseException:  # an impatient user's, too
            stop()
            raise
        finally:
            timer.cancel()
    if out_of_time.is_set():
        return _marked(block, rows, "out of time", failed=False)
    return _marked(block, rows, f"its process ended with status {process.returncode}", failed=True)


def _marked(block: str, rows: list[Row], reason: str, *, failed: bool) -> list[Row]:
    """Add the rows that a block should have had."""
    there = {row.name for row in rows}
    missing = [name for name in rows_of(block) if name not in there]
    return rows + [
        Row(name, {}, reason) if failed else Row(name, {"not measured": reason}) for name in missing
    ]


def markdown(device: str, outcomes: dict[str, list[Row]]) -> str:
    """Return all tables, what failed, and what was not measured."""
    machine = collect(None)
    on_gpu = device == "cuda"
    name = torch.cuda.get_device_name() if on_gpu else f"{machine['machine']['processor']}, no GPU"
    parts = [
        f"# {name}",
        f"{date.today()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda if on_gpu else '-'}, "
        f"nnU-Net {machine['packages']['nnunetv2']}, commit {machine['git']['commit']}"
        f"{' and changes' if machine['git']['dirty'] else ''}. Made by `make gpu-check`.",
        "## Gradients",
        f"Relative error of float32 gradients on the {'GPU' if on_gpu else 'CPU'} against float64 on the CPU, and "
        "whether loss and gradient of saturated half precision logits and maps of 500 mm are finite.",
        report.gradients_table(outcomes["gradients"]),
        "## The loss alone",
        "Forward and backward of Dice-CE with GSL and maps, batch 2, 4 classes: median time, that time over stock "
        "nnU-Net's, peak memory. The copy reads and writes as many bytes as logits, labels, maps and gradient have.",
        report.steps_table(outcomes, _variants(outcomes, "loss")),
        "## Training steps",
        f"Forward, backward and Adam's step at alpha 0.5: median time, that time over stock nnU-Net's Dice-CE with the "
        f"same network, peak memory. Mixed is {'float16' if on_gpu else 'bfloat16'} autocast.",
    ]
    for title, dataset in DATASETS.items():
        variants = _variants(outcomes, f"steps {dataset}")
        parts += [
            f"{title}: {report.describe(setting_of(dataset, small=not on_gpu))}",
            report.steps_table(outcomes, variants),
        ]
    if "trainings" in outcomes:
        parts += ["## Trainings", report.trainings_table(outcomes["trainings"])]
    missing = report.not_measured(outcomes)
    if not on_gpu:
        missing.append(
            "everything on a GPU: gradients, the paper's patches, memory, float16, torch.compile, trainings"
        )
    for heading, lines in (("Failed", report.failures(outcomes)), ("Not measured", missing)):
        parts += [f"## {heading}", "\n".join(f"- {line}" for line in lines) or "Nothing."]
    return "\n\n".join(parts) + "\n"


def _variants(outcomes: dict[str, list[Row]], kind: str) -> dict[str, str]:
    """Return the blocks of a kind, under what tells them apart."""
    names = {block: block.removeprefix(kind).strip() for block in outcomes if block.startswith(kind)}
    return {name.replace(" eager", "").replace(" ", ", "): block for block, name in names.items()}


def run_checks(minutes: float) -> int:
    """Run the blocks, for so many minutes at most, print the tables, and return the exit status."""
    end = monotonic() + 60 * minutes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    outcomes: dict[str, list[Row]] = {}
    for block in blocks_for(device):
        print(f"{block}, {max(0.0, end - monotonic()):.0f} s left", file=sys.stderr, flush=True)
        call = [sys.executable, "-m", "gsl_experiments.gpu_check.blocks", block, device]
        outcomes[block] = run_apart(block, call, end - monotonic())
    text = markdown(device, outcomes)
    print(text)
    if device == "cuda":
        name = re.sub(r"\W+", "-", torch.cuda.get_device_name()).strip("-").lower()
        print(f"written to {write_text(CHECKOUT / 'results' / 'gpu' / f'{name}.md', text)}")
    if report.failures(outcomes):
        return 1
    return 0 if device == "cuda" else 2
