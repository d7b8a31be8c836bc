"""The report of a small dataset."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ellipsoids import write_results
from omegaconf import DictConfig

from gsl_experiments.cli import compose
from gsl_experiments.report.stage import make_report


@pytest.fixture(scope="session")
def report_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders raw, preprocessed and results of the dataset."""
    folder = tmp_path_factory.mktemp("report")
    write_results(folder)
    return folder


@pytest.fixture(scope="session")
def configure_report(report_workspace: Path) -> Callable[..., DictConfig]:
    """The configuration of a report of these runs."""
    paths = [
        f"paths.{name}={report_workspace / name}" for name in ("raw", "preprocessed", "results", "tables")
    ]
    return lambda *overrides: compose(
        [*paths, "processes=1", "figures.metrics=[dice]", "tables.resamples=200", *overrides]
    )


@pytest.fixture(scope="session")
def report_file(configure_report: Callable[..., DictConfig]) -> Path:
    """The report as `make report` writes it."""
    (file,) = make_report(configure_report("report.max_viewer_cases=12"))
    return file
