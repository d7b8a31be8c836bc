"""Generalized Dice loss (eqs. 5 and 6)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import Example, few, random_example, rows, worked_example

from gsl_experiments.losses import GeneralizedDiceLoss, LossInputs, generalized_dice_loss


def by_loop(example: Example, weights: list[float] | None) -> float:
    per_example = []
    for target, probs in zip(rows(example.target_onehot), rows(example.probs), strict=True):
        numerator = denominator = 0.0
        for k, (t, p) in enumerate(zip(target, probs, strict=True)):
            w = 1 / (sum(t) ** 2 + 1) if weights is None else weights[k]
            numerator += w * sum(t_i * p_i for t_i, p_i in zip(t, p, strict=True))
            denominator += w * sum(t_i**2 + p_i**2 for t_i, p_i in zip(t, p, strict=True))
        per_example.append(1 - 2 * numerator / denominator)
    return sum(per_example) / len(per_example)


def test_by_hand_with_each_examples_weights() -> None:
    # Two voxels of background weigh 1 / (4 + 1), one of class 1 weighs 1 / (1 + 1).
    # 2 (1/5 (1/2 + 3/4) + 1/2 (1/2)) = 1 over 1/5 (3.0625) + 1/2 (1.5625) = 1.39375.
    example = worked_example()
    value = generalized_dice_loss(example.probs, example.target_onehot).item()
    assert value == pytest.approx(1 - 1 / 1.39375)


def test_by_hand_with_the_datasets_weights() -> None:
    # 2 (1/4 (5/4) + 3/4 (1/2)) = 1.375 over 1/4 (3.0625) + 3/4 (1.5625) = 1.9375.
    example = worked_example()
    value = generalized_dice_loss(example.probs, example.target_onehot, class_weights=example.class_weights)
    assert value.item() == pytest.approx(1 - 1.375 / 1.9375)


@few
@given(seed=st.integers(0, 10**6), spatial=st.sampled_from([(4, 5), (2, 3, 4)]), classes=st.integers(2, 4))
def test_equals_the_equation(seed: int, spatial: tuple[int, ...], classes: int) -> None:
    example = random_example(seed, spatial=spatial, num_classes=classes)
    value = generalized_dice_loss(example.probs, example.target_onehot).item()
    assert value == pytest.approx(by_loop(example, None), rel=1e-10)
    value = generalized_dice_loss(example.probs, example.target_onehot, class_weights=example.class_weights)
    assert value.item() == pytest.approx(by_loop(example, example.class_weights.tolist()), rel=1e-10)


def test_equals_monai_on_hard_predictions() -> None:
    # MONAI does not square P, which is the same where P is 0 or 1, and weighs by 1 / n^2 without the + 1.
    from monai.losses import GeneralizedDiceLoss as MonaiGeneralizedDiceLoss

    example = random_example(5, batch=1, spatial=(4, 3, 5))
    hard = random_example(6, batch=1, spatial=(4, 3, 5)).target_onehot
    monai_loss = MonaiGeneralizedDiceLoss(w_type="square", smooth_nr=0.0, smooth_dr=0.0)
    weights = 1 / example.target_onehot.sum(dim=(0, 2, 3, 4)) ** 2
    value = generalized_dice_loss(hard, example.target_onehot, class_weights=weights)
    assert value.item() == pytest.approx(monai_loss(hard, example.target_onehot).item(), abs=1e-6)


@few
@given(seed=st.integers(0, 10**6))
def test_best_and_worst(seed: int) -> None:
    example = random_example(seed)
    target = example.target_onehot
    for weights in (None, example.class_weights):
        assert generalized_dice_loss(target, target, class_weights=weights).item() == pytest.approx(
            0, abs=1e-12
        )
        assert generalized_dice_loss(1 - target, target, class_weights=weights).item() == pytest.approx(1.0)
        assert 0.0 < generalized_dice_loss(example.probs, target, class_weights=weights).item() < 1.0


@few
@given(seed=st.integers(0, 10**6), factor=st.floats(1e-6, 1e6))
def test_only_the_ratios_of_the_weights_count(seed: int, factor: float) -> None:
    example = random_example(seed)
    torch.testing.assert_close(
        generalized_dice_loss(
            example.probs, example.target_onehot, class_weights=factor * example.class_weights
        ),
        generalized_dice_loss(example.probs, example.target_onehot, class_weights=example.class_weights),
    )


def test_worst_is_one_for_classes_of_millions_of_voxels() -> None:
    # The weighted denominator is 2 n / n^2 = 2e-6 here: anything added to it would show.
    target = torch.zeros(1, 2, 1000, 1000)
    target[:, 0, :500] = 1.0
    target[:, 1, 500:] = 1.0
    assert generalized_dice_loss(1 - target, target).item() == 1.0


def test_a_voxel_predicted_for_an_absent_class_is_expensive() -> None:
    # Background: 1 / (16^2 + 1). Class 1: 1 / (0 + 1). With one voxel wrong:
    # 1 - 2 (15/257) / (31/257 + 1) = 1 - 30/288.
    target = torch.zeros(1, 2, 4, 4)
    target[:, 0] = 1.0
    probs = target.clone()
    probs[0, :, 0, 0] = torch.tensor([0.0, 1.0])
    assert generalized_dice_loss(target, target).item() == 0.0
    assert generalized_dice_loss(probs, target).item() == pytest.approx(1 - 30 / 288)


def test_the_module_takes_the_weights_it_is_told_to() -> None:
    example = worked_example()
    inputs = LossInputs(
        example.logits, example.probs, example.target_onehot, class_weights=example.class_weights
    )
    assert GeneralizedDiceLoss()(inputs).item() == pytest.approx(1 - 1 / 1.39375)
    assert GeneralizedDiceLoss(weights="dataset")(inputs).item() == pytest.approx(1 - 1.375 / 1.9375)


def test_unknown_weights() -> None:
    with pytest.raises(ValueError, match='weights is "case", expected one of'):
        GeneralizedDiceLoss(weights="case")  # type: ignore[arg-type]
