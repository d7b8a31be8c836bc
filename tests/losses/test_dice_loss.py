"""Dice loss (eq. 3)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import Example, few, random_example, rows, worked_example

from gsl_experiments.losses import dice_loss


def by_loop(example: Example) -> float:
    per_example = []
    for target, probs in zip(rows(example.target_onehot), rows(example.probs), strict=True):
        overlaps = 0.0
        for t, p in zip(target, probs, strict=True):
            shared = sum(t_i * p_i for t_i, p_i in zip(t, p, strict=True))
            overlaps += 2 * shared / (sum(t_i**2 for t_i in t) + sum(p_i**2 for p_i in p))
        per_example.append(1 - overlaps / len(target))
    return sum(per_example) / len(per_example)


def test_by_hand() -> None:
    # Background: 2 (1/2 + 3/4) / (2 + 1/4 + 1/4 + 9/16) = 2.5 / 3.0625 = 40/49.
    # Class 1:    2 (1/2) / (1 + 1/4 + 1/4 + 1/16) = 1 / 1.5625 = 16/25.
    example = worked_example()
    expected = 1 - (40 / 49 + 16 / 25) / 2
    assert dice_loss(example.probs, example.target_onehot).item() == pytest.approx(expected, abs=1e-6)


@few
@given(seed=st.integers(0, 10**6), spatial=st.sampled_from([(4, 5), (2, 3, 4)]), classes=st.integers(2, 4))
def test_equals_the_equation(seed: int, spatial: tuple[int, ...], classes: int) -> None:
    example = random_example(seed, spatial=spatial, num_classes=classes)
    value = dice_loss(example.probs, example.target_onehot).item()
    assert value == pytest.approx(by_loop(example), abs=1e-6)


@pytest.mark.parametrize("spatial", [(6, 5), (4, 3, 5)])
def test_equals_monai(spatial: tuple[int, ...]) -> None:
    from monai.losses import DiceLoss as MonaiDiceLoss

    example = random_example(7, spatial=spatial)
    monai_loss = MonaiDiceLoss(squared_pred=True, smooth_nr=0.0, smooth_dr=0.0)
    expected = monai_loss(example.probs, example.target_onehot).item()
    assert dice_loss(example.probs, example.target_onehot).item() == pytest.approx(expected, abs=1e-6)


@few
@given(seed=st.integers(0, 10**6))
def test_best_and_worst(seed: int) -> None:
    target = random_example(seed).target_onehot
    assert dice_loss(target, target).item() == 0.0
    assert dice_loss(1 - target, target).item() == pytest.approx(1.0, abs=1e-6)
    assert 0.0 < dice_loss(random_example(seed).probs, target).item() < 1.0


def test_an_absent_class_that_is_not_predicted_is_perfect() -> None:
    target = torch.zeros(1, 3, 4, 4)
    target[:, 0] = 1.0
    assert dice_loss(target, target).item() == 0.0


def test_an_absent_class_that_is_predicted_is_lost() -> None:
    # Background 2 x 12 / (16 + 12) = 6/7, class 1 (absent, four voxels predicted) 0.
    target = torch.zeros(1, 2, 4, 4)
    target[:, 0] = 1.0
    probs = target.clone()
    probs[:, :, 0] = torch.tensor([0.0, 1.0])[None, :, None]
    assert dice_loss(probs, target).item() == pytest.approx(1 - (6 / 7) / 2)
