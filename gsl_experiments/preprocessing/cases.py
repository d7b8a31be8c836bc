"""One case: nnU-Net's preprocessing, the distance maps of all its classes, and its voxel counts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import blosc2
import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from gsl_experiments.class_weights import count_voxels
from gsl_experiments.distance import signed_distance_maps
from gsl_experiments.preprocessing.maps import maps_folder, read_metadata, write_maps


@dataclass(frozen=True)
class CaseJob:
    """What a worker needs to preprocess one case."""

    identifier: str
    images: tuple[str, ...]
    label: str
    plans: dict[str, Any]
    configuration: str
    dataset_json: dict[str, Any]
    cases_folder: Path
    absent_class: Literal["diagonal", "zero"]

    @property
    def case_files(self) -> tuple[Path, ...]:
        """nnU-Net's three files of a preprocessed case; the image comes last and marks the case as complete."""
        return tuple(self.cases_folder / f"{self.identifier}{end}" for end in (".pkl", "_seg.b2nd", ".b2nd"))

    @property
    def maps_file(self) -> Path:
        """The file of the distance maps."""
        return maps_folder(self.cases_folder) / f"{self.identifier}.b2nd"

    def is_preprocessed(self) -> bool:
        """Whether nnU-Net's files are there, and younger than the raw ones."""
        raw_times = [Path(file).stat().st_mtime for file in (*self.images, self.label)]
        return all(file.exists() and file.stat().st_mtime >= max(raw_times) for file in self.case_files)

    def has_maps(self) -> bool:
        """Whether the maps are there, younger than the labels and made by the same rule."""
        labels = self.case_files[1]
        return (
            self.maps_file.exists()
            and self.maps_file.stat().st_mtime >= labels.stat().st_mtime
            and read_metadata(self.maps_file)["absent_class"] == self.absent_class
        )


def preprocess_case(job: CaseJob) -> list[int]:
    """Write whatever the case still lacks and return its voxels per class.

    Each file is written in a scratch folder and renamed, the maps last: what exists is whole.
    """
    torch.set_num_threads(1)
    scratch = job.cases_folder.with_name(f".{job.cases_folder.name}_{job.identifier}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        if not job.is_preprocessed():
            _write_case(job, scratch)
        if not job.has_maps():
            _write_case_maps(job, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return read_metadata(job.maps_file)["voxels"]


def _write_case(job: CaseJob, scratch: Path) -> None:
    plans = PlansManager(job.plans)
    configuration = plans.get_configuration(job.configuration)
    preprocessor = configuration.preprocessor_class(verbose=False)
    preprocessor.run_case_save(
        str(scratch / job.identifier), list(job.images), job.label, plans, configuration, job.dataset_json
    )
    for file in job.case_files:
        (scratch / file.name).replace(file)


def _write_case_maps(job: CaseJob, scratch: Path) -> None:
    plans = PlansManager(job.plans)
    configuration = plans.get_configuration(job.configuration)
    properties_file, labels_file, _ = job.case_files
    labels = np.asarray(blosc2.open(str(labels_file), mode="r")[0])
    num_classes = len(plans.get_label_manager(job.dataset_json).all_labels)

    spacing_mm = [float(s) for s in configuration.spacing]
    if (
        len(spacing_mm) < labels.ndim
    ):  # nnU-Net's 2D configuration leaves the distance between slices as it is
        through_plane = load_pickle(str(properties_file))["spacing"][plans.transpose_forward[0]]
        spacing_mm.insert(0, float(through_plane))

    maps = signed_distance_maps(labels, num_classes, spacing_mm, absent_class=job.absent_class)
    voxels = [int(n) for n in count_voxels(labels, num_classes)]
    partial = scratch / f"{job.identifier}_dtm.b2nd"
    write_maps(
        maps,
        partial,
        patch_size=configuration.patch_size,
        metadata={"voxels": voxels, "spacing_mm": spacing_mm, "absent_class": job.absent_class},
    )
    partial.replace(job.maps_file)
