"""nnU-Net's rotation, zoom and crop, with distance maps kept true on their way.

What is to be read of a patch follows from the drawn parameters, which are therefore drawn first. Image, labels and maps
are interpolated from what has been read alone; images and labels come out as nnU-Net's own transform makes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from numpy.typing import NDArray
from scipy.linalg import block_diag
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from gsl_experiments.training.augmented_maps import (
    common_factor,
    estimate_distances,
    matrix_in_mm,
    rebuild_maps,
    rescaling,
)
from gsl_experiments.training.interpolation import interpolate
from gsl_experiments.training.resampled_labels import OUTSIDE, resample_labels

MARGIN_MM = 10.0  # how far around a patch labels are read where distances are measured anew


@dataclass(frozen=True)
class Plan:
    """What has been drawn for an example before anything of it is read.

    Args:
        params: the parameters of the spatial transform.
        frame: the part of the loaded patch that the arrays to be transformed stand for, one slice for each axis.
        read: the part of the loaded patch that has to be read; the rest is as if it lay beyond the image.
        boxed: image and maps may be handed over without what has not been read.
    """

    params: dict[str, Any]
    frame: list[slice]
    read: list[slice]
    boxed: bool = False


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

    def plan(self, shape: Sequence[int]) -> Plan:
        """Draw the parameters for a patch of this shape, and say which part of it they ask for."""
        resampled = shape[-len(self.spatial.patch_size) :]
        others = [slice(0, size) for size in shape[: -len(resampled)]]
        params = self.get_parameters(image=torch.empty(1).expand(1, *resampled))
        center = params["center_location_in_pixels"]
        if params["grid"] is None:
            sizes = self.spatial.patch_size
            starts = [math.floor(c) - size // 2 for c, size in zip(center, sizes, strict=True)]
            crop = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
            params["center_location_in_pixels"] = [size / 2 for size in sizes]
            read = [slice(max(c.start, 0), min(c.stop, n)) for c, n in zip(crop, resampled, strict=True)]
            return Plan(params, frame=[*others, *crop], read=[*others, *read])
        half = (np.array(self.spatial.patch_size) - 1) / 2
        if common_factor(self._matrix(params)) is None:
            half += self._margin()
        reach = np.abs(params["affine"]) @ half + 0.01  # more than the grid's rounding
        low, high = np.floor(center - reach - 0.5), np.ceil(center + reach - 0.5)
        read = [
            slice(max(int(first), 0), min(int(last) + 1, size))
            for first, last, size in zip(low, high, resampled, strict=True)
        ]
        return Plan(params, [slice(0, size) for size in shape], [*others, *read], boxed=len(resampled) == 3)

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Transform image, segmentation and maps.

        With ``box`` among the parameters, the part of the patch that the image covers, image and maps are of that part
        alone. With ``step_mm`` the maps count in such steps.
        """
        if params["grid"] is None:
            return self.cropping.apply(data_dict, **params)
        loaded, grid = data_dict["segmentation"], params["grid"]
        box = params.get("box") or _image_box(loaded)
        shape, corner = loaded.shape[1:], [part.start for part in box]
        segmentation = data_dict["segmentation"] = resample_labels(loaded, grid, box)
        image = _bordered(_in_box(data_dict["image"], box))
        data_dict["image"] = _interpolated(image, grid, shape, [first - 1 for first in corner])
        if data_dict.get("regression_target") is not None:
            maps, step_mm = _in_box(data_dict["regression_target"], box), params.get("step_mm", 1.0)
            factor = common_factor(self._matrix(params))
            if factor is None:
                sampled = _interpolated(maps, grid, shape, corner, [step_mm] * len(maps))
            else:
                scale, shift_mm = rescaling(factor, self.spacing_mm)
                shifts_mm = [shift_mm if dtm.any() else 0.0 for dtm in maps]
                sampled = _interpolated(maps, grid, shape, corner, [step_mm * scale] * len(maps), shifts_mm)
            pseudo_2d = "nchannels_seg" in data_dict
            classes = sampled.view(-1, *segmentation.shape) if pseudo_2d else sampled
            if factor is None:
                self._measure_anew(classes, segmentation, loaded, box, params)
            classes.masked_fill_(segmentation == OUTSIDE, 0)
            data_dict["regression_target"] = sampled
        return data_dict

    def _matrix(self, params: dict[str, Any]) -> NDArray[np.float64]:
        """Return the drawn matrix in mm, with the axis across slices that stay where they are."""
        in_plane = matrix_in_mm(params["affine"], self.spacing_mm[-len(params["affine"]) :])
        return block_diag(1.0, in_plane) if len(in_plane) < len(self.spacing_mm) else in_plane

    def _margin(self) -> NDArray[np.int64]:
        """Return the voxels of `MARGIN_MM` along each resampled axis."""
        return np.ceil(MARGIN_MM / np.array(self.spacing_mm[-len(self.spatial.patch_size) :])).astype(
            np.int64
        )

    def _measure_anew(
        self,
        maps: Tensor,
        segmentation: Tensor,
        loaded: Tensor,
        box: Sequence[slice],
        params: dict[str, Any],
    ) -> None:
        """Make maps, sampled at their new places, hold mm of an image whose directions are stretched differently."""
        matrix = self._matrix(params)
        if len(matrix) == 2:  # a slice's labels do not tell how far the boundary in the next one is
            for dtm in maps:
                dtm.copy_(estimate_distances(dtm, matrix, self.spacing_mm))
            return
        pseudo_2d = len(params["affine"]) == 2
        wide = _labels_around(segmentation, loaded, params, self._margin())
        labels = wide if pseudo_2d else wide[0]
        to_unseen_mm = _distance_to_unseen(
            params["grid"], loaded.shape[1:], box, matrix[1:, 1:] if pseudo_2d else matrix, self.spacing_mm
        )
        to_unseen_mm = to_unseen_mm.expand(maps.shape[1:])
        rebuild_maps(maps, labels, labels == OUTSIDE, to_unseen_mm, matrix, self.spacing_mm)


