"""What every loss asks of its arguments: equal shapes, and at least single precision."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


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


def check_reference(
    logits: Tensor, target: Tensor, *, dtm: Tensor | None, class_weights: Tensor | None
) -> None:
    """Raise a ValueError unless integer labels, maps and weights belong to the logits by their shapes."""
    check_same_shape(logits=logits)
    batch, num_classes, *spatial = logits.shape
    if target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(f"target has dtype {target.dtype}, expected integer labels")
    if target.shape not in ((batch, 1, *spatial), (batch, *spatial)):
        raise ValueError(
            f"target has shape {tuple(target.shape)}, expected {(batch, 1, *spatial)} or {(batch, *spatial)}"
        )
    if dtm is not None:
        check_same_shape(logits=logits, dtm=dtm)
    if class_weights is not None:
        check_class_weights(class_weights, num_classes)


def required(tensor: Tensor | None, loss: nn.Module, what: str, name: str) -> Tensor:
    """Return the tensor, or raise a ValueError that names the loss which needs it."""
    if tensor is None:
        raise ValueError(f"{type(loss).__name__} needs {what}, and the inputs hold none ({name} is None)")
    return tensor


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


def voxels_counted(volumes: Float[Tensor, "B C"]) -> Float[Tensor, " B"]:
    """Count each example's voxels from its classes' volumes: the N of the equations, at least 1.

    A voxel of no class, T = 0 for all k, has no reference and is not counted.
    """
    return volumes.sum(dim=1).clamp_min(1)


def mean_over_classes_and_voxels(
    totals: Float[Tensor, "B C"], volumes: Float[Tensor, "B C"]
) -> Float[Tensor, ""]:
    """Return 1/(C N) times the sum over k of sums over i, for each example, then the mean over the batch."""
    return (totals.sum(dim=1) / (totals.shape[1] * voxels_counted(volumes))).mean()
