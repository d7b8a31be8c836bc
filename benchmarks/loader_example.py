"""A small made-up dataset as preprocessing leaves it, and the two loaders on it."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from benchmarks.apart import Apart, apart
from benchmarks.dtm import nested_labels
from benchmarks.turns import OURS, STOCK, Row, in_turns
from gsl_experiments.distance import each_signed_distance_map
from gsl_experiments.preprocessing.maps import maps_folder, write_maps
from gsl_experiments.training.dataloading import (
    MapDataset,
    PatchBatches,
    keep_freed_memory,
    load_batches,
    seed_everything,
)
from gsl_experiments.training.transforms import carry_maps

CASES = 2
SPACING_MM = (1.0, 1.0, 1.0)
ROTATION = (-0.5236, 0.5236)  # nnU-Net's 30 degrees
OVERSAMPLE = 0.33
LITS = ((128, 256, 256), 2, 1)  # patch, classes, channels
BATCH = 2


def measure(
    *, setting: tuple[Sequence[int], int, int] = LITS, batches: int = 4, repetitions: int = 3
) -> list[Row]:
    """Time loading in processes with one thread, as those of a training are; `value` is seconds a batch."""
    patch, classes, channels = setting
    size = " x ".join(str(n) for n in patch)
    line = f"{batches} batches of {BATCH} x {size}, {channels} channels, {classes} classes"
    with tempfile.TemporaryDirectory() as folder:
        example = loaders_of(
            Path(folder), patch, classes, channels=channels, batch_size=BATCH, batches=batches
        )
        with example as loaders:
            rows = in_turns(line, loaders, repetitions=repetitions)
    return seconds_a_batch(rows, batches)


def seconds_a_batch(rows: Sequence[Row], batches: int) -> list[Row]:
    """Return rows of loaders with seconds a batch as `value`; each round loads other batches, so the mean counts."""
    return [row | {"average": "mean", "value": statistics.fmean(row["seconds"]) / batches} for row in rows]


@contextmanager
def one_thread() -> Iterator[None]:
    """Have PyTorch use one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def loaders_of(
    folder: Path, patch: Sequence[int], classes: int, *, channels: int, batch_size: int, batches: int
) -> Iterator[Mapping[str, Apart]]:
    """Write cases and give each loader a process with one thread: each call loads some batches, ours with maps."""
    with one_thread():
        streams = streams_of(folder, patch, classes, channels=channels, batch_size=batch_size, processes=0)
        with loading_apart(streams, batches) as loaders:
            yield loaders


@contextmanager
def loading_apart(streams: Mapping[str, Iterator[Any]], batches: int) -> Iterator[Mapping[str, Apart]]:
    """Give each stream of batches a process, ours with the memory of a training's; each call loads some batches."""

    def load(stream: Iterator[Any]) -> Callable[[], None]:
        return lambda: [None for _ in islice(stream, batches)] and None

    first = {name: keep_freed_memory for name in streams if name.startswith(OURS)}
    with apart({name: load(stream) for name, stream in streams.items()}, first) as loaders:
        yield loaders


def streams_of(
    folder: Path, patch: Sequence[int], classes: int, *, channels: int, batch_size: int, processes: int
) -> Mapping[str, Iterator[Any]]:
    """Write cases and return an endless stream of batches a loader, ours with maps.

    Args:
        folder: for the cases.
        patch: voxels of an example.
        classes: background included.
        channels: of the image.
        batch_size: examples of a batch.
        processes: that load in the background; 0 loads in the foreground.
    """
    cases = folder / "cases"
    write_cases(cases, classes, channels, patch)
    labels = LabelManager({"background": 0} | {f"class {k}": k for k in range(1, classes)}, None)
    initial = tuple(int(n) for n in get_patch_size(tuple(patch), ROTATION, ROTATION, ROTATION, (0.85, 1.25)))
    foreground = labels.foreground_labels

    def transforms() -> Any:
        return nnUNetTrainer.get_training_transforms(
            patch, ROTATION, None, (0, 1, 2), False, [False] * channels, False, foreground
        )

    data = nnUNetDatasetBlosc2(str(cases))

    def stock_loader(batch_size: int, oversample: float) -> nnUNetDataLoader:
        return nnUNetDataLoader(data, batch_size, initial, patch, labels, oversample, transforms=transforms())

    pin = processes > 0 and torch.cuda.is_available()
    stock: Iterator[Any]
    if processes:
        ahead = max(6, processes // 2)
        loader = stock_loader(batch_size, OVERSAMPLE)
        stock = NonDetMultiThreadedAugmenter(loader, None, processes, ahead, pin_memory=pin, wait_time=0.002)
    else:
        shares = oversampled(batch_size)
        stock = same_draws([iter(SingleThreadedAugmenter(stock_loader(1, share), None)) for share in shares])
    ours = load_batches(
        PatchBatches(
            MapDataset(str(cases)),
            initial,
            patch,
            labels,
            batch_size=batch_size,
            places=range(batch_size),
            oversample_foreground=OVERSAMPLE,
            transforms=carry_maps(transforms(), None, spacing_mm=SPACING_MM),
            seed=[0],
        ),
        first=0,
        processes=processes,
        pin_memory=pin,
    )
    return {OURS: ours, STOCK: stock}


def oversampled(batch_size: int) -> list[float]:
    """Return 1 for each place of a batch at which nnU-Net has foreground for certain, else 0."""
    return [float(place >= round(batch_size * (1 - OVERSAMPLE))) for place in range(batch_size)]


def same_draws(examples: Sequence[Iterator[Any]]) -> Iterator[list[Any]]:
    """Yield nnU-Net's batches for the random numbers that ours draw, as lists of examples that are not yet joined.

    Args:
        examples: of each place in the batch.
    """
    for number in count():
        batch = []
        for place, example in enumerate(examples):
            seed_everything([0, number, place])
            batch.append(next(example))
        yield batch


def write_cases(folder: Path, classes: int, channels: int, patch: Sequence[int]) -> None:
    """Write cases somewhat larger than the patch, with their maps."""
    folder.mkdir()
    maps_folder(folder).mkdir()
    shape = tuple(int(1.4 * n) for n in patch)
    for case in range(CASES):
        labels = nested_labels(shape, classes, seed=case)
        noise = np.random.default_rng(case).normal(size=(channels, *shape)).astype(np.float32)
        where = {k: np.argwhere(labels[None] == k)[::50] for k in range(1, classes)}
        blocks, chunks = comp_blosc2_params((channels, *shape), patch, 4)
        blocks_of_labels, chunks_of_labels = comp_blosc2_params((1, *shape), patch, 1)
        nnUNetDatasetBlosc2.save_case(
            noise + labels,
            labels[None].astype(np.int8),
            {"class_locations": where, "spacing": SPACING_MM},
            str(folder / f"case_{case}"),
            chunks=chunks,
            blocks=blocks,
            chunks_seg=chunks_of_labels,
            blocks_seg=blocks_of_labels,
        )
        write_maps(
            each_signed_distance_map(labels, classes, SPACING_MM),
            maps_folder(folder) / f"case_{case}.b2nd",
            shape=(classes, *shape),
            spacing_mm=SPACING_MM,
            patch_size=patch,
        )
