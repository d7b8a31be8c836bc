"""The preprocessing stage: raw dataset to preprocessed cases, distance maps, class weights and folds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from gsl_experiments.atomic import write_json
from gsl_experiments.class_weights import class_weights
from gsl_experiments.config import (
    preprocessed_folder,
    preprocessing_processes,
    raw_folder,
    worker_processes,
)
from gsl_experiments.datasets import write_nnunet_raw
from gsl_experiments.errors import UserError
from gsl_experiments.locking import exclusive
from gsl_experiments.preprocessing.admission import conversions_at_once
from gsl_experiments.preprocessing.cases import REFERENCES, CaseJob, preprocess_case
from gsl_experiments.preprocessing.fingerprint import take_fingerprint
from gsl_experiments.preprocessing.folds import write_folds
from gsl_experiments.preprocessing.leftovers import remove_leftovers
from gsl_experiments.preprocessing.manifest import (
    CLASS_WEIGHTS,
    Inputs,
    entry_file,
    manifest_folder,
    read_entries,
)
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.preprocessing.memory import case_bytes, case_size, memory_limit
from gsl_experiments.preprocessing.planning import nnunets_own_plans, write_plans
from gsl_experiments.preprocessing.raw_cases import RawFiles, excluded_cases, raw_cases
from gsl_experiments.preprocessing.recipe import recipe
from gsl_experiments.preprocessing.report import report
from gsl_experiments.preprocessing.workers import Workers
from gsl_experiments.provenance import collect
from gsl_experiments.validation.stage import checked_dataset, require_source


def preprocess(cfg: DictConfig) -> None:
    """Run whatever is still missing of: nnU-Net raw, fingerprint, plans, cases with maps, weights, folds.

    A second call on the same dataset waits for the first to end.
    """
    start = time.monotonic()
    require_source(cfg)
    raw, preprocessed = raw_folder(cfg), preprocessed_folder(cfg)
    with (
        exclusive(preprocessed, what=f"preprocessing of {cfg.dataset.nnunet_name}"),
        Workers(preprocessing_processes(cfg), memory_limit(cfg)) as workers,
    ):
        remove_leftovers(raw, preprocessed)
        write_raw(cfg, workers.limit)
        dataset_json = json.loads((raw / "dataset.json").read_text())
        cases = raw_cases(raw, dataset_json, preprocessed)
        folds = write_folds(sorted(cases), preprocessed / "splits_final.json")
        inputs: Inputs = {}
        if nnunets_own_plans(cfg, preprocessed) is None:
            inputs = take_fingerprint(cases, dataset_json, preprocessed, workers)
        plans = write_plans(cfg, preprocessed, dataset_json)
        voxels = preprocess_cases(_jobs(cfg, cases, plans, dataset_json, inputs), workers)
        weights = write_class_weights(voxels, cases_folder(preprocessed, plans, cfg.configuration))
        provenance = collect(OmegaConf.to_container(cfg, resolve=True))
        write_json(preprocessed / f"{cfg.planning.plans_name}_provenance.json", provenance)
        remove_leftovers(raw, preprocessed)
    print(
        report(
            preprocessed,
            plans,
            cfg.configuration,
            dataset_json,
            voxels,
            weights,
            folds,
            excluded=excluded_cases(preprocessed),
            seconds=time.monotonic() - start,
        )
    )


def cases_folder(preprocessed: Path, plans: dict[str, Any], configuration: str) -> Path:
    """Return nnU-Net's folder of preprocessed cases."""
    return preprocessed / plans["configurations"][configuration]["data_identifier"]


def write_raw(cfg: DictConfig, limit: int) -> None:
    """Check the user's data, or generated phantoms, and convert it to nnU-Net's raw layout within ``limit`` bytes."""
    dataset = checked_dataset(cfg)
    if cfg.dataset.raw is not None and dataset is not None:
        processes = conversions_at_once(
            dataset, limit, processes=worker_processes(cfg), target_spacing=cfg.planning.target_spacing
        )
        excluded = excluded_cases(preprocessed_folder(cfg))
        write_nnunet_raw(dataset, raw_folder(cfg), processes=processes, excluded=excluded)


def _jobs(
    cfg: DictConfig,
    cases: dict[str, RawFiles],
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    inputs: Inputs,
) -> list[CaseJob]:
    preprocessed = preprocessed_folder(cfg)
    adopt = nnunets_own_plans(cfg, preprocessed) is not None
    of_plans = recipe(plans, cfg.configuration, dataset_json, cfg.planning.absent_class)
    return [
        CaseJob(
            identifier=identifier,
            images=files.images,
            label=files.label,
            plans=plans,
            configuration=cfg.configuration,
            dataset_json=dataset_json,
            cases_folder=cases_folder(preprocessed, plans, cfg.configuration),
            absent_class=cfg.planning.absent_class,
            recipe=of_plans,
            adopt=adopt,
            link_reference=cfg.dataset.raw is not None,
            known_inputs=inputs.get(identifier, ()),
        )
        for identifier, files in sorted(cases.items())
    ]


def preprocess_cases(jobs: list[CaseJob], workers: Workers) -> np.ndarray:
    """Preprocess the cases that are not finished, in parallel, and return the dataset's voxels per class."""
    finished = {job.identifier: job.finished_entry() for job in jobs}
    pending = [job for job in jobs if finished[job.identifier] is None]
    folder = jobs[0].cases_folder
    for needed in (folder, manifest_folder(folder), jobs[0].preprocessed / REFERENCES):
        needed.mkdir(parents=True, exist_ok=True)
    _forget_cases_that_are_gone(jobs)
    if pending:
        # Its presence says that every case is in place.
        (maps_folder(folder) / CLASS_WEIGHTS).unlink(missing_ok=True)
    made = workers.run(preprocess_case, pending, bytes_of=_bytes_of, title="Preprocessing cases and maps")
    entries = [*(entry for entry in finished.values() if entry is not None), *made]
    return np.sum([entry.voxels for entry in entries], axis=0)


def _forget_cases_that_are_gone(jobs: list[CaseJob]) -> None:
    """Delete what was made of cases that are no longer in the dataset, unless nnU-Net itself made it."""
    folder, known = jobs[0].cases_folder, {job.identifier for job in jobs}
    for entry in read_entries(folder):
        if entry.case in known:
            continue
        print(f"{entry.case} is not in the dataset any more: what was made of it is deleted")
        for name in entry.outputs:
            if not (jobs[0].adopt and name.startswith(f"{folder.name}/")):
                (jobs[0].preprocessed / name).unlink(missing_ok=True)
        entry_file(folder, entry.case).unlink()


def _bytes_of(job: CaseJob) -> int | None:
    planned = job.plans["configurations"][job.configuration]
    size = case_size(
        job.images,
        target_spacing_mm=planned["spacing"],
        transpose=job.plans["transpose_forward"],
    )
    return None if size is None else case_bytes(size)


def write_class_weights(voxels: np.ndarray, folder: Path) -> np.ndarray:
    """Store the class weights of eq. (13) with the voxel counts they come from, beside the maps.

    Raises:
        UserError: no case of the dataset holds one of the classes.
    """
    try:
        weights = class_weights(voxels)
    except ValueError as error:
        raise UserError(str(error)) from error
    content = {"voxels": [int(n) for n in voxels], "class_weights": [float(w) for w in weights]}
    write_json(maps_folder(folder) / CLASS_WEIGHTS, content)
    return weights
