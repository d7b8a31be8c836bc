"""Sums over the voxels and their gradient, one class after the other: `torch.compile` makes one kernel of each.

Written out by class, everything runs over the same voxels, so that compiled code reads logits, labels and maps once for
all sums, and once more to write the gradient. As it stands it makes many tensors of a patch's size: compile it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from gsl_experiments.losses.of_sums import LossOfSums, Sums, Voxels


def sums_by_class(
    losses: Sequence[LossOfSums],
    logits: Float[Tensor, "B C *spatial"],
    target: Integer[Tensor, "B ..."],
    dtm: Float[Tensor, "B C *spatial"] | None,
) -> Sums:
    """Return the volumes and the losses' sums. A label of C or more stops a GPU with an assertion."""
    num_classes = logits.shape[1]
    torch._assert_async(target.amax() < num_classes, f"target holds a label of {num_classes} or more")
    classes = _classes(logits, target, dtm)
    volumes = torch.stack([voxels.target_onehot.sum(-1) for voxels in classes], dim=1)
    of_losses = []
    for loss in losses:
        of_classes = [loss.sums(voxels) for voxels in classes]
        of_losses.append([torch.stack(of_class, dim=1) for of_class in zip(*of_classes, strict=True)])
    return Sums(volumes, of_losses)


def gradient_by_class(
    losses: Sequence[LossOfSums],
    logits: Float[Tensor, "B C *spatial"],
    target: Integer[Tensor, "B ..."],
    dtm: Float[Tensor, "B C *spatial"] | None,
    weights: Sequence[Sequence[Float[Tensor, "B C"]]],
) -> Float[Tensor, "B C *spatial"]:
    """Return the derivative by the logits of all the losses' sums, weighted and added."""
    classes = _classes(logits, target, dtm)
    slopes = []
    for k, voxels in enumerate(classes):
        first, *others = (
            loss.slopes(voxels, [weight[:, k, None] for weight in of_loss])
            for loss, of_loss in zip(losses, weights, strict=True)
        )
        slopes.append(sum(others, first))
    total = sum(slopes[1:], slopes[0])
    gradient = [slope - voxels.probs * total for slope, voxels in zip(slopes, classes, strict=True)]
    return torch.stack([part.to(logits.dtype) for part in gradient], dim=1).view(logits.shape)


def _classes(
    logits: Float[Tensor, "B C *spatial"], target: Integer[Tensor, "B ..."], dtm: Tensor | None
) -> list[Voxels]:
    """Return each class's voxels, (B, n)."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    of_class = [tensor.to(dtype) for tensor in logits.flatten(2).unbind(1)]
    labels = target.flatten(1)
    counted = (labels >= 0).to(dtype)
    highest = of_class[0]
    for tensor in of_class[1:]:
        highest = torch.maximum(highest, tensor)
    total = sum((tensor - highest).exp() for tensor in of_class)
    log_total = highest + torch.as_tensor(total).log()
    maps = [None] * len(of_class) if dtm is None else dtm.flatten(2).unbind(1)
    return [
        Voxels(
            probs=(tensor - log_total).exp() * counted,
            log_probs=tensor - log_total,
            target_onehot=(labels == k).to(dtype),
            dtm=None if map_ is None else map_.to(dtype) * counted,
        )
        for k, (tensor, map_) in enumerate(zip(of_class, maps, strict=True))
    ]
