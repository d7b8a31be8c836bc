"""Label images, their distance maps by definition, and nnU-Net's spatial transform with and without maps."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

OUTSIDE = -2
Sample = dict[str, torch.Tensor]


def distance_map(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """ITK's signed distance in mm, negative in the mask; the image's diagonal where there is no boundary."""
    if mask.all() or not mask.any():
        diagonal = np.linalg.norm(np.multiply(mask.shape, spacing_mm))
        return np.full(mask.shape, -diagonal if mask.all() else diagonal, np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([float(spacing) for spacing in spacing_mm[::-1]])
    return sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    )


def distance_maps(
    labels: NDArray[np.int16], spacing_mm: Sequence[float], classes: int = 3
) -> NDArray[np.float32]:
    labels = np.maximum(labels, 0)
    maps = [distance_map(labels == label, spacing_mm) for label in range(classes)]
    return np.stack(maps)


def coordinates_mm(shape: Sequence[int], spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Coordinates of every voxel centre, (axes, *shape), from the image's centre."""
    axes = [(np.arange(n) - (n - 1) / 2) * spacing for n, spacing in zip(shape, spacing_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def ellipsoids(
    shape: Sequence[int], spacing_mm: Sequence[float], rng: np.random.Generator
) -> NDArray[np.int16]:
    """An organ of 10 to 18 mm radius with a lesion of 5 to 9 mm."""
    labels = np.zeros(shape, np.int16)
    position = coordinates_mm(shape, spacing_mm)
    axes = len(shape)
    extent = np.multiply(shape, spacing_mm)
    for label, smallest, largest in ((1, 10, 18), (2, 5, 9)):
        turn, _ = np.linalg.qr(rng.normal(size=(axes, axes)))
        centre = rng.uniform(-0.1, 0.1, axes) * extent
        offset = np.einsum("ij,j...->i...", turn, position - centre.reshape(-1, *[1] * axes))
        radii = rng.uniform(smallest, largest, axes).reshape(-1, *[1] * axes)
        labels[np.square(offset / radii).sum(0) <= 1] = label
    return labels


def blobs(shape: Sequence[int], spacing_mm: Sequence[float], rng: np.random.Generator) -> NDArray[np.int16]:
    """Irregular islands of two classes that touch each other, structures of about 6 mm."""
    extent = np.multiply(shape, spacing_mm).reshape(-1, *[1] * len(shape))
    to_edge = np.abs(2 * coordinates_mm(shape, spacing_mm) / extent).max(0)
    organ, lesion = (
        gaussian_filter(rng.normal(size=shape), width / np.array(spacing_mm)) for width in (6.0, 3.6)
    )
    organ = (organ - organ.min()) * np.clip(1.15 - to_edge, 0, 1)
    labels = (organ > np.quantile(organ, 0.88)).astype(np.int16)
    labels[(labels > 0) & (lesion > np.quantile(lesion[labels > 0], 0.6))] = 2
    return labels


def make_sample(labels: NDArray[np.int16], maps: NDArray[np.float32] | None = None) -> Sample:
    """A loader's sample: an image of noise, and 0 or OUTSIDE where there is no image."""
    noise = np.random.default_rng(0).normal(size=(1, *labels.shape)).astype(np.float32)
    sample = {
        "image": torch.from_numpy(np.where(labels == OUTSIDE, 0, noise)),
        "segmentation": torch.from_numpy(labels[None].copy()),
    }
    if maps is not None:
        sample["regression_target"] = torch.from_numpy(np.where(labels == OUTSIDE, 0, maps))
    return sample


def as_nnunet_loads(sample: Sample) -> Sample:
    """The sample without what nnU-Net does not know: maps, and a label of its own beyond the image."""
    return {"image": sample["image"].clone(), "segmentation": sample["segmentation"].clamp_min(-1)}


def seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the transforms draw from the global generator


def nnunet_spatial(
    patch: Sequence[int],
    *,
    pseudo_2d: bool = False,
    rotation: tuple[float, float] | None = None,
    scaling: tuple[float, float] = (0.7, 1.4),
) -> ComposeTransforms:
    """nnU-Net's spatial transform with its own ranges, drawn every time."""
    largest = np.pi if pseudo_2d or len(patch) == 2 else np.pi / 6
    spatial = SpatialTransform(
        tuple(patch[1:]) if pseudo_2d else tuple(patch),
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=1,
        rotation=(-largest, largest) if rotation is None else rotation,
        p_scaling=1,
        scaling=scaling,
        p_synchronize_scaling_across_axes=1,
        border_mode_seg="constant",
        padding_value_seg=-1,
    )
    if pseudo_2d:
        return ComposeTransforms([Convert3DTo2DTransform(), spatial, Convert2DTo3DTransform()])
    return ComposeTransforms([spatial])
