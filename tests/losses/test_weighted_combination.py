"""Weighted combination of a region and a boundary loss (eq. 8)."""

import math

import pytest
import torch

from gsl_experiments.losses import weighted_combination


def test_by_hand() -> None:
    # 0.25 x 2 + 0.75 x 10 = 8
    assert weighted_combination(torch.tensor(2.0), torch.tensor(10.0), 0.25).item() == 8.0


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 2.0), (0.0, 10.0)])
def test_the_two_ends(alpha: float, expected: float) -> None:
    assert weighted_combination(torch.tensor(2.0), torch.tensor(10.0), alpha).item() == expected


def test_gradient_is_shared_out_by_alpha() -> None:
    region = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    boundary = torch.tensor(-3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r, b: weighted_combination(r, b, 0.2), (region, boundary))
    weighted_combination(region, boundary, 0.0).backward()
    assert (region.grad, boundary.grad) == (0.0, 1.0)


@pytest.mark.parametrize("alpha", [-0.01, 1.01, math.nan])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"alpha is .*, expected a number in \[0, 1\]"):
        weighted_combination(torch.tensor(0.0), torch.tensor(0.0), alpha)
