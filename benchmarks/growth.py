"""How time and memory grow with the number of classes, the patch and the volume: one curve a line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.apart import Apart
from benchmarks.turns import OURS, STOCK, Row, in_turns, missing_modules, peak_mb

SCIPY, SURFACE_DISTANCE = "SciPy", "surface-distance"
BATCH = 2
LOADED_BATCHES = 6  # whether an example is rotated is drawn
SLOW_PEERS_UP_TO = 256  # voxels a side

Contestants = Mapping[str, Callable[[], Any]]
Prepare = Callable[[int, int], Any]  # voxels a side and classes -> a context with contestants


@dataclass(frozen=True)
class Curve:
    """One thing that grows.

    Args:
        title: what is measured.
        grows: what changes from point to point.
        points: voxels a side, classes, or regions, which are the classes without the background.
        fixed: the other of the two.
        prepare: makes the contestants of a point.
        repetitions: rounds that count.
    """

    title: str
    grows: str
    points: tuple[int, ...]
    fixed: int
    prepare: Prepare
    repetitions: int = 5

    def at(self, fixed: int) -> Curve:
        """Return the curve at another size of what does not change."""
        return replace(self, fixed=fixed)


def measure(
    curve: str, *, points: tuple[int, ...] | None = None, repetitions: int | None = None
) -> list[Row]:
    """Measure a curve; a row has the point's size as `x`, in voxels, classes or regions.

    All points take turns, as the contestants do: a machine that turns slower meanwhile bends the curve less.
    """
    wanted = CURVES[curve]
    by_size = wanted.grows == "voxels"
    shared = {"grows": wanted.grows} | ({"average": "mean"} if wanted.prepare is loader else {})
    work: dict[str, Callable[[], Any]] = {}
    own: dict[str, Row] = {}
    with ExitStack() as stack:
        for point in points or wanted.points:
            classes = wanted.fixed if by_size else point + (wanted.grows == "regions")
            side = point if by_size else wanted.fixed
            for contestant, call in stack.enter_context(wanted.prepare(side, classes)).items():
                name = f"{contestant}, {point}"
                work[name] = call
                own[name] = {"contestant": contestant, "x": side**3 if by_size else point}
        timed = in_turns(wanted.title, work, repetitions=repetitions or wanted.repetitions)
        for name, call in work.items():
            own[name]["peak_mb"] = call.peak_mb() if isinstance(call, Apart) else peak_mb(call)
    return [row | shared | own[row["contestant"]] for row in timed]


@contextmanager
def loss(side: int, classes: int) -> Iterator[Contestants]:
    """Forward and backward of Dice-CE + GSL with maps, and of nnU-Net's Dice-CE."""
    from gsl_experiments.gpu_check import setting as example

    shape = example.Setting(1, classes, BATCH, (side,) * 3, 4, (1.0, 1.0, 1.0))
    _, labels, maps = shape.batch(torch.device("cpu"))
    logits = torch.randn(maps.shape)

    def step(name: str) -> Callable[[], None]:
        of_example = example.loss_of(name, classes)

        def call() -> None:
            leaf = logits.detach().requires_grad_()  # its gradient is part of the memory, and gone afterwards
            of_example(leaf, labels, maps).backward()

        return call

    yield {OURS: step("gsl"), STOCK: step(example.STOCK)}


@contextmanager
def distance_maps(side: int, classes: int) -> Iterator[Contestants]:
    """Distance maps of all classes, and the same from SciPy."""
    from benchmarks import dtm
    from gsl_experiments.distance import signed_distance_maps

    labels = dtm.nested_labels((side,) * 3, classes)
    spacing_mm = (1.0, 1.0, 1.0)
    contestants: dict[str, Callable[[], Any]] = {
        OURS: lambda: signed_distance_maps(labels, classes, spacing_mm)
    }
    if side <= SLOW_PEERS_UP_TO:
        contestants[SCIPY] = lambda: [dtm.by_scipy(labels == k, spacing_mm) for k in range(classes)]
    yield contestants


@contextmanager
def metrics(side: int, classes: int) -> Iterator[Contestants]:
    """All metrics of every foreground class, and what surface-distance needs for its own."""
    from benchmarks import dtm
    from gsl_experiments.metrics import segmentation_metrics

    spacing_mm = (1.0, 1.0, 1.0)
    reference = dtm.nested_labels((side,) * 3, classes)
    prediction = np.roll(reference, 2, axis=(0, 1, 2))

    def ours() -> None:
        for k in range(1, classes):
            segmentation_metrics(prediction == k, reference == k, spacing_mm=spacing_mm)

    def theirs() -> None:
        from surface_distance import compute_surface_distances

        for k in range(1, classes):
            compute_surface_distances(reference == k, prediction == k, spacing_mm)

    contestants: dict[str, Callable[[], Any]] = {OURS: ours}
    if side <= SLOW_PEERS_UP_TO and not missing_modules(["surface_distance"]):
        contestants[SURFACE_DISTANCE] = theirs
    yield contestants


@contextmanager
def loader(side: int, classes: int) -> Iterator[Contestants]:
    """Batches with maps and nnU-Net's augmentation, and those of nnU-Net's loader without maps."""
    from benchmarks.loader_example import loaders_of

    with tempfile.TemporaryDirectory() as folder:
        example = loaders_of(
            Path(folder), (side,) * 3, classes, channels=1, batch_size=BATCH, batches=LOADED_BATCHES
        )
        with example as loaders:
            yield loaders


CURVES: dict[str, Curve] = {
    "loss_classes": Curve("loss, batch 2 x 64^3", "classes", (2, 4, 8, 16), 64, loss),
    "loss_patch": Curve("loss, batch 2, 4 classes", "voxels", (64, 96, 128, 160, 192), 4, loss),
    "loader_classes": Curve("loader, 6 batches of 2 x 64^3", "classes", (2, 4, 8, 16), 64, loader, 3),
    "loader_patch": Curve(
        "loader, 6 batches of 2, 4 classes", "voxels", (64, 96, 128, 160, 192), 4, loader, 3
    ),
    "dtm_classes": Curve("distance maps, 128^3", "classes", (2, 4, 8, 16), 128, distance_maps),
    "dtm_volume": Curve("distance maps, 2 classes", "voxels", (64, 128, 192, 256, 384), 2, distance_maps),
    "metrics_classes": Curve("metrics, 128^3", "regions", (1, 2, 4, 8, 16), 128, metrics),
    "metrics_volume": Curve("metrics, one region", "voxels", (64, 128, 192, 256, 384), 2, metrics),
}
