"""Cross entropy, the second term of the Dice-CE loss (eq. 4)."""

from collections.abc import Sequence
from typing import Literal, get_args

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

CEScale = Literal["paper", "voxel"]


def cross_entropy_loss(
    logits: Float[Tensor, "B C *spatial"],
    target_onehot: Float[Tensor, "B C *spatial"],
    *,
    ce_scale: CEScale = "paper",
) -> Float[Tensor, ""]:
    """Mean negative log-probability of the reference's class, in [0, inf).

        L_ce = - 1/(C N) sum_k sum_i T_i^k log P_i^k,    P = softmax(logits)             (second term of 4)

    for each example, then the mean over the batch.

    Args:
        logits: the network's output, (B, C, *spatial); the logarithm of P is taken from them, so that it
            stays finite where P rounds to 0.
        target_onehot: T, 0 or 1, of the same shape.
        ce_scale: "paper" divides by C N as eq. (4) does, "voxel" by N as nnU-Net and the paper's released
            code do.

    Returns:
        A scalar, best 0 (P = T), unbounded above; log(C) / C ("paper") for a network that knows nothing.

    Raises:
        ValueError: shapes differ, there are neither two nor three spatial axes, or `ce_scale` is unknown.

    An absent class adds nothing: only probabilities at the reference's own class count.
    """
    check_same_shape(logits=logits, target_onehot=target_onehot)
    logits, target_onehot = in_one_precision(logits, target_onehot)
    log_likelihood = sum_over_space(target_onehot * logits.log_softmax(dim=1))
    return _scaled(log_likelihood, sum_over_space(target_onehot), ce_scale)


def _scaled(
    log_likelihood: Float[Tensor, "B C"], volumes: Float[Tensor, "B C"], ce_scale: CEScale
) -> Float[Tensor, ""]:
    if ce_scale not in get_args(CEScale):
        raise ValueError(f'ce_scale is "{ce_scale}", expected one of {get_args(CEScale)}')
    paper = mean_over_classes_and_voxels(-log_likelihood, volumes)
    return paper if ce_scale == "paper" else paper * volumes.shape[1]


class CrossEntropyLoss(LossOfSums):
    """`cross_entropy_loss` as a module."""

    def __init__(self, ce_scale: CEScale = "paper") -> None:
        """Store how the sum is scaled."""
        super().__init__()
        self.ce_scale: CEScale = ce_scale

    def forward(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the cross entropy of the inputs."""
        return cross_entropy_loss(inputs.logits, inputs.target_onehot, ce_scale=self.ce_scale)

    def sums(self, voxels: Voxels) -> tuple[Tensor, ...]:
        """Return sum_i T log P."""
        return ((voxels.target_onehot * voxels.log_probs).sum(-1),)

    def slopes(self, voxels: Voxels, weights: Sequence[Tensor]) -> Tensor:
        """Return T, weighted."""
        return voxels.target_onehot * weights[0]

    def value(self, sums: Sequence[Tensor], *, volumes: Tensor, class_weights: Tensor | None) -> Tensor:
        """Return the second term of eq. (4)."""
        return _scaled(sums[0], volumes, self.ce_scale)
