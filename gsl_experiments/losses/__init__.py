"""The losses of the paper: each a function of tensors, and a thin module that stores its hyper-parameters."""

from gsl_experiments.losses.boundary import BoundaryLoss, boundary_loss
from gsl_experiments.losses.combination import weighted_combination
from gsl_experiments.losses.cross_entropy import CrossEntropyLoss, cross_entropy_loss
from gsl_experiments.losses.dice import DiceLoss, dice_loss
from gsl_experiments.losses.dice_ce import DiceCELoss, dice_ce_loss
from gsl_experiments.losses.fused import fused_values
from gsl_experiments.losses.generalized_dice import GeneralizedDiceLoss, generalized_dice_loss
from gsl_experiments.losses.generalized_surface import GeneralizedSurfaceLoss, generalized_surface_loss
from gsl_experiments.losses.hausdorff import HausdorffLoss, hausdorff_loss
from gsl_experiments.losses.inputs import LossInputs
from gsl_experiments.losses.of_sums import LossOfSums, Voxels

__all__ = [
    "BoundaryLoss",
    "CrossEntropyLoss",
    "DiceCELoss",
    "DiceLoss",
    "GeneralizedDiceLoss",
    "GeneralizedSurfaceLoss",
    "HausdorffLoss",
    "LossInputs",
    "LossOfSums",
    "Voxels",
    "boundary_loss",
    "cross_entropy_loss",
    "dice_ce_loss",
    "dice_loss",
    "fused_values",
    "generalized_dice_loss",
    "generalized_surface_loss",
    "hausdorff_loss",
    "weighted_combination",
]
