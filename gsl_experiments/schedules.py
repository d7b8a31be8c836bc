"""Schedules of alpha, the weight of the region loss in eq. (8), over the epochs of a run (eqs. 14 to 16).

Epochs t are counted from 0 to T - 1. The paper says in words that alpha is 1 in the first epoch and 0 in the
final one. Its equations, which divide by T, reach 0 an epoch after that, and its released code differs from
both. Every schedule therefore takes `formula`:

    "prose"          the words, exactly: alpha = 1 at t = 0 and alpha = 0 at t = T - 1 (the default)
    "equation"       eqs. (14) to (16) as printed
    "released_code"  what the authors' program computes

A run of one epoch is both first and final: it has alpha = 1 under every formula.
"""

import math
from typing import Literal, get_args

Formula = Literal["prose", "equation", "released_code"]

_RELEASED_LINEAR_WAIT = 5  # epochs that the released code stays at 1 before its linear descent


def linear(epoch: int, epochs: int, *, formula: Formula = "prose") -> float:
    """Weight of the region loss that falls evenly with every epoch, in [0, 1].

        alpha(t) = 1 - t / T                                                                            (14)

    "prose" divides by T - 1. "released_code" stays at 1 up to t = 5 and then falls evenly to 0 at T - 1.

    Args:
        epoch: t, from 0 to epochs - 1.
        epochs: T, at least 1.
        formula: which reading of the paper, see the module.

    Returns:
        alpha: 1 is the region loss alone, 0 the boundary loss alone.

    Raises:
        ValueError: the epoch is outside the run, the formula is unknown, or the released code's wait outlasts
            the run.
    """
    _check_run(epoch, epochs, formula)
    if epochs == 1:
        return 1.0
    if formula == "equation":
        return 1.0 - epoch / epochs
    if formula == "prose":
        return 1.0 - epoch / (epochs - 1)
    descent = epochs - 1 - _RELEASED_LINEAR_WAIT
    if descent < 1:
        raise ValueError(
            f"the released linear schedule waits {_RELEASED_LINEAR_WAIT} epochs: in a run of {epochs} epochs "
            "alpha never leaves 1"
        )
    return 1.0 - max(0, epoch - _RELEASED_LINEAR_WAIT) / descent


def step(epoch: int, epochs: int, *, length: int, formula: Formula = "prose") -> float:
    """Weight of the region loss that falls in equal steps, one every `length` epochs, in [0, 1].

        alpha(t) = 1 - floor(t / h) / N_h,    N_h = floor(T / h)                                        (15)

    "prose" takes N_h = floor((T - 1) / h), the number of steps that begin within the run, so that the last of
    them reaches 0 whatever T and h are, and length 1 is the linear schedule. "released_code" takes N_h =
    floor(T / h) - 1 and stays at 0 from there: the same where h divides T, otherwise one step fewer.

    Args:
        epoch: t, from 0 to epochs - 1.
        epochs: T, at least 1.
        length: h, the number of epochs between two steps, at least 1.
        formula: which reading of the paper, see the module.

    Returns:
        alpha: 1 is the region loss alone, 0 the boundary loss alone.

    Raises:
        ValueError: the epoch is outside the run, the length is below 1 or so long that alpha never leaves 1,
            or the formula is unknown.
    """
    _check_run(epoch, epochs, formula)
    if length < 1:
        raise ValueError(f"a step of {length} epochs: expected at least 1")
    if epochs == 1:
        return 1.0
    num_steps = {
        "prose": (epochs - 1) // length,
        "equation": epochs // length,
        "released_code": epochs // length - 1,
    }[formula]
    if num_steps < 1 or length >= epochs:
        raise ValueError(f"steps of {length} epochs do not fit a run of {epochs}: alpha would never leave 1")
    return max(0.0, 1.0 - (epoch // length) / num_steps)


def cosine(epoch: int, epochs: int, *, formula: Formula = "prose") -> float:
    """Weight of the region loss that falls along half a cosine, slowly at both ends, in [0, 1].

        alpha(t) = (1 + cos(pi t / T)) / 2                                                              (16)

    "prose" divides by T - 1, as the released code does.

    Args:
        epoch: t, from 0 to epochs - 1.
        epochs: T, at least 1.
        formula: which reading of the paper, see the module.

    Returns:
        alpha: 1 is the region loss alone, 0 the boundary loss alone.

    Raises:
        ValueError: the epoch is outside the run, or the formula is unknown.
    """
    _check_run(epoch, epochs, formula)
    if epochs == 1:
        return 1.0
    last = epochs if formula == "equation" else epochs - 1
    return 0.5 * (1.0 + math.cos(math.pi * epoch / last))


def constant(epoch: int, epochs: int, *, alpha: float = 0.5) -> float:
    """Weight of the region loss that never changes, in [0, 1]: a baseline which the paper does not have.

    Args:
        epoch: t, from 0 to epochs - 1.
        epochs: T, at least 1.
        alpha: the weight.

    Returns:
        alpha: 1 is the region loss alone, 0 the boundary loss alone.

    Raises:
        ValueError: the epoch is outside the run, or alpha outside [0, 1].
    """
    _check_run(epoch, epochs)
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is {alpha}, expected a number in [0, 1]")
    return float(alpha)


def _check_run(epoch: int, epochs: int, formula: Formula = "prose") -> None:
    if epochs < 1:
        raise ValueError(f"a run of {epochs} epochs: expected at least 1")
    if not 0 <= epoch < epochs:
        raise ValueError(f"epoch {epoch} is outside a run of {epochs} epochs, counted from 0 to {epochs - 1}")
    if formula not in get_args(Formula):
        raise ValueError(f'formula is "{formula}", expected one of {get_args(Formula)}')
