"""LiTS 2017: abdominal CT, binary liver segmentation as in section 2.3 of the paper."""

import re
from dataclasses import replace
from pathlib import Path

from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.msd import Task, find_task, read_task
from gsl_experiments.datasets.nifti import nifti_stem
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset
from gsl_experiments.datasets.tree import nifti_files

_EXPECTED = "volume-N.nii[.gz] and segmentation-N.nii[.gz], or the Decathlon's Task03_Liver"

Numbered = dict[int, list[Path]]


def read_lits(raw: Path) -> RawDataset:
    """Finds the LiTS training cases below a folder; the liver's lesions (raw 2) are part of the liver (1).

    Two editions hold the same 131 scans. The challenge's has ``volume-N`` and ``segmentation-N``, which may
    lie in any folders (its two batches, Kaggle's ``volume_pt1`` beside ``segmentations``); its unlabelled
    ``test-volume-N`` are passed over. The Decathlon's ``Task03_Liver`` has corrected spacings; it is
    recognised by its ``imagesTr`` and ``dataset.json``. Both give the same identifiers, hence the same folds.

    Some label files of the challenge bear no geometry (unit spacing beside a CT of 0.8 x 0.8 x 2.5 mm, as in
    number 53), though their voxels are those of the CT: labels take the geometry of their volume. Volumes 28
    to 47 are published with unit spacing themselves; nothing here can know better.

    Args:
        raw: folder with one of the editions, at any depth.

    Returns:
        One CT channel, labels background and liver, cases ``lits_000``, ``lits_001``, ... in the order of N.

    Raises:
        DatasetError: if the folder is missing, holds no volume or both editions, or no case is complete.
    """
    if not raw.is_dir():
        raise DatasetError(f"{raw}: no such folder; point it at the folder that holds {_EXPECTED}")
    files = nifti_files(raw)
    volumes, segmentations = _numbered(files, "volume"), _numbered(files, "segmentation")
    task = find_task(raw)
    if task is not None and volumes:
        raise DatasetError(
            f"{raw}: holds LiTS twice, as volume-N and as a Decathlon task in {task}; point at one of the two"
        )
    if task is not None:
        return _read_decathlon(read_task(task))
    if not volumes:
        raise DatasetError(f"{raw}: no LiTS volume found; expected {_EXPECTED} in this folder or below")
    cases, incomplete = [], []
    for number in sorted(volumes.keys() | segmentations.keys()):
        images, labels = volumes.get(number, []), segmentations.get(number, [])
        identifier = f"lits_{number:03d}"
        if len(images) == len(labels) == 1:
            cases.append(RawCase(identifier, (images[0],), labels[0]))
            continue
        incomplete += _problems(identifier, f"volume-{number}", images, labels)
        incomplete += _problems(identifier, f"segmentation-{number}", labels, images)
    tests = _numbered(files, "test-volume")
    return RawDataset(
        cases=tuple(cases),
        channel_names=("CT",),
        labels={"background": 0, "liver": 1},
        label_map={0: 0, 1: 1, 2: 1},
        regions={"Liver": (1,)},
        label_geometry_from_image=True,
        incomplete=tuple(incomplete),
        edition="LiTS 2017",
        unlabelled=len(tests),
    )


def _numbered(files: list[Path], prefix: str) -> Numbered:
    numbered: Numbered = {}
    for path in files:
        match = re.fullmatch(rf"{prefix}-(\d+)", nifti_stem(path) or "")
        if match:
            numbered.setdefault(int(match[1]), []).append(path)
    return numbered


def _problems(case: str, name: str, found: list[Path], counterparts: list[Path]) -> list[Finding]:
    if len(found) > 1:
        problem = f"a second {name} beside {found[0]}"
        return [Finding("error", "duplicate file", case, found[1], problem, "keep one of the two")]
    if not found:
        problem, remedy = f"{name}.nii[.gz] is missing", "add it or remove this file"
        return [Finding("error", "missing file", case, counterparts[0], problem, remedy)]
    return []


def _read_decathlon(task: Task) -> RawDataset:
    if list(task.raw_labels.values()) != [0, 1, 2] or list(task.raw_labels)[1].lower() != "liver":
        raise DatasetError(
            f"{task.file}: labels {task.raw_labels}, where Task03_Liver has 1 = liver and 2 = cancer; "
            "point at Task03_Liver"
        )
    if len(task.channel_names) != 1:
        raise DatasetError(f"{task.file}: channels {task.channel_names} where Task03_Liver has a CT alone")
    identifiers = {case.identifier: _identifier(case.identifier) for case in task.cases}
    cases = (replace(case, identifier=identifiers[case.identifier]) for case in task.cases)
    return RawDataset(
        cases=tuple(sorted(cases, key=lambda case: case.identifier)),
        channel_names=("CT",),
        labels={"background": 0, "liver": 1},
        label_map={0: 0, 1: 1, 2: 1},
        regions={"Liver": (1,)},
        incomplete=tuple(replace(finding, case=_identifier(finding.case)) for finding in task.incomplete),
        edition="Decathlon Task03_Liver",
    )


def _identifier(stem: str) -> str:
    """``lits_007`` for ``liver_7``: it is volume 7 of the challenge."""
    match = re.fullmatch(r"liver_(\d+)", stem)
    return f"lits_{int(match[1]):03d}" if match else stem
