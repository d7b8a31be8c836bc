"""Seconds a batch of our loader, with and without distance maps, and of nnU-Net's, one core each, in turns.

    .venv/bin/python -m benchmarks.loader [FOLDER] [--patch 128 128 128] [--batches 8] [--repetitions 4]

FOLDER is a preprocessed dataset, as data/nnUNet_preprocessed/Dataset502_BraTS. Without one, synthetic MR of BraTS's
size are made first. All load with nnU-Net's whole augmentation. "Carried naively" are maps that nnU-Net's loader takes
along as float32 volumes, stored as its images are, through nnU-Net's own transforms. Before anything is timed, examples
of ours and of nnU-Net's for the same random numbers are compared: they have to be the same. All contestants draw the
same numbers; nnU-Net's examples are not joined to a batch, which would take it longer.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import blosc2
import numpy as np
import torch
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from benchmarks.loader_example import (
    OVERSAMPLE,
    ROTATION,
    loading_apart,
    one_thread,
    oversampled,
    same_draws,
    seconds_a_batch,
)
from benchmarks.turns import OURS, STOCK, DisagreementError, Row, in_turns
from gsl_experiments.datasets import read_brats, write_nnunet_raw, write_phantom_brats
from gsl_experiments.preprocessing.maps import maps_folder, open_maps
from gsl_experiments.training.dataloading import MapDataset, PatchBatches, load_batches, seed_everything
from gsl_experiments.training.transforms import by_fixed_algorithms, carry_maps

BATCH = 2
PATCH = (128, 128, 128)
MR_SIZE = (240, 240, 155)
COMPARED = 24  # examples, as many of each place in the batch
ROUNDING = 1e-4  # of intensities with a standard deviation of 1
PREPROCESS = Path(__file__).parent.parent / "scripts" / "preprocess.py"


def measure(
    folder: Path | None = None,
    *,
    patch: Sequence[int] | None = None,
    plans: str = "paperPlans",
    batches: int = 8,
    repetitions: int = 4,
) -> list[Row]:
    """Compare our examples with nnU-Net's, then time all loaders. A row's `value` is seconds a batch.

    Args:
        folder: a preprocessed dataset; synthetic MR if None.
        patch: voxels of an example, by default those of the plans, or `PATCH` for synthetic MR.
        plans: name of the plans.
        batches: that a contestant loads in one turn.
        repetitions: turns that count.

    Raises:
        DisagreementError: an example of ours is not nnU-Net's, or batches differ in shape or type.
    """
    with TemporaryDirectory() as temporary, one_thread():
        if folder is None:
            folder, patch = synthetic_mr(Path(temporary)), patch or PATCH
        loading = Loading(folder, plans, patch)
        loading.compare()
        naive_maps = Path(temporary) / "maps"
        streams = {
            STOCK: loading.stock(),
            OURS: loading.ours(with_maps=True),
            f"{OURS}, no maps": loading.ours(with_maps=False),
            f"{STOCK}, maps carried naively": loading.naive(naive_maps),
        }
        _check_batches({name: next(stream) for name, stream in streams.items()})
        size = " x ".join(map(str, loading.patch))
        line = (
            f"{batches} batches of {BATCH} x {size}, {loading.channels} channels, {loading.classes} classes"
        )
        with loading_apart(streams, batches) as contestants:
            rows = in_turns(line, contestants, repetitions=repetitions)
    return seconds_a_batch(rows, batches)


@dataclass
class Loading:
    """The loaders of a preprocessed dataset.

    Args:
        folder: of the dataset.
        plans_name: of its plans.
        wanted_patch: voxels of an example, by default those of the plans.
    """

    folder: Path
    plans_name: str
    wanted_patch: Sequence[int] | None

    def __post_init__(self) -> None:
        plans = PlansManager(str(self.folder / f"{self.plans_name}.json"))
        self.configuration = plans.get_configuration("3d_fullres")
        self.labels = plans.get_label_manager(json.loads((self.folder / "dataset.json").read_text()))
        self.patch = tuple(self.wanted_patch or self.configuration.patch_size)
        self.initial = tuple(map(int, get_patch_size(self.patch, ROTATION, ROTATION, ROTATION, (0.85, 1.25))))
        self.cases = str(self.folder / self.configuration.data_identifier)
        self.classes = len(self.labels.all_labels)

    @cached_property
    def channels(self) -> int:
        """Of the images."""
        data = nnUNetDatasetBlosc2(self.cases)
        return int(data.load_case(data.identifiers[0])[0].shape[0])

    def transforms(self) -> Any:
        """Return nnU-Net's augmentation."""
        masked = self.configuration.use_mask_for_norm
        return nnUNetTrainer.get_training_transforms(
            self.patch, ROTATION, None, (0, 1, 2), False, masked, False, self.labels.foreground_labels
        )

    def stock(self, data: Any = None, transforms: Any = None) -> Iterator[list[Any]]:
        """Return nnU-Net's batches for the random numbers of ours, as lists of examples."""
        return same_draws(
            [
                self.stock_examples(share, data, transforms or self.transforms())
                for share in oversampled(BATCH)
            ]
        )

    def stock_examples(self, oversample: float, data: Any, transforms: Any) -> Iterator[Any]:
        """Return nnU-Net's batches of one example."""
        loader = nnUNetDataLoader(
            data or nnUNetDatasetBlosc2(self.cases),
            1,
            self.initial,
            self.patch,
            self.labels,
            oversample,
            transforms=transforms,
        )
        return iter(SingleThreadedAugmenter(loader, None))

    def naive(self, folder: Path) -> Iterator[list[Any]]:
        """Return nnU-Net's batches with maps as further volumes, which its spatial transforms take along."""
        write_naive_maps(self.cases, folder)
        transforms, channels = self.transforms(), self.channels

        def split(image: torch.Tensor, segmentation: torch.Tensor) -> dict[str, torch.Tensor]:
            maps = image[channels:]
            sample = transforms(image=image[:channels], segmentation=segmentation, regression_target=maps)
            return sample | {"image": torch.cat([sample["image"], sample["regression_target"]])}

        return self.stock(NaiveDataset(self.cases, folder), split)

    def ours(self, *, with_maps: bool) -> Iterator[Any]:
        """Return our batches."""
        return load_batches(
            self.batches(with_maps, self.transforms()), first=0, processes=0, pin_memory=False
        )

    def batches(self, with_maps: bool, transforms: Any, places: Sequence[int] = range(BATCH)) -> PatchBatches:
        """Return our batches by their numbers."""
        return PatchBatches(
            MapDataset(self.cases, with_maps=with_maps),
            self.initial,
            self.patch,
            self.labels,
            batch_size=BATCH,
            places=places,
            oversample_foreground=OVERSAMPLE,
            transforms=carry_maps(transforms, None, spacing_mm=self.configuration.spacing),
            seed=[0],
        )

    def compare(self) -> None:
        """Load examples of both loaders from the same random numbers.

        Raises:
            DisagreementError: a voxel of an image differs by more than rounding, or a label differs.
        """
        for place, share in enumerate(oversampled(BATCH)):
            ours = self.batches(True, by_fixed_algorithms(self.transforms()), places=(place,))
            stock = self.stock_examples(share, None, by_fixed_algorithms(self.transforms()))
            self._compare_place(place, ours, stock)

    def _compare_place(self, place: int, ours: PatchBatches, stock: Iterator[Any]) -> None:
        for number in range(COMPARED // BATCH):
            mine = ours[number]
            seed_everything([0, number, place])
            theirs = next(stock)
            difference = float((mine["data"] - theirs["data"]).abs().max())
            wrong = int((mine["target"] != theirs["target"]).sum())
            if mine["keys"] != list(theirs["keys"]) or difference > ROUNDING or wrong:
                raise DisagreementError(
                    f"example {number} at place {place}, {mine['keys'][0]}: not nnU-Net's, by up to {difference:.2g} "
                    f"in intensity and in {wrong} labels"
                )


class NaiveDataset(nnUNetDatasetBlosc2):  # type: ignore[misc]
    """nnU-Net's cases with the maps as further channels of the image."""

    def __init__(self, cases: str, maps: Path) -> None:
        super().__init__(cases)
        self.maps = maps

    def load_case(self, identifier: str) -> tuple[Any, ...]:
        """Return nnU-Net's case, the image with maps."""
        image, *others = super().load_case(identifier)
        maps = blosc2.open(
            str(self.maps / f"{identifier}.b2nd"), mode="r", mmap_mode="r", dparams={"nthreads": 1}
        )
        return _Stacked(image, maps), *others


class _Stacked:
    """Two arrays on disk, read as one of the channels of both."""

    def __init__(self, first: Any, second: Any) -> None:
        self.arrays = first, second
        self.shape = (first.shape[0] + second.shape[0], *first.shape[1:])

    def __getitem__(self, where: Any) -> Any:
        return np.concatenate([array[where] for array in self.arrays])


def write_naive_maps(cases: str, folder: Path) -> None:
    """Store maps as nnU-Net stores images: float32, in its chunks, with its codec."""
    folder.mkdir()
    for file in maps_folder(Path(cases)).glob("*.b2nd"):
        maps = open_maps(file)[:]
        blocks, chunks = comp_blosc2_params(maps.shape, PATCH, maps.itemsize)
        options = {"codec": blosc2.Codec.LZ4HC, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE]}
        blosc2.asarray(maps, urlpath=str(folder / file.name), chunks=chunks, blocks=blocks, cparams=options)


