"""Distance maps through nnU-Net's augmentation.

batchgeneratorsv2 carries a ``regression_target`` through every spatial transform as if it were an image. Mirroring and
cropping are exact for a distance map; a zoom also changes the distances themselves, which is mended here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from torch.nn.functional import interpolate


class RescaledMaps(BasicTransform):
    """nnU-Net's spatial transform, after which the maps again hold millimetres of the new image.

    A zoom by ``s`` (nnU-Net's: the sampling grid is stretched by ``s``) makes everything ``s`` times smaller, so the
    resampled distances are divided by it. Exact for one zoom factor on all axes; a rotation leaves distances as they
    are, which is exact for isotropic spacing.
    """

    def __init__(self, spatial: SpatialTransform) -> None:
        super().__init__()
        self.spatial = spatial

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        """Draw the transform's parameters."""
        return self.spatial.get_parameters(**data_dict)

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Transform image, segmentation and maps."""
        data_dict = self.spatial.apply(data_dict, **params)
        if params["affine"] is not None and data_dict.get("regression_target") is not None:
            zoom = abs(np.linalg.det(params["affine"])) ** (1 / len(params["affine"]))
            data_dict["regression_target"] /= float(zoom)
        return data_dict


class DownsampleMaps(BasicTransform):
    """Sample the maps on the grid of every deep supervision output; distances stay in mm."""

    def __init__(self, scales: list[list[float]]) -> None:
        super().__init__()
        self.scales = scales

    def _apply_to_regr_target(self, regression_target: torch.Tensor, **params: Any) -> list[torch.Tensor]:
        mode = "trilinear" if regression_target.ndim == 4 else "bilinear"
        shape = regression_target.shape[1:]
        return [
            regression_target
            if all(factor == 1 for factor in scale)
            else interpolate(
                regression_target[None],
                [round(n * factor) for n, factor in zip(shape, scale, strict=True)],
                mode=mode,
                align_corners=False,
            )[0]
            for scale in self.scales
        ]

    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        return img

    def _apply_to_segmentation(self, segmentation: Any, **params: Any) -> Any:
        return segmentation


def carry_maps(
    transforms: ComposeTransforms, deep_supervision_scales: list[list[float]] | None
) -> ComposeTransforms:
    """Return nnU-Net's transforms with distance maps kept true on their way through."""
    steps = [RescaledMaps(t) if isinstance(t, SpatialTransform) else t for t in transforms.transforms]
    if deep_supervision_scales is not None:
        steps.append(DownsampleMaps(deep_supervision_scales))
    return ComposeTransforms(steps)


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
