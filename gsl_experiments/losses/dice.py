"""Dice loss (eq. 3)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch import distributed as dist
from torch.distributed.nn.functional import all_reduce

from gsl_experiments.losses.arguments import check_same_shape, in_one_precision, sum_over_space
from gsl_experiments.losses.inputs import LossInputs
from gsl_experiments.losses.of_sums import LossOfSums, Voxels

_EPSILON = 1e-6  # voxels


def dice_loss(
    probs: Float[Tensor, "B C *spatial"],
    target_onehot: Float[Tensor, "B C *spatial"],
    *,
    batch_dice: bool = False,
) -> Float[Tensor, ""]:
    """One minus the mean overlap of the classes, background included, in [0, 1].

        L_dice = 1 - 1/C sum_k  2 sum_i T_i^k P_i^k / (sum_i (T_i^k)^2 + sum_i (P_i^k)^2)                (3)

    for each example, then the mean over the batch.

    Args:
        probs: P, in [0, 1], (B, C, *spatial).
        target_onehot: T, 0 or 1, of the same shape.
        batch_dice: take the sums over i through the whole batch, as nnU-Net does where its plans say so; the
            batch of all processes where several share one.

    Returns:
        A scalar, best 0 (P = T), worst 1 (no class overlaps its reference).

    Raises:
        ValueError: shapes differ, or there are neither two nor three spatial axes.

    A class that is absent from an example and not predicted either is 0 / 0 in the paper. It counts as
    perfect here, as in the released code: each class's term 1 - 2TP / (T^2 + P^2) is written over one
    denominator, as (T^2 + P^2 - 2TP) / (T^2 + P^2 + 1e-6), and the 1e-6 voxels shift no other value
    noticeably.
    """
    check_same_shape(probs=probs, target_onehot=target_onehot)
    probs, target_onehot = in_one_precision(probs, target_onehot)
    overlap = sum_over_space(target_onehot * probs)
    size = sum_over_space(target_onehot.square()) + sum_over_space(probs.square())
    return _mean_over_classes(overlap, size, batch_dice)


def _mean_over_classes(
    overlap: Float[Tensor, "B C"], size: Float[Tensor, "B C"], batch_dice: bool
) -> Float[Tensor, ""]:
    if batch_dice:
        overlap, size = _sum_over_batch(torch.stack((overlap, size)))
    return ((size - 2 * overlap) / (size + _EPSILON)).mean()


def _sum_over_batch(sums: Float[Tensor, "2 B C"]) -> Float[Tensor, "2 C"]:
    """Sum over the examples of this process and, in a way that gradients follow, of all others."""
    total = sums.sum(dim=1)
    if dist.is_available() and dist.is_initialized():
        total = all_reduce(total)
    return total


class LossOfOverlap(LossOfSums):
    """A loss of sum_i T P and sum_i P^2, beside the volumes."""

    def sums(self, voxels: Voxels) -> tuple[Tensor, ...]:
        """Return sum_i T P and sum_i P^2."""
        return (voxels.target_onehot * voxels.probs).sum(-1), voxels.probs.square().sum(-1)

    def slopes(self, voxels: Voxels, weights: Sequence[Tensor]) -> Tensor:
        """Return P T and 2 P^2, weighted and added."""
        slopes = voxels.target_onehot * weights[0]
        return slopes.addcmul_(voxels.probs, 2 * weights[1]).mul_(voxels.probs)


class DiceLoss(LossOfOverlap):
    """`dice_loss` as a module."""

    def __init__(self, batch_dice: bool = False) -> None:
        """Store whether the examples of a batch are taken together."""
        super().__init__()
        self.batch_dice = batch_dice

    def forward(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the Dice loss of the inputs."""
        return dice_loss(inputs.probs, inputs.target_onehot, batch_dice=self.batch_dice)

    def value(self, sums: Sequence[Tensor], *, volumes: Tensor, class_weights: Tensor | None) -> Tensor:
        """Return eq. (3)."""
        overlap, squared_probs = sums
        return _mean_over_classes(overlap, volumes + squared_probs, self.batch_dice)