def synthetic_mr(folder: Path, cases: int = 5) -> Path:
    """Make MR of the size of BraTS and preprocess them by this package's command; return the dataset's folder."""
    name = "Dataset902_MR"
    write_phantom_brats(folder / "source", cases=cases, size=MR_SIZE, absent_enhancing_fraction=0.0)
    write_nnunet_raw(read_brats(folder / "source"), folder / "raw" / name)
    patch = f"planning.patch_size=[{','.join(map(str, PATCH))}]"
    paths = [f"paths.{kind}={folder / kind}" for kind in ("raw", "preprocessed", "results", "tables")]
    choice = [
        "dataset=nnunet",
        f"dataset.id={name}",
        patch,
        "planning.zscore_on_nonzero=true",
        "processes=1",
        *paths,
    ]
    outcome = subprocess.run([sys.executable, str(PREPROCESS), *choice], capture_output=True, text=True)
    if outcome.returncode != 0:
        raise RuntimeError(
            f"preprocessing ended with status {outcome.returncode}: {outcome.stderr[-500:].strip()}"
        )
    return folder / "preprocessed" / name


def _check_batches(batches: dict[str, Any]) -> None:
    """Raise an error unless all contestants' examples have the same shapes and types."""
    examples = {name: batch if isinstance(batch, list) else [batch] for name, batch in batches.items()}
    channels = examples[STOCK][0]["data"].shape[1]
    for name, (example, *_) in examples.items():
        for key, found in (("data", example["data"][:1, :channels]), ("target", example["target"][:1])):
            expected = examples[STOCK][0][key]
            if (found.shape, found.dtype) != (expected.shape, expected.dtype):
                raise DisagreementError(
                    f"{name}: {key} of {tuple(found.shape)} and {found.dtype}, not {tuple(expected.shape)}"
                )
    maps = batches[OURS]["dtm"]
    if maps.shape[2:] != batches[OURS]["data"].shape[2:] or maps.dtype != torch.float32:
        raise DisagreementError(f"maps of {tuple(maps.shape)} and {maps.dtype}")


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="a preprocessed dataset")
    parser.add_argument("--plans", default="paperPlans")
    parser.add_argument("--patch", type=int, nargs=3, help="by default the plans'")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--repetitions", type=int, default=4)
    rows = measure(**vars(parser.parse_args()))
    of_stock = next(row["seconds"] for row in rows if row["contestant"] == STOCK)
    print(f"{rows[0]['line']}, one core\n")
    print("| loader | seconds a batch | of nnU-Net's | lowest to highest round |\n|---|---|---|---|")
    for row in rows:
        ratios = [mine / theirs for mine, theirs in zip(row["seconds"], of_stock, strict=True)]
        total = sum(row["seconds"]) / sum(of_stock)
        print(
            f"| {row['contestant']} | {row['value']:.3f} | {total:.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
        )


if __name__ == "__main__":
    main()
