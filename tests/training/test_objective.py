import pytest
import torch

from gsl_experiments.losses import (
    BoundaryLoss,
    DiceCELoss,
    DiceLoss,
    GeneralizedSurfaceLoss,
    HausdorffLoss,
    LossInputs,
)
from gsl_experiments.training.objective import Objective

WEIGHTS = torch.tensor([0.1, 0.3, 0.6])


def batch(size: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(size)
    logits = torch.randn(2, 3, size, size, size, generator=generator)
    target = torch.randint(0, 3, (2, 1, size, size, size), generator=generator)
    dtm = 10 * torch.randn(2, 3, size, size, size, generator=generator)
    return logits, target, dtm


def test_a_region_loss_alone() -> None:
    logits, target, _ = batch()
    terms = Objective(DiceLoss(), None, class_weights=WEIGHTS)([logits], [target], [None])
    expected = DiceLoss()(LossInputs.from_logits(logits, target))
    torch.testing.assert_close(terms.total, expected)
    torch.testing.assert_close(terms.region, expected)
    assert terms.boundary == 0


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("boundary", [HausdorffLoss(), BoundaryLoss(), GeneralizedSurfaceLoss()])
def test_the_total_is_eq_8(alpha: float, boundary: torch.nn.Module) -> None:
    logits, target, dtm = batch()
    objective = Objective(DiceCELoss(), boundary, class_weights=WEIGHTS)
    objective.alpha = alpha
    terms = objective([logits], [target], [dtm])
    inputs = LossInputs.from_logits(logits, target, dtm=dtm, class_weights=WEIGHTS)
    torch.testing.assert_close(terms.region, DiceCELoss()(inputs))
    torch.testing.assert_close(terms.boundary, boundary(inputs))
    torch.testing.assert_close(terms.total, alpha * terms.region + (1 - alpha) * terms.boundary)


def test_deep_supervision_is_the_weighted_sum_over_scales_and_skips_weight_zero() -> None:
    scales = [batch(6), batch(4), batch(2)]
    logits, targets, maps = (list(values) for values in zip(*scales, strict=True))
    objective = Objective(
        DiceCELoss(), GeneralizedSurfaceLoss(), class_weights=WEIGHTS, scale_weights=(0.75, 0.25, 0.0)
    )
    objective.alpha = 0.5
    single = Objective(DiceCELoss(), GeneralizedSurfaceLoss(), class_weights=WEIGHTS)
    single.alpha = 0.5
    parts = [single([scale[0]], [scale[1]], [scale[2]]).total for scale in scales]
    logits[2] = logits[2] * float("nan")  # would show if it were touched
    terms = objective(logits, targets, maps)
    torch.testing.assert_close(terms.total, 0.75 * parts[0] + 0.25 * parts[1])


def test_only_the_total_carries_a_gradient() -> None:
    logits, target, dtm = batch()
    objective = Objective(DiceCELoss(), GeneralizedSurfaceLoss(), class_weights=WEIGHTS)
    objective.alpha = 0.5
    terms = objective([logits.requires_grad_()], [target], [dtm])
    assert terms.total.requires_grad
    assert not terms.region.requires_grad
    assert not terms.boundary.requires_grad


class MeanProbability(torch.nn.Module):
    """A user's loss: only `forward`, and no function of sums that the trainer knows."""

    def forward(self, inputs: LossInputs) -> torch.Tensor:
        return inputs.probs[:, 1].mean()


def test_a_loss_that_has_only_a_forward_goes_with_one_of_sums() -> None:
    logits, target, dtm = batch()
    objective = Objective(DiceCELoss(), MeanProbability(), class_weights=WEIGHTS)
    objective.alpha = 0.25
    terms = objective([logits.requires_grad_()], [target], [dtm])
    terms.total.backward()
    torch.testing.assert_close(terms.boundary, logits.detach().softmax(1)[:, 1].mean())
    region = DiceCELoss()(LossInputs.from_logits(logits.detach(), target))
    torch.testing.assert_close(terms.total, 0.25 * region + 0.75 * terms.boundary)
    assert logits.grad is not None
    assert logits.grad.any()
