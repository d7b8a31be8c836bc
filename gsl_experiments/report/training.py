"""What the trainings of the runs recorded: their epochs and where each of them comes from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsl_experiments.evaluation.run_metrics import METRICS_FILE
from gsl_experiments.evaluation.runs import read_json
from gsl_experiments.report.runs import ReportRun
from gsl_experiments.training.epoch_log import CSV_NAME, read_epochs

MOST_EPOCHS = 200  # of a fold in the page; of more, every second, third, ... is taken
CURVES = {
    "pseudo_dice_average": "Dice of validation patches, moving average",
    "train_loss": "training loss",
    "val_loss": "loss of validation patches",
    "alpha": "alpha",
    "learning_rate": "learning rate",
}


@dataclass(frozen=True)
class Origin:
    """Where the numbers of a run come from.

    Attributes:
        anchor: of the run within the page.
        label: of the run.
        facts: name and value of what its folds have in common.
        header: titles of the folds' columns.
        folds: one row a fold.
        config: the composed configuration of the first recorded fold as JSON; empty without a record.
        differing: folds whose configuration is another one.
    """

    anchor: str
    label: str
    facts: tuple[tuple[str, str], ...]
    header: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    config: str
    differing: tuple[int, ...]


def epoch_data(runs: Sequence[ReportRun]) -> list[dict[str, Any]]:
    """For each run the epochs of its folds, `epoch` and one list a curve, None where nothing was recorded."""
    return [
        {
            "folds": [
                {"fold": fold, **_thinned(file)}
                for fold in run.result.run.folds
                if (file := run.result.run.path / f"fold_{fold}" / CSV_NAME).is_file()
            ]
        }
        for run in runs
    ]


def origin(run: ReportRun) -> Origin:
    """Read the records of a run's complete folds.

    Raises:
        UserError: a record is not JSON.
    """
    result, path = run.result, run.result.run.path
    files = {fold: path / f"fold_{fold}" / "provenance.json" for fold in result.complete_folds}
    records = {fold: read_json(file) for fold, file in files.items() if file.is_file()}
    configs = {fold: json.dumps(record.get("config"), indent=2) for fold, record in records.items()}
    first = next(iter(configs.values()), "")
    experiment = result.run.experiment
    facts = (
        ("Model folder", f"{result.run.dataset_folder}/{result.run.name}"),
        ("Protocol", experiment.protocol),
        ("Epochs", str(experiment.epochs)),
        ("Seed", str(experiment.seed)),
        ("Cases", result.number_of_cases),
        ("Complete folds", f"{len(result.complete_folds)} of {result.total_folds}"),
        (f"SHA-256 of {METRICS_FILE}", _sha256(path / METRICS_FILE)),
    )
    return Origin(
        run.anchor,
        run.label,
        facts,
        ("Fold", "Time", "Training", "Commit", "Python", "Machine", "Packages", "Command"),
        tuple(_fold_row(fold, record) for fold, record in records.items()),
        first,
        tuple(fold for fold, config in configs.items() if config != first),
    )


def describe_commit(git: dict[str, Any]) -> str:
    """`4f0c2d1a9b7e`, with a word on files that differ from it; `unknown` outside a checkout."""
    commit = git.get("commit")
    return "unknown" if commit is None else commit[:12] + (", changed files" if git.get("dirty") else "")


def describe_machine(machine: dict[str, Any]) -> str:
    """Processor, cores, graphics cards and system."""
    gpus = ", ".join(machine.get("gpus") or []) or "no GPU"
    return f"{machine.get('processor')}, {machine.get('cores')} cores, {gpus}; {machine.get('system')}"


def describe_packages(packages: dict[str, Any]) -> str:
    """Names and versions in one line."""
    return ", ".join(f"{name} {version}" for name, version in packages.items() if version)


def _fold_row(fold: int, record: dict[str, Any]) -> tuple[str, ...]:
    seconds = record.get("training_seconds")
    return (
        str(fold),
        str(record.get("time", "")),
        "" if seconds is None else f"{seconds / 60:.1f} min",
        describe_commit(record.get("git", {})),
        str(record.get("python", "")),
        describe_machine(record.get("machine", {})),
        describe_packages(record.get("packages", {})),
        str(record.get("command", "")),
    )


def _thinned(file: Path) -> dict[str, list[float | None]]:
    epochs = read_epochs(file)
    shown = sorted(epochs)[:: max(1, -(-len(epochs) // MOST_EPOCHS))]
    curves = {column: [_number(epochs[epoch].get(column)) for epoch in shown] for column in CURVES}
    return {"epoch": [float(epoch) for epoch in shown], **curves}


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "no such file"
