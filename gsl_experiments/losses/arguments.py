"""What every loss asks of its arguments: equal shapes, and at least single precision."""

import torch
from torch import Tensor


def check_same_shape(**tensors: Tensor) -> None:
    """Raise a ValueError unless the named tensors share one shape (B, C, *spatial) with 2 or 3 spatial axes.

    Args:
        tensors: under the names that the message shall call them by; the first one is the yardstick.

    Raises:
        ValueError: the first has neither 4 nor 5 axes, or another one differs from it in shape.
    """
    (first_name, first), *others = tensors.items()
    if first.ndim not in (4, 5):
        raise ValueError(
            f"{first_name} has shape {tuple(first.shape)}, expected (B, C, *spatial) in 2D or 3D"
        )
    for name, tensor in others:
        if tensor.shape != first.shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, {first_name} has {tuple(first.shape)}")


def check_class_weights(class_weights: Tensor, num_classes: int) -> None:
    """Raise a ValueError unless there is one weight for each class."""
    if class_weights.shape != (num_classes,):
        raise ValueError(
            f"class_weights has shape {tuple(class_weights.shape)}, expected ({num_classes},), one per class"
        )


def in_one_precision(first: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Cast all tensors to the first one's floating type, or to float32 if that is narrower.

    Squared distances in mm^2 overflow float16, and sums over a patch lose their last digits in bfloat16, so a
    loss is computed in float32 under any autocast type. float64 stays, for gradient checks.
    """
    dtype = torch.promote_types(first.dtype, torch.float32)
    return first.to(dtype), *(other.to(dtype) for other in others)


def sum_over_space(tensor: Tensor) -> Tensor:
    """Sum over the spatial axes, (B, C, *spatial) to (B, C): the sum over i of the equations.

    An elementwise product summed here, unlike a matrix product, is neither narrowed by autocast nor by TF32.
    """
    return tensor.sum(dim=tuple(range(2, tensor.ndim)))


def voxels_inside(target_onehot: Tensor) -> Tensor:
    """Count each example's voxels, (B, C, *spatial) to (B,): the N of the equations, at least 1.

    A voxel of no class, T = 0 for all k, lies outside the image and is not counted.
    """
    return sum_over_space(target_onehot).sum(dim=1).clamp_min(1)


def mean_over_classes_and_voxels(tensor: Tensor, target_onehot: Tensor) -> Tensor:
    """Return 1/(C N) times the sum over k and i, for each example, then the mean over the batch."""
    total = sum_over_space(tensor).sum(dim=1)
    return (total / (tensor.shape[1] * voxels_inside(target_onehot))).mean()
