"""Distance maps through nnU-Net's augmentation.

batchgeneratorsv2 carries a ``regression_target`` through every spatial transform as if it were an image. Here the maps
are kept true on their way: distances in mm of the new image, nothing from beyond the image, and one map for each output
scale. Images and labels come out exactly as nnU-Net's own transforms make them, but for the label `OUTSIDE`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from numpy.typing import NDArray
from scipy.linalg import block_diag
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from gsl_experiments.training.augmented_maps import (
    common_factor,
    estimate_distances,
    matrix_in_mm,
    rebuild_maps,
    rescale_maps,
)

MARGIN_MM = 10.0  # how far around a patch labels are read where distances are measured anew
OUTSIDE = -2  # the label of voxels that no image covers; nnU-Net's -1 lies inside one, and is background


class SpatialTransformWithMaps(BasicTransform):
    """nnU-Net's spatial transform, after which the maps again hold millimetres of the new image.

    Takes and returns samples in which the segmentation is `OUTSIDE` where there is no image, and the maps are 0 there.
    `OUTSIDE` is what lies beyond the image, and also what lies beyond the loaded part of it: the loader reads enough
    for a rotation or a zoom, but in the corners not always enough for both, and nnU-Net's image is 0 there as well.

    Args:
        spatial: nnU-Net's transform, without elastic deformation.
        spacing_mm: distance between voxels of the network's grid, one number for each array axis.

    Raises:
        ValueError: the transform deforms elastically.
    """

    def __init__(self, spatial: SpatialTransform, spacing_mm: Sequence[float]) -> None:
        super().__init__()
        if spatial.p_elastic_deform > 0:
            raise ValueError("distance maps do not follow an elastic deformation: set p_elastic_deform to 0")
        self.spatial = spatial
        self.spacing_mm = tuple(float(spacing) for spacing in spacing_mm)
        self.cropping = copy(spatial)
        self.cropping.border_mode_seg, self.cropping.padding_value_seg = "constant", OUTSIDE

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        """Draw the transform's parameters."""
        return self.spatial.get_parameters(**data_dict)

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Transform image, segmentation and maps."""
        if params["grid"] is None:
            return self.cropping.apply(data_dict, **params)
        loaded = data_dict["segmentation"]
        maps = data_dict.pop("regression_target", None)
        data_dict["segmentation"] = loaded.clamp_min(-1)
        data_dict = self.spatial.apply(data_dict, **params)

        box = _image_box(loaded)
        grid = _grid_in_box(params["grid"], loaded.shape[1:], box)
        segmentation = data_dict["segmentation"]
        if _reaches_beyond(grid):
            segmentation.masked_fill_((grid.abs() > 1).any(-1) & (segmentation < 0), OUTSIDE)
        pseudo_2d = "nchannels_seg" in data_dict
        if pseudo_2d:
            segmentation[(loaded == OUTSIDE).flatten(1).all(1)] = OUTSIDE  # slices beyond the image

        if maps is not None:
            part = maps[(slice(None), *box)][None]
            sampled = grid_sample(part, grid[None], padding_mode="border", align_corners=False)[0]
            shape = (-1, *segmentation.shape) if pseudo_2d else sampled.shape
            data_dict["regression_target"] = self._in_new_mm(
                sampled.reshape(shape), segmentation, loaded, box, params
            ).reshape(sampled.shape)
        return data_dict

    def _in_new_mm(
        self,
        maps: Tensor,
        segmentation: Tensor,
        loaded: Tensor,
        box: list[slice],
        params: dict[str, Any],
    ) -> Tensor:
        """Return the maps, sampled at their new places, with distances in mm of the new image, and 0 outside."""
        in_plane = matrix_in_mm(params["affine"], self.spacing_mm[-len(params["affine"]) :])
        pseudo_2d = len(in_plane) < len(self.spacing_mm)  # slices stay where they are
        matrix = block_diag(1.0, in_plane) if pseudo_2d else in_plane
        factor = common_factor(matrix)
        if factor is not None:
            rescale_maps(maps, factor, self.spacing_mm)
        elif len(matrix) == 3:
            wide = _labels_around(segmentation, loaded, params, self.spacing_mm)
            labels = wide if pseudo_2d else wide[0]
            to_unseen_mm = _distance_to_unseen(
                params["grid"], loaded.shape[1:], box, in_plane, self.spacing_mm
            )
            rebuild_maps(
                maps, labels, labels == OUTSIDE, to_unseen_mm.expand(maps.shape[1:]), matrix, self.spacing_mm
            )
        else:  # a slice's labels do not tell how far the boundary in the next one is
            for dtm in maps:
                dtm.copy_(estimate_distances(dtm, matrix, self.spacing_mm))
        return maps.masked_fill_(segmentation == OUTSIDE, 0)


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
) -> ComposeTransforms:
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
    for transform in transforms.transforms:
        if isinstance(transform, DownsampleSegForDSTransform) and deep_supervision_scales is not None:
            steps.append(DownsampleMaps(deep_supervision_scales))
        is_spatial = isinstance(transform, SpatialTransform)
        steps.append(SpatialTransformWithMaps(transform, spacing_mm) if is_spatial else transform)
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


def by_fixed_algorithms(transforms: ComposeTransforms) -> ComposeTransforms:
    """Return nnU-Net's transforms without the blur's choice, by the clock, of one of two algorithms."""
    for transform in transforms.transforms:
        inner = transform.transform if isinstance(transform, RandomTransform) else transform
        if isinstance(inner, GaussianBlurTransform):
            inner.benchmark = False
    return transforms


def _image_box(segmentation: Tensor) -> list[slice]:
    """Return the part of every spatial axis that the image covers."""
    corners = segmentation.flatten()[
        [0, -1]
    ]  # an image is a box: if it ends within the patch, one of them is outside
    if (corners != OUTSIDE).all():
        return [slice(0, size) for size in segmentation.shape[1:]]
    inside = (segmentation != OUTSIDE).any(0)
    box = []
    for axis in range(inside.ndim):
        covered = inside.movedim(axis, 0).flatten(1).any(1).nonzero()
        box.append(slice(int(covered[0]), int(covered[-1]) + 1))
    return box


def _grid_in_box(grid: Tensor, shape: Sequence[int], box: list[slice]) -> Tensor:
    """Return a sampling grid over a whole patch, -1 to 1 from edge to edge, as one over a box in it."""
    sizes = [part.stop - part.start for part in box]
    if sizes == list(shape):
        return grid
    scale = [whole / size for whole, size in zip(shape, sizes, strict=True)]
    shift = [(whole - 2 * part.start) / size - 1 for whole, size, part in zip(shape, sizes, box, strict=True)]
    return grid * grid.new_tensor(scale[::-1]) + grid.new_tensor(shift[::-1])


def _labels_around(
    segmentation: Tensor, loaded: Tensor, params: dict[str, Any], spacing_mm: Sequence[float]
) -> Tensor:
    """Return transformed labels with those of the surroundings, `MARGIN_MM` on each side of every resampled axis."""
    affine, shape = params["affine"], np.array(loaded.shape[1:])
    margin = [math.ceil(MARGIN_MM / spacing) for spacing in spacing_mm[-len(affine) :]]
    wide = [size + 2 * more for size, more in zip(segmentation.shape[1:], margin, strict=True)]
    shift = 2 * np.array(params["center_location_in_pixels"]) / shape - 1
    linear = affine * wide / shape[:, None]
    theta = np.column_stack([linear[::-1, ::-1], shift[::-1]])  # grids count axes from the last
    grid = affine_grid(torch.from_numpy(theta).float()[None], [1, 1, *wide], align_corners=False)
    sampled = grid_sample((loaded - OUTSIDE).float()[None], grid, mode="nearest", align_corners=False)[0]
    labels = sampled.to(loaded.dtype).add_(OUTSIDE)
    inner = (slice(more, more + size) for size, more in zip(segmentation.shape[1:], margin, strict=True))
    labels[(slice(None), *inner)] = segmentation
    return labels


def _distance_to_unseen(
    grid: Tensor,
    shape: Sequence[int],
    box: list[slice],
    matrix: NDArray[np.float64],
    spacing_mm: Sequence[float],
) -> Tensor:
    """Return the distance in mm from every sampled place to the faces of the loaded patch beyond which image lies."""
    nearest = torch.full(grid.shape[:-1], torch.inf)
    spacings = spacing_mm[-len(shape) :]
    for axis, (size, part, spacing, row) in enumerate(zip(shape, box, spacings, matrix, strict=True)):
        half_mm = size * spacing / 2 / float(np.linalg.norm(row))
        to_face = grid[..., -1 - axis] * half_mm
        if part.start == 0:
            nearest = torch.minimum(nearest, half_mm + to_face)
        if part.stop == size:
            nearest = torch.minimum(nearest, half_mm - to_face)
    return nearest


def _reaches_beyond(grid: Tensor) -> bool:
    """Whether an affine sampling grid leaves the box that it is written in: if it does, one of its corners does."""
    corners = grid[tuple(slice(None, None, max(size - 1, 1)) for size in grid.shape[:-1])]
    return bool(corners.abs().max() > 1)


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
