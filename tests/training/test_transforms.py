"""nnU-Net's augmentation with maps: what comes out is nnU-Net's, and where there is no image the maps are 0."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from augmentation_samples import (
    OUTSIDE,
    Sample,
    as_nnunet_loads,
    blobs,
    coordinates_mm,
    distance_map,
    distance_maps,
    ellipsoids,
    make_sample,
    nnunet_spatial,
    seed_all,
)
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from gsl_experiments.training.transforms import as_released_code, by_fixed_algorithms, carry_maps

# patch of the network, loaded patch, spacing in mm, scales of deep supervision
CONFIGURATIONS = {
    "3D": ((24, 32, 32), (38, 48, 48), (1.5, 0.8, 0.8), [[1, 1, 1], [0.5, 0.5, 0.5]]),
    "pseudo-2D": ((8, 32, 32), (8, 52, 52), (5.0, 0.7, 0.7), [[1, 1, 1], [1, 0.5, 0.5], [0.5, 0.25, 0.25]]),
    "2D": ((48, 48), (76, 76), (0.8, 0.8), [[1, 1], [0.5, 0.5]]),
}


def at_the_edge_of_an_image(name: str) -> Sample:
    """A loaded patch that exceeds the image on some sides, with labels of -1 as nnU-Net has them inside an image."""
    patch, loaded, spacing_mm, _ = CONFIGURATIONS[name]
    labels = blobs(loaded, spacing_mm, np.random.default_rng(1))
    maps = distance_maps(labels, spacing_mm)
    labels[..., -9:][labels[..., -9:] == 0] = -1
    first = (loaded[-1] - patch[-1]) // 2 + 3
    labels[..., :first] = labels[..., :first, :] = OUTSIDE
    if len(loaded) == 3:
        labels[-2:] = OUTSIDE
    return make_sample(labels, maps)


def copied(sample: Sample) -> Sample:
    return {name: tensor.clone() for name, tensor in sample.items()}


def training_transforms(name: str, *, deep: bool, masked: bool = True) -> tuple[ComposeTransforms, Any]:
    patch, _, _, scales = CONFIGURATIONS[name]
    largest = np.pi / 6 if name == "3D" else np.pi
    transforms = nnUNetTrainer.get_training_transforms(
        patch,
        (-largest, largest),
        scales if deep else None,
        tuple(range(len(patch))),
        name == "pseudo-2D",
        use_mask_for_norm=[masked],
    )
    for transform in transforms.transforms:
        blur = getattr(transform, "transform", None)
        if isinstance(blur, GaussianBlurTransform):
            blur.benchmark = (
                False  # chooses between two algorithms by the clock: not the same bits in every run
            )
    return transforms, scales if deep else None


def random_states() -> list[bytes]:
    legacy = np.random.get_state()  # noqa: NPY002 - the transforms draw from the global generator
    return [legacy[1].tobytes() + bytes(str(legacy[2:]), "ascii"), torch.get_rng_state().numpy().tobytes()]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_image_and_labels_are_nnunets_own_and_maps_are_zero_outside(name: str, deep: bool) -> None:
    """With the same seed, whatever is drawn; in 3D bit for bit. Only background beyond the image has another label."""
    sample = at_the_edge_of_an_image(name)
    stock, _ = training_transforms(name, deep=deep)
    carried = carry_maps(*training_transforms(name, deep=deep), spacing_mm=CONFIGURATIONS[name][2])
    left_out = 0
    for seed in range(12):
        seed_all(seed)
        expected = stock(**as_nnunet_loads(sample))
        drawn = random_states()
        seed_all(seed)
        after = carried(**copied(sample))
        assert drawn == random_states()
        rounding = 0 if name == "3D" else 3e-5  # in two axes PyTorch adds up in another order
        torch.testing.assert_close(after["image"], expected["image"], rtol=0, atol=rounding)
        assert set(after) == {"image", "segmentation", "regression_target"}
        for target, stock_target, maps in zip(
            listed(after["segmentation"]),
            listed(expected["segmentation"]),
            listed(after["regression_target"]),
            strict=True,
        ):
            assert (target.shape[0], *maps.shape[1:]) == target.shape
            torch.testing.assert_close(target.clamp_min(0), stock_target, rtol=0, atol=0)
            assert ((target >= 0) | (target == OUTSIDE)).all()
            outside = (target[0] == OUTSIDE).expand_as(maps)
            assert (maps[outside] == 0).all()
            assert torch.isfinite(maps).all()
            left_out += int(outside.sum())
    assert left_out > 0


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_outside_are_exactly_the_voxels_whose_place_in_the_loaded_patch_is_outside(name: str) -> None:
    """Oracle: nnU-Net's transform of an image of ones, nearest neighbour, 0 beyond what is loaded."""
    sample = at_the_edge_of_an_image(name)
    patch, _, spacing_mm, _ = CONFIGURATIONS[name]
    pseudo_2d = name == "pseudo-2D"
    for seed in range(6):
        oracle = nnunet_spatial(patch, pseudo_2d=pseudo_2d)
        (spatial,) = (t for t in oracle.transforms if isinstance(t, SpatialTransform))
        spatial.mode_image = "nearest"
        ones = {"image": (sample["segmentation"] != OUTSIDE).float()}
        seed_all(seed)
        inside = oracle(**ones)["image"] > 0
        seed_all(seed)
        carry = carry_maps(nnunet_spatial(patch, pseudo_2d=pseudo_2d), None, spacing_mm=spacing_mm)
        target = carry(**copied(sample))["segmentation"]
        assert torch.equal(target != OUTSIDE, inside)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_validation_keeps_the_region_outside(name: str) -> None:
    sample = at_the_edge_of_an_image(name)
    scales = CONFIGURATIONS[name][3]
    transforms = carry_maps(
        nnUNetTrainer.get_validation_transforms(scales), scales, spacing_mm=CONFIGURATIONS[name][2]
    )
    after = transforms(**copied(sample))
    full, coarse = after["segmentation"][:2]
    loaded = sample["segmentation"]
    assert torch.equal(full, torch.where(loaded == -1, 0, loaded))
    assert torch.equal(after["regression_target"][0], sample["regression_target"])
    outside = (coarse[0] == OUTSIDE).expand_as(after["regression_target"][1])
    assert outside.any()
    assert (after["regression_target"][1][outside] == 0).all()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_sample_without_maps_passes(name: str) -> None:
    sample = at_the_edge_of_an_image(name)
    del sample["regression_target"]
    carried = carry_maps(*training_transforms(name, deep=True), spacing_mm=CONFIGURATIONS[name][2])
    left_out = 0
    for seed in range(5):
        seed_all(seed)
        after = carried(**copied(sample))
        assert set(after) == {"image", "segmentation"}
        left_out += int((after["segmentation"][0] == OUTSIDE).sum())
    assert left_out > 0


