"""Labels that were put to the vote only where neighbours differ are those of nnU-Net's own transform."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from augmentation_samples import OUTSIDE, blobs, nnunet_spatial, seed_all

from gsl_experiments.training.resampled_labels import resample_labels


def check(labels: np.ndarray, patch: Sequence[int], seeds: range) -> None:
    """Compare with nnU-Net for several draws of rotation and zoom; `labels` (C, *spatial), a box within `OUTSIDE`."""
    inside = np.argwhere((labels != OUTSIDE).any(0))
    box = [slice(low, high + 1) for low, high in zip(inside.min(0), inside.max(0), strict=True)]
    loaded = torch.from_numpy(labels)
    (spatial,) = nnunet_spatial(patch, scaling=(0.6, 1.6)).transforms
    for seed in seeds:
        seed_all(seed)
        params = spatial.get_parameters(image=loaded)
        expected = spatial.apply({"segmentation": loaded.clamp_min(-1)}, **params)["segmentation"]
        found = resample_labels(loaded, params["grid"], box)
        assert len(torch.unique(expected)) > 2
        assert torch.equal(found.clamp_min(-1), expected)
        ones = (loaded != OUTSIDE).any(0)[None].float()
        spatial.mode_image = "nearest"
        covered = spatial.apply({"image": ones}, **params)["image"][0] > 0
        spatial.mode_image = "bilinear"
        assert torch.equal((found != OUTSIDE).any(0), covered)


def bordered(labels: np.ndarray, widths: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.pad(labels, widths, constant_values=OUTSIDE)[None]


def test_islands_at_the_edge_of_an_image_with_unlabelled_background() -> None:
    labels = blobs((30, 34, 32), (1, 1, 1), np.random.default_rng(0))
    labels[..., :6][labels[..., :6] == 0] = -1
    check(bordered(labels, [(4, 0), (0, 5), (3, 3)]), (24, 28, 26), range(10))


def test_noise_in_which_every_place_is_put_to_the_vote() -> None:
    """Seven labels without any order, where up to eight of them meet around a place."""
    labels = np.random.default_rng(0).integers(-1, 7, (16, 18, 20)).astype(np.int16)
    check(bordered(labels, [(0, 0), (2, 0), (0, 3)]), (14, 14, 14), range(10))


def test_two_axes_and_several_slices() -> None:
    rng = np.random.default_rng(0)
    slices = [blobs((50, 40), (0.8, 0.8), rng) for _ in range(3)]
    check(np.stack([bordered(labels, [(0, 4), (5, 0)])[0] for labels in slices]), (36, 36), range(10))


@pytest.mark.parametrize("label", [0, 3])
def test_a_patch_of_one_label_needs_no_vote(label: int) -> None:
    labels = np.full((1, 12, 12, 12), label, np.int16)
    (spatial,) = nnunet_spatial((6, 6, 6)).transforms
    seed_all(0)
    grid = spatial.get_parameters(image=torch.from_numpy(labels))["grid"]
    found = resample_labels(torch.from_numpy(labels), grid, [slice(0, 12)] * 3)
    assert (found == label).all()
