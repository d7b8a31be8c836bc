"""What training minimises: eq. (8) with a chosen region and boundary term, on one or several output scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from gsl_experiments.losses import LossInputs, LossOfSums, fused_values, weighted_combination


class LossTerms(NamedTuple):
    """The total that is minimised, and the two terms of eq. (8) that it is made of.

    Without a boundary term the total is the region term, and the boundary term 0.
    """

    total: Tensor
    region: Tensor
    boundary: Tensor


class Objective(nn.Module):
    """Eq. (8): ``alpha * region + (1 - alpha) * boundary``, or the region term alone.

    Args:
        region: a loss module of :mod:`gsl_experiments.losses`.
        boundary: another one, or None for a loss that has no boundary term.
        class_weights: (C,) eq. (13).
        scale_weights: weights of the deep supervision outputs, the full resolution first; ``(1.0,)`` without.
        compiled: terms that are a :class:`~gsl_experiments.losses.LossOfSums` are compiled, for a GPU.

    Attributes:
        alpha: set by the trainer at the start of every epoch.
    """

    class_weights: Tensor

    def __init__(
        self,
        region: nn.Module,
        boundary: nn.Module | None,
        *,
        class_weights: Tensor,
        scale_weights: Sequence[float] = (1.0,),
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.region = region
        self.boundary = boundary
        self.scale_weights = tuple(scale_weights)
        self.register_buffer("class_weights", class_weights)
        self.alpha = 1.0
        self.compiled = compiled

    def forward(
        self,
        logits: Sequence[Float[Tensor, "B C *spatial"]],
        target: Sequence[Integer[Tensor, "B 1 *spatial"] | Float[Tensor, "B 1 *spatial"]],
        dtm: Sequence[Float[Tensor, "B C *spatial"] | None],
    ) -> LossTerms:
        """Return the terms summed over scales; each argument is a list with one entry a scale."""
        terms = [
            [weight * term for term in self._at_one_scale(scale_logits, scale_target, scale_dtm)]
            for weight, scale_logits, scale_target, scale_dtm in zip(
                self.scale_weights, logits, target, dtm, strict=True
            )
            if weight != 0
        ]
        return LossTerms(*(torch.stack(values).sum() for values in zip(*terms, strict=True)))

    def _at_one_scale(self, logits: Tensor, target: Tensor, dtm: Tensor | None) -> LossTerms:
        region, *others = self._values(logits, target, dtm)
        if not others:
            return LossTerms(region, region.detach(), torch.zeros_like(region))
        (boundary,) = others
        return LossTerms(
            weighted_combination(region, boundary, self.alpha), region.detach(), boundary.detach()
        )

    def _values(self, logits: Tensor, target: Tensor, dtm: Tensor | None) -> list[Tensor]:
        """Return the value of each term: together if all are losses of sums, else by their `forward`."""
        terms = [self.region] if self.boundary is None else [self.region, self.boundary]
        losses = [term for term in terms if isinstance(term, LossOfSums)]
        if len(losses) == len(terms):
            return fused_values(
                losses,
                logits,
                target,
                dtm=dtm,
                class_weights=self.class_weights,
                compiled=self.compiled,
            )
        inputs = LossInputs.from_logits(logits, target, dtm=dtm, class_weights=self.class_weights)
        return [term(inputs) for term in terms]
