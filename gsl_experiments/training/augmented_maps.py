"""Distance maps after a linear change of the image: their values in millimetres of the new image.

A map that is resampled like an image still holds distances of the old image. With M the linear map from the new image
to the old one, both in mm, every length has changed by a factor between M's singular values. If these are equal it is
one factor for all; if not, it depends on the direction.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.typing import NDArray
from torch import Tensor

from gsl_experiments.distance import signed_distance_map

FLAT = 0.1  # a map that changes by less mm than this in a mm has no direction; a distance map changes by 1


def matrix_in_mm(affine: NDArray[np.float64], spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Return an affine matrix over voxel coordinates as one over coordinates in mm, axes in array order."""
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    return affine * spacing[:, None] / spacing[None, :]


def common_factor(matrix: NDArray[np.float64]) -> float | None:
    """Return the factor by which a linear map changes all lengths, or None if it depends on the direction."""
    factors = np.linalg.svd(matrix, compute_uv=False)
    return float(factors.mean()) if np.ptp(factors) < 1e-4 * factors.max() else None


def rescaling(factor: float, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Return what distances are multiplied by, and the mm then added, for a factor common to all directions.

    A map is 0 at the centres of a mask's outermost voxels, half a voxel inside the edge that divides it from the rest.
    It is the distance to this edge that the factor divides: ``(D - h/2) / factor + h/2``, with h the mean spacing. A
    map of 0 throughout, which leaves its class out of every boundary loss, has to stay as it is.
    """
    half_voxel = float(np.mean(spacing_mm)) / 2
    return 1 / factor, half_voxel * (1 - 1 / factor)


def rebuild_maps(
    maps: Float[Tensor, "C ..."],
    labels: Integer[Tensor, "..."],
    outside: Bool[Tensor, "..."],
    to_unseen_mm: Float[Tensor, "*spatial"],
    matrix: NDArray[np.float64],
    spacing_mm: Sequence[float],
) -> Float[Tensor, "C ..."]:
    """Make resampled distances those of the new labels where a linear map stretches directions differently, in place.

    The distance r to the nearest boundary among the labels is measured. It is the answer where everything within r has
    been seen. Elsewhere a boundary in what has not may be nearer: there the distance is estimated from the resampled
    map (`estimate_distances`), not below the distance to what is unseen nor above r. The sign is that of the labels. A
    map of 0 throughout, which leaves its class out of every boundary loss, stays as it is.

    Args:
        maps: resampled maps in mm of the old image, three spatial axes.
        labels: the resampled labels of the same patch, with the same number of voxels more at both ends of an axis; a
            negative one is background.
        outside: voxels of `labels` that no image covers. They have no class, and no boundary divides them from the
            rest.
        to_unseen_mm: distance from every voxel of the patch to the nearest place whose label is not known, however far
            `labels` reach; beyond them nothing is known.
        matrix: the linear map from the new image to the old one, in mm.
        spacing_mm: of the new image, in array order.
    """
    patch = tuple(
        slice((wide - size) // 2, (wide + size) // 2)
        for wide, size in zip(labels.shape, maps.shape[1:], strict=True)
    )
    to_unseen_mm = torch.minimum(to_unseen_mm, _distance_to_faces(labels.shape, spacing_mm)[patch])
    for label, dtm in enumerate(maps):
        if not dtm.any():
            continue
        mask = (labels == label) if label > 0 else (labels <= 0) & ~outside
        distances = torch.maximum(estimate_distances(dtm, matrix, spacing_mm).abs_(), to_unseen_mm)
        boundary = mask & _dilated(~(mask | outside))
        if boundary.any():
            measured = torch.from_numpy(signed_distance_map(boundary.numpy(), spacing_mm))[patch]
            torch.minimum(distances, measured.clamp_min(0), out=distances)
        torch.where(mask[patch], -distances, distances, out=dtm)
    return maps


def estimate_distances(
    dtm: Float[Tensor, "*spatial"], matrix: NDArray[np.float64], spacing_mm: Sequence[float]
) -> Float[Tensor, "*spatial"]:
    """Estimate distances after a linear map from a resampled map alone, to first order.

    Near a point the boundary is taken for a plane with normal n, the direction in which the old map grows. The
    distance to it has changed by ``|M^T n|``, which lies between M's singular values. Exact for planes, too small
    outside bent surfaces. Where a map is flat, as that of a class which the case lacks, the factor is the geometric
    mean of the singular values. Two axes are a slice of a volume whose third axis is stretched by that mean.

    Args:
        dtm: a resampled map in mm of the old image, two or three axes.
        matrix: the linear map from the new image to the old one, in mm.
        spacing_mm: of the new image, in array order.
    """
    half_voxel = float(np.mean(spacing_mm)) / 2
    mean_factor = abs(np.linalg.det(matrix)) ** (1 / len(matrix))
    steps = [_central_difference(dtm, axis, spacing) for axis, spacing in enumerate(spacing_mm)]
    new = _sum_of_squares(steps)
    to_old = np.linalg.inv(matrix).T
    old = _sum_of_squares([_combined(steps, row) for row in to_old])
    if dtm.ndim == 2:
        through_slice = (1 - old).clamp_min_(0)
        new += mean_factor**2 * through_slice
        old += through_slice
    factors = (new / old).sqrt_().masked_fill_(old < FLAT**2, mean_factor)
    return (dtm - half_voxel).div_(factors).add_(half_voxel)


def _central_difference(dtm: Tensor, axis: int, spacing: float) -> Tensor:
    if dtm.shape[axis] == 1:
        return torch.zeros_like(dtm)
    return torch.gradient(dtm, spacing=spacing, dim=axis)[0]


def _combined(tensors: list[Tensor], factors: NDArray[np.float64]) -> Tensor:
    total = tensors[0] * float(factors[0])
    for tensor, factor in zip(tensors[1:], factors[1:], strict=True):
        total.add_(tensor, alpha=float(factor))
    return total


def _sum_of_squares(tensors: list[Tensor]) -> Tensor:
    total = tensors[0].square()
    for tensor in tensors[1:]:
        total.addcmul_(tensor, tensor)
    return total


def _distance_to_faces(shape: Sequence[int], spacing_mm: Sequence[float]) -> Tensor:
    """Return for every voxel of a patch the distance in mm to the nearest voxel beyond its faces."""
    nearest = torch.full(tuple(shape), torch.inf)
    for axis, (size, spacing) in enumerate(zip(shape, spacing_mm, strict=True)):
        steps = torch.minimum(torch.arange(1, size + 1), torch.arange(size, 0, -1)) * spacing
        nearest = torch.minimum(nearest, steps.reshape([-1 if a == axis else 1 for a in range(len(shape))]))
    return nearest


def _dilated(mask: Tensor) -> Tensor:
    """Return a mask with all neighbours of its voxels added, 26 of each in three dimensions."""
    for axis, size in enumerate(mask.shape):
        grown = mask.clone()
        grown.narrow(axis, 1, size - 1).logical_or_(mask.narrow(axis, 0, size - 1))
        grown.narrow(axis, 0, size - 1).logical_or_(mask.narrow(axis, 1, size - 1))
        mask = grown
    return mask
