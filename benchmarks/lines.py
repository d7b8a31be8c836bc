"""What `make bench` measures: the lines, and what ours must reach in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from benchmarks.turns import OURS, Row

BRATS_DTM, LITS_DTM = "BraTS, 130 x 175 x 140, 4 classes", "LiTS, 400 x 380 x 380, 2 classes"


@dataclass(frozen=True)
class Target:
    """What ours must reach: at most `at_most` times the best of the peers, or at most that much without peers.

    Args:
        row: the rows' `line`.
        at_most: the largest ratio; a number of seconds (or of whatever `key` holds) where there are no peers.
        peers: contestants; those that are missing do not count.
        ours: our contestant; None takes the worst of all that are no peers.
        key: what is compared.
    """

    row: str
    at_most: float
    peers: tuple[str, ...] = ()
    ours: str | None = OURS
    key: Literal["seconds", "peak_mb", "value"] = "seconds"


@dataclass(frozen=True)
class Line:
    """One line of the page.

    Args:
        title: as the page calls it.
        module: of `benchmarks`, with a function `measure` that returns rows.
        arguments: of that function.
        targets: what ours must reach.
        gpu: whether it needs one.
    """

    title: str
    module: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    gpu: bool = False

    def measure(self) -> list[Row]:
        """Measure all contestants."""
        rows: list[Row] = import_module(f"benchmarks.{self.module}").measure(**self.arguments)
        return rows


STOCK_LOSS = "nnU-Net Dice-CE"
LOSS_ON_CPU = "CPU, batch 2 x 4 classes x 128^3"
LOADER_ROW = "8 batches of 2 x 128 x 128 x 128, 4 channels, 4 classes"
METRICS_ROW = "517 x 512 x 512, good prediction"
LOSS_ON_GPU = tuple(f"GPU, batch 2 x 4 classes x 128^3, {precision}" for precision in ("float32", "float16"))
EPOCH_ROWS = {"brats": "BraTS, an epoch of 66 steps", "lits": "LiTS, an epoch of 23 steps"}

LINES: dict[str, Line] = {
    "loss": Line(
        "Loss, forward and backward",
        "loss",
        targets=(
            Target(LOSS_ON_CPU, 0.8, (STOCK_LOSS,)),
            Target(LOSS_ON_CPU, 1.0, (STOCK_LOSS,), key="peak_mb"),
        ),
    ),
    "training_step": Line(
        "A training step on a CPU, at the hippocampus task's patch",
        "training_step",
        targets=(
            Target(
                "CPU, batch 2 x 40 x 56 x 40, 16 features",
                0.8,
                ("nnU-Net, Dice-CE, float32",),
                ours="gsl_experiments, GSL with Dice-CE, bfloat16",
            ),
        ),
    ),
    "loader": Line(
        "Loading with nnU-Net's augmentation, one core",
        "loader",
        {"repetitions": 2},
        targets=(Target(LOADER_ROW, 0.85, ("nnU-Net",)),),
    ),
    "dtm": Line(
        "Distance maps of all classes",
        "dtm",
        {"repetitions": 2},
        targets=tuple(
            target
            for row in (BRATS_DTM, LITS_DTM)
            for target in (Target(row, 1 / 8, ("SciPy",)), Target(row, 1.0, ("SimpleITK",)))
        ),
    ),
    "metrics": Line(
        "All metrics of a liver at the size of a CT",
        "metrics",
        {"cases": ("good prediction",), "repetitions": 2},
        targets=(
            Target(METRICS_ROW, 1 / 10, ("SimpleITK",)),
            Target(METRICS_ROW, 1 / 3, ("surface-distance", "MONAI", "MedPy")),
        ),
    ),
    "preprocessing": Line(
        "Preprocessing six synthetic MR cases of four channels, maps included, from the command to its end",
        "preprocessing_time",
        targets=(Target("6 MR of 160 x 192 x 152, 2 processes", 1.25, ("nnU-Net",)),),
    ),
    "lits_loader": Line(
        "Loading at the paper's patch for LiTS, one core", "loader_example", {"batches": 3, "repetitions": 3}
    ),
    "imports": Line(
        "Imports",
        "imports",
        targets=(Target("import of the package", 0.5), Target("--help of a script", 1.5, ours=None)),
    ),
    "loss_gpu": Line(
        "Loss on a GPU, forward and backward",
        "loss",
        {"gpu": True},
        targets=tuple(
            target
            for row in LOSS_ON_GPU
            for target in (Target(row, 1.0, (STOCK_LOSS,)), Target(row, 2.0, ("copy of the same bytes",)))
        ),
        gpu=True,
    ),
    "steps_gpu": Line(
        "Training steps on a GPU",
        "gpu_steps",
        targets=tuple(
            Target(f"steps {name} mixed compiled", 1.0, (STOCK_LOSS,), ours="gsl")
            for name in ("brats", "lits")
        ),
        gpu=True,
    ),
    **{
        f"epoch_gpu_{dataset}": Line(
            f"An epoch on a GPU, loader included, {row.split(',')[0]}",
            "gpu_epoch",
            {"dataset": dataset},
            targets=(
                Target(row, 1.0, ("nnU-Net",)),
                Target(row, 1.05, ("gsl_experiments, the same batch again",)),
            ),
            gpu=True,
        )
        for dataset, row in EPOCH_ROWS.items()
    },
}

GROWTH: dict[str, Line] = {
    name: Line(f"Growth: {name}", "growth", {"curve": name})
    for name in (
        "loss_patch",
        "loader_patch",
        "dtm_volume",
        "metrics_volume",
        "loss_classes",
        "loader_classes",
        "dtm_classes",
        "metrics_classes",
    )
}
