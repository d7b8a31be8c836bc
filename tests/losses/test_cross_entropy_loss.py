"""Cross entropy, the second term of eq. (4)."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import Example, few, random_example, rows, worked_example

from gsl_experiments.losses import CrossEntropyLoss, LossInputs, cross_entropy_loss


def by_loop(example: Example) -> float:
    per_example = []
    for target, logits in zip(rows(example.target_onehot), rows(example.logits), strict=True):
        num_classes, num_voxels = len(target), len(target[0])
        total = 0.0
        for i in range(num_voxels):
            partition = sum(math.exp(logits[k][i]) for k in range(num_classes))
            for k in range(num_classes):
                total += target[k][i] * math.log(math.exp(logits[k][i]) / partition)
        per_example.append(-total / (num_classes * num_voxels))
    return sum(per_example) / len(per_example)


def test_by_hand() -> None:
    # Voxel by voxel log 1/2, log 1/2 and log 3/4, over C N = 2 x 3 or N = 3.
    example = worked_example()
    total = 2 * math.log(2) + math.log(4 / 3)
    value = cross_entropy_loss(example.logits, example.target_onehot)
    assert value.item() == pytest.approx(total / 6)
    value = cross_entropy_loss(example.logits, example.target_onehot, ce_scale="voxel")
    assert value.item() == pytest.approx(total / 3)


@few
@given(seed=st.integers(0, 10**6), spatial=st.sampled_from([(4, 5), (2, 3, 4)]), classes=st.integers(2, 4))
def test_equals_the_equation(seed: int, spatial: tuple[int, ...], classes: int) -> None:
    example = random_example(seed, spatial=spatial, num_classes=classes)
    value = cross_entropy_loss(example.logits, example.target_onehot).item()
    assert value == pytest.approx(by_loop(example), rel=1e-10)


def test_voxel_scale_equals_torch_on_labels() -> None:
    example = random_example(3, spatial=(3, 4, 5))
    labels = example.target_onehot.argmax(dim=1)
    value = cross_entropy_loss(example.logits, example.target_onehot, ce_scale="voxel")
    torch.testing.assert_close(value, F.cross_entropy(example.logits, labels))


@pytest.mark.parametrize("num_classes", [2, 3, 4])
def test_a_network_that_knows_nothing(num_classes: int) -> None:
    target = random_example(0, num_classes=num_classes).target_onehot
    value = cross_entropy_loss(torch.zeros_like(target), target).item()
    assert value == pytest.approx(math.log(num_classes) / num_classes)


def test_best_is_zero() -> None:
    target = random_example(0).target_onehot
    assert cross_entropy_loss(1e3 * target, target).item() == 0.0


def test_stays_finite_where_a_probability_rounds_to_zero() -> None:
    # The class that is right is 1000 below the other: log P = -1000, over C = 2.
    target = torch.zeros(1, 2, 1, 1)
    target[:, 0] = 1.0
    logits = torch.tensor([0.0, 1000.0]).reshape(1, 2, 1, 1)
    assert cross_entropy_loss(logits, target).item() == 500.0


def test_the_module_stores_the_scale() -> None:
    example = worked_example()
    inputs = LossInputs(example.logits, example.probs, example.target_onehot)
    ratio = CrossEntropyLoss(ce_scale="voxel")(inputs) / CrossEntropyLoss()(inputs)
    assert ratio.item() == pytest.approx(2.0)


def test_an_unknown_scale() -> None:
    example = worked_example()
    with pytest.raises(ValueError, match='ce_scale is "mean", expected one of'):
        cross_entropy_loss(example.logits, example.target_onehot, ce_scale="mean")  # type: ignore[arg-type]
