import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from gsl_experiments.training.transforms import DownsampleMaps, RescaledMaps, as_released_code, carry_maps


def itk_map(mask: np.ndarray) -> np.ndarray:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    return sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    )


def ball(size: int, radius: float) -> np.ndarray:
    grid = np.indices((size, size, size)) - (size - 1) / 2
    return np.linalg.norm(grid, axis=0) <= radius


def sample(mask: np.ndarray) -> dict[str, torch.Tensor]:
    return {
        "image": torch.from_numpy(mask[None].astype(np.float32)),
        "segmentation": torch.from_numpy(mask[None].astype(np.int16)),
        "regression_target": torch.from_numpy(itk_map(mask)[None]),
    }


def spatial(size: int, *, scaling: float = 1.0, rotation: float = 0.0) -> SpatialTransform:
    return SpatialTransform(
        (size, size, size),
        0,
        False,
        p_rotation=float(rotation != 0),
        rotation=(rotation, rotation),
        p_scaling=float(scaling != 1),
        scaling=(scaling, scaling),
        p_synchronize_scaling_across_axes=1,
    )


@pytest.mark.parametrize("scaling", [0.7, 0.85, 1.2, 1.4])
@pytest.mark.parametrize("rotation", [0.0, 0.4])
def test_a_zoomed_and_rotated_map_is_the_map_of_the_augmented_labels(scaling: float, rotation: float) -> None:
    """Compared with ITK's map of the augmented labels; without the rescaling the error is several voxels."""
    before = sample(ball(64, 8))
    after = RescaledMaps(spatial(28, scaling=scaling, rotation=rotation))(**before)
    expected = itk_map(after["segmentation"][0].numpy() > 0)
    difference = after["regression_target"][0].numpy() - expected
    assert np.abs(difference).mean() < 0.5
    unscaled = after["regression_target"][0].numpy() * scaling - expected
    assert np.abs(unscaled).mean() > 2 * np.abs(difference).mean()


def test_mirroring_is_exact() -> None:
    rng = np.random.default_rng(0)
    before = sample(rng.random((12, 13, 14)) < 0.02)
    torch.manual_seed(0)
    after = carry_maps(ComposeTransforms([MirrorTransform((0, 1, 2))]), None)(**dict(before))
    assert not torch.equal(after["segmentation"], before["segmentation"]), "this seed mirrors no axis"
    np.testing.assert_array_equal(
        after["regression_target"][0], itk_map(after["segmentation"][0].numpy() > 0)
    )


def test_cropping_is_exact_and_the_border_is_zero() -> None:
    before = sample(ball(20, 5))
    inner = RescaledMaps(spatial(16))(**dict(before))
    torch.testing.assert_close(inner["regression_target"], before["regression_target"][:, 2:18, 2:18, 2:18])
    outer = RescaledMaps(spatial(24))(**dict(before))
    assert (outer["regression_target"][:, :2] == 0).all()
    torch.testing.assert_close(outer["regression_target"][:, 2:22, 2:22, 2:22], before["regression_target"])


def test_maps_pass_nnunets_whole_training_augmentation() -> None:
    transforms = carry_maps(
        nnUNetTrainer.get_training_transforms(
            (16, 24, 24), (-0.5, 0.5), [[1, 1, 1], [1, 0.5, 0.5]], (0, 1, 2), do_dummy_2d_data_aug=True
        ),
        [[1, 1, 1], [1, 0.5, 0.5]],
    )
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the transforms draw from the global generator
    mask = ball(32, 9)[:16]
    for _ in range(10):
        after = transforms(**sample(mask))
        assert [tuple(m.shape) for m in after["regression_target"]] == [(1, 16, 24, 24), (1, 16, 12, 12)]
        assert [tuple(s.shape) for s in after["segmentation"]] == [(1, 16, 24, 24), (1, 16, 12, 12)]
        full_map, full_labels = after["regression_target"][0], after["segmentation"][0]
        assert (full_map[full_labels == 1] < 2).all(), (
            "a label lies outside its own map by more than interpolation"
        )
        assert (full_map[full_labels == 1] <= 0).float().mean() > 0.8


def test_pseudo_2d_zooms_distances_in_plane_and_keeps_classes_apart() -> None:
    """A plate across all slices: D is the distance along y alone, and shrinks with a zoom of 1.25 in plane."""
    plate = np.zeros((6, 40, 40), bool)
    plate[:, 18:22] = True
    before = sample(plate)
    before["regression_target"] = torch.cat([before["regression_target"], -before["regression_target"]])
    zoom = SpatialTransform(
        (24, 24), 0, False, p_scaling=1, scaling=(1.25, 1.25), p_synchronize_scaling_across_axes=1
    )
    after = ComposeTransforms([Convert3DTo2DTransform(), RescaledMaps(zoom), Convert2DTo3DTransform()])(
        **before
    )
    first, second = after["regression_target"]
    assert first.shape == (6, 24, 24)
    torch.testing.assert_close(first, -second)
    expected = itk_map(after["segmentation"][0].numpy() > 0)
    assert np.abs(first.numpy() - expected).mean() < 0.5


def test_downsampled_maps_stay_in_mm_on_the_coarse_grid() -> None:
    """D = x + 0.5 mm for x = 0, ..., 7; centres of voxels twice as large lie at x = 0.5, 2.5, ...: D = 1, 3, ..."""
    ramp = (torch.arange(8.0) + 0.5).expand(1, 4, 4, 8)
    full, half = DownsampleMaps([[1, 1, 1], [1, 1, 0.5]])(regression_target=ramp)["regression_target"]
    assert full is ramp
    torch.testing.assert_close(half, torch.tensor([1.0, 3.0, 5.0, 7.0]).expand(1, 4, 4, 4))


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