def test_mirroring_is_exact() -> None:
    labels = (np.random.default_rng(0).random((12, 13, 14)) < 0.02).astype(np.int16)
    before = make_sample(labels, distance_map(labels == 1, (2, 1, 1))[None])
    seed_all(0)
    carry = carry_maps(ComposeTransforms([MirrorTransform((0, 1, 2))]), None, spacing_mm=(2, 1, 1))
    after = carry(**copied(before))
    assert not torch.equal(after["segmentation"], before["segmentation"]), "this seed mirrors no axis"
    mirrored = after["segmentation"][0].numpy() == 1
    np.testing.assert_array_equal(after["regression_target"][0], distance_map(mirrored, (2, 1, 1)))


def test_cropping_is_exact_and_beyond_the_loaded_patch_is_outside() -> None:
    labels = ellipsoids((44, 44, 44), (1, 1, 1), np.random.default_rng(0))
    maps = distance_maps(labels, (1, 1, 1))
    for size, part in ((36, slice(4, 40)), (50, slice(0, 44))):
        spatial = SpatialTransform((size,) * 3, 0, False, border_mode_seg="constant", padding_value_seg=-1)
        after = carry_maps(ComposeTransforms([spatial]), None, spacing_mm=(1, 1, 1))(
            **make_sample(labels, maps)
        )
        covered = after["segmentation"][0] != OUTSIDE
        assert covered.sum() == (part.stop - part.start) ** 3
        np.testing.assert_array_equal(
            after["regression_target"][:, covered], maps[:, part, part, part].reshape(3, -1)
        )
        assert (after["regression_target"][:, ~covered] == 0).all()


def plane(shape: Sequence[int], spacing_mm: Sequence[float], normal: Sequence[float]) -> np.ndarray:
    """The exact distance to a plane through the image's centre, (1, *shape)."""
    unit = np.array(normal) / np.linalg.norm(normal)
    return np.einsum("i,i...->...", unit, coordinates_mm(shape, spacing_mm))[None].astype(np.float32)


def test_padding_does_not_bleed_into_the_image() -> None:
    """A map of 30 mm throughout: interpolated with the zeros beyond the image it would fall to 15 mm at its edge."""
    labels = np.zeros((40, 40, 40), np.int16)
    labels[:, :, :7] = OUTSIDE
    scales = [[1, 1, 1], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]
    rotation = nnunet_spatial((36, 36, 36), rotation=(0.1, 0.3), scaling=(1.0, 1.0)).transforms
    downsampling = nnUNetTrainer.get_validation_transforms(scales).transforms
    carry = carry_maps(ComposeTransforms(rotation + downsampling), scales, spacing_mm=(1, 1, 1))
    for seed in range(3):
        seed_all(seed)
        after = carry(**make_sample(labels, np.full((1, 40, 40, 40), 30, np.float32)))
        for target, maps in zip(after["segmentation"], after["regression_target"], strict=True):
            inside = target[0] != OUTSIDE
            assert 0 < inside.float().mean() < 1
            torch.testing.assert_close(maps[0][inside], torch.full_like(maps[0][inside], 30))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_scale_holds_the_distance_at_its_own_voxel_centres(name: str) -> None:
    """Oracle: the distance to a plane and to a sphere, evaluated at the centres of the coarse voxels."""
    patch, _, spacing_mm, scales = CONFIGURATIONS[name]
    ball = np.linalg.norm(coordinates_mm(patch, spacing_mm), axis=0)[None].astype(np.float32) - 6
    normal = np.arange(1, len(patch) + 1)
    sample = make_sample(np.zeros(patch, np.int16), np.concatenate([plane(patch, spacing_mm, normal), ball]))
    transforms = nnUNetTrainer.get_validation_transforms(scales)
    maps = carry_maps(transforms, scales, spacing_mm=spacing_mm)(**sample)["regression_target"]
    for scale, dtm in zip(scales, maps, strict=True):
        coarse = [round(n * factor) for n, factor in zip(patch, scale, strict=True)]
        coarse_mm = [spacing / factor for spacing, factor in zip(spacing_mm, scale, strict=True)]
        np.testing.assert_allclose(dtm[0], plane(coarse, coarse_mm, normal)[0], atol=1e-4)
        distance = np.linalg.norm(coordinates_mm(coarse, coarse_mm), axis=0)
        clear = distance > 2 * max(
            coarse_mm
        )  # away from the centre, where a linear interpolation cuts the tip
        np.testing.assert_allclose(dtm[1].numpy()[clear], distance[clear] - 6, atol=0.25 * max(coarse_mm))


