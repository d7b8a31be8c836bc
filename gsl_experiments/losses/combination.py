"""Weighted combination of a region and a boundary loss (eq. 8)."""

from jaxtyping import Float
from torch import Tensor


def weighted_combination(
    region: Float[Tensor, ""], boundary: Float[Tensor, ""], alpha: float
) -> Float[Tensor, ""]:
    """Mean of a region loss and a boundary loss weighted by alpha, between the two.

        L = alpha L_region + (1 - alpha) L_boundary                                                      (8)

    Args:
        region: the region loss, a scalar.
        boundary: the boundary loss (Hausdorff, boundary or Generalized Surface Loss), a scalar.
        alpha: the region loss's weight, in [0, 1]; `gsl_experiments.schedules` gives it for each epoch.

    Returns:
        A scalar, best and worst as the two losses have them.

    Raises:
        ValueError: alpha is outside [0, 1].

    Both losses stay in the graph at alpha = 0 and 1: a term that is weighted with 0 has a gradient of 0.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is {alpha}, expected a number in [0, 1]")
    return alpha * region + (1.0 - alpha) * boundary
