"""The preprocessing stage: raw dataset to preprocessed cases, distance maps, class weights and folds."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.utilities.json_export import recursive_fix_for_json_export
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from omegaconf import DictConfig, OmegaConf
from sklearn.model_selection import KFold
from tqdm import tqdm

from gsl_experiments.atomic import write_json
from gsl_experiments.class_weights import class_weights
from gsl_experiments.config import NUM_FOLDS, in_checkout, preprocessed_folder, raw_folder, worker_processes
from gsl_experiments.datasets import write_nnunet_raw
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.cases import CaseJob, preprocess_case
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.preprocessing.planning import plan_dataset, plan_network
from gsl_experiments.provenance import collect

MAX_FOREGROUND_SAMPLES_PER_CASE = 10**6


def preprocess(cfg: DictConfig) -> None:
    """Run whatever is still missing of: nnU-Net raw, fingerprint, plans, cases with maps, weights, folds."""
    raw, preprocessed = raw_folder(cfg), preprocessed_folder(cfg)
    write_raw(cfg)
    dataset_json = json.loads((raw / "dataset.json").read_text())
    cases = get_filenames_of_train_images_and_targets(str(raw), dataset_json)

    folds = write_folds(sorted(cases), preprocessed / "splits_final.json")
    take_fingerprint(cfg, raw, preprocessed)
    plans = write_plans(cfg, preprocessed)
    voxels = preprocess_cases(cfg, cases, plans, dataset_json)
    copy_references(cases, preprocessed / "gt_segmentations", dataset_json["file_ending"])
    weights = write_class_weights(voxels, cases_folder(preprocessed, plans, cfg.configuration))
    provenance = collect(OmegaConf.to_container(cfg, resolve=True))
    write_json(preprocessed / f"{cfg.planning.plans_name}_provenance.json", provenance)
    _report(plans, cfg.configuration, dataset_json, weights, folds)


def cases_folder(preprocessed: Path, plans: dict[str, Any], configuration: str) -> Path:
    """Return nnU-Net's folder of preprocessed cases."""
    return preprocessed / plans["configurations"][configuration]["data_identifier"]


def write_raw(cfg: DictConfig) -> None:
    """Convert the user's data, or generated phantoms, to nnU-Net's raw layout."""
    if cfg.dataset.raw is None:
        if (raw_folder(cfg) / "dataset.json").exists():
            return
        raise UserError(
            f"dataset.raw is not set: call with RAW=folder, where the {cfg.dataset.name} data lies"
        )
    source = in_checkout(cfg.dataset.raw)
    if cfg.dataset.generate is not None:
        instantiate(cfg.dataset.generate)(source)
    dataset = instantiate(cfg.dataset.layout)(source)
    write_nnunet_raw(dataset, raw_folder(cfg), processes=worker_processes(cfg))


def take_fingerprint(cfg: DictConfig, raw: Path, preprocessed: Path) -> None:
    """Take nnU-Net's fingerprint of the dataset unless there is one newer than the raw dataset."""
    fingerprint, dataset_json = preprocessed / "dataset_fingerprint.json", raw / "dataset.json"
    if fingerprint.exists() and fingerprint.stat().st_mtime >= dataset_json.stat().st_mtime:
        return
    extractor = DatasetFingerprintExtractor(cfg.dataset.nnunet_name, worker_processes(cfg))
    # nnU-Net draws 1e8 foreground voxels, with replacement; a hundred cases and more keep that number
    extractor.num_foreground_voxels_for_intensitystats = min(
        extractor.num_foreground_voxels_for_intensitystats,
        MAX_FOREGROUND_SAMPLES_PER_CASE * len(extractor.dataset),
    )
    extractor.run(overwrite_existing=True)


