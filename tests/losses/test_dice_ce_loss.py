"""Dice-CE loss (eq. 4)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import few, random_example, rows, worked_example

from gsl_experiments.losses import DiceCELoss, LossInputs, dice_ce_loss


def test_by_hand() -> None:
    # Dice: background 40/49, class 1 16/25. Cross entropy: (log 2 + log 2 + log 4/3) / (2 x 3).
    example = worked_example()
    dice = 1 - (40 / 49 + 16 / 25) / 2
    total = 2 * math.log(2) + math.log(4 / 3)
    value = dice_ce_loss(example.logits, example.target_onehot).item()
    assert value == pytest.approx(dice + total / 6, abs=1e-6)
    value = dice_ce_loss(example.logits, example.target_onehot, ce_scale="voxel").item()
    assert value == pytest.approx(dice + total / 3, abs=1e-6)


@few
@given(seed=st.integers(0, 10**6), spatial=st.sampled_from([(4, 5), (2, 3, 4)]))
def test_equals_the_equation(seed: int, spatial: tuple[int, ...]) -> None:
    example = random_example(seed, spatial=spatial)
    targets, probs = rows(example.target_onehot), rows(example.probs)
    expected = 0.0
    for target, prob in zip(targets, probs, strict=True):
        value = 1.0
        for t, p in zip(target, prob, strict=True):
            pairs = list(zip(t, p, strict=True))
            value -= 2 * sum(a * b for a, b in pairs) / sum(a**2 + b**2 for a, b in pairs) / len(target)
            value -= sum(a * math.log(b) for a, b in pairs) / (len(target) * len(t))
        expected += value / len(targets)
    value = dice_ce_loss(example.logits, example.target_onehot).item()
    assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("spatial", [(6, 5), (4, 3, 5)])
def test_equals_monai(spatial: tuple[int, ...]) -> None:
    from monai.losses import DiceCELoss as MonaiDiceCELoss

    example = random_example(8, spatial=spatial)
    monai_loss = MonaiDiceCELoss(softmax=True, squared_pred=True, smooth_nr=0.0, smooth_dr=0.0)
    expected = monai_loss(example.logits, example.target_onehot).item()
    value = dice_ce_loss(example.logits, example.target_onehot, ce_scale="voxel").item()
    assert value == pytest.approx(expected, abs=1e-6)


def test_best_is_zero() -> None:
    target = random_example(0).target_onehot
    assert dice_ce_loss(1e3 * target, target).item() == 0.0


def test_probabilities_at_hand_change_nothing() -> None:
    example = random_example(1)
    given_probs = dice_ce_loss(example.logits, example.target_onehot, probs=example.probs)
    torch.testing.assert_close(given_probs, dice_ce_loss(example.logits, example.target_onehot))


def test_the_module_stores_the_scale() -> None:
    example = worked_example()
    inputs = LossInputs(example.logits, example.probs, example.target_onehot)
    expected = dice_ce_loss(example.logits, example.target_onehot, ce_scale="voxel")
    torch.testing.assert_close(DiceCELoss(ce_scale="voxel")(inputs), expected)
