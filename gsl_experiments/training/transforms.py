"""Distance maps through nnU-Net's augmentation.

batchgeneratorsv2 carries a ``regression_target`` through every spatial transform as if it were an image. Here the maps
are kept true on their way: distances in mm of the new image, nothing from beyond the image, and one map for each output
scale. Images and labels come out as nnU-Net's own transforms make them, but for the label `OUTSIDE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform
from torch import Tensor
from torch.nn.functional import interpolate

from gsl_experiments.training.resampled_labels import OUTSIDE
from gsl_experiments.training.spatial_transform import Plan, SpatialTransformWithMaps


class Augmentation(ComposeTransforms):
    """nnU-Net's transforms: the first can be drawn before an example is read, the last done as it is copied."""

    def plan(self, shape: Sequence[int]) -> Plan:
        """Draw what is drawn first, for a loaded patch of this shape, and say what has to be read."""
        for transform in self.transforms:
            if isinstance(transform, SpatialTransformWithMaps):
                return transform.plan(shape)
        whole = [slice(0, size) for size in shape]
        return Plan({}, frame=whole, read=whole)

    def carry_out(self, plan: Plan, sample: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """Transform a sample as planned, and draw all else. Returns it, and the axes yet to be flipped."""
        for transform in self.transforms:
            if isinstance(transform, SpatialTransformWithMaps):
                sample = transform.apply(sample, **plan.params)
            elif isinstance(transform, MirrorTransform) and transform is self.transforms[-1]:
                return sample, [axis + 1 for axis in transform.get_parameters()["axes"]]
            else:
                sample = transform(**sample)
        return sample, []


class DownsampleMaps(BasicTransform):
    """Sample the maps at the voxel centres of every output scale, where the segmentation still is at full resolution.

    Distances stay in mm. Voxels without an image lend nothing to their neighbours on a coarser grid, and the maps are
    0 where the coarse segmentation, nnU-Net's nearest neighbour, is `OUTSIDE`.

    Args:
        scales: one factor for each axis, 1 or less, for every output scale.
    """

    def __init__(self, scales: list[list[float]]) -> None:
        super().__init__()
        self.scales = scales

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Replace the maps by a list with one entry a scale."""
        maps = data_dict.get("regression_target")
        if maps is not None:
            outside = data_dict["segmentation"] == OUTSIDE
            inside = (~outside)[None].float() if outside.any() else None
            data_dict["regression_target"] = [_downsampled(maps, inside, scale) for scale in self.scales]
        return data_dict


def carry_maps(
    transforms: ComposeTransforms,
    deep_supervision_scales: list[list[float]] | None,
    *,
    spacing_mm: Sequence[float],
) -> Augmentation:
    """Return nnU-Net's transforms with distance maps kept true on their way through.

    Samples come in with 0 for image and maps and `OUTSIDE` for the segmentation where the patch exceeds the image. They
    leave with `OUTSIDE` there at every scale, labels from 0 elsewhere, and maps of 0 exactly where the segmentation is
    `OUTSIDE`. A sample may lack maps. Image, segmentation and random draws are nnU-Net's.

    Args:
        transforms: nnU-Net's for training or validation.
        deep_supervision_scales: one factor for each axis and output scale; None for one scale.
        spacing_mm: distance between voxels of the network's grid, one number for each array axis.
    """
    steps: list[BasicTransform] = []
    for transform in _mirroring_after_masking(transforms.transforms):
        if isinstance(transform, DownsampleSegForDSTransform) and deep_supervision_scales is not None:
            steps.append(DownsampleMaps(deep_supervision_scales))
        if isinstance(transform, SpatialTransform):
            steps.append(SpatialTransformWithMaps(transform, spacing_mm))
        elif isinstance(transform, MaskImageTransform):
            steps.append(_MaskImage(**vars(transform)))
        elif isinstance(transform, RemoveLabelTransform):
            steps.append(_RemoveLabel(**vars(transform)))
        else:
            steps.append(transform)
    return Augmentation(steps)


def _mirroring_after_masking(transforms: Sequence[BasicTransform]) -> list[BasicTransform]:
    """Return transforms with mirroring later where the order makes no difference, voxel by voxel and without draws."""
    steps = list(transforms)
    for i in range(len(steps) - 1):
        if isinstance(steps[i], MirrorTransform) and isinstance(
            steps[i + 1], MaskImageTransform | RemoveLabelTransform
        ):
            steps[i : i + 2] = steps[i + 1], steps[i]
    return steps


class _MaskImage(MaskImageTransform):
    """nnU-Net's transform without a list of all voxels that it sets."""

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        mask = data_dict["segmentation"][self.channel_idx_in_seg] < 0
        for channel in self.apply_to_channels:
            data_dict["image"][channel].masked_fill_(mask, self.set_outside_to)
        return data_dict


class _RemoveLabel(RemoveLabelTransform):
    """nnU-Net's transform without a list of all voxels that it sets."""

    def _apply_to_segmentation(self, segmentation: Tensor, **params: Any) -> Tensor:
        channels = (
            range(len(segmentation)) if self.segmentation_channels is None else self.segmentation_channels
        )
        for channel in channels:
            segmentation[channel].masked_fill_(segmentation[channel] == self.label_value, self.set_to)
        return segmentation


def as_released_code(transforms: ComposeTransforms) -> ComposeTransforms:
    """Return nnU-Net's transforms reduced to the released code's: flips, noise, blur, brightness and contrast."""
    steps = []
    for transform in transforms.transforms:
        inner = transform.transform if isinstance(transform, RandomTransform) else transform
        if isinstance(inner, SimulateLowResolutionTransform | GammaTransform):
            continue
        if isinstance(transform, SpatialTransform):
            transform.p_rotation = transform.p_scaling = 0.0
        steps.append(transform)
    return ComposeTransforms(steps)


def by_fixed_algorithms(transforms: ComposeTransforms) -> ComposeTransforms:
    """Return nnU-Net's transforms without the blur's choice, by the clock, of one of two algorithms."""
    for transform in transforms.transforms:
        inner = transform.transform if isinstance(transform, RandomTransform) else transform
        if isinstance(inner, GaussianBlurTransform):
            inner.benchmark = False
    return transforms


def _downsampled(maps: Tensor, inside: Tensor | None, scale: list[float]) -> Tensor:
    if all(factor == 1 for factor in scale):
        return maps
    shape = [round(size * factor) for size, factor in zip(maps.shape[1:], scale, strict=True)]
    mode = "trilinear" if maps.ndim == 4 else "bilinear"
    coarse = interpolate(maps[None], shape, mode=mode, align_corners=False)[0]
    if inside is None:
        return coarse
    weight = interpolate(inside, shape, mode=mode, align_corners=False)[0]
    return coarse.div_(weight).masked_fill_(interpolate(inside, shape, mode="nearest-exact")[0] == 0, 0)