def write_plans(cfg: DictConfig, preprocessed: Path) -> dict[str, Any]:
    """Write the plans that all runs of this protocol share, and return them.

    Plans that nnU-Net itself has written (``nnUNetPlans`` of a dataset that the user preprocessed before) are taken
    as they are. A change of what the preprocessed data depends on is refused: the old data would be mixed in.
    """
    path = preprocessed / f"{cfg.planning.plans_name}.json"
    existing = json.loads(path.read_text()) if path.exists() else None
    if existing is not None and "gsl_preprocessing" not in existing:
        return _with_configuration(existing, cfg.configuration)

    choices = {key: cfg.planning[key] for key in ("target_spacing", "zscore_on_nonzero", "absent_class")}
    if existing is not None and existing["gsl_preprocessing"] != choices:
        old = existing["gsl_preprocessing"]
        changed = ", ".join(
            f"planning.{k} was {old[k]} and is {v}" for k, v in choices.items() if old[k] != v
        )
        raise UserError(
            f"{path} belongs to data preprocessed otherwise ({changed}): "
            "set planning.plans_name to a new name to keep both, or delete that dataset's preprocessed folder"
        )
    plans = plan_dataset(
        cfg.dataset.nnunet_name,
        plans_name=cfg.planning.plans_name,
        target_spacing=cfg.planning.target_spacing,
        zscore_on_nonzero=cfg.planning.zscore_on_nonzero,
    )
    recursive_fix_for_json_export(plans)
    configurations = _with_configuration(plans, cfg.configuration)["configurations"]
    configurations[cfg.configuration] = plan_network(
        configurations[cfg.configuration],
        patch_size=cfg.planning.patch_size,
        batch_size=cfg.planning.batch_size,
        base_features=cfg.planning.base_features,
    )
    plans["gsl_preprocessing"] = choices
    if existing is not None:
        _refuse_mixing(
            existing, plans, cfg.configuration, cases_folder(preprocessed, plans, cfg.configuration)
        )
    write_json(path, plans)
    return plans


def _refuse_mixing(before: dict[str, Any], now: dict[str, Any], configuration: str, folder: Path) -> None:
    """Raise if cases were preprocessed by plans that a change of the dataset has made wrong."""
    if not any(folder.glob("*.b2nd")) or configuration not in before["configurations"]:
        return
    keys = ["spacing", "normalization_schemes", "use_mask_for_norm"]
    old, new = (json.loads(json.dumps(plans["configurations"][configuration])) for plans in (before, now))
    changed = [key for key in keys if old[key] != new[key]]
    intensities = "foreground_intensity_properties_per_channel"
    if "CTNormalization" in new["normalization_schemes"] and before[intensities] != json.loads(
        json.dumps(now[intensities])
    ):
        changed.append("intensity window")
    if changed:
        raise UserError(
            f"the dataset has changed since {folder} was preprocessed, and with it its {', '.join(changed)}: "
            f"delete {folder} and {maps_folder(folder)} to preprocess all cases anew"
        )


def _with_configuration(plans: dict[str, Any], configuration: str) -> dict[str, Any]:
    if configuration not in plans["configurations"]:
        allowed = ", ".join(plans["configurations"])
        raise UserError(
            f"configuration={configuration}: nnU-Net planned {allowed} for {plans['dataset_name']}"
        )
    return plans


def write_folds(identifiers: list[str], path: Path) -> list[dict[str, list[str]]]:
    """Write nnU-Net's ``splits_final.json``: KFold(5, shuffle, seed 42) over the sorted identifiers.

    Folds that the user has put there are kept, as long as they hold the same cases.
    """
    if path.exists():
        folds = json.loads(path.read_text())
        known = {identifier for fold in folds for identifier in fold["val"]}
        if known != set(identifiers):
            changed = ", ".join(sorted(known ^ set(identifiers))[:3])
            raise UserError(
                f"{path} holds other cases than the dataset ({changed}, ...): delete it to draw new folds"
            )
        return folds
    if len(identifiers) < NUM_FOLDS:
        raise UserError(f"{len(identifiers)} cases are too few for {NUM_FOLDS} folds")
    split = KFold(n_splits=NUM_FOLDS, shuffle=True, random_state=42).split(identifiers)
    folds = [
        {"train": [identifiers[i] for i in train], "val": [identifiers[i] for i in val]}
        for train, val in split
    ]
    write_json(path, folds)
    return folds


