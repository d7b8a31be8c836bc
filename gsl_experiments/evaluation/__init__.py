"""Folders of predictions in, one row of metrics a case and region out."""

from gsl_experiments.evaluation.cases import evaluate_case, evaluate_folder
from gsl_experiments.evaluation.run_metrics import RunResult, evaluate_run, evaluate_runs
from gsl_experiments.evaluation.runs import Experiment, Run, find_runs, read_splits

__all__ = [
    "Experiment",
    "Run",
    "RunResult",
    "evaluate_case",
    "evaluate_folder",
    "evaluate_run",
    "evaluate_runs",
    "find_runs",
    "read_splits",
]
