"""nnU-Net's stock commands search this folder (``nnUNet_extTrainer``) for the trainer by its class name."""

from gsl_experiments.training.trainer import nnUNetTrainerGSL

__all__ = ["nnUNetTrainerGSL"]
