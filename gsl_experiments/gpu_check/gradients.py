"""Gradients on a device against the CPU's in float64, and whether they stay finite in half precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gsl_experiments.gpu_check.setting import LONGEST_DISTANCE_MM, Setting, loss_of

LARGEST_ERROR = 1e-3  # relative, of a float32 gradient
LOGITS = Setting(4, 4, 2, (24, 28, 32), 4, (1.0, 1.0, 1.0))
NETWORK = Setting(1, 3, 2, (16, 24, 16), 4, (1.0, 1.0, 1.0))


def logits_error(name: str, device: torch.device) -> float:
    """Return the relative error of a loss's float32 gradient with respect to the logits."""
    exact = _gradient_of_logits(name, torch.device("cpu"), torch.float64)
    return _relative_error(_gradient_of_logits(name, device, torch.float32), exact)


def network_error(name: str, device: torch.device) -> float:
    """Return the relative error of the float32 gradient of all of a network's weights, TF32 switched off."""
    exact = _gradient_of_network(name, torch.device("cpu"), torch.float64)
    with _without_tf32():
        return _relative_error(_gradient_of_network(name, device, torch.float32), exact)


def is_finite_in(name: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether loss and gradient are finite for saturated half precision logits and maps of 500 mm."""
    logits, labels, maps = _example(LOGITS, device, torch.float32)
    maps = maps.sign() * LONGEST_DISTANCE_MM
    half = (100 * logits).to(dtype).requires_grad_()
    loss = loss_of(name, LOGITS.classes).to(device)
    with torch.autocast(device.type, dtype=dtype):
        value = loss(half, labels, maps)
    value.backward()
    assert half.grad is not None
    return bool(torch.isfinite(value) and torch.isfinite(half.grad).all())


def _example(setting: Setting, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    image, labels, maps = setting.batch(device)
    return image.to(dtype), labels, maps.to(dtype)


def _gradient_of_logits(name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    logits, labels, maps = _example(LOGITS, device, dtype)
    loss = loss_of(name, LOGITS.classes).to(device, dtype)
    loss(logits.requires_grad_(), labels, maps).backward()
    assert logits.grad is not None
    return logits.grad.double().cpu()


def _gradient_of_network(name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    torch.manual_seed(0)
    network = NETWORK.network().to(device, dtype)
    image, labels, maps = _example(NETWORK, device, dtype)
    loss_of(name, NETWORK.classes).to(device, dtype)(network(image), labels, maps).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return torch.cat([gradient.double().cpu().flatten() for gradient in gradients])


def _relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
