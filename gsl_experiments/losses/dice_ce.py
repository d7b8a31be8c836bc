"""Dice-CE loss (eq. 4), the region loss of the paper's experiments."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from gsl_experiments.losses.arguments import check_same_shape, in_one_precision
from gsl_experiments.losses.cross_entropy import CEScale, CrossEntropyLoss, cross_entropy_loss
from gsl_experiments.losses.dice import DiceLoss, dice_loss
from gsl_experiments.losses.inputs import LossInputs
from gsl_experiments.losses.of_sums import LossOfSums, Voxels


def dice_ce_loss(
    logits: Float[Tensor, "B C *spatial"],
    target_onehot: Float[Tensor, "B C *spatial"],
    *,
    ce_scale: CEScale = "paper",
    batch_dice: bool = False,
    probs: Float[Tensor, "B C *spatial"] | None = None,
) -> Float[Tensor, ""]:
    """Sum of the Dice loss and the cross entropy, in [0, inf).

        L_dice-ce = L_dice - 1/(C N) sum_k sum_i T_i^k log P_i^k,    P = softmax(logits)                 (4)

    for each example, then the mean over the batch.

    Args:
        logits: the network's output, (B, C, *spatial).
        target_onehot: T, 0 or 1, of the same shape.
        ce_scale: "paper" divides the second term by C N as eq. (4) does, "voxel" by N as nnU-Net and the
            paper's released code do.
        batch_dice: see `dice_loss`.
        probs: P where the caller has it already, which saves a second softmax.

    Returns:
        A scalar, best 0 (P = T), unbounded above.

    Raises:
        ValueError: shapes differ, there are neither two nor three spatial axes, or `ce_scale` is unknown.

    A class that is absent and not predicted costs nothing in either term: see `dice_loss` and
    `cross_entropy_loss`.
    """
    check_same_shape(logits=logits, target_onehot=target_onehot)
    if probs is None:
        (wide_logits,) = in_one_precision(logits)
        probs = wide_logits.softmax(dim=1)
    dice = dice_loss(probs, target_onehot, batch_dice=batch_dice)
    return dice + cross_entropy_loss(logits, target_onehot, ce_scale=ce_scale)


class DiceCELoss(LossOfSums):
    """`dice_ce_loss` as a module."""

    def __init__(self, ce_scale: CEScale = "paper", batch_dice: bool = False) -> None:
        """Store how the cross entropy is scaled, and whether the Dice takes a batch's examples together."""
        super().__init__()
        self.dice = DiceLoss(batch_dice)
        self.cross_entropy = CrossEntropyLoss(ce_scale)

    def forward(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the Dice-CE loss of the inputs."""
        return dice_ce_loss(
            inputs.logits,
            inputs.target_onehot,
            ce_scale=self.cross_entropy.ce_scale,
            batch_dice=self.dice.batch_dice,
            probs=inputs.probs,
        )

    def sums(self, voxels: Voxels) -> tuple[Tensor, ...]:
        """Return those of the Dice loss, then that of the cross entropy."""
        return *self.dice.sums(voxels), *self.cross_entropy.sums(voxels)

    def slopes(self, voxels: Voxels, weights: Sequence[Tensor]) -> Tensor:
        """Return those of both terms, added."""
        return self.dice.slopes(voxels, weights[:-1]).add_(self.cross_entropy.slopes(voxels, weights[-1:]))

    def value(self, sums: Sequence[Tensor], *, volumes: Tensor, class_weights: Tensor | None) -> Tensor:
        """Return eq. (4)."""
        dice = self.dice.value(sums[:-1], volumes=volumes, class_weights=class_weights)
        return dice + self.cross_entropy.value(sums[-1:], volumes=volumes, class_weights=class_weights)
