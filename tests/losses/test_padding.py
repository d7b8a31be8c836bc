"""Beyond the image the reference is background and the maps are 0: what a boundary term makes of such voxels."""

import pytest
from loss_examples import worked_example
from torch import nn
from torch.nn.functional import pad

from gsl_experiments.losses import BoundaryLoss, GeneralizedSurfaceLoss, HausdorffLoss, LossInputs


@pytest.mark.parametrize(
    ("module", "of_the_image", "of_the_patch"),
    [
        # The sums over the image's 3 voxels are those of the losses' own tests by hand. C = 2, and N goes from 3 to 6.
        pytest.param(HausdorffLoss(), 13 / 16 / (2 * 3), 13 / 16 / (2 * 6), id="hausdorff"),
        pytest.param(BoundaryLoss(), 3 / 4 / (2 * 3), 3 / 4 / (2 * 6), id="boundary"),
        # 1 - (1/4 13/16 + 3/4 5/2) / (1/4 2 + 3/4 5) = 1 - (133/64) / (17/4), without N
        pytest.param(GeneralizedSurfaceLoss(), 139 / 272, 139 / 272, id="generalized_surface"),
    ],
)
def test_a_patch_that_is_half_padding(module: nn.Module, of_the_image: float, of_the_patch: float) -> None:
    example = worked_example()
    labels = example.target_onehot.argmax(dim=1, keepdim=True)
    for padding, expected in ((0, of_the_image), (3, of_the_patch)):
        inputs = LossInputs.from_logits(
            pad(example.logits, (0, padding)),  # in the padding P is 1/2 for both classes
            pad(labels, (0, padding)),
            dtm=pad(example.dtm, (0, padding)),
            class_weights=example.class_weights,
        )
        assert module(inputs).item() == pytest.approx(expected)