def _image_box(segmentation: Tensor) -> list[slice]:
    """Return the part of every spatial axis that the image, a box, covers."""
    inside = (segmentation != OUTSIDE).any(0).numpy()
    first = np.unravel_index(inside.argmax(), inside.shape)
    last = np.unravel_index(inside.size - 1 - inside.ravel()[::-1].argmax(), inside.shape)
    return [slice(int(low), int(high) + 1) for low, high in zip(first, last, strict=True)]


def _in_box(volumes: Tensor, box: Sequence[slice]) -> Tensor:
    """Return the part of volumes that the image covers; they may be no larger than that."""
    sizes = [part.stop - part.start for part in box]
    return volumes if list(volumes.shape[1:]) == sizes else volumes[(slice(None), *box)].contiguous()


def _bordered(volumes: Tensor) -> Tensor:
    """Return volumes with one zero more at both ends of every axis, which is what lies beyond an image."""
    wide = np.zeros((len(volumes), *(size + 2 for size in volumes.shape[1:])), np.float32)
    wide[(slice(None), *[slice(1, -1)] * (volumes.ndim - 1))] = volumes.numpy()
    return torch.from_numpy(wide)


def _interpolated(
    volumes: Tensor,
    grid: Tensor,
    shape: Sequence[int],
    corner: Sequence[int],
    factors: Sequence[float] | None = None,
    offsets: Sequence[float] | None = None,
) -> Tensor:
    """Interpolate as `interpolate` does; two axes are a volume of one slice."""
    size = grid.shape[:-1]
    if grid.shape[-1] == 2:
        grid, volumes = pad(grid, (0, 1))[None], volumes[:, None]
        shape, corner = (1, *shape), (0, *corner)
    sampled = interpolate(volumes.numpy(), grid.numpy(), shape, corner, factors, offsets)
    return torch.from_numpy(sampled).view(len(volumes), *size)


def _labels_around(
    segmentation: Tensor, loaded: Tensor, params: dict[str, Any], margin: NDArray[np.int64]
) -> Tensor:
    """Return transformed labels with those of the surroundings, some voxels on each side of every resampled axis."""
    affine, shape = params["affine"], np.array(loaded.shape[1:])
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
    box: Sequence[slice],
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
