"""Train, compare and invent segmentation losses inside nnU-Net v2.

The mathematics lives in :mod:`gsl_experiments.distance`, :mod:`~gsl_experiments.class_weights`,
:mod:`~gsl_experiments.losses`, :mod:`~gsl_experiments.schedules` and :mod:`~gsl_experiments.metrics`;
the pipeline around it in :mod:`~gsl_experiments.datasets`, :mod:`~gsl_experiments.preprocessing`,
:mod:`~gsl_experiments.training`, :mod:`~gsl_experiments.evaluation` and :mod:`~gsl_experiments.reporting`.
"""

from pathlib import Path

__version__ = "0.1.0"

EXT_TRAINER = str(Path(__file__).parent / "ext_trainer")
"""What nnU-Net's environment variable ``nnUNet_extTrainer`` must name for the stock commands to find our trainer."""
