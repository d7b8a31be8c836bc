"""One-sided Hausdorff loss (eq. 7)."""

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


def hausdorff_loss(
    probs: Float[Tensor, "B C *spatial"],
    target_onehot: Float[Tensor, "B C *spatial"],
    *,
    dtm: Float[Tensor, "B C *spatial"],
) -> Float[Tensor, ""]:
    """Mean squared error weighted by the squared distance to the reference's boundary, in [0, inf) mm^2.

        L_haus = 1/(C N) sum_k sum_i (T_i^k - P_i^k)^2 (D_i^k)^2                            (7), one-sided

    for each example, then the mean over the batch.

    Args:
        probs: P, in [0, 1], (B, C, *spatial).
        target_onehot: T, 0 or 1, of the same shape.
        dtm: D, signed distance in mm to the reference's boundary, negative inside, of the same shape.

    Returns:
        A scalar in mm^2, best 0 (P = T wherever D is not 0), worst the mean of D^2 (P = 1 - T).

    Raises:
        ValueError: shapes differ, or there are neither two nor three spatial axes.

    Eq. (7) also holds the distance map of the prediction; the paper's experiments leave it out, and so does
    this. An absent class counts with whatever its map holds: the image's diagonal makes each voxel predicted
    for it as expensive as can be, a map of 0 leaves it out of the sum, though not out of C.
    """
    check_same_shape(probs=probs, target_onehot=target_onehot, dtm=dtm)
    probs, target_onehot, dtm = in_one_precision(probs, target_onehot, dtm)
    weighted_error = sum_over_space(((target_onehot - probs) * dtm).square())
    return mean_over_classes_and_voxels(weighted_error, sum_over_space(target_onehot))


class HausdorffLoss(LossOfSums):
    """`hausdorff_loss` as a module."""

    def forward(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the one-sided Hausdorff loss of the inputs, which must hold distance maps."""
        return hausdorff_loss(inputs.probs, inputs.target_onehot, dtm=inputs.required_dtm(self))

    def sums(self, voxels: Voxels) -> tuple[Tensor, ...]:
        """Return sum_i ((T - P) D)^2."""
        weighted_error = (voxels.target_onehot - voxels.probs) * voxels.required_dtm(self)
        return (weighted_error.square().sum(-1),)

    def slopes(self, voxels: Voxels, weights: Sequence[Tensor]) -> Tensor:
        """Return 2 P (P - T) D^2, weighted."""
        dtm = voxels.required_dtm(self)
        return (
            (voxels.probs - voxels.target_onehot).mul_(dtm).mul_(dtm).mul_(voxels.probs).mul_(2 * weights[0])
        )

    def value(self, sums: Sequence[Tensor], *, volumes: Tensor, class_weights: Tensor | None) -> Tensor:
        """Return eq. (7)."""
        return mean_over_classes_and_voxels(sums[0], volumes)
