"""One case: nnU-Net's preprocessing, the distance maps of all its classes, its reference and its manifest entry."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import blosc2
import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from gsl_experiments.class_weights import count_voxels
from gsl_experiments.distance import each_signed_distance_map
from gsl_experiments.file_record import FileRecord
from gsl_experiments.preprocessing.cropping import lean_crop
from gsl_experiments.preprocessing.manifest import CaseEntry, read_entry, write_entry
from gsl_experiments.preprocessing.maps import maps_folder, read_metadata, write_maps
from gsl_experiments.preprocessing.resampling import LeanConfiguration

REFERENCES = "gt_segmentations"  # nnU-Net's name
SCRATCH = ".scratch"
_PROBE_BYTES = 1 << 24


@dataclass(frozen=True)
class CaseJob:
    """What a worker needs to preprocess one case.

    Args:
        identifier: the case.
        images: its raw images, in the order of the channels.
        label: its raw label file.
        plans: nnU-Net's plans.
        configuration: nnU-Net's configuration.
        dataset_json: nnU-Net's description of the dataset.
        cases_folder: nnU-Net's folder of the preprocessed cases.
        absent_class: the rule for the map of a class that is absent.
        recipe: the settings that its files depend on.
        adopt: take a case that nnU-Net has preprocessed, which no entry knows, if it is younger than its raw files.
        link_reference: the reference may share the raw label's storage, because no user edits that in place.
        known_inputs: records of raw files that were taken earlier, images first.
    """

    identifier: str
    images: tuple[str, ...]
    label: str
    plans: dict[str, Any]
    configuration: str
    dataset_json: dict[str, Any]
    cases_folder: Path
    absent_class: Literal["diagonal", "zero"]
    recipe: dict[str, Any]
    adopt: bool = False
    link_reference: bool = False
    known_inputs: tuple[FileRecord, ...] = ()

    @property
    def preprocessed(self) -> Path:
        """The dataset's preprocessed folder."""
        return self.cases_folder.parent

    @property
    def raw_files(self) -> list[Path]:
        """The raw images and the label."""
        return [Path(file) for file in (*self.images, self.label)]

    @property
    def case_files(self) -> tuple[Path, ...]:
        """nnU-Net's three files of a preprocessed case; the image comes last and marks the case as complete."""
        return tuple(self.cases_folder / f"{self.identifier}{end}" for end in (".pkl", "_seg.b2nd", ".b2nd"))

    @property
    def maps_file(self) -> Path:
        """The file of the distance maps."""
        return maps_folder(self.cases_folder) / f"{self.identifier}.b2nd"

    @property
    def reference_file(self) -> Path:
        """The reference segmentation, where nnU-Net looks for it."""
        return self.preprocessed / REFERENCES / f"{self.identifier}{self.dataset_json['file_ending']}"

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that make up the preprocessed case."""
        return (*self.case_files, self.maps_file, self.reference_file)

    def output_name(self, file: Path) -> str:
        """The name by which the manifest knows an output."""
        return file.relative_to(self.preprocessed).as_posix()

    def finished_entry(self) -> CaseEntry | None:
        """The case's entry if nothing is left to do by the sizes and times of all files; reads no file's content."""
        entry = read_entry(self.cases_folder, self.identifier)
        if entry is None or entry.recipe != self.recipe or not entry.inputs_look_like(self.raw_files):
            return None
        records = {file: entry.outputs.get(self.output_name(file)) for file in self.outputs}
        finished = all(record is not None and record.looks_like(file) for file, record in records.items())
        return entry if finished else None


def preprocess_case(job: CaseJob) -> CaseEntry:
    """Make whatever the case still lacks, and return its manifest entry.

    Each file is written in a scratch folder of its own and renamed; the entry comes last.

    Raises:
        OSError: the disk is full, or a file cannot be written.
    """
    torch.set_num_threads(1)
    before = _entry_of_same_inputs(job)
    inputs = tuple(
        FileRecord.of(file, known)
        for file, known in zip(job.raw_files, before.inputs if before else _known_inputs(job), strict=True)
    )
    scratch_root = job.preprocessed / SCRATCH
    scratch_root.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{job.identifier}-", dir=scratch_root) as folder:
        scratch = Path(folder)
        try:
            outputs = _make_outputs(job, before, scratch)
        except OSError:
            raise
        except Exception:
            _raise_if_disk_is_full(scratch)  # blosc2 does not say why it could not write
            raise
    entry = CaseEntry(
        case=job.identifier,
        recipe=job.recipe,
        inputs=inputs,
        outputs={job.output_name(file): record for file, record in outputs.items()},
        voxels=tuple(read_metadata(job.maps_file)["voxels"]),
    )
    write_entry(entry, job.cases_folder)
    return entry


def _entry_of_same_inputs(job: CaseJob) -> CaseEntry | None:
    entry = read_entry(job.cases_folder, job.identifier)
    if entry is None or entry.recipe != job.recipe or not entry.inputs_match(job.raw_files):
        return None
    return entry


def _known_inputs(job: CaseJob) -> tuple[FileRecord | None, ...]:
    return job.known_inputs or (None,) * len(job.raw_files)


def _make_outputs(job: CaseJob, before: CaseEntry | None, scratch: Path) -> dict[Path, FileRecord]:
    """Keep what is recorded and unchanged, make the rest; return records of all outputs."""

    def unchanged(file: Path) -> bool:
        record = before.outputs.get(job.output_name(file)) if before else None
        return record is not None and record.matches(file)

    case_is_there = all(unchanged(file) for file in job.case_files)
    maps_are_there = case_is_there and unchanged(job.maps_file)
    reference_is_there = unchanged(job.reference_file)
    if not case_is_there and not _can_be_adopted(job):
        _write_case(job, scratch)
    if not maps_are_there:
        _write_case_maps(job, scratch)
    if not reference_is_there:
        _place_reference(job, scratch)
    return {
        file: FileRecord.of(file, before.outputs.get(job.output_name(file)) if before else None)
        for file in job.outputs
    }


def _can_be_adopted(job: CaseJob) -> bool:
    if not job.adopt or read_entry(job.cases_folder, job.identifier) is not None:
        return False
    if not all(file.exists() for file in job.case_files):
        return False
    newest_raw = max(file.stat().st_mtime_ns for file in job.raw_files)
    return all(file.stat().st_mtime_ns >= newest_raw for file in job.case_files)


def _write_case(job: CaseJob, scratch: Path) -> None:
    plans = PlansManager(job.plans)
    configuration = LeanConfiguration(plans.get_configuration(job.configuration).configuration)
    preprocessor = configuration.preprocessor_class(verbose=False)
    with lean_crop():
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

    maps = each_signed_distance_map(labels, num_classes, spacing_mm, absent_class=job.absent_class)
    voxels = [int(n) for n in count_voxels(labels, num_classes)]
    partial = scratch / f"{job.identifier}_dtm.b2nd"
    write_maps(
        maps,
        partial,
        shape=(num_classes, *labels.shape),
        spacing_mm=spacing_mm,
        patch_size=configuration.patch_size,
        metadata={"voxels": voxels, "spacing_mm": spacing_mm, "absent_class": job.absent_class},
    )
    partial.replace(job.maps_file)


def _place_reference(job: CaseJob, scratch: Path) -> None:
    partial = scratch / job.reference_file.name
    if job.link_reference:
        try:
            os.link(job.label, partial)
        except OSError:  # another file system, or one without links
            shutil.copyfile(job.label, partial)
    else:
        shutil.copyfile(job.label, partial)
    partial.replace(job.reference_file)


def _raise_if_disk_is_full(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
