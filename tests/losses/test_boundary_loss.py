"""Boundary loss (eq. 9)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import few, random_example, rows, worked_example

from gsl_experiments.distance import signed_distance_maps
from gsl_experiments.losses import boundary_loss


def test_by_hand() -> None:
    # Background: 1/2 + 0 - 3/4 = -1/4. Class 1: 0 + 1/2 + 2/4 = 1.
    example = worked_example()
    value = boundary_loss(example.probs, example.target_onehot, dtm=example.dtm).item()
    assert value == pytest.approx((-1 / 4 + 1) / 6)


@few
@given(seed=st.integers(0, 10**6), spatial=st.sampled_from([(4, 5), (2, 3, 4)]), classes=st.integers(2, 4))
def test_equals_the_equation(seed: int, spatial: tuple[int, ...], classes: int) -> None:
    example = random_example(seed, spatial=spatial, num_classes=classes)
    total, terms = 0.0, 0
    for probs, dtm in zip(rows(example.probs), rows(example.dtm), strict=True):
        for p, d in zip(probs, dtm, strict=True):
            total += sum(p_i * d_i for p_i, d_i in zip(p, d, strict=True))
            terms += len(p)
    value = boundary_loss(example.probs, example.target_onehot, dtm=example.dtm).item()
    assert value == pytest.approx(total / terms, rel=1e-9, abs=1e-12)


@few
@given(seed=st.integers(0, 10**6))
def test_best_and_worst(seed: int) -> None:
    _, probs, target, _, _ = random_example(seed, batch=1, spatial=(6, 7))
    labels = target.argmax(dim=1)[0].numpy()
    dtm = torch.from_numpy(signed_distance_maps(labels, 3, (1.0, 2.0)))[None].double()
    best = boundary_loss(target, target, dtm=dtm).item()
    worst = boundary_loss(1 - target, target, dtm=dtm).item()
    assert best == pytest.approx(dtm.clamp_max(0).mean().item())
    assert worst == pytest.approx(dtm.clamp_min(0).mean().item())
    assert best < boundary_loss(probs, target, dtm=dtm).item() < worst


@few
@given(seed=st.integers(0, 10**6))
def test_doubling_the_spacing_doubles_the_loss(seed: int) -> None:
    _, probs, target, _, _ = random_example(seed, batch=1)
    labels = target.argmax(dim=1)[0].numpy()
    at_one_mm = torch.from_numpy(signed_distance_maps(labels, 3, (1.0, 3.0)))[None]
    at_two_mm = torch.from_numpy(signed_distance_maps(labels, 3, (2.0, 6.0)))[None]
    torch.testing.assert_close(
        boundary_loss(probs, target, dtm=at_two_mm), 2 * boundary_loss(probs, target, dtm=at_one_mm)
    )


def test_its_gradient_is_the_map() -> None:
    _, probs, target, dtm, _ = random_example(0)
    probs.requires_grad_()
    boundary_loss(probs, target, dtm=dtm).backward()
    torch.testing.assert_close(probs.grad, dtm / dtm.numel())
