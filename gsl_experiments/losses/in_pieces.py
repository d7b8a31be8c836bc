"""Sums over the voxels and their gradient, a piece at a time: nothing of a patch's size is made but the gradient.

Softmax, one-hot labels and products exist for one piece, small enough for the processor's cache, and each tensor is
read once for all sums and once more for the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from gsl_experiments.losses.of_sums import LossOfSums, Sums, Voxels

_LARGEST_PIECE = {"cpu": 2**17, "cuda": 2**26}  # numbers of the logits in it; for each thread of a CPU


def sums_in_pieces(
    losses: Sequence[LossOfSums],
    logits: Float[Tensor, "B C *spatial"],
    target: Integer[Tensor, "B ..."],
    dtm: Float[Tensor, "B C *spatial"] | None,
) -> Sums:
    """Return the volumes and the losses' sums.

    Raises:
        ValueError: the target holds a label of C or more (on a CPU; to look for it would halt a GPU at every step).
    """
    num_classes = logits.shape[1]
    if target.device.type == "cpu" and target.max() >= num_classes:
        raise ValueError(f"target holds label {int(target.max())}, expected labels below {num_classes}")
    pieces: list[list[Tensor]] = [[] for _ in range(logits.shape[0])]
    counts: list[int] = []
    for example, _, voxels in _pieces(logits, target, dtm):
        of_losses = [loss.sums(voxels) for loss in losses]
        counts = [len(of_loss) for of_loss in of_losses]
        flat = [sum_ for of_loss in of_losses for sum_ in of_loss]
        pieces[example].append(torch.stack([voxels.target_onehot.sum(-1), *flat]))
    volumes, *sums = torch.stack([torch.stack(of_example).sum(0) for of_example in pieces], dim=1)
    rest = iter(sums)
    return Sums(volumes, [[next(rest) for _ in range(count)] for count in counts])


def gradient_in_pieces(
    losses: Sequence[LossOfSums],
    logits: Float[Tensor, "B C *spatial"],
    target: Integer[Tensor, "B ..."],
    dtm: Float[Tensor, "B C *spatial"] | None,
    weights: Sequence[Sequence[Float[Tensor, "B C"]]],
) -> Float[Tensor, "B C *spatial"]:
    """Return the derivative by the logits of all the losses' sums, weighted and added."""
    flat = logits.flatten(2)
    gradient = torch.empty_like(flat)
    for example, part, voxels in _pieces(logits, target, dtm):
        slopes, *others = (
            loss.slopes(voxels, [weight[example, :, None] for weight in of_loss])
            for loss, of_loss in zip(losses, weights, strict=True)
        )
        for other in others:
            slopes += other
        gradient[example, :, part] = slopes.addcmul_(voxels.probs, slopes.sum(0), value=-1)
    return gradient.view(logits.shape)


def _pieces(
    logits: Float[Tensor, "B C *spatial"], target: Integer[Tensor, "B ..."], dtm: Tensor | None
) -> Iterator[tuple[int, slice, Voxels]]:
    """Yield every piece of every example: which one, where in its flattened voxels, and its voxels, (C, n)."""
    batch, num_classes = logits.shape[:2]
    flat, labels = logits.flatten(2), target.flatten(1)
    maps = None if dtm is None else dtm.flatten(2)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    classes = torch.arange(num_classes, device=target.device, dtype=dtype)[:, None]
    on_cpu = logits.device.type == "cpu"
    threads = torch.get_num_threads() if on_cpu else 1
    size = max(_LARGEST_PIECE["cpu" if on_cpu else "cuda"] * threads // num_classes, 1)
    all_counted = on_cpu and bool(target.min() >= 0)
    for example in range(batch):
        for start in range(0, flat.shape[2], size):
            part = slice(start, start + size)
            log_probs = flat[example, :, part].to(dtype).log_softmax(0)
            voxels = Voxels(
                probs=log_probs.exp(),
                log_probs=log_probs,
                target_onehot=torch.eq(
                    labels[example, part].to(dtype), classes, out=torch.empty_like(log_probs)
                ),
                dtm=None if maps is None else maps[example, :, part].to(dtype),
            )
            yield example, part, voxels if all_counted else _without(voxels, labels[example, part] < 0)


def _without(voxels: Voxels, uncounted: Tensor) -> Voxels:
    """Return the voxels with P and D of 0 where there is no reference."""
    dtm = None if voxels.dtm is None else voxels.dtm.masked_fill(uncounted, 0)
    return voxels._replace(probs=voxels.probs.masked_fill_(uncounted, 0), dtm=dtm)
