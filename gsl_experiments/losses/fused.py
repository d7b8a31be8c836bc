"""Several losses of sums at once, each tensor read once: what training minimises is computed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.autograd.function import once_differentiable

from gsl_experiments.losses.arguments import check_reference
from gsl_experiments.losses.by_class import gradient_by_class, sums_by_class
from gsl_experiments.losses.in_pieces import gradient_in_pieces, sums_in_pieces
from gsl_experiments.losses.of_sums import LossOfSums, Sums


def fused_values(
    losses: Sequence[LossOfSums],
    logits: Float[Tensor, "B C *spatial"],
    target: Integer[Tensor, "B ..."],
    *,
    dtm: Float[Tensor, "B C *spatial"] | None = None,
    class_weights: Float[Tensor, " C"] | None = None,
    compiled: bool = False,
) -> list[Float[Tensor, ""]]:
    """Return the value of each loss: that of its `forward` for `LossInputs.from_logits` of the same arguments.

    Args:
        losses: all that are wanted; what they have in common, such as the softmax, is computed once.
        logits: the network's output, (B, C, *spatial), any floating type. Gradients go to it alone, and cannot be
            differentiated again; for that, take the losses' `forward`.
        target: as in `LossInputs.from_logits`.
        dtm: as in `LossInputs.from_logits`.
        class_weights: as in `LossInputs.from_logits`.
        compiled: with `torch.compile`, one kernel forward and one back: for a GPU.

    Raises:
        ValueError: as `LossInputs.from_logits`, or on a CPU the target holds a label of C or more.
    """
    check_reference(logits, target, dtm=dtm, class_weights=class_weights)
    road = _compiled() if compiled else _IN_PIECES
    with torch.no_grad():
        sums = road.sums(losses, logits, target, dtm)
    flat = torch.stack([sums.volumes, *(each for of_loss in sums.of_losses for each in of_loss)])
    counts = [len(of_loss) for of_loss in sums.of_losses]
    volumes, *rest = _OfLogits.apply(flat, logits, target, dtm, losses, counts, road.gradient)
    return road.values(losses, Sums(volumes, _split(rest, counts)), class_weights)


class _OfLogits(torch.autograd.Function):
    """Sums, as they are, connected to the logits that they were taken of."""

    @staticmethod
    def forward(
        ctx: Any,
        sums: Float[Tensor, "sums B C"],
        logits: Tensor,
        target: Tensor,
        dtm: Tensor | None,
        losses: Sequence[LossOfSums],
        counts: Sequence[int],
        gradient: Callable[..., Tensor],
    ) -> Float[Tensor, "sums B C"]:
        ctx.save_for_backward(logits, target, dtm)
        ctx.losses, ctx.counts, ctx.gradient = losses, counts, gradient
        return sums.view_as(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Float[Tensor, "sums B C"]) -> tuple[Tensor | None, ...]:
        gradient = ctx.gradient(ctx.losses, *ctx.saved_tensors, _split(weights[1:].unbind(), ctx.counts))
        return None, gradient, None, None, None, None, None


def _split(tensors: Sequence[Tensor], counts: Sequence[int]) -> list[Sequence[Tensor]]:
    """Return the tensors in groups of the given sizes."""
    ends = list(accumulate(counts))
    return [tensors[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _values(losses: Sequence[LossOfSums], sums: Sums, class_weights: Tensor | None) -> list[Tensor]:
    return [
        loss.value(of_loss, volumes=sums.volumes, class_weights=class_weights)
        for loss, of_loss in zip(losses, sums.of_losses, strict=True)
    ]


class _Road(NamedTuple):
    """Functions for the sums, their gradient, and the values of losses."""

    sums: Callable[..., Sums]
    gradient: Callable[..., Tensor]
    values: Callable[..., list[Tensor]]


_IN_PIECES = _Road(sums_in_pieces, gradient_in_pieces, _values)


@cache
def _compiled() -> _Road:
    """Return the road for a GPU; the kernels are made when they are first called, for each shape.

    The options have a value that several sums read computed again for each, or kept in registers, never written.
    """
    inline: dict[str, Any] = dict.fromkeys(("realize_reads_threshold", "realize_opcount_threshold"), 10**6)
    return _Road(
        torch.compile(sums_by_class, options=inline),
        torch.compile(gradient_by_class, options=inline),
        torch.compile(_values),
    )
