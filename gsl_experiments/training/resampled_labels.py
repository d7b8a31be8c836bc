"""Labels under nnU-Net's rotation and zoom, at less cost: nearly everywhere all voxels around a sampled place agree.

nnU-Net interpolates the indicator of every label over the whole patch and takes the label with the highest score. Where
a voxel's neighbours all have its own label there is nothing to compare. So each place takes the label of its nearest
voxel, and only those near a boundary are put to the vote. The labels that result are nnU-Net's own.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16, Int64
from torch import Tensor
from torch.nn.functional import grid_sample, pad

OUTSIDE = -2  # the label of voxels that no image covers; nnU-Net's -1 lies inside one, and is background
SCALE = 1000  # of nnU-Net's scores, which it compares in float16: what differs by less is a tie


def resample_labels(
    labels: Int16[Tensor, "C ..."], grid: Float[Tensor, "*patch axes"], box: Sequence[slice]
) -> Int16[Tensor, "C ..."]:
    """Return the labels at sampled places as nnU-Net's ``SpatialTransform`` does, but `OUTSIDE` beyond the image.

    There nnU-Net has -1, as it also has inside the image wherever -1 is in the majority.

    Args:
        labels: a loaded patch, `OUTSIDE` wherever there is no image; each channel counts for itself.
        grid: the places as ``grid_sample`` takes them, -1 to 1 from edge to edge, last axis first.
        box: the part of the patch that the image covers.
    """
    covered = labels[(slice(None), *box)]
    known = covered.clamp_min(-1)
    coded = torch.from_numpy(
        np.zeros(labels.shape, np.float32)
    )  # `OUTSIDE` is 0, and NumPy's zeros cost nothing
    coded[(slice(None), *box)] = ((covered - OUTSIDE) * 2 + _has_other_neighbours(known)).float()
    sampled = grid_sample(coded[None], grid[None], mode="nearest", align_corners=False)[0].to(labels.dtype)
    nearest = (sampled >> 1).add_(OUTSIDE)
    channels, places = (sampled & 1).bool().flatten(1).nonzero(as_tuple=True)
    if len(places):
        found = nearest.flatten(1)
        found[channels, places] = _voted(
            known,
            _in_voxels(grid.flatten(0, -2)[places], labels.shape[1:], box),
            found[channels, places],
            channels,
        )
    return nearest


def _has_other_neighbours(labels: Int16[Tensor, "C ..."]) -> Bool[Tensor, "C ..."]:
    """Return the voxels with a neighbour, also across a corner, of another label; beyond the array all are -1."""
    lowest = highest = labels
    for axis in range(1, labels.ndim):
        lowest, highest = _pooled(torch.minimum, lowest, axis), _pooled(torch.maximum, highest, axis)
        lowest.narrow(axis, 0, 1).fill_(-1)
        lowest.narrow(axis, -1, 1).fill_(-1)
    return lowest != highest


def _pooled(extreme: Callable[..., Tensor], labels: Tensor, axis: int) -> Tensor:
    """Return for every voxel the extreme of it and its two neighbours along an axis."""
    size = labels.shape[axis] - 1
    pairs = extreme(labels.narrow(axis, 0, size), labels.narrow(axis, 1, size))
    pooled = labels.clone()
    pooled.narrow(axis, 0, size).copy_(pairs)
    later = pooled.narrow(axis, 1, size)
    extreme(later, pairs, out=later)
    return pooled


def _voted(
    labels: Int16[Tensor, "C ..."],
    voxels: Float[Tensor, "N axes"],
    nearest: Int16[Tensor, " N"],
    channels: Int64[Tensor, " N"],
) -> Int16[Tensor, " N"]:
    """Return the label of most weight around each place; where several have it the nearest voxel's, else the least.

    Args:
        labels: from -1 on; beyond the array all are -1.
        voxels: places at most half a voxel beyond the array, in voxels of it, in array order.
        nearest: the label of the voxel nearest to each place.
        channels: where each place is looked up.
    """
    padded = pad(labels, (1, 1) * voxels.shape[1], value=-1)
    strides = torch.tensor(padded.stride())
    low = voxels.floor()
    corners = torch.tensor(list(itertools.product((0, 1), repeat=voxels.shape[1])))
    around = (low.long() + 1) @ strides[1:] + channels * strides[0]
    present = padded.flatten()[around[:, None] + corners @ strides[1:]].long() + 1
    sides = torch.stack((low + 1 - voxels, voxels - low), -1)
    weights = sides[:, -1]
    for axis in range(
        voxels.shape[1] - 2, -1, -1
    ):  # multiplied in the order of `grid_sample`, the last axis first
        weights = weights[:, None] * sides[:, axis].view(len(sides), 2, *[1] * (weights.ndim - 1))
    scores = torch.zeros(len(voxels), int(present.max()) + 1)
    scores = scores.scatter_add_(1, present, weights.flatten(1) * SCALE).half()
    highest, winner = scores.max(1)
    of_nearest = scores.gather(1, nearest.long()[:, None] + 1)[:, 0]
    return torch.where(of_nearest == highest, nearest, (winner - 1).to(nearest.dtype))


def _in_voxels(
    places: Float[Tensor, "N axes"], shape: Sequence[int], box: Sequence[slice]
) -> Float[Tensor, "N axes"]:
    """Return a grid's places in voxels of a box in the patch, axes in array order, rounded as by ``grid_sample``."""
    voxels = ((places.flip(1) + 1) * torch.tensor(shape) - 1) / 2
    return voxels - torch.tensor([part.start for part in box])
