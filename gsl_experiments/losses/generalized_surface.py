"""Generalized Surface Loss (eq. 12), the paper's own."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gsl_experiments.losses.arguments import (
    check_class_weights,
    check_same_shape,
    in_one_precision,
    required,
    sum_over_space,
)
from gsl_experiments.losses.inputs import LossInputs
from gsl_experiments.losses.of_sums import LossOfSums, Voxels


def generalized_surface_loss(
    probs: Float[Tensor, "B C *spatial"],
    target_onehot: Float[Tensor, "B C *spatial"],
    *,
    dtm: Float[Tensor, "B C *spatial"],
    class_weights: Float[Tensor, " C"],
) -> Float[Tensor, ""]:
    """Share of the worst possible distance-weighted error that a prediction makes, in [0, 1].

        L_gsl = 1 - sum_k w_k sum_i (D_i^k (1 - (T_i^k + P_i^k)))^2 / (sum_k w_k sum_i (D_i^k)^2)       (12)

    for each example, then the mean over the batch.

    Args:
        probs: P, in [0, 1], (B, C, *spatial).
        target_onehot: T, 0 or 1, of the same shape.
        dtm: D, signed distance in mm to the reference's boundary, negative inside, of the same shape. Only
            its square counts, and only relative to the others: neither the sign nor the unit changes the
            loss.
        class_weights: w, positive, (C,), eq. (13).

    Returns:
        A scalar, best 0 (P = T), worst 1 (P = 1 - T). Voxels with D = 0, on the boundary or in a padded
        border, change nothing.

    Raises:
        ValueError: shapes differ, there are neither two nor three spatial axes, or there is not one weight
            per class.

    An absent class counts with whatever its map holds; a map of 0 leaves it out of both sums. An example
    whose maps are 0 throughout has nothing to get wrong: its loss and its gradient are 0.

    The released code adds 1e-6 to the denominator. That moves the best value off 0 by 1e-6 over a sum in
    weighted mm^2 that shrinks with the voxels and with w, and gives 1 where all maps are 0. Here the ratio is
    written as (denominator - numerator) / denominator, which is exactly 0 and 1 at the two ends for any unit,
    and the denominator is only kept from being 0.
    """
    check_same_shape(probs=probs, target_onehot=target_onehot, dtm=dtm)
    check_class_weights(class_weights, probs.shape[1])
    probs, target_onehot, dtm, class_weights = in_one_precision(probs, target_onehot, dtm, class_weights)
    agreement = sum_over_space((dtm * (1 - (target_onehot + probs))).square())
    largest = sum_over_space(dtm.square())
    return _share_of_largest(agreement, largest, class_weights)


def _share_of_largest(
    agreement: Float[Tensor, "B C"], largest: Float[Tensor, "B C"], class_weights: Float[Tensor, " C"]
) -> Float[Tensor, ""]:
    numerator = (class_weights * agreement).sum(dim=1)
    denominator = (class_weights * largest).sum(dim=1)
    tiny = torch.finfo(denominator.dtype).tiny
    return ((denominator - numerator) / denominator.clamp_min(tiny)).mean()


class GeneralizedSurfaceLoss(LossOfSums):
    """`generalized_surface_loss` as a module."""

    def forward(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the loss of the inputs, which must hold distance maps and class weights."""
        return generalized_surface_loss(
            inputs.probs,
            inputs.target_onehot,
            dtm=inputs.required_dtm(self),
            class_weights=inputs.required_class_weights(self),
        )

    def sums(self, voxels: Voxels) -> tuple[Tensor, ...]:
        """Return sum_i (D (1 - (T + P)))^2 and sum_i D^2."""
        dtm = voxels.required_dtm(self)
        agreement = (dtm * (1 - (voxels.target_onehot + voxels.probs))).square()
        return agreement.sum(-1), dtm.square().sum(-1)

    def slopes(self, voxels: Voxels, weights: Sequence[Tensor]) -> Tensor:
        """Return 2 P (T + P - 1) D^2, weighted; it is 0 where T = 0 and P = 1 or T = 1 and P = 0, too."""
        dtm = voxels.required_dtm(self)
        slopes = (voxels.target_onehot + voxels.probs).sub_(1).mul_(dtm).mul_(dtm)
        return slopes.mul_(voxels.probs).mul_(2 * weights[0])

    def value(self, sums: Sequence[Tensor], *, volumes: Tensor, class_weights: Tensor | None) -> Tensor:
        """Return eq. (12)."""
        agreement, largest = sums
        weights = required(class_weights, self, "class weights", "class_weights")
        return _share_of_largest(agreement, largest, weights.to(largest.dtype))
