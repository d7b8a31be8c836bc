"""What was made of which files by which settings: one small JSON file a case, beside the distance maps.

An entry is written once all files of its case are in place, so it survives a kill at any moment: what it does not
hold, or what differs from it, is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gsl_experiments.atomic import write_json
from gsl_experiments.file_record import FileRecord
from gsl_experiments.preprocessing.maps import maps_folder

CLASS_WEIGHTS = "class_weights.json"  # beside the maps; its presence says that every case is in place
FINGERPRINT = "dataset_fingerprint.json"  # nnU-Net's name
_FINGERPRINT_RECORD = "dataset_fingerprint_manifest.json"


@dataclass(frozen=True)
class CaseEntry:
    """What is known of a preprocessed case.

    Args:
        case: its identifier.
        recipe: the settings that its files depend on: see :func:`gsl_experiments.preprocessing.recipe.recipe`.
        inputs: its raw files, images in the order of the channels and the label last.
        outputs: what was written, by its path below the dataset's preprocessed folder.
        voxels: voxels of each class, as the class weights count them.
    """

    case: str
    recipe: dict[str, Any]
    inputs: tuple[FileRecord, ...]
    outputs: dict[str, FileRecord]
    voxels: tuple[int, ...]

    def inputs_look_like(self, files: list[Path]) -> bool:
        """Whether these are the recorded raw files, by size and time."""
        return len(files) == len(self.inputs) and all(
            record.looks_like(file) for record, file in zip(self.inputs, files, strict=True)
        )

    def inputs_match(self, files: list[Path]) -> bool:
        """Whether these are the recorded raw files, by content where a time differs."""
        return len(files) == len(self.inputs) and all(
            record.matches(file) for record, file in zip(self.inputs, files, strict=True)
        )


Inputs = dict[str, tuple[FileRecord, ...]]  # raw files of each case, images first


def manifest_folder(cases_folder: Path) -> Path:
    """Return the folder of the entries that belong to the preprocessed cases in ``cases_folder``."""
    return maps_folder(cases_folder) / "manifest"


def entry_file(cases_folder: Path, case: str) -> Path:
    """Return the file of a case's entry."""
    return manifest_folder(cases_folder) / f"{case}.json"


def write_entry(entry: CaseEntry, cases_folder: Path) -> None:
    """Write a case's entry, whole or not at all."""
    write_json(entry_file(cases_folder, entry.case), asdict(entry))


def read_entry(cases_folder: Path, case: str) -> CaseEntry | None:
    """Return a case's entry; None where there is none, or none that can be read."""
    try:
        content = json.loads(entry_file(cases_folder, case).read_text())
        return CaseEntry(
            case=content["case"],
            recipe=content["recipe"],
            inputs=tuple(FileRecord(**record) for record in content["inputs"]),
            outputs={name: FileRecord(**record) for name, record in content["outputs"].items()},
            voxels=tuple(content["voxels"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def read_entries(cases_folder: Path) -> Iterator[CaseEntry]:
    """Yield all entries that belong to the preprocessed cases in ``cases_folder``, sorted by case."""
    for file in sorted(manifest_folder(cases_folder).glob("*.json")):
        entry = read_entry(cases_folder, file.stem)
        if entry is not None:
            yield entry


def hash_of_cases(cases_folder: Path) -> str:
    """Return one SHA-256 for the content of all preprocessed cases in ``cases_folder``, maps included."""
    contents = {
        entry.case: {name: output.sha256 for name, output in sorted(entry.outputs.items())}
        for entry in read_entries(cases_folder)
    }
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


def read_fingerprint_record(preprocessed: Path) -> tuple[Inputs, FileRecord] | None:
    """Return the raw files that the fingerprint was taken of, and its own record; None where there are none."""
    try:
        content = json.loads((preprocessed / _FINGERPRINT_RECORD).read_text())
        inputs = {
            case: tuple(FileRecord(**record) for record in records)
            for case, records in content["inputs"].items()
        }
        return inputs, FileRecord(**content["fingerprint"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_fingerprint_record(inputs: Inputs, preprocessed: Path) -> None:
    """Record which raw files the fingerprint was taken of."""
    content = {
        "fingerprint": asdict(FileRecord.of(preprocessed / FINGERPRINT)),
        "inputs": {case: [asdict(record) for record in records] for case, records in inputs.items()},
    }
    write_json(preprocessed / _FINGERPRINT_RECORD, content)
