"""Losses that are functions of sums over the voxels, and so need the voxels a piece at a time only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from gsl_experiments.losses.arguments import required


class Voxels(NamedTuple):
    """Some of an example's voxels, for all classes or for one, in at least float32.

    Voxels without a reference have P = T = D = 0.

    Attributes:
        probs: P, (..., n), with n voxels.
        log_probs: log P, exact also where P rounds to 0; without a reference any finite number.
        target_onehot: T, 0 or 1.
        dtm: D in mm, negative inside; None where there are no maps.
    """

    probs: Float[Tensor, "... n"]
    log_probs: Float[Tensor, "... n"]
    target_onehot: Float[Tensor, "... n"]
    dtm: Float[Tensor, "... n"] | None

    def required_dtm(self, loss: nn.Module) -> Float[Tensor, "... n"]:
        """Return the distance maps, or raise a ValueError that names the loss which needs them."""
        return required(self.dtm, loss, "distance maps", "dtm")


class Sums(NamedTuple):
    """Sums over the voxels of each example and class.

    Attributes:
        volumes: sum_i T, in voxels.
        of_losses: of each loss, those that its `sums` returns.
    """

    volumes: Float[Tensor, "B C"]
    of_losses: Sequence[Sequence[Float[Tensor, "B C"]]]


class LossOfSums(nn.Module, ABC):
    """A loss whose equation reads the voxels through sums over i alone, as eqs. (3) to (12) do.

    `forward`, the equation in plain PyTorch, is the reference. The three methods here say the same once more for
    `fused_values`, which reads each tensor once for all losses and makes none of a patch's size: tests hold them equal.
    """

    @abstractmethod
    def sums(self, voxels: Voxels) -> tuple[Float[Tensor, ...], ...]:
        """Return this loss's sums over the last axis, each of shape (...)."""

    @abstractmethod
    def slopes(self, voxels: Voxels, weights: Sequence[Float[Tensor, "... 1"]]) -> Float[Tensor, "... n"]:
        """Return P times the derivative by P of the sums added up with these weights, a new tensor.

        P dS/dP, the derivative by log P, is finite where P is 0 also for a sum over log P.
        """

    @abstractmethod
    def value(
        self,
        sums: Sequence[Float[Tensor, "B C"]],
        *,
        volumes: Float[Tensor, "B C"],
        class_weights: Float[Tensor, " C"] | None,
    ) -> Float[Tensor, ""]:
        """Return the loss.

        Args:
            sums: those of `sums` over all voxels.
            volumes: sum_i T, in voxels.
            class_weights: w of eq. (13), or None.
        """
