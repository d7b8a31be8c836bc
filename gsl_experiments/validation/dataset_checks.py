"""What only shows when cases are compared with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from nibabel.orientations import aff2axcodes

from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.nifti import Geometry
from gsl_experiments.datasets.raw import RawCase, RawDataset
from gsl_experiments.validation.case_checks import Facts, has_valid_spacing
from gsl_experiments.validation.kinds import WHOLE_DATASET, make_finding
from gsl_experiments.validation.spacing_checks import check_spacings


def compare_cases(dataset: RawDataset, facts: Facts) -> list[Finding]:
    """Everything that the cases of a dataset say against each other; files that cannot be read do not count."""
    geometries = {
        case: geometry
        for case in dataset.cases
        if (geometry := facts[case.images[0]].geometry) is not None
        and len(geometry.size) == 3
        and has_valid_spacing(facts[case.images[0]])
    }
    return [*check_spacings(geometries), *_odd_orientations(geometries), *_duplicates(dataset, facts)]


def absent_classes(dataset: RawDataset, facts: Facts, bad: Collection[str]) -> list[Finding]:
    """The classes that no case holds, of those that are not ``bad`` for another reason."""
    usable = [case for case in dataset.cases if case.identifier not in bad]
    counts: Counter[int] = Counter()
    for case in usable:
        for value, number in facts[case.label].channels[0].counts.items():
            counts[dataset.label_map[value]] += number
    return [
        make_finding(
            "absent class",
            WHOLE_DATASET,
            usable[0].label.parent,
            f"no voxel of {name} (label {label}) in any of {len(usable)} usable cases",
        )
        for name, label in dataset.labels.items()
        if usable and not counts[label]
    ]


def _odd_orientations(geometries: dict[RawCase, Geometry]) -> Iterator[Finding]:
    codes = {case: _axis_codes(geometry) for case, geometry in geometries.items()}
    numbers = Counter(codes.values())
    if len(numbers) < 2:
        return
    usual, number = numbers.most_common(1)[0]
    for case, code in codes.items():
        if code != usual:
            problem = f"orientation {code} where {number} of {len(codes)} cases are {usual}"
            yield make_finding("orientation", case.identifier, case.images[0], problem)


def _axis_codes(geometry: Geometry) -> str:
    """Where the array's axes point, as in ``RAS``: to the right, the front and the top."""
    to_ras = np.diag([-1.0, -1.0, 1.0])
    steps = to_ras @ np.reshape(geometry.direction, (3, 3)) * geometry.spacing_mm
    return "".join(str(code) for code in aff2axcodes(np.block([[steps, np.zeros((3, 1))], [0, 0, 0, 1]])))


def _duplicates(dataset: RawDataset, facts: Facts) -> Iterator[Finding]:
    first: dict[str, tuple[RawCase, Path, int]] = {}
    reported: set[tuple[str, str]] = set()
    for case in dataset.cases:
        for file in case.images:
            for channel, voxels in enumerate(facts[file].channels):
                if voxels.minimum == voxels.maximum:
                    continue  # constant: a finding of its own
                other, other_file, other_channel = first.setdefault(voxels.digest, (case, file, channel))
                pair = (other.identifier, case.identifier)
                if (other_file, other_channel) == (file, channel) or pair in reported:
                    continue
                reported.add(pair)
                where = f"channel {channel}: " if other_file == file else ""
                what = f"channel {other_channel}" if other_file == file else str(other_file.name)
                whose = "this case" if other is case else f"case {other.identifier}"
                problem = f"{where}the same voxels as {what} of {whose}"
                yield make_finding("duplicate image", case.identifier, file, problem)
