"""What a training step hands to every loss module."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from gsl_experiments.losses.arguments import check_reference, in_one_precision, required


class LossInputs(NamedTuple):
    """A network's output and the reference it is compared with, in the forms that the losses need.

    Built once per training step by `from_logits` and shared by the terms of a composed loss.

    Attributes:
        logits: the network's output, (B, C, *spatial).
        probs: P, their softmax over the classes, in [0, 1].
        target_onehot: T, 1 at the reference's class and 0 elsewhere. P, T and D are 0 where the target is negative.
        dtm: D, signed distance maps of the reference in mm, negative inside; None where no loss needs them.
        class_weights: w, one number for each class, (C,); None where no loss needs them.
    """

    logits: Float[Tensor, "B C *spatial"]
    probs: Float[Tensor, "B C *spatial"]
    target_onehot: Float[Tensor, "B C *spatial"]
    dtm: Float[Tensor, "B C *spatial"] | None = None
    class_weights: Float[Tensor, " C"] | None = None

    @classmethod
    def from_logits(
        cls,
        logits: Float[Tensor, "B C *spatial"],
        target: Integer[Tensor, "B ..."],
        *,
        dtm: Float[Tensor, "B C *spatial"] | None = None,
        class_weights: Float[Tensor, " C"] | None = None,
    ) -> "LossInputs":
        """Take the softmax of the logits and the one-hot form of the labels, in at least float32.

        Args:
            logits: the network's output, (B, C, *spatial), any floating type.
            target: integer labels below C, (B, 1, *spatial) or (B, *spatial). A negative one marks a voxel
                without a reference: it counts nothing in any loss.
            dtm: signed distance maps in mm, (B, C, *spatial), any floating type.
            class_weights: (C,), any floating type.

        Returns:
            The inputs, in the logits' type or float32 if that is narrower.

        Raises:
            ValueError: shapes do not match, or the target is not of an integer type. A label of C or more is
                refused by torch's scatter: looking for it here would halt a GPU at every step.
        """
        check_reference(logits, target, dtm=dtm, class_weights=class_weights)
        (logits,) = in_one_precision(logits)
        if dtm is not None:
            _, dtm = in_one_precision(logits, dtm)
        if class_weights is not None:
            _, class_weights = in_one_precision(logits, class_weights)

        labels = target.reshape(logits.shape[0], 1, *logits.shape[2:]).long()
        counted = labels >= 0
        target_onehot = torch.zeros_like(logits, requires_grad=False)
        target_onehot.scatter_(1, labels.clamp_min(0), counted.to(logits.dtype))
        probs = logits.softmax(dim=1)
        if not counted.all():
            probs = probs * counted
            dtm = dtm * counted if dtm is not None else None
        return cls(logits, probs, target_onehot, dtm, class_weights)

    def required_dtm(self, loss: nn.Module) -> Float[Tensor, "B C *spatial"]:
        """Return the distance maps, or raise a ValueError that names the loss which needs them."""
        return required(self.dtm, loss, "distance maps", "dtm")

    def required_class_weights(self, loss: nn.Module) -> Float[Tensor, " C"]:
        """Return the class weights, or raise a ValueError that names the loss which needs them."""
        return required(self.class_weights, loss, "class weights", "class_weights")
