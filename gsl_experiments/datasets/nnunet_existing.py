"""A dataset that lies in nnU-Net's raw format already, whoever wrote it and in whatever file format."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gsl_experiments.datasets.description import evaluation_regions
from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset

Files = dict[str, tuple[list[Path], Path]]


def read_nnunet(raw: Path) -> RawDataset:
    """Finds the training cases of a ``DatasetNNN_Name`` folder; nothing in it has to be written anew.

    Args:
        raw: holds ``imagesTr/CASE_0000``, ..., ``labelsTr/CASE`` and ``dataset.json``, or a
            ``dataset.json`` that lists the files of each case under ``dataset``.

    Returns:
        Channels, labels and regions of ``dataset.json``; label values as the files have them. Headers of labels
        do not count, as in nnU-Net.

    Raises:
        DatasetError: if ``dataset.json`` is missing or not valid, if its labels overlap or hold an ignore
            label, which no loss here can be trained with, or if no case is complete.
    """
    file = raw / "dataset.json"
    description = _read_description(file)
    channels = description["channel_names"]
    labels = _labels(file, description["labels"])
    files = _listed(raw, description) or _found(raw, description["file_ending"], len(channels))
    cases, incomplete = [], []
    for identifier, (images, label) in sorted(files.items()):
        problems = [*_problems(identifier, images, label, len(channels))]
        incomplete += problems
        if not problems:
            cases.append(RawCase(identifier, tuple(images), label))
    return RawDataset(
        cases=tuple(cases),
        channel_names=tuple(str(channels[key]) for key in sorted(channels, key=int)),
        labels=labels,
        label_map={label: label for label in labels.values()},
        regions=evaluation_regions(description | {"labels": labels}),
        label_geometry_from_image=True,
        incomplete=tuple(incomplete),
        edition=str(description.get("edition") or raw.name),
    )


def _read_description(file: Path) -> dict[str, Any]:
    try:
        description = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise DatasetError(
            f"{file}: no such file; an nnU-Net raw dataset has imagesTr, labelsTr and dataset.json"
        ) from error
    except ValueError as error:
        raise DatasetError(
            f"{file}: not valid JSON ({error}); write it as nnU-Net's documentation says"
        ) from error
    needed = {"channel_names": dict, "labels": dict, "file_ending": str}
    for key, kind in needed.items():
        if not isinstance(description, dict) or not isinstance(description.get(key), kind):
            raise DatasetError(f"{file}: no usable {key!r}; add it as nnU-Net's documentation says")
    if not description["channel_names"] or not all(key.isdecimal() for key in description["channel_names"]):
        raise DatasetError(f'{file}: "channel_names" must number the channels, like {{"0": "CT"}}')
    return description


def _labels(file: Path, entries: Mapping[str, Any]) -> dict[str, int]:
    if "ignore" in entries or any(isinstance(value, list | tuple) for value in entries.values()):
        raise DatasetError(
            f"{file}: an ignore label and regions (lists of labels) are not supported; give each label a "
            'value of its own and name the regions under "evaluation_regions"'
        )
    try:
        values = {name: int(value) for name, value in entries.items()}
    except (TypeError, ValueError) as error:
        raise DatasetError(f'{file}: "labels" must map names to numbers, not {dict(entries)}') from error
    return dict(sorted(values.items(), key=lambda item: item[1]))


def _listed(folder: Path, description: Mapping[str, Any]) -> Files:
    """The files that ``dataset.json`` lists itself; paths are relative to its folder, with variables."""

    def locate(name: str) -> Path:
        return (folder / os.path.expandvars(name)).absolute()

    entries = description.get("dataset", {})
    try:
        return {
            name: ([locate(image) for image in entry["images"]], locate(entry["label"]))
            for name, entry in entries.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise DatasetError(
            f'{folder / "dataset.json"}: each entry of "dataset" needs "images" and a "label"; correct it'
        ) from error


def _found(folder: Path, ending: str, channels: int) -> Files:
    names = {
        subfolder: {
            file.name.removesuffix(ending)
            for file in (folder / subfolder).glob(f"*{ending}")
            if not file.name.startswith(".")
        }
        for subfolder in ("imagesTr", "labelsTr")
    }
    identifiers = {re.sub(r"_\d{4}$", "", name) for name in names["imagesTr"]} | names["labelsTr"]
    if not identifiers:
        raise DatasetError(
            f"{folder / 'imagesTr'}: no file that ends in {ending}; expected CASE_0000{ending}"
        )
    return {
        identifier: (
            [folder / "imagesTr" / f"{identifier}_{channel:04d}{ending}" for channel in range(channels)],
            folder / "labelsTr" / f"{identifier}{ending}",
        )
        for identifier in identifiers
    }


def _problems(identifier: str, images: list[Path], label: Path, channels: int) -> Iterator[Finding]:
    if len(images) != channels:
        problem = f"{len(images)} images are listed for {channels} channels"
        yield Finding("error", "missing file", identifier, label, problem, "correct dataset.json")
    for file in (*images, label):
        if not file.is_file():
            yield Finding(
                "error", "missing file", identifier, file, "no such file", "add it or remove this case"
            )
