"""Generalized Dice loss (eqs. 5 and 6)."""

from collections.abc import Sequence
from typing import Literal, get_args

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
from gsl_experiments.losses.dice import LossOfOverlap
from gsl_experiments.losses.inputs import LossInputs

GDLWeights = Literal["example", "dataset"]


def generalized_dice_loss(
    probs: Float[Tensor, "B C *spatial"],
    target_onehot: Float[Tensor, "B C *spatial"],
    *,
    class_weights: Float[Tensor, " C"] | None = None,
) -> Float[Tensor, ""]:
    """One minus the weighted overlap of all classes together, in [0, 1].

        L_gdl = 1 - 2 sum_k w_k sum_i T_i^k P_i^k / (sum_k w_k sum_i ((T_i^k)^2 + (P_i^k)^2))            (5)
        w_k = 1 / ((sum_i T_i^k)^2 + 1)                                                                  (6)

    for each example, then the mean over the batch.

    Args:
        probs: P, in [0, 1], (B, C, *spatial).
        target_onehot: T, 0 or 1, of the same shape.
        class_weights: w, positive, (C,), the same for every example, as the paper's discussion proposes with
            eq. (13); None takes eq. (6), the weights of each example's own volumes.

    Returns:
        A scalar, best 0 (P = T), worst 1 (no class overlaps its reference).

    Raises:
        ValueError: shapes differ, there are neither two nor three spatial axes, or there is not one weight
            per class.

    Eq. (6) has no + 1; it is the released code's, and keeps the weight of an absent class finite: such a
    class weighs 1, far more than any present one, and so every voxel predicted for it is expensive. The
    released code also adds 1e-6 to each class's weighted denominator, which is no small number beside it (two
    classes of 4 million voxels have 1e-6 together) and is left out; a denominator of 0 makes the loss 0.
    """
    check_same_shape(probs=probs, target_onehot=target_onehot)
    probs, target_onehot = in_one_precision(probs, target_onehot)
    if class_weights is not None:
        check_class_weights(class_weights, probs.shape[1])
        _, class_weights = in_one_precision(probs, class_weights)
    overlap = sum_over_space(target_onehot * probs)
    squared_probs = sum_over_space(probs.square())
    return _all_classes_together(overlap, squared_probs, sum_over_space(target_onehot), class_weights)


def _all_classes_together(
    overlap: Float[Tensor, "B C"],
    squared_probs: Float[Tensor, "B C"],
    volumes: Float[Tensor, "B C"],
    class_weights: Float[Tensor, " C"] | None,
) -> Float[Tensor, ""]:
    if class_weights is None:
        class_weights = 1 / (volumes.square() + 1)  # (6)
    size = volumes + squared_probs  # T^2 = T
    numerator = (class_weights * (size - 2 * overlap)).sum(dim=1)
    denominator = (class_weights * size).sum(dim=1)
    return (numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny)).mean()


class GeneralizedDiceLoss(LossOfOverlap):
    """`generalized_dice_loss` as a module."""

    def __init__(self, weights: GDLWeights = "example") -> None:
        """Store whether the weights are eq. (6) of each example or the inputs' weights of the dataset."""
        super().__init__()
        if weights not in get_args(GDLWeights):
            raise ValueError(f'weights is "{weights}", expected one of {get_args(GDLWeights)}')
        self.weights: GDLWeights = weights

    def forward(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the generalized Dice loss of the inputs."""
        class_weights = inputs.required_class_weights(self) if self.weights == "dataset" else None
        return generalized_dice_loss(inputs.probs, inputs.target_onehot, class_weights=class_weights)

    def value(self, sums: Sequence[Tensor], *, volumes: Tensor, class_weights: Tensor | None) -> Tensor:
        """Return eq. (5)."""
        overlap, squared_probs = sums
        weights = None
        if self.weights == "dataset":
            weights = required(class_weights, self, "class weights", "class_weights").to(overlap.dtype)
        return _all_classes_together(overlap, squared_probs, volumes, weights)
