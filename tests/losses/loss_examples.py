"""Inputs for the tests of the losses: one worked out by hand, and random ones."""

import math
from typing import NamedTuple

import torch
from hypothesis import settings
from torch import Tensor

few = settings(max_examples=30, deadline=None, derandomize=True)


class Example(NamedTuple):
    logits: Tensor
    probs: Tensor
    target_onehot: Tensor
    dtm: Tensor
    class_weights: Tensor


def worked_example() -> Example:
    """One row of three voxels at 1 mm, the first of class 1 and the others background.

    voxel                0      1      2
    T background         0      1      1
    T class 1            1      0      0
    P background         1/2    1/2    3/4
    P class 1            1/2    1/2    1/4
    D background         1      0     -1     (the background's boundary is voxel 1)
    D class 1            0      1      2
    w                    1/4 for the background, 3/4 for class 1
    """
    probs = torch.tensor([[[[1 / 2, 1 / 2, 3 / 4]], [[1 / 2, 1 / 2, 1 / 4]]]])
    return Example(
        logits=probs.log() + 3.0,  # any constant leaves the softmax as it is
        probs=probs,
        target_onehot=torch.tensor([[[[0.0, 1.0, 1.0]], [[1.0, 0.0, 0.0]]]]),
        dtm=torch.tensor([[[[1.0, 0.0, -1.0]], [[0.0, 1.0, 2.0]]]]),
        class_weights=torch.tensor([1 / 4, 3 / 4]),
    )


def random_example(
    seed: int,
    *,
    batch: int = 2,
    num_classes: int = 3,
    spatial: tuple[int, ...] = (4, 5),
    dtype: torch.dtype = torch.float64,
) -> Example:
    """Random labels, logits, weights and maps of some 10 mm; every class occurs in every example."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, num_classes, *spatial)
    voxels = math.prod(spatial)
    labels = torch.stack([torch.randperm(voxels, generator=generator) for _ in range(batch)]) % num_classes
    target_onehot = torch.nn.functional.one_hot(labels, num_classes).movedim(-1, 1).reshape(shape)
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    dtm = 10 * torch.randn(shape, generator=generator, dtype=torch.float64)
    weights = 0.05 + torch.rand(num_classes, generator=generator, dtype=torch.float64)
    return Example(
        logits=logits.to(dtype),
        probs=logits.softmax(dim=1).to(dtype),
        target_onehot=target_onehot.to(dtype),
        dtm=dtm.to(dtype),
        class_weights=(weights / weights.sum()).to(dtype),
    )


def rows(tensor: Tensor) -> list[list[list[float]]]:
    """(B, C, *spatial) as nested lists [b][k][i] of Python floats, for loops written from the equations."""
    return tensor.double().flatten(2).tolist()