@pytest.mark.parametrize(
    ("name", "factor"), [("3D", 1.0), ("pseudo-2D", 2 / 3), ("2D", 1.0)], ids=["3D", "pseudo-2D", "2D"]
)
def test_a_class_that_the_case_lacks_keeps_its_constant(name: str, factor: float) -> None:
    """The diagonal shrinks with the image, by the zoom averaged over the axes; a map of 0 stays 0."""
    patch, loaded, spacing_mm, _ = CONFIGURATIONS[name]
    labels = blobs(loaded, spacing_mm, np.random.default_rng(0)).clip(max=1)
    maps = distance_maps(labels, spacing_mm, classes=4)
    maps[3] = 0
    carry = carry_maps(
        nnunet_spatial(patch, pseudo_2d=name == "pseudo-2D", scaling=(1.3, 1.3)), None, spacing_mm=spacing_mm
    )
    seed_all(0)
    after = carry(**make_sample(labels, maps))
    inside = after["segmentation"][0] != OUTSIDE
    absent, nothing = after["regression_target"][2:]
    np.testing.assert_allclose(absent[inside], maps[2].max() / 1.3**factor, rtol=0.01)
    assert (nothing == 0).all()


@pytest.mark.parametrize("spacing_mm", [(1, 1, 1), (2, 1, 1)])
def test_a_class_beyond_the_patch_is_as_far_as_the_whole_volume_says(spacing_mm: Sequence[float]) -> None:
    """A wall of class 1 at the image's end, none of it in the patch: distances to it, not the rule for absent ones."""
    labels = np.zeros((40, 40, 40), np.int16)
    labels[:, :, 36:] = 1
    before = make_sample(labels, distance_maps(labels, spacing_mm, classes=2))
    patch = (16, 16, 16)
    carry = carry_maps(
        nnunet_spatial(patch, rotation=(0.1, 0.1), scaling=(1.2, 1.2)), None, spacing_mm=spacing_mm
    )
    after = carry(**before)
    assert (after["segmentation"] == 0).all()
    wide = nnunet_spatial((30, 30, 32), rotation=(0.1, 0.1), scaling=(1.2, 1.2))(**make_sample(labels))
    mask = wide["segmentation"][0].numpy() == 1
    expected = distance_map(mask, spacing_mm)[7:23, 7:23, 8:24]
    np.testing.assert_allclose(after["regression_target"][1], expected, atol=1.2)
    assert np.abs(after["regression_target"][1].numpy() - expected).mean() < 0.5


def test_an_elastic_deformation_is_refused() -> None:
    elastic = ComposeTransforms([SpatialTransform((8, 8, 8), 0, False, p_elastic_deform=0.2)])
    with pytest.raises(ValueError, match="elastic"):
        carry_maps(elastic, None, spacing_mm=(1, 1, 1))


def test_no_algorithm_is_chosen_by_the_clock() -> None:
    transforms = by_fixed_algorithms(
        nnUNetTrainer.get_training_transforms((8, 8), (0, 0), None, (0, 1), False)
    )
    blurs = [getattr(t, "transform", None) for t in transforms.transforms]
    assert [b.benchmark for b in blurs if isinstance(b, GaussianBlurTransform)] == [False]


def test_the_released_codes_augmentation_neither_rotates_nor_zooms_nor_changes_gamma() -> None:
    transforms = as_released_code(
        nnUNetTrainer.get_training_transforms((8, 8, 8), (-1, 1), None, (0, 1, 2), False)
    )
    names = [type(getattr(t, "transform", t)).__name__ for t in transforms.transforms]
    assert names == [
        "SpatialTransform",
        "GaussianNoiseTransform",
        "GaussianBlurTransform",
        "MultiplicativeBrightnessTransform",
        "ContrastTransform",
        "MirrorTransform",
        "RemoveLabelTransform",
    ]
    assert transforms.transforms[0].p_rotation == transforms.transforms[0].p_scaling == 0
