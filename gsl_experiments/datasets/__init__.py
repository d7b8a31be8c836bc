"""Raw datasets in, nnU-Net raw folders out: one module a layout, with its checks."""

from gsl_experiments.datasets.brats import read_brats
from gsl_experiments.datasets.export import restore_labels
from gsl_experiments.datasets.lits import read_lits
from gsl_experiments.datasets.msd import read_msd
from gsl_experiments.datasets.nnunet_existing import read_nnunet
from gsl_experiments.datasets.nnunet_raw import write_nnunet_raw
from gsl_experiments.datasets.phantom_brats import write_phantom_brats
from gsl_experiments.datasets.phantom_lits import write_phantom_lits
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset

__all__ = [
    "DatasetError",
    "RawCase",
    "RawDataset",
    "read_brats",
    "read_lits",
    "read_msd",
    "read_nnunet",
    "restore_labels",
    "write_nnunet_raw",
    "write_phantom_brats",
    "write_phantom_lits",
]
