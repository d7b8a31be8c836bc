"""nnU-Net's dataset and patches, with the distance maps of a case beside its image and segmentation.

Each example of a training is a function of the seed and of its place in the training alone: the number of its batch and
its place in that batch. So batches are the same however many processes load them, however fast they are, and over
however many processes a batch is shared; and a training goes on from any batch without a stored random state.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.utils.data import DataLoader

from gsl_experiments.preprocessing.maps import maps_folder, open_maps
from gsl_experiments.training.interruption import ignore_signals
from gsl_experiments.training.resampled_labels import OUTSIDE
from gsl_experiments.training.transforms import Augmentation

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


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
    the image the target is background, as in nnU-Net, and the maps are 0.

    Attributes:
        mark_outside: have the target say :data:`~gsl_experiments.training.resampled_labels.OUTSIDE` there instead.
    """

    mark_outside = False

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
        transforms: Augmentation,
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
        batch = _Batch(len(self.places))
        keys = []
        with torch.no_grad(), _thread_pools().limit(limits=1):
            for place in self.places:
                seed_everything([*self.seed, number, place])
                keys.append(str(np.random.choice(self.indices)))  # noqa: NPY002 - as nnU-Net draws
                batch.add(*self._patch(keys[-1], force_foreground=self.get_do_oversample(place)))
        target = batch.tensors["segmentation"]
        if not self.mark_outside:
            for scale in target if isinstance(target, list) else [target]:
                scale.clamp_(min=0)
        return {
            "data": batch.tensors["image"],
            "target": target,
            "dtm": batch.tensors.get("regression_target"),
            "keys": keys,
        }

    def _patch(self, key: str, *, force_foreground: bool) -> tuple[dict[str, Any], list[int]]:
        image, segmentation, _, properties = self._data.load_case(key)
        lower, _ = self.get_bbox(image.shape[1:], force_foreground, properties["class_locations"])
        plan = self.transforms.plan(self.patch_size[1:] if self.patch_size_was_2d else self.patch_size)
        frame, read = ([slice(0, 1)] * self.patch_size_was_2d + part for part in (plan.frame, plan.read))
        part = _Part(image.shape[1:], lower, frame, read)
        maps = self._data.load_maps(key)
        sample = {"segmentation": part.placed(segmentation, np.int16, OUTSIDE)}
        if plan.boxed and part.covers_something:
            plan.params["box"] = part.destination
            sample["image"] = image[part.source]
            if maps is not None:
                sample["regression_target"] = maps.steps(part.source)
                plan.params["step_mm"] = maps.step_mm
        else:
            sample["image"] = part.placed(image, np.float32, 0)
            if maps is not None:
                sample["regression_target"] = part.placed(maps, np.float32, 0)
        tensors = {name: torch.from_numpy(array) for name, array in sample.items()}
        if self.patch_size_was_2d:
            tensors = {name: tensor[:, 0] for name, tensor in tensors.items()}
        return self.transforms.carry_out(plan, tensors)


class _Part:
    """A part of a patch, as it is to be read from the arrays of a case.

    Args:
        shape: of the case.
        corner: where in it the patch begins, be it before the first voxel.
        frame: the part of the patch in which it is placed.
        read: the part of the patch that is read, as far as the case covers it.
    """

    def __init__(
        self, shape: Sequence[int], corner: Sequence[int], frame: Sequence[slice], read: Sequence[slice]
    ) -> None:
        self.shape = [whole.stop - whole.start for whole in frame]
        source, destination = [], []
        for size, begin, whole, wanted in zip(shape, corner, frame, read, strict=True):
            low = min(max(begin + wanted.start, 0), size)
            high = max(min(begin + wanted.stop, size), low)
            source.append(slice(low, high))
            destination.append(slice(low - begin - whole.start, high - begin - whole.start))
        self.source = (slice(None), *source)
        self.destination = tuple(destination)
        self.covers_something = all(part.start < part.stop for part in self.destination)

    def placed(self, array: Any, dtype: type[np.generic], beyond: int) -> NDArray[Any]:
        """Return it in its frame, (channels, *frame), with a constant where nothing is read."""
        values = array[self.source].astype(dtype, copy=False)
        if list(values.shape[1:]) == self.shape:
            return values
        frame = np.full((len(values), *self.shape), beyond, dtype)
        frame[(slice(None), *self.destination)] = values
        return frame


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
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Have this process use freed memory again, where glibc would return each large array's to the system.

    The system fills what it gives with zeros, page by page: a third of the time of loading an example of 192^3 voxels.
    The process then holds for good the most that it needed at a time.
    """
    with suppress(OSError, TypeError, AttributeError):  # another C library has no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def _as_it_is(batch: Any) -> Any:
    return batch


class _Batch:
    """Samples that are put together, scale by scale where deep supervision has made lists of them.

    Args:
        size: how many samples there will be.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.added = 0
        self.tensors: dict[str, Any] = {}

    def add(self, sample: dict[str, Any], flipped: list[int]) -> None:
        """Copy a sample into the batch, flipped along some axes."""
        for name, value in sample.items():
            scales = value if isinstance(value, list) else [value]
            if not self.added:
                stacks = [_empty(self.size, scale) for scale in scales]
                self.tensors[name] = stacks if isinstance(value, list) else stacks[0]
            stacks = self.tensors[name] if isinstance(value, list) else [self.tensors[name]]
            for stack, scale in zip(stacks, scales, strict=True):
                np.copyto(stack[self.added].numpy(), np.flip(scale.numpy(), tuple(flipped)))
        self.added += 1


def _empty(size: int, sample: Tensor) -> Tensor:
    """Return room for samples; NumPy asks for large pages of memory, which are faster to get than PyTorch's."""
    return torch.from_numpy(np.empty((size, *sample.shape), sample.numpy().dtype))
