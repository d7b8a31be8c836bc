"""The check of a raw dataset before anything is made of it: what is wrong with which file, and what to do."""

from gsl_experiments.validation.check import check_dataset
from gsl_experiments.validation.exclusion import EXCLUDED_CASES, Exclusion, read_exclusion

__all__ = ["EXCLUDED_CASES", "Exclusion", "check_dataset", "read_exclusion"]
