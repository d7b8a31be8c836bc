"""Generalized Surface Loss (eq. 12)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import Example, few, random_example, rows, worked_example

from gsl_experiments.distance import signed_distance_maps
from gsl_experiments.losses import generalized_surface_loss

seeds = st.integers(0, 10**6)


def by_loop(example: Example) -> float:
    weights = example.class_weights.tolist()
    tensors = (rows(example.target_onehot), rows(example.probs), rows(example.dtm))
    per_example = []
    for target, probs, dtm in zip(*tensors, strict=True):
        numerator = denominator = 0.0
        for w, t, p, d in zip(weights, target, probs, dtm, strict=True):
            numerator += w * sum(
                (d_i * (1 - (t_i + p_i))) ** 2 for t_i, p_i, d_i in zip(t, p, d, strict=True)
            )
            denominator += w * sum(d_i**2 for d_i in d)
        per_example.append(1 - numerator / denominator)
    return sum(per_example) / len(per_example)


def gsl(example: Example, probs: torch.Tensor | None = None) -> torch.Tensor:
    return generalized_surface_loss(
        example.probs if probs is None else probs,
        example.target_onehot,
        dtm=example.dtm,
        class_weights=example.class_weights,
    )


def test_by_hand() -> None:
    # Background, w = 1/4: (1 (1 - 1/2))^2 + 0 + (-1 (1 - 7/4))^2 = 13/16 over 1 + 0 + 1 = 2.
    # Class 1,    w = 3/4: 0 + (1 (1 - 1/2))^2 + (2 (1 - 1/4))^2 = 5/2 over 0 + 1 + 4 = 5.
    expected = 1 - (1 / 4 * 13 / 16 + 3 / 4 * 5 / 2) / (1 / 4 * 2 + 3 / 4 * 5)
    assert gsl(worked_example()).item() == pytest.approx(expected)


def test_the_worked_maps_are_distance_maps() -> None:
    example = worked_example()
    labels = example.target_onehot.argmax(dim=1)[0].numpy()
    dtm = torch.from_numpy(signed_distance_maps(labels, 2, (1.0, 1.0)))[None]
    torch.testing.assert_close(dtm, example.dtm)


@few
@given(seed=seeds, spatial=st.sampled_from([(4, 5), (2, 3, 4)]), classes=st.integers(2, 4))
def test_equals_the_equation(seed: int, spatial: tuple[int, ...], classes: int) -> None:
    example = random_example(seed, spatial=spatial, num_classes=classes)
    assert gsl(example).item() == pytest.approx(by_loop(example), rel=1e-9)


@few
@given(seed=seeds, unit=st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6]), weight=st.sampled_from([1e-9, 1.0]))
def test_best_and_worst_are_exact_in_float32_for_any_unit(seed: int, unit: float, weight: float) -> None:
    example = random_example(seed, dtype=torch.float32)
    example = example._replace(dtm=unit * example.dtm, class_weights=weight * example.class_weights)
    assert gsl(example, probs=example.target_onehot).item() == 0.0
    assert gsl(example, probs=1 - example.target_onehot).item() == 1.0


@few
@given(seed=seeds)
def test_lies_between_zero_and_one(seed: int) -> None:
    example = random_example(seed)
    independent = torch.rand(example.probs.shape, generator=torch.Generator().manual_seed(seed)).double()
    for probs in (example.probs, independent, random_example(seed + 1).target_onehot):
        assert 0.0 <= gsl(example, probs=probs).item() <= 1.0


@few
@given(seed=seeds, mixed=st.floats(0.0, 1.0))
def test_falls_on_the_way_from_the_worst_to_the_best(seed: int, mixed: float) -> None:
    # With P = m T + (1 - m)(1 - T), 1 - T - P = m (1 - 2T), so that the loss is 1 - m^2.
    example = random_example(seed)
    probs = mixed * example.target_onehot + (1 - mixed) * (1 - example.target_onehot)
    assert gsl(example, probs=probs).item() == pytest.approx(1 - mixed**2, abs=1e-12)


@few
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_neither_unit_nor_sign_of_the_map_nor_scale_of_the_weights_counts(seed: int, factor: float) -> None:
    example = random_example(seed)
    other = example._replace(dtm=-factor * example.dtm, class_weights=factor * example.class_weights)
    torch.testing.assert_close(gsl(other), gsl(example))


def test_a_padded_border_changes_nothing() -> None:
    example = random_example(4, spatial=(4, 5))
    background = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)[None, :, None, None]
    padded_target = background.repeat(2, 1, 8, 9)
    padded_target[:, :, 2:6, 2:7] = example.target_onehot
    padded = example._replace(
        probs=torch.nn.functional.pad(example.probs, (2, 2, 2, 2), value=0.7),
        target_onehot=padded_target,
        dtm=torch.nn.functional.pad(example.dtm, (2, 2, 2, 2)),
    )
    torch.testing.assert_close(gsl(padded), gsl(example))


def test_a_class_whose_map_is_zero_is_left_out() -> None:
    example = random_example(5)
    example.dtm[:, 2] = 0.0
    without = example._replace(
        probs=example.probs[:, :2],
        target_onehot=example.target_onehot[:, :2],
        dtm=example.dtm[:, :2],
        class_weights=example.class_weights[:2],
    )
    torch.testing.assert_close(gsl(example), gsl(without))


def test_maps_of_zero_give_a_loss_and_a_gradient_of_zero() -> None:
    example = random_example(6, dtype=torch.float32)
    example.dtm[0] = 0.0
    example.probs.requires_grad_()
    value = gsl(example)
    value.backward()
    assert value.item() == pytest.approx(by_loop(Example(*(t[1:] for t in example[:4]), example[4])) / 2)
    assert example.probs.grad is not None
    assert not example.probs.grad[0].any()
    assert example.probs.grad[1].any()


def test_its_gradient_vanishes_where_the_network_is_confidently_wrong() -> None:
    # dL/dP = 2 w D^2 (1 - T - P) / sum w D^2, which is 0 at T = 0, P = 1 and largest at T = P.
    example = random_example(7, batch=1)
    probs = example.probs.clone().requires_grad_()
    gsl(example, probs=probs).backward()
    weighted = example.class_weights[None, :, None, None] * example.dtm.square()
    expected = 2 * weighted * (1 - example.target_onehot - example.probs) / weighted.sum()
    torch.testing.assert_close(probs.grad, expected)


def test_a_patch_of_two_million_voxels_in_float32() -> None:
    shape = (1, 2, 128, 128, 128)
    generator = torch.Generator().manual_seed(0)
    probs = torch.randn(shape, generator=generator).softmax(dim=1)
    labels = torch.zeros(1, 1, 128, 128, 128, dtype=torch.int64)
    labels[..., 40:80, 40:80, 40:80] = 1
    target = torch.cat([1.0 - labels, labels], dim=1).float()
    dtm = 300 * torch.rand(shape, generator=generator)
    weights = torch.tensor([0.01, 0.99])
    single = generalized_surface_loss(probs, target, dtm=dtm, class_weights=weights)
    double = generalized_surface_loss(probs.double(), target, dtm=dtm, class_weights=weights)
    assert single.item() == pytest.approx(double.item(), rel=1e-6)
