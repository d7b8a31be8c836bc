"""Batches a second of nnU-Net's own loader and of ours, without and with distance maps, in one run.

    .venv/bin/python benchmarks/loader.py FOLDER [--plans paperPlans] [--patch 128 128 128] [--processes 1]

FOLDER is a preprocessed dataset, such as data/nnUNet_preprocessed/Dataset502_BraTS. The loaders take turns, each for
some batches after two that do not count; the fastest turn of each counts. Maps need a dataset that `make
preprocess` has prepared.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from gsl_experiments.training.dataloading import MapDataset, PatchBatches, load_batches
from gsl_experiments.training.transforms import carry_maps

BATCH = 2
ROTATION = (-0.5236, 0.5236)  # nnU-Net's 30 degrees
OVERSAMPLE = 0.33


def main() -> None:
    """Measure and print a Markdown table."""
    arguments = _arguments()
    plans = PlansManager(str(arguments.folder / f"{arguments.plans}.json"))
    configuration = plans.get_configuration("3d_fullres")
    labels = plans.get_label_manager(json.loads((arguments.folder / "dataset.json").read_text()))
    patch = tuple(arguments.patch or configuration.patch_size)
    initial = tuple(int(n) for n in get_patch_size(patch, ROTATION, ROTATION, ROTATION, (0.85, 1.25)))
    cases = str(arguments.folder / configuration.data_identifier)

    def transforms() -> Any:
        return nnUNetTrainer.get_training_transforms(
            patch,
            ROTATION,
            None,
            (0, 1, 2),
            False,
            configuration.use_mask_for_norm,
            False,
            labels.foreground_labels,
        )

    def stock() -> Iterator[Any]:
        loader = nnUNetDataLoader(
            nnUNetDatasetBlosc2(cases), BATCH, initial, patch, labels, OVERSAMPLE, transforms=transforms()
        )
        if not arguments.processes:
            return SingleThreadedAugmenter(loader, None)
        return NonDetMultiThreadedAugmenter(
            loader,
            None,
            arguments.processes,
            max(6, arguments.processes // 2),
            pin_memory=False,
            wait_time=0.002,
        )

    def ours(with_maps: bool) -> Iterator[Any]:
        batches = PatchBatches(
            MapDataset(cases, with_maps=with_maps),
            initial,
            patch,
            labels,
            batch_size=BATCH,
            places=range(BATCH),
            oversample_foreground=OVERSAMPLE,
            transforms=carry_maps(transforms(), None, spacing_mm=configuration.spacing),
            seed=[0],
        )
        return load_batches(batches, first=0, processes=arguments.processes, pin_memory=False)

    loaders: dict[str, Callable[[], Iterator[Any]]] = {
        "nnU-Net's, no maps": stock,
        "ours, no maps": lambda: ours(False),
        "ours, with maps": lambda: ours(True),
    }
    seconds = _fastest(loaders, arguments.batches, arguments.turns)
    size = " x ".join(str(n) for n in patch)
    print(f"Patches of {size}, batch {BATCH}, {arguments.processes} background processes\n")
    print("| loader | seconds a batch | relative |\n|---|---|---|")
    reference = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {value / reference:.2f} |")


def _fastest(loaders: dict[str, Callable[[], Iterator[Any]]], batches: int, turns: int) -> dict[str, float]:
    streams = {name: start() for name, start in loaders.items()}
    seconds = dict.fromkeys(loaders, float("inf"))
    for _ in range(turns):
        for name, stream in streams.items():
            _take(stream, 2)
            start = time.perf_counter()
            _take(stream, batches)
            seconds[name] = min(seconds[name], (time.perf_counter() - start) / batches)
    return seconds


def _take(stream: Iterator[Any], count: int) -> Sequence[Any]:
    return [None for _ in itertools.islice(stream, count)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a preprocessed dataset")
    parser.add_argument("--plans", default="paperPlans")
    parser.add_argument("--patch", type=int, nargs=3, help="by default the plans'")
    parser.add_argument("--processes", type=int, default=0, help="0 loads in the foreground")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--turns", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
