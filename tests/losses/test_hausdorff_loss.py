"""One-sided Hausdorff loss (eq. 7)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import few, random_example, rows, worked_example

from gsl_experiments.distance import signed_distance_maps
from gsl_experiments.losses import hausdorff_loss


def test_by_hand() -> None:
    # Background: (1/2)^2 1^2 + 0 + (1/4)^2 1^2 = 5/16. Class 1: 0 + (1/2)^2 1^2 + (1/4)^2 2^2 = 1/2.
    example = worked_example()
    value = hausdorff_loss(example.probs, example.target_onehot, dtm=example.dtm).item()
    assert value == pytest.approx((5 / 16 + 1 / 2) / 6)


@few
@given(seed=st.integers(0, 10**6), spatial=st.sampled_from([(4, 5), (2, 3, 4)]), classes=st.integers(2, 4))
def test_equals_the_equation(seed: int, spatial: tuple[int, ...], classes: int) -> None:
    example = random_example(seed, spatial=spatial, num_classes=classes)
    total, terms = 0.0, 0
    tensors = (rows(example.target_onehot), rows(example.probs), rows(example.dtm))
    for target, probs, dtm in zip(*tensors, strict=True):
        for t, p, d in zip(target, probs, dtm, strict=True):
            for t_i, p_i, d_i in zip(t, p, d, strict=True):
                total += (t_i - p_i) ** 2 * d_i**2
                terms += 1
    value = hausdorff_loss(example.probs, example.target_onehot, dtm=example.dtm).item()
    assert value == pytest.approx(total / terms, rel=1e-10)


@few
@given(seed=st.integers(0, 10**6))
def test_best_and_worst(seed: int) -> None:
    _, probs, target, dtm, _ = random_example(seed)
    worst = dtm.square().mean().item()
    assert hausdorff_loss(target, target, dtm=dtm).item() == 0.0
    assert hausdorff_loss(1 - target, target, dtm=dtm).item() == pytest.approx(worst)
    assert 0.0 < hausdorff_loss(probs, target, dtm=dtm).item() < worst


@few
@given(seed=st.integers(0, 10**6))
def test_doubling_the_spacing_quadruples_the_loss(seed: int) -> None:
    _, probs, target, _, _ = random_example(seed, batch=1)
    labels = target.argmax(dim=1)[0].numpy()
    at_one_mm = torch.from_numpy(signed_distance_maps(labels, 3, (1.0, 3.0)))[None]
    at_two_mm = torch.from_numpy(signed_distance_maps(labels, 3, (2.0, 6.0)))[None]
    torch.testing.assert_close(
        hausdorff_loss(probs, target, dtm=at_two_mm), 4 * hausdorff_loss(probs, target, dtm=at_one_mm)
    )


def test_an_error_far_from_the_boundary_costs_more() -> None:
    example = worked_example()
    values = []
    for voxel in (1, 2):  # 1 mm and 2 mm from class 1
        probs = example.target_onehot.clone()
        probs[0, :, 0, voxel] = torch.tensor([0.0, 1.0])
        values.append(hausdorff_loss(probs, example.target_onehot, dtm=example.dtm).item())
    # Class 1 at 1 mm, D of the background 0; class 1 at 2 mm, D of the background -1.
    assert values == pytest.approx([1 / 6, (4 + 1) / 6])
