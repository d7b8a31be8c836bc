"""How much memory a training step will take, before anything is allocated.

The network is run on PyTorch's ``meta`` device, where tensors have shapes but no content, and what autograd would keep
for the backward pass is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn

BYTES = 4  # of a float32
GIB = 2**30
OPTIMIZER_STATES = {"Adam": 2, "AdamW": 2, "SGD": 1}  # numbers kept per parameter
LOSS_COPIES = (
    12  # tensors of the logits' size, in float32, that targets, maps and the terms of a loss hold together
)


@dataclass(frozen=True)
class NetworkSize:
    """What a network is made of, and what one step with it keeps.

    Attributes:
        parameters: how many numbers are trained.
        activations: how many numbers autograd keeps from the forward to the backward pass.
        largest_activation: how many numbers the largest of the kept tensors has.
        logits: how many numbers the output at full resolution has.
    """

    parameters: int
    activations: int
    largest_activation: int
    logits: int


def measure_network(
    configuration: dict[str, Any], *, channels: int, classes: int, batch_size: int, deep_supervision: bool
) -> NetworkSize:
    """Return the size of a configuration's network for a batch of its patches.

    Args:
        configuration: an entry of the plans' ``configurations``.
        channels: of an image.
        classes: of the output, background included.
        batch_size: examples that one process handles in a step.
        deep_supervision: whether the lower scales have outputs too.
    """
    architecture = configuration["architecture"]
    kept: dict[int, torch.UntypedStorage] = {}  # alive until the end, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    with torch.device("meta"):
        network: nn.Module = get_network_from_plans(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            channels,
            classes,
            allow_init=False,
            deep_supervision=deep_supervision,
        )
        image = torch.empty(batch_size, channels, *configuration["patch_size"])
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = network(image)
    for parameter in network.parameters():
        kept.pop(parameter.untyped_storage()._cdata, None)
    sizes = [storage.nbytes() // BYTES for storage in kept.values()]
    logits = output[0] if isinstance(output, list | tuple) else output
    return NetworkSize(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        activations=sum(sizes),
        largest_activation=max(sizes),
        logits=math.prod(logits.shape),
    )


def step_gib(size: NetworkSize, *, optimizer: str, half_precision: bool) -> float:
    """Return about how many GiB a training step takes on its device.

    The sum of weights, their gradients and the optimiser's state in float32; what autograd keeps, in half precision
    under autocast; twice the largest tensor, for its gradient and a layer's scratch space; and the loss.

    Args:
        size: of the network.
        optimizer: name of the optimiser's class; one that is not known is taken to keep two numbers per parameter.
        half_precision: whether activations are float16 or bfloat16.
    """
    per_parameter = 2 + OPTIMIZER_STATES.get(optimizer, 2)
    activation_bytes = BYTES // 2 if half_precision else BYTES
    return (
        BYTES * per_parameter * size.parameters
        + activation_bytes * (size.activations + 2 * size.largest_activation)
        + BYTES * LOSS_COPIES * size.logits
    ) / GIB
