"""nnU-Net's fingerprint of a dataset, taken case by case so that a call that was killed can be continued."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

from gsl_experiments.atomic import replacing, write_json
from gsl_experiments.file_record import FileRecord
from gsl_experiments.preprocessing.cropping import lean_crop
from gsl_experiments.preprocessing.manifest import (
    FINGERPRINT,
    Inputs,
    read_fingerprint_record,
    write_fingerprint_record,
)
from gsl_experiments.preprocessing.memory import case_size, fingerprint_bytes
from gsl_experiments.preprocessing.raw_cases import RawFiles
from gsl_experiments.preprocessing.workers import Workers

ANALYSES = ".fingerprint"  # one file a case, until the fingerprint is written
ALL_SAMPLES = 10**8  # nnU-Net's number of foreground voxels, drawn with replacement; from a hundred cases on
MAX_SAMPLES_PER_CASE = 10**6
_PERCENTILES = (0.5, 50.0, 99.5)


@dataclass(frozen=True)
class AnalysisJob:
    """What a worker needs to analyse one case."""

    identifier: str
    files: RawFiles
    reader: type
    samples: int
    folder: Path

    @property
    def output(self) -> Path:
        """The file of the analysis."""
        return self.folder / f"{self.identifier}.npz"


def take_fingerprint(
    cases: dict[str, RawFiles], dataset_json: dict[str, Any], preprocessed: Path, workers: Workers
) -> Inputs:
    """Take nnU-Net's fingerprint of the dataset unless there is one of these very files.

    Returns:
        Records of the raw files of every case, images first.
    """
    folder = preprocessed / ANALYSES
    inputs = _recorded_inputs(cases, preprocessed)
    if inputs is not None:
        shutil.rmtree(folder, ignore_errors=True)
        return inputs
    samples = min(MAX_SAMPLES_PER_CASE, ALL_SAMPLES // len(cases))
    first = next(iter(cases.values()))
    reader = determine_reader_writer_from_dataset_json(dataset_json, first.images[0], verbose=False)
    jobs = [AnalysisJob(case, files, reader, samples, folder) for case, files in cases.items()]
    analysed = workers.run(analyse, jobs, bytes_of=_bytes_of, title="Taking the fingerprint")
    write_json(preprocessed / FINGERPRINT, _combine(jobs))
    inputs = {job.identifier: records for job, records in zip(jobs, analysed, strict=True)}
    write_fingerprint_record(inputs, preprocessed)
    shutil.rmtree(folder)
    return inputs


def _bytes_of(job: AnalysisJob) -> int | None:
    size = case_size(job.files.images)
    return None if size is None else fingerprint_bytes(size)


def _recorded_inputs(cases: dict[str, RawFiles], preprocessed: Path) -> Inputs | None:
    """Return the recorded raw files if the fingerprint is of these, by content where a time differs."""
    recorded = read_fingerprint_record(preprocessed)
    if recorded is None or recorded[0].keys() != cases.keys():
        return None
    inputs, fingerprint = recorded
    if not fingerprint.matches(preprocessed / FINGERPRINT):
        return None
    for case, files in cases.items():
        known = inputs[case]
        if len(known) != len(files.all) or not all(
            record.matches(Path(file)) for record, file in zip(known, files.all, strict=True)
        ):
            return None
    now = {
        case: tuple(
            FileRecord.of(Path(file), known) for file, known in zip(files.all, inputs[case], strict=True)
        )
        for case, files in cases.items()
    }
    if now != inputs:
        write_fingerprint_record(now, preprocessed)
    return now


def analyse(job: AnalysisJob) -> tuple[FileRecord, ...]:
    """Write nnU-Net's analysis of one case unless it is there, and return records of its raw files."""
    known = _inputs_of_analysis(job)
    if known is not None:
        return known
    inputs = tuple(FileRecord.of(Path(file)) for file in job.files.all)
    with lean_crop():
        shape, spacing, intensities, _, relative_size = DatasetFingerprintExtractor.analyze_case(
            list(job.files.images), job.files.label, job.reader, job.samples
        )
    description = {
        "inputs": [asdict(record) for record in inputs],
        "samples": job.samples,
        "shape": [int(n) for n in shape],
        "spacing": [float(s) for s in spacing],
        "relative_size": float(relative_size),
    }
    channels = {f"channel_{i}": np.asarray(drawn) for i, drawn in enumerate(intensities)}
    with replacing(job.output) as partial:
        np.savez(partial, allow_pickle=False, description=json.dumps(description), **channels)
    return inputs


def _inputs_of_analysis(job: AnalysisJob) -> tuple[FileRecord, ...] | None:
    if not job.output.exists():
        return None
    description = _description(job)
    inputs = tuple(FileRecord(**record) for record in description["inputs"])
    same_files = len(inputs) == len(job.files.all) and all(
        record.looks_like(Path(file)) for record, file in zip(inputs, job.files.all, strict=True)
    )
    return inputs if same_files and description["samples"] == job.samples else None


def _description(job: AnalysisJob) -> dict[str, Any]:
    with np.load(job.output) as analysis:
        return json.loads(str(analysis["description"]))


def _combine(jobs: list[AnalysisJob]) -> dict[str, Any]:
    """Return the fingerprint as nnU-Net writes it; one channel at a time is in memory."""
    descriptions = [_description(job) for job in jobs]
    with np.load(jobs[0].output) as analysis:
        channels = len(analysis.files) - 1
    return {
        "spacings": [d["spacing"] for d in descriptions],
        "shapes_after_crop": [d["shape"] for d in descriptions],
        "foreground_intensity_properties_per_channel": {
            str(channel): _statistics(jobs, channel) for channel in range(channels)
        },
        "median_relative_size_after_cropping": float(np.median([d["relative_size"] for d in descriptions])),
    }


def _statistics(jobs: list[AnalysisJob], channel: int) -> dict[str, float]:
    drawn = []
    for job in jobs:
        with np.load(job.output) as analysis:
            drawn.append(analysis[f"channel_{channel}"])
    values = np.concatenate(drawn)
    del drawn
    low, median, high = np.percentile(values, _PERCENTILES)
    return {
        "mean": float(np.mean(values)),
        "median": float(median),
        "std": float(np.std(values)),
        "min": float(np.min(values)),
        "max": float(np.max(values)),
        "percentile_99_5": float(high),
        "percentile_00_5": float(low),
    }
