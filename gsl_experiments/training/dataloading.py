"""nnU-Net's dataset and patches, with the distance maps of a case beside its image and segmentation.

Each example of a training is a function of the seed and of its place in the training alone: the number of its batch and
its place in that batch. So batches are the same however many processes load them, however fast they are, and over
however many processes a batch is shared; and a training goes on from any batch without a stored random state.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from threadpoolctl import ThreadpoolController
from torch.utils.data import DataLoader

from gsl_experiments.preprocessing.maps import maps_folder, open_maps
from gsl_experiments.training.interruption import ignore_signals
from gsl_experiments.training.transforms import OUTSIDE


class MapDataset(nnUNetDatasetBlosc2):
    """nnU-Net's preprocessed cases together with their distance maps.

    Args:
        folder: nnU-Net's folder of preprocessed cases.
        identifiers: the cases to use, all by default.
        folder_with_segs_from_previous_stage: as in nnU-Net; cascades are not supported here.
        with_maps: open the maps too; a loss without a boundary term does not read them.
    """

    def __init__(
        self,
        folder: str,
        identifiers: list[str] | None = None,
        folder_with_segs_from_previous_stage: str | None = None,
        *,
        with_maps: bool = True,
    ) -> None:
        super().__init__(folder, identifiers, folder_with_segs_from_previous_stage)
        self.with_maps = with_maps

    def load_maps(self, identifier: str) -> blosc2.NDArray | None:
        """Open the maps of a case: (C, z, y, x) float16, mm; None without maps."""
        if not self.with_maps:
            return None
        return open_maps(maps_folder(Path(self.source_folder)) / f"{identifier}.b2nd")


class PatchBatches(nnUNetDataLoader):
    """The batches of a training, numbered from 0: nnU-Net's patches, with ``dtm`` beside ``data`` and ``target``.

    Args:
        dataset: the cases to draw from.
        patch_size: size of the patch that is cut and handed to the transforms.
        final_patch_size: size of the patch that the transforms return.
        label_manager: nnU-Net's.
        batch_size: examples of a whole batch, over all processes.
        places: the places in the batch whose examples this process loads.
        oversample_foreground: share of a batch, its last places, whose patches are centred on foreground.
        transforms: what each example goes through.
        seed: whatever tells this training and this purpose from others.

    A batch holds ``data`` (B, channels, *patch), ``target`` (B, 1, *patch), ``dtm`` (B, C, *patch) or None, the
    latter two one tensor a scale where there is deep supervision, and ``keys``, the identifiers of its cases. Beyond
    the image the target is :data:`~gsl_experiments.training.transforms.OUTSIDE`.
    """

    def __init__(
        self,
        dataset: MapDataset,
        patch_size: Sequence[int],
        final_patch_size: Sequence[int],
        label_manager: LabelManager,
        *,
        batch_size: int,
        places: Sequence[int],
        oversample_foreground: float,
        transforms: ComposeTransforms,
        seed: Sequence[int],
    ) -> None:
        super().__init__(
            dataset,
            batch_size,
            patch_size,
            final_patch_size,
            label_manager,
            oversample_foreground,
            transforms=transforms,
        )
        self.places = places
        self.seed = list(seed)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return this process's share of a batch."""
        with torch.no_grad(), _thread_pools().limit(limits=1):
            keys, samples = zip(*(self._example(number, place) for place in self.places), strict=True)
        return {
            "data": _stack([s["image"] for s in samples]),
            "target": _stack([s["segmentation"] for s in samples]),
            "dtm": _stack([s["regression_target"] for s in samples]) if self._data.with_maps else None,
            "keys": list(keys),
        }

    def _example(self, number: int, place: int) -> tuple[str, dict[str, Any]]:
        seed_everything([*self.seed, number, place])
        key = str(np.random.choice(self.indices))  # noqa: NPY002 - nnU-Net draws from the global generator
        return key, self._patch(key, force_foreground=self.get_do_oversample(place))

    def _patch(self, key: str, *, force_foreground: bool) -> dict[str, Any]:
        image, segmentation, _, properties = self._data.load_case(key)
        lower, upper = self.get_bbox(image.shape[1:], force_foreground, properties["class_locations"])
        box = [[low, high] for low, high in zip(lower, upper, strict=True)]
        sample = {
            "image": torch.from_numpy(crop_and_pad_nd(image, box, 0)).float(),
            "segmentation": torch.from_numpy(
                crop_and_pad_nd(segmentation, box, OUTSIDE, cast_cropped_to=np.int16)
            ),
        }
        maps = self._data.load_maps(key)
        if maps is not None:
            sample["regression_target"] = torch.from_numpy(crop_and_pad_nd(maps, box, 0)).float()
        if self.patch_size_was_2d:
            sample = {name: tensor[:, 0] for name, tensor in sample.items()}
        return self.transforms(**sample)


def load_batches(
    batches: PatchBatches, *, first: int, processes: int, pin_memory: bool
) -> Iterator[dict[str, Any]]:
    """Return an endless stream of batches, in order.

    Args:
        batches: what is loaded.
        first: number of the first batch.
        processes: how many processes load in the background; 0 loads in the foreground.
        pin_memory: copy batches to memory that a GPU reads from fast.
    """
    loader: DataLoader[Any] = DataLoader(
        batches,
        batch_size=None,
        sampler=itertools.count(first),
        num_workers=processes,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        worker_init_fn=_prepare_worker if processes else None,
        prefetch_factor=max(2, 6 // processes) if processes else None,
    )
    return iter(loader)


def seed_everything(seed: Sequence[int]) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators, each with a number drawn from ``seed``."""
    for_python, for_numpy, for_torch = np.random.SeedSequence(list(seed)).generate_state(3)
    random.seed(int(for_python))
    np.random.seed(for_numpy)  # noqa: NPY002 - nnU-Net and batchgenerators draw from the global generator
    torch.manual_seed(int(for_torch))


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """Return the thread pools of this process's libraries; to look for them takes as long as to load an example."""
    return ThreadpoolController()


def _prepare_worker(worker: int) -> None:
    """Keep to one thread, and leave signals to the trainer, which needs batches until it has finished its step."""
    ignore_signals()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _as_it_is(batch: Any) -> Any:
    return batch


def _stack(samples: list[Any]) -> Any:
    """Stack samples into a batch, scale by scale where deep supervision has made lists of them."""
    if isinstance(samples[0], list):
        return [torch.stack(scale) for scale in zip(*samples, strict=True)]
    return torch.stack(samples)
