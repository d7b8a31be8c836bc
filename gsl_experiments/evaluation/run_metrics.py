"""Metrics of trained runs: the validation predictions of their complete folds, each case measured once."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from gsl_experiments import provenance
from gsl_experiments.atomic import write_json, write_text
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.cases import CASE_COLUMNS, FilePair, Row, check_nsd_tolerance, evaluate_pairs
from gsl_experiments.evaluation.runs import Run, find_runs, read_splits
from gsl_experiments.metrics import METRICS_VERSION, NSD_TOLERANCE_MM
from gsl_experiments.validation import Exclusion, read_exclusion

METRICS_FILE = "metrics.csv"
RECORD_FILE = "metrics.json"
SAVE_SECONDS = 30.0  # between two writings of what is measured so far
# What a stored row was computed from: it is kept while all of it is unchanged.
SOURCE_COLUMNS = (
    "nsd_tolerance_mm",
    "labels",
    "metrics_version",
    "prediction_size",
    "prediction_mtime_ns",
    "reference_size",
    "reference_mtime_ns",
)
COLUMNS = ("case", "region", "fold", *CASE_COLUMNS[2:], *SOURCE_COLUMNS)

_TEXT_COLUMNS = ("case", "region", "labels")
_PARSERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("fold", *SOURCE_COLUMNS[2:]), int),
    **dict.fromkeys(("reference_empty", "prediction_empty"), "True".__eq__),
}


@dataclass(frozen=True, eq=False)
class RunResult:
    """A run with the metrics of its complete folds.

    Attributes:
        run: the run.
        cases: one row a case and region, all complete folds pooled, with the columns of `metrics.csv`.
        complete_folds: the folds that the rows come from.
        total_folds: how many folds the dataset is split into.
        exclusion: the cases that the dataset is without, because their files have errors.
    """

    run: Run
    cases: pd.DataFrame
    complete_folds: tuple[int, ...]
    total_folds: int
    exclusion: Exclusion = field(default_factory=Exclusion)

    @property
    def number_of_cases(self) -> str:
        """How many cases the rows hold: `369 cases`, or `368 of 369 cases (1 excluded)`."""
        number, excluded = self.cases["case"].nunique(), len(self.exclusion.excluded)
        return (
            f"{number} of {self.exclusion.cases} cases ({excluded} excluded)"
            if excluded
            else f"{number} cases"
        )


@dataclass(frozen=True)
class _ValidationCase:
    case: str
    fold: int
    files: FilePair

    def stamps(self, nsd_tolerance_mm: float) -> dict[str, float]:
        """Tolerance, version of the metrics, and size and modification time of both files."""
        return {"nsd_tolerance_mm": nsd_tolerance_mm, "metrics_version": METRICS_VERSION} | {
            f"{name}_{key}": value
            for name, file in zip(("prediction", "reference"), self.files, strict=True)
            for key, value in (("size", file.stat().st_size), ("mtime_ns", file.stat().st_mtime_ns))
        }


def evaluate_runs(
    results: Path, preprocessed: Path, *, processes: int = 1, nsd_tolerance_mm: float = NSD_TOLERANCE_MM
) -> list[RunResult]:
    """Evaluate every run below nnU-Net's results folder; see `evaluate_run`.

    Args:
        results: `nnUNet_results`.
        preprocessed: `nnUNet_preprocessed`; runs of a dataset that it lacks are left out, and said to be.
        processes: worker processes.
        nsd_tolerance_mm: distance up to which two surfaces agree, for `nsd`.

    Raises:
        UserError: as `evaluate_run`, or the tolerance is no length.
    """
    check_nsd_tolerance(nsd_tolerance_mm)
    outcomes = []
    for run in find_runs(results):
        if not (preprocessed / run.dataset_folder).is_dir():
            print(f"{run.path}: left out, {preprocessed} has no {run.dataset_folder}", file=sys.stderr)
            continue
        cases = evaluate_run(run, preprocessed, processes=processes, nsd_tolerance_mm=nsd_tolerance_mm)
        splits = read_splits(preprocessed / run.dataset_folder)
        exclusion = read_exclusion(preprocessed / run.dataset_folder)
        outcomes.append(RunResult(run, cases, run.complete_folds(splits), len(splits), exclusion))
    return outcomes


def evaluate_run(
    run: Run, preprocessed: Path, *, processes: int = 1, nsd_tolerance_mm: float = NSD_TOLERANCE_MM
) -> pd.DataFrame:
    """Measure the validation cases of a run's complete folds and write them to `metrics.csv` in its folder.

    Rows of an earlier call are kept where neither file has changed (size and modification time), nor the labels
    of a region, nor the tolerance of `nsd`, nor `METRICS_VERSION`. A file with other columns is measured anew.
    Cases of a fold that is not complete do not appear. What is measured is written twice a minute, and when an
    error or the user ends the call: the next one measures the rest. `metrics.json` says with which versions the
    latest cases were measured, and which these are.

    Args:
        run: a trained run.
        preprocessed: `nnUNet_preprocessed`: its `DatasetNNN_Name` holds `splits_final.json` and
            `gt_segmentations`.
        processes: worker processes; 1 works in this one.
        nsd_tolerance_mm: distance up to which two surfaces agree, for `nsd`.

    Returns:
        The rows of `metrics.csv`: case, region, fold, the metrics and volumes of `evaluate_case`, and what
        they were computed from.

    Raises:
        UserError: the splits or a reference are missing, or a pair of files cannot be compared.
    """
    cases = _validation_cases(run, preprocessed / run.dataset_folder)
    stamps = {case.case: case.stamps(nsd_tolerance_mm) for case in cases}
    kept = _read_kept(run, stamps)
    pending = [case for case in cases if case.case not in kept]
    evaluated = evaluate_pairs(
        [case.files for case in pending],
        run.regions,
        processes=processes,
        nsd_tolerance_mm=nsd_tolerance_mm,
        description=run.name,
    )
    record = _record(run, nsd_tolerance_mm) if pending else {}
    fresh: dict[str, list[Row]] = {}

    def save() -> pd.DataFrame:
        table = _table(run, cases, kept | fresh, stamps)
        write_text(run.path / METRICS_FILE, table.to_csv(index=False))
        if fresh:
            write_json(run.path / RECORD_FILE, record | {"measured": list(fresh)})
        return table

    saved = time.monotonic()
    try:
        for case, rows in zip(pending, evaluated, strict=True):
            fresh[case.case] = rows
            if time.monotonic() - saved >= SAVE_SECONDS:
                save()
                saved = time.monotonic()
    finally:
        table = save()
    return table


def _record(run: Run, nsd_tolerance_mm: float) -> dict[str, Any]:
    """Where the rows that are measured now come from."""
    config = {"nsd_tolerance_mm": nsd_tolerance_mm}
    return {"regions": run.regions, "metrics_version": METRICS_VERSION} | provenance.collect(config)


def _table(
    run: Run,
    cases: Sequence[_ValidationCase],
    rows: Mapping[str, Sequence[Row]],
    stamps: Mapping[str, dict[str, float]],
) -> pd.DataFrame:
    """The rows of the cases that have some, as `metrics.csv` holds them."""
    complete = [
        row | {"fold": case.fold, "labels": _spell(run.regions[row["region"]])} | stamps[case.case]
        for case in cases
        for row in rows.get(case.case, ())
    ]
    return pd.DataFrame(complete, columns=list(COLUMNS))


def read_metrics(file: Path) -> pd.DataFrame:
    """Read a `metrics.csv` back, every float with the digits that it was computed with."""
    # Read as text: names may look like numbers or like a missing value ("001", "NA"), and not every version of
    # pandas reads floats back exactly.
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    for column in table.columns.difference(list(_TEXT_COLUMNS)):
        parse = _PARSERS.get(column, float)
        table[column] = [parse(text) for text in table[column]]
    return table


def _validation_cases(run: Run, dataset_folder: Path) -> list[_ValidationCase]:
    splits = read_splits(dataset_folder)
    references = dataset_folder / "gt_segmentations"
    cases = [
        _ValidationCase(
            case, fold, (run.prediction_file(fold, case), references / f"{case}{run.file_ending}")
        )
        for fold in run.complete_folds(splits)
        for case in sorted(splits[fold]["val"])
    ]
    for case in cases:
        if not case.files[1].is_file():
            raise UserError(f"{case.files[1]}: no such reference, but {case.files[0]} is there")
    return cases


def _read_kept(run: Run, stamps: Mapping[str, Mapping[str, float]]) -> dict[str, list[Row]]:
    """Rows of `metrics.csv` that are still good, a list a case."""
    file = run.path / METRICS_FILE
    if not file.is_file():
        return {}
    try:
        table = read_metrics(file)
    except ValueError:  # empty, or not a table: measured again
        return {}
    if tuple(table.columns) != COLUMNS:
        return {}
    labels = {region: _spell(values) for region, values in run.regions.items()}
    kept: dict[str, list[Row]] = {}
    for case, rows in _by_case(table.to_dict("records")):
        if case not in stamps or {row["region"]: row["labels"] for row in rows} != labels:
            continue
        if all(row[key] == value for row in rows for key, value in stamps[case].items()):
            kept[case] = sorted(rows, key=lambda row: list(labels).index(row["region"]))
    return kept


def _by_case(rows: Sequence[Mapping[Any, Any]]) -> Iterable[tuple[str, list[Row]]]:
    by_case: dict[str, list[Row]] = {}
    for row in rows:
        by_case.setdefault(row["case"], []).append(dict(row))
    return by_case.items()


def _spell(labels: Sequence[int]) -> str:
    """Labels of a region in one CSV cell: `1+3`."""
    return "+".join(str(label) for label in labels)