def preprocess_cases(
    cfg: DictConfig, cases: dict[str, Any], plans: dict[str, Any], dataset_json: dict[str, Any]
) -> np.ndarray:
    """Preprocess all cases in parallel, maps included, and return the dataset's voxels per class."""
    folder = cases_folder(preprocessed_folder(cfg), plans, cfg.configuration)
    folder.mkdir(parents=True, exist_ok=True)
    maps_folder(folder).mkdir(exist_ok=True)
    jobs = [
        CaseJob(
            identifier=identifier,
            images=tuple(files["images"]),
            label=files["label"],
            plans=plans,
            configuration=cfg.configuration,
            dataset_json=dataset_json,
            cases_folder=folder,
            absent_class=cfg.planning.absent_class,
        )
        for identifier, files in sorted(cases.items())
    ]
    bar = tqdm(total=len(jobs), desc="Preprocessing cases and maps", unit="case")
    with bar, _pool(worker_processes(cfg)) as pool:
        running = {pool.submit(preprocess_case, job): job.identifier for job in jobs}
        voxels = []
        for done in as_completed(running):
            try:
                voxels.append(done.result())
            except BrokenProcessPool as error:
                raise UserError(
                    "a worker process was killed, by the system for want of memory? set processes=1"
                ) from error
            except Exception as error:
                pool.shutdown(cancel_futures=True)
                raise UserError(f"case {running[done]} cannot be preprocessed: {error}") from error
            bar.update()
    return np.sum(voxels, axis=0)


def _pool(processes: int) -> Executor:
    """Return workers for the cases; a single one is a thread, which saves a process the seconds of its imports."""
    if processes == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"))


def copy_references(cases: dict[str, Any], folder: Path, file_ending: str) -> None:
    """Copy the reference segmentations next to the preprocessed data, where nnU-Net looks for them."""
    folder.mkdir(exist_ok=True)
    for identifier, files in cases.items():
        copy, source = folder / f"{identifier}{file_ending}", Path(files["label"])
        if not copy.exists() or copy.stat().st_mtime < source.stat().st_mtime:
            partial = folder / f".{identifier}{file_ending}"
            shutil.copyfile(source, partial)
            partial.replace(copy)


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
    write_json(maps_folder(folder) / "class_weights.json", content)
    return weights


def _report(
    plans: dict[str, Any],
    configuration: str,
    dataset_json: dict[str, Any],
    weights: np.ndarray,
    folds: list[dict[str, list[str]]],
) -> None:
    planned = plans["configurations"][configuration]
    print(f"{plans['dataset_name']} is ready:")
    print(
        f"  target spacing {' x '.join(f'{s:.3g}' for s in planned['spacing'])} mm (axes as nnU-Net orders them)"
    )
    print(f"  patch {' x '.join(str(p) for p in planned['patch_size'])}, batch {planned['batch_size']}")
    for channel, p in plans["foreground_intensity_properties_per_channel"].items():
        name = dataset_json["channel_names"][str(channel)]
        print(
            f"  {name}: foreground {p['percentile_00_5']:.4g} to {p['percentile_99_5']:.4g} "
            f"(0.5 and 99.5 percentile), mean {p['mean']:.4g}, std {p['std']:.4g}"
        )
    for (name, _), weight in zip(dataset_json["labels"].items(), weights, strict=True):
        print(f"  class weight of {name}: {weight:.6f}")
    print(f"  {len(folds)} folds of {', '.join(str(len(f['val'])) for f in folds)} cases")
