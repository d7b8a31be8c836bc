"""Medical Segmentation Decathlon: any of its task folders, 3D or 4D (multi-channel)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.nifti import NIFTI_ENDINGS, nifti_stem
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset
from gsl_experiments.datasets.tree import folders_holding


@dataclass(frozen=True)
class Task:
    """A Decathlon task folder: what its ``dataset.json`` says, and its training cases.

    Args:
        file: its ``dataset.json``.
        name: the task's own name, such as ``LIVER``.
        channel_names: one name a channel, in the order of the files' fourth axis.
        raw_labels: name -> raw value, by increasing value; ``background`` is the first.
        cases: those that have both files, by identifier.
        incomplete: one finding for each problem of each other case.
    """

    file: Path
    name: str
    channel_names: tuple[str, ...]
    raw_labels: dict[str, int]
    cases: tuple[RawCase, ...]
    incomplete: tuple[Finding, ...]


def read_msd(raw: Path) -> RawDataset:
    """Finds the training cases of a Decathlon task folder.

    The cases are those that ``dataset.json`` lists under ``training``, or without such a list every file of
    ``imagesTr``. Hidden files (``._*`` and ``.DS_Store`` of macOS) are no cases, even if they are listed.

    Args:
        raw: folder that holds ``imagesTr``, ``labelsTr`` and ``dataset.json``, itself or further down.

    Returns:
        The channels and labels of ``dataset.json``; each foreground label is evaluated by its own name. Label
        values are kept, or made consecutive where the task skips one.

    Raises:
        DatasetError: if the folder or ``dataset.json`` is missing, ``dataset.json`` is not valid, or no case
            is complete.
    """
    task = read_task(find_task(raw) or raw)
    labels = {name: index for index, name in enumerate(task.raw_labels)}
    return RawDataset(
        cases=task.cases,
        channel_names=task.channel_names,
        labels=labels,
        label_map={value: labels[name] for name, value in task.raw_labels.items()},
        regions={name: (label,) for name, label in labels.items() if label},
        incomplete=task.incomplete,
        edition=f"Decathlon {task.name}",
    )


def find_task(raw: Path) -> Path | None:
    """The one Decathlon task folder at or below a folder; None if there is none.

    Raises:
        DatasetError: if there are several.
    """
    folders = [folder for folder in folders_holding(raw, "imagesTr") if (folder / "dataset.json").is_file()]
    if len(folders) > 1:
        names = ", ".join(str(folder.relative_to(raw)) for folder in folders[:5])
        raise DatasetError(
            f"{raw}: {len(folders)} folders with imagesTr and dataset.json ({names}); point at one"
        )
    return folders[0] if folders else None


def read_task(folder: Path) -> Task:
    """Reads a task folder.

    Raises:
        DatasetError: if ``dataset.json`` is missing, not valid or that of an nnU-Net dataset, or if there is
            no case at all.
    """
    file = folder / "dataset.json"
    description = _read_description(file)
    cases, incomplete = [], []
    for stem in _case_stems(folder, description):
        images, labels = (_files(folder / name, stem) for name in ("imagesTr", "labelsTr"))
        if len(images) == len(labels) == 1:
            cases.append(RawCase(stem, (images[0],), labels[0]))
            continue
        for name, found in (("imagesTr", images), ("labelsTr", labels)):
            incomplete += _problems(folder / name, stem, found)
    return Task(
        file=file,
        name=str(description.get("name", folder.name)),
        channel_names=_channel_names(file, description),
        raw_labels=_raw_labels(file, description),
        cases=tuple(cases),
        incomplete=tuple(incomplete),
    )


def _read_description(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise DatasetError(
            f"{file}: no such file; point at a Decathlon task folder (imagesTr, labelsTr, dataset.json)"
        )
    try:
        description = json.loads(file.read_text())
    except ValueError as error:
        raise DatasetError(f"{file}: not valid JSON ({error}); download it again") from error
    if not isinstance(description, dict):
        raise DatasetError(f"{file}: not a JSON object; download it again")
    if "file_ending" in description:
        raise DatasetError(
            f"{file}: an nnU-Net dataset, not a Decathlon task; put its folder into nnUNet_raw and choose it "
            "with dataset=nnunet"
        )
    return description


def _channel_names(file: Path, description: Mapping[str, Any]) -> tuple[str, ...]:
    channels = description.get("modality", description.get("channel_names"))
    if not isinstance(channels, dict) or not channels or not all(key.isdecimal() for key in channels):
        raise DatasetError(f'{file}: no channels; add "modality": {{"0": "MRI"}} or the like')
    return tuple(str(channels[key]) for key in sorted(channels, key=int))


def _raw_labels(file: Path, description: Mapping[str, Any]) -> dict[str, int]:
    """Name -> raw value by increasing value; the Decathlon writes {"1": "name"}, nnU-Net v2 {"name": 1}."""
    entries = description.get("labels", {})
    try:
        by_value = all(str(key).isdecimal() for key in entries)
        pairs = [(entry, int(key)) if by_value else (key, int(entry)) for key, entry in entries.items()]
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError(
            f'{file}: "labels" must map values to names, like {{"0": "background"}}'
        ) from error
    names = {value: name for name, value in pairs}
    if 0 not in names or len(set(names.values())) != len(pairs):
        raise DatasetError(
            f'{file}: "labels" must hold 0 for the background and name each value once, not {entries}'
        )
    return {"background" if value == 0 else names[value]: value for value in sorted(names)}


def _case_stems(folder: Path, description: Mapping[str, Any]) -> list[str]:
    listed = description.get("training")
    if listed:
        if not all(isinstance(entry, dict) and "image" in entry for entry in listed):
            raise DatasetError(
                f'{folder / "dataset.json"}: each entry of "training" needs an "image"; correct it'
            )
        files = [Path(entry["image"]) for entry in listed]
    elif (folder / "imagesTr").is_dir():
        files = [file for name in ("imagesTr", "labelsTr") for file in (folder / name).glob("*")]
    else:
        raise DatasetError(f"{folder / 'imagesTr'}: no such folder; restore it from the task's archive")
    stems = sorted({stem for stem in map(nifti_stem, files) if stem})
    if not stems:
        raise DatasetError(
            f"{folder}: no training case; expected imagesTr/CASE.nii.gz and labelsTr/CASE.nii.gz"
        )
    return stems


def _files(folder: Path, stem: str) -> list[Path]:
    return [path for path in (folder / f"{stem}{ending}" for ending in NIFTI_ENDINGS) if path.is_file()]


def _problems(folder: Path, stem: str, found: list[Path]) -> list[Finding]:
    if len(found) > 1:
        problem = f"the same image as {found[0].name}"
        return [Finding("error", "duplicate file", stem, found[1], problem, "keep one of the two")]
    if not found:
        file, remedy = folder / f"{stem}.nii.gz", "add it or remove this case"
        return [Finding("error", "missing file", stem, file, "missing (also as .nii)", remedy)]
    return []
