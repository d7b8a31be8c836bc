"""Medical Segmentation Decathlon: any of its task folders, 3D or 4D (multi-channel)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gsl_experiments.datasets.nifti import find_nifti, nifti_stem
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset


def read_msd(raw: Path) -> RawDataset:
    """Finds the training cases of a Decathlon task folder.

    The cases are those that ``dataset.json`` lists under ``training``, or without such a list every file of
    ``imagesTr``. Hidden files (``._*`` and ``.DS_Store`` of macOS) are no cases, even if they are listed.

    Args:
        raw: folder that holds ``imagesTr``, ``labelsTr`` and ``dataset.json``.

    Returns:
        The channels and labels of ``dataset.json``; each foreground label is evaluated by its own name. Label
        values are kept, or made consecutive where the task skips one.

    Raises:
        DatasetError: if the folder, ``dataset.json``, an image or a label is missing, or ``dataset.json`` is
            not valid.
    """
    description = _read_description(raw / "dataset.json")
    channel_names = _channel_names(raw / "dataset.json", description)
    raw_labels = _raw_labels(raw / "dataset.json", description)
    labels = {name: index for index, name in enumerate(raw_labels)}
    return RawDataset(
        cases=tuple(_read_case(raw, stem) for stem in _case_stems(raw, description)),
        channel_names=channel_names,
        labels=labels,
        label_map={value: labels[name] for name, value in raw_labels.items()},
        regions={name: (label,) for name, label in labels.items() if label},
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


def _case_stems(raw: Path, description: Mapping[str, Any]) -> list[str]:
    listed = description.get("training")
    if listed:
        if not all(isinstance(entry, dict) and "image" in entry for entry in listed):
            raise DatasetError(
                f'{raw / "dataset.json"}: each entry of "training" needs an "image"; correct it'
            )
        files = [Path(entry["image"]) for entry in listed]
    elif (raw / "imagesTr").is_dir():
        files = list((raw / "imagesTr").iterdir())
    else:
        raise DatasetError(f"{raw / 'imagesTr'}: no such folder; restore it from the task's archive")
    stems = sorted(stem for stem in map(nifti_stem, files) if stem)
    if not stems:
        raise DatasetError(f"{raw}: no training case; expected imagesTr/CASE.nii.gz and labelsTr/CASE.nii.gz")
    return stems


def _read_case(raw: Path, stem: str) -> RawCase:
    files = []
    for folder in ("imagesTr", "labelsTr"):
        path = find_nifti(raw / folder, stem)
        if path is None:
            raise DatasetError(
                f"{raw / folder / stem}.nii.gz (or .nii) is missing; add it or remove this case"
            )
        files.append(path)
    return RawCase(stem, (files[0],), files[1])
