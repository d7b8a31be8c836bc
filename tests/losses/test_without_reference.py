"""Voxels without a reference, a negative label in the target, count nothing in any loss."""

import pytest
import torch
from loss_examples import random_example
from test_every_loss import every_module
from torch import Tensor, nn
from torch.nn.functional import pad

from gsl_experiments.losses import DiceLoss, LossInputs


def with_border(tensor: Tensor, value: float) -> Tensor:
    """The tensor with more voxels around it, all of one value."""
    return pad(tensor, (2, 1, 0, 3), value=value)


@every_module
@pytest.mark.parametrize("negative", [-1, -2])
def test_voxels_without_a_reference_change_neither_loss_nor_gradient(
    module: nn.Module, negative: int
) -> None:
    example = random_example(3, spatial=(4, 5))
    labels = example.target_onehot.argmax(dim=1, keepdim=True)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(with_border(example.logits, 0).shape, generator=generator, dtype=torch.float64)

    def loss_and_gradient(logits: Tensor, target: Tensor, dtm: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits.clone().requires_grad_()
        inputs = LossInputs.from_logits(logits, target, dtm=dtm, class_weights=example.class_weights)
        value = module(inputs)
        value.backward()
        assert logits.grad is not None
        return value, logits.grad

    alone, gradient = loss_and_gradient(example.logits, labels, example.dtm)
    all_logits = torch.where(
        with_border(torch.ones_like(example.logits), 0) > 0, with_border(example.logits, 0), noise
    )
    # whatever the network says and a map holds where there is no reference
    value, gradient_of_all = loss_and_gradient(
        all_logits, with_border(labels, negative), with_border(example.dtm, 7.0)
    )
    torch.testing.assert_close(value, alone)
    torch.testing.assert_close(gradient_of_all, with_border(gradient, 0.0))


@every_module
def test_a_patch_without_a_reference_has_no_gradient(module: nn.Module) -> None:
    example = random_example(4, spatial=(4, 5))
    logits = example.logits.clone().requires_grad_()
    target = torch.full_like(example.target_onehot[:, :1], -2, dtype=torch.int64)
    inputs = LossInputs.from_logits(logits, target, dtm=example.dtm, class_weights=example.class_weights)
    value = module(inputs)
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_batch_dice_is_the_dice_of_the_examples_laid_side_by_side() -> None:
    example = random_example(5, batch=3, spatial=(4, 5))
    pooled = DiceLoss(batch_dice=True)
    inputs = LossInputs.from_logits(example.logits, example.target_onehot.argmax(dim=1))
    side_by_side = LossInputs.from_logits(
        torch.cat(list(example.logits), dim=-1)[None],
        torch.cat(list(example.target_onehot.argmax(dim=1)), dim=-1)[None],
    )
    torch.testing.assert_close(pooled(inputs), DiceLoss()(side_by_side))
    assert pooled(inputs) != DiceLoss()(inputs)
