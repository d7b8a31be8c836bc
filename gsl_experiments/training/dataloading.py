"""nnU-Net's dataset and loader, with the distance maps of a case beside its image and segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from threadpoolctl import threadpool_limits

from gsl_experiments.preprocessing.maps import maps_folder, open_maps


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


class MapDataLoader(nnUNetDataLoader):
    """nnU-Net's patch sampling; a batch holds ``dtm`` beside ``data`` and ``target``.

    Outside the image the map is 0, which counts nothing in the boundary losses.
    """

    def generate_train_batch(self) -> dict[str, Any]:
        """Draw, crop and augment the samples of one batch."""
        keys = self.get_indices()
        with torch.no_grad(), threadpool_limits(limits=1, user_api=None):
            samples = [self._sample(key, self.get_do_oversample(i)) for i, key in enumerate(keys)]
        return {
            "data": _stack([s["image"] for s in samples]),
            "target": _stack([s["segmentation"] for s in samples]),
            "dtm": _stack([s["regression_target"] for s in samples]) if self._data.with_maps else None,
            "keys": keys,
        }

    def _sample(self, key: str, force_foreground: bool) -> dict[str, Any]:
        image, segmentation, _, properties = self._data.load_case(key)
        lower, upper = self.get_bbox(image.shape[1:], force_foreground, properties["class_locations"])
        box = [[low, high] for low, high in zip(lower, upper, strict=True)]
        sample = {
            "image": torch.from_numpy(crop_and_pad_nd(image, box, 0)).float(),
            "segmentation": torch.from_numpy(
                crop_and_pad_nd(segmentation, box, -1, cast_cropped_to=np.int16)
            ),
        }
        maps = self._data.load_maps(key)
        if maps is not None:
            sample["regression_target"] = torch.from_numpy(crop_and_pad_nd(maps, box, 0)).float()
        if self.patch_size_was_2d:
            sample = {name: tensor[:, 0] for name, tensor in sample.items()}
        return self.transforms(**sample) if self.transforms is not None else sample


def start_loading(
    loader: MapDataLoader, seeds: Sequence[int], *, pin_memory: bool
) -> SingleThreadedAugmenter | NonDetMultiThreadedAugmenter:
    """Return an endless stream of batches, loaded by one background process a seed, or in the foreground without."""
    if not seeds:
        return SingleThreadedAugmenter(loader, None)
    stream = NonDetMultiThreadedAugmenter(
        loader,
        None,
        num_processes=len(seeds),
        num_cached=max(3, len(seeds) // 2),
        seeds=list(seeds),
        pin_memory=pin_memory,
        wait_time=0.002,
    )
    next(stream)  # starts the processes
    return stream


def _stack(samples: list[Any]) -> Any:
    """Stack samples into a batch, scale by scale where deep supervision has made lists of them."""
    if isinstance(samples[0], list):
        return [torch.stack(scale) for scale in zip(*samples, strict=True)]
    return torch.stack(samples)
