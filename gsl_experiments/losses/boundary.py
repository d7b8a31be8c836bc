"""Boundary loss (eq. 9)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from gsl_experiments.losses.arguments import (
    check_same_shape,
    in_one_precision,
    mean_over_classes_and_voxels,
    sum_over_space,
)
from gsl_experiments.losses.inputs import LossInputs
from gsl_experiments.losses.of_sums import LossOfSums, Voxels


def boundary_loss(
    probs: Float[Tensor, "B C *spatial"],
    target_onehot: Float[Tensor, "B C *spatial"],
    *,
    dtm: Float[Tensor, "B C *spatial"],
) -> Float[Tensor, ""]:
    """Mean signed distance of the predicted voxels to the reference's boundary, in (-inf, inf) mm.

        L_bl = 1/(C N) sum_k sum_i D_i^k P_i^k                                                           (9)

    for each example, then the mean over the batch.

    Args:
        probs: P, in [0, 1], (B, C, *spatial).
        target_onehot: T, 0 or 1, of the same shape; only N is read from it, D holds all else that eq. (9) asks of it.
        dtm: D, signed distance in mm to the reference's boundary, negative inside, of the same shape.

    Returns:
        A scalar in mm, best 1/(C N) times the sum of the negative D (P = 1 inside and 0 outside), worst the
        same sum over the positive D.

    Raises:
        ValueError: shapes differ, or there are neither two nor three spatial axes.

    An absent class counts with whatever its map holds: the image's diagonal makes each voxel predicted for it
    as expensive as can be, a map of 0 leaves it out of the sum, though not out of C.
    """
    check_same_shape(probs=probs, target_onehot=target_onehot, dtm=dtm)
    probs, target_onehot, dtm = in_one_precision(probs, target_onehot, dtm)
    return mean_over_classes_and_voxels(sum_over_space(dtm * probs), sum_over_space(target_onehot))


class BoundaryLoss(LossOfSums):
    """`boundary_loss` as a module."""

    def forward(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the boundary loss of the inputs, which must hold distance maps."""
        return boundary_loss(inputs.probs, inputs.target_onehot, dtm=inputs.required_dtm(self))

    def sums(self, voxels: Voxels) -> tuple[Tensor, ...]:
        """Return sum_i D P."""
        return ((voxels.required_dtm(self) * voxels.probs).sum(-1),)

    def slopes(self, voxels: Voxels, weights: Sequence[Tensor]) -> Tensor:
        """Return P D, weighted."""
        return (voxels.probs * voxels.required_dtm(self)).mul_(weights[0])

    def value(self, sums: Sequence[Tensor], *, volumes: Tensor, class_weights: Tensor | None) -> Tensor:
        """Return eq. (9)."""
        return mean_over_classes_and_voxels(sums[0], volumes)
