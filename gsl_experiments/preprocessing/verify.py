"""The check of a finished dataset: every file there, as it was recorded, and all of them fitting together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from gsl_experiments.class_weights import class_weights
from gsl_experiments.config import preprocessed_folder, raw_folder, worker_processes
from gsl_experiments.datasets.nnunet_case import read_sources
from gsl_experiments.errors import UserError
from gsl_experiments.file_record import FileRecord, sha256
from gsl_experiments.preprocessing.folds import problems_of, read_folds
from gsl_experiments.preprocessing.manifest import (
    CLASS_WEIGHTS,
    FINGERPRINT,
    CaseEntry,
    read_entries,
    read_fingerprint_record,
)
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.preprocessing.recipe import recipe


def verify(cfg: DictConfig) -> None:
    """Check the preprocessed dataset of the configuration; print what is wrong, or that nothing is.

    All outputs are read and compared with their hashes. Raw files that are still there are compared by size and time,
    and by content only where their time differs.

    Raises:
        UserError: something is wrong, or the dataset has not been preprocessed.
    """
    preprocessed = preprocessed_folder(cfg)
    plans = _read(preprocessed / f"{cfg.planning.plans_name}.json", cfg)
    if cfg.configuration not in plans["configurations"]:
        raise UserError(
            f"configuration={cfg.configuration}: allowed are {', '.join(plans['configurations'])}"
        )
    dataset_json = _read(preprocessed / "dataset.json", cfg)
    cases_folder = preprocessed / plans["configurations"][cfg.configuration]["data_identifier"]
    entries = list(read_entries(cases_folder))

    problems = _check_cases(entries, preprocessed, worker_processes(cfg))
    problems += _check_sources(entries, raw_folder(cfg))
    current = recipe(plans, cfg.configuration, dataset_json, cfg.planning.absent_class)
    problems += [f"{e.case}: was preprocessed with other settings" for e in entries if e.recipe != current]
    problems += _check_folds(preprocessed / "splits_final.json", entries)
    problems += _check_foreign_files(cases_folder, entries)
    problems += _check_class_weights(maps_folder(cases_folder) / CLASS_WEIGHTS, entries)
    problems += _check_fingerprint(preprocessed)
    for problem in problems:
        print(problem)
    if problems:
        raise UserError(
            f"{cases_folder}: {len(problems)} problem{'s' if problems[1:] else ''} in {len(entries)} cases; "
            f"delete the damaged files and call make preprocess DATASET={cfg.dataset.name} to make them again"
        )
    files = sum(len(entry.outputs) for entry in entries)
    gigabytes = sum(record.size for entry in entries for record in entry.outputs.values()) / 1e9
    print(f"{cfg.dataset.nnunet_name}: {len(entries)} cases, {files} files, {gigabytes:.2f} GB as recorded")


def _read(file: Path, cfg: DictConfig) -> Any:
    call = f"make preprocess DATASET={cfg.dataset.name} PROTOCOL={cfg.protocol}"
    try:
        return json.loads(file.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing: preprocess first ({call})") from error
    except ValueError as error:
        raise UserError(
            f"{file}: not valid JSON ({error}); delete it and preprocess again ({call})"
        ) from error


def _check_cases(entries: list[CaseEntry], preprocessed: Path, threads: int) -> list[str]:
    with ThreadPoolExecutor(threads) as pool:  # hashing holds no lock that would keep threads from running
        checks = pool.map(lambda entry: check_case(entry, preprocessed), entries)
        bar = tqdm(checks, total=len(entries), desc="Verifying cases", unit="case")
        return [problem for problems in bar for problem in problems]


def check_case(entry: CaseEntry, preprocessed: Path) -> list[str]:
    """Return what is wrong with the files of a case, one line each."""
    problems = [
        f"{preprocessed / name}: {problem}"
        for name, record in entry.outputs.items()
        if (problem := _damage(preprocessed / name, record))
    ]
    return problems + _changed(entry.inputs, entry.case)


def _check_sources(entries: list[CaseEntry], raw: Path) -> list[str]:
    """Report files of the user's that have changed since they were converted to nnU-Net's raw layout."""
    return [problem for entry in entries for problem in _changed(read_sources(raw, entry.case), entry.case)]


def _changed(records: Sequence[FileRecord], case: str) -> list[str]:
    return [
        f"{record.path}: has changed since {case} was preprocessed"
        for record in records
        if Path(record.path).exists() and not record.matches(Path(record.path))
    ]


def _damage(file: Path, record: FileRecord) -> str | None:
    if not file.is_file():
        return "missing"
    if file.stat().st_size != record.size:
        return f"{file.stat().st_size} bytes where {record.size} were written"
    return "damaged, its content is not what was written" if sha256(file) != record.sha256 else None


def _check_folds(file: Path, entries: list[CaseEntry]) -> list[str]:
    """Report what is wrong with the folds; a case that is not preprocessed is not of the dataset."""
    return [f"{file}: {problem}" for problem in problems_of(read_folds(file), [e.case for e in entries])]


def _check_foreign_files(cases_folder: Path, entries: list[CaseEntry]) -> list[str]:
    """Report files that nnU-Net would take for cases."""
    known = {name for entry in entries for name in entry.outputs}
    return [
        f"{file}: not recorded, and nnU-Net would take it for a case"
        for file in sorted(cases_folder.glob("*.b2nd"))
        if file.relative_to(cases_folder.parent).as_posix() not in known
    ]


def _check_class_weights(file: Path, entries: list[CaseEntry]) -> list[str]:
    try:
        stored = json.loads(file.read_text())
    except FileNotFoundError:
        return [f"{file}: missing, preprocessing has not finished"]
    except ValueError:
        return [f"{file}: not valid JSON"]
    if not isinstance(stored, dict):
        return [f"{file}: not a JSON object"]
    voxels = np.sum([entry.voxels for entry in entries], axis=0)
    if stored.get("voxels") != voxels.tolist():
        return [f"{file}: its voxel counts are not those of the cases"]
    if stored.get("class_weights") != [float(weight) for weight in class_weights(voxels)]:
        return [f"{file}: its weights do not follow from its voxel counts"]
    return []


def _check_fingerprint(preprocessed: Path) -> list[str]:
    recorded = read_fingerprint_record(preprocessed)
    if recorded is None:  # the dataset was preprocessed by nnU-Net itself
        return []
    problem = _damage(preprocessed / FINGERPRINT, recorded[1])
    return [f"{preprocessed / FINGERPRINT}: {problem}"] if problem else []
