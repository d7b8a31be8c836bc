"""Cross entropy, the second term of the Dice-CE loss (eq. 4)."""

from typing import Literal, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gsl_experiments.losses.arguments import check_same_shape, in_one_precision, voxels_inside
from gsl_experiments.losses.inputs import LossInputs

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
    if ce_scale not in get_args(CEScale):
        raise ValueError(f'ce_scale is "{ce_scale}", expected one of {get_args(CEScale)}')
    logits, target_onehot = in_one_precision(logits, target_onehot)
    total = F.cross_entropy(logits, target_onehot, reduction="none").flatten(1).sum(dim=1)
    per_voxel = (total / voxels_inside(target_onehot)).mean()
    return per_voxel / logits.shape[1] if ce_scale == "paper" else per_voxel


class CrossEntropyLoss(nn.Module):
    """`cross_entropy_loss` as a module."""

    def __init__(self, ce_scale: CEScale = "paper") -> None:
        """Store how the sum is scaled."""
        super().__init__()
        self.ce_scale: CEScale = ce_scale

    def forward(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the cross entropy of the inputs."""
        return cross_entropy_loss(inputs.logits, inputs.target_onehot, ce_scale=self.ce_scale)
