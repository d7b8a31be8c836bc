"""What is wrong with one case, from the facts about its files."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.nifti import HEADER_NOISE, Geometry
from gsl_experiments.datasets.raw import RawCase, RawDataset
from gsl_experiments.validation.kinds import make_finding
from gsl_experiments.validation.scan import FileFacts
from gsl_experiments.validation.voxels import Voxels

# Two geometries in one header may differ by rounding; half a voxel of a CT is 0.35 mm.
CONTRADICTION_MM = 0.1
# Air is -1000 HU and every scan of a body has some beside or in it; soft tissue lies above 0 HU.
HIGHEST_AIR_HU, LOWEST_TISSUE_HU = -500.0, 100.0
# With more labels than this, an 8-bit image may hold no other values either.
MOST_LABELS = 30
# No organ, and no tumour that somebody outlined, is that small.
FEWEST_LABELLED_VOXELS = 10
_SHOWN_VALUES = 5

Facts = Mapping[Path, FileFacts]


def check_case(dataset: RawDataset, case: RawCase, facts: Facts) -> list[Finding]:
    """Everything that one case's files say against it; a file that cannot be read is not judged further."""
    files = (*case.images, case.label)
    return [
        *(finding for file in files for finding in _check_file(case, file, facts[file])),
        *_check_grids(dataset, case, facts),
        *(finding for file in case.images for finding in _check_image(dataset, case, file, facts)),
        *_check_label(dataset, case, facts[case.label]),
    ]


def _check_file(case: RawCase, file: Path, facts: FileFacts) -> Iterator[Finding]:
    if facts.failure is not None:
        failure = facts.failure
        yield make_finding(failure.kind, case.identifier, file, failure.problem, failure.remedy)
        return
    nans = sum(voxels.nans for voxels in facts.channels)
    infinities = sum(voxels.infinities for voxels in facts.channels)
    if nans or infinities:
        problem = f"{nans} voxels are NaN and {infinities} infinite"
        yield make_finding("NaN or infinite voxels", case.identifier, file, problem)
    if not has_valid_spacing(facts):
        problem = f"spacing {in_mm(facts.header_spacing_mm)} in the header"
        yield make_finding("invalid spacing", case.identifier, file, problem)
    if facts.contradiction_mm > CONTRADICTION_MM:
        problem = f"its sform and its qform place voxels up to {facts.contradiction_mm:.3g} mm apart"
        yield make_finding("contradictory header", case.identifier, file, problem)


def has_valid_spacing(facts: FileFacts) -> bool:
    """Whether the header has a voxel size that can be one: ITK reads 1 mm where it has not."""
    return all(math.isfinite(size) and size > 0 for size in facts.header_spacing_mm)


def _check_grids(dataset: RawDataset, case: RawCase, facts: Facts) -> Iterator[Finding]:
    reference = _geometry(facts, case.images[0])
    if reference is None or not has_valid_spacing(facts[case.images[0]]):
        return
    noise_mm: dict[Path, float] = {}
    for file in (*case.images[1:], case.label):
        geometry = _geometry(facts, file)
        if geometry is None or not has_valid_spacing(facts[file]):
            continue
        whose = "its image" if file == case.label else case.images[0].name
        if geometry.size != reference.size:
            problem = f"{_voxels(geometry)} where {whose} has {_voxels(reference)}"
            yield make_finding("shape mismatch", case.identifier, file, problem)
            continue
        displacement_mm = _displacement_mm(geometry, reference)
        if difference := geometry.difference(reference, HEADER_NOISE):
            relaxed = file == case.label and dataset.label_geometry_from_image
            problem = f"voxels lie up to {displacement_mm:.3g} mm from those of {whose} ({difference})"
            kind = "label geometry" if relaxed else "geometry mismatch"
            yield make_finding(kind, case.identifier, file, problem)
        elif displacement_mm > 0:
            noise_mm[file] = displacement_mm
    if noise_mm:
        more = f" (and {len(noise_mm) - 1} more of this case)" if len(noise_mm) > 1 else ""
        problem = f"differs from the first image by {max(noise_mm.values()):.2g} mm{more}; mended"
        yield make_finding("header noise", case.identifier, next(iter(noise_mm)), problem)


def _check_image(dataset: RawDataset, case: RawCase, file: Path, facts: Facts) -> Iterator[Finding]:
    channels = facts[file].channels
    if not channels:
        return
    due = len(dataset.channel_names) // len(case.images)
    if len(channels) != due:
        found = f"4D with {len(channels)} channels" if len(channels) > 1 else "3D"
        needed = f"4D with {due} channels" if due > 1 else "3D"
        problem = f"{found} where {needed} is due"
        yield make_finding("wrong dimensions", case.identifier, file, problem)
        return
    varied = any(each.minimum != each.maximum for image in case.images for each in facts[image].channels)
    order = dataset.channel_order or tuple(range(len(dataset.channel_names)))
    for channel, voxels in enumerate(channels):
        where = f"channel {channel}: " if due > 1 else ""
        name = dataset.channel_names[order.index(channel) if due > 1 else case.images.index(file)]
        for kind, problem in _channel_problems(name, voxels, dataset, facts[case.label]):
            kind = "constant channel" if kind == "constant image" and varied else kind
            yield make_finding(kind, case.identifier, file, where + problem)


def _channel_problems(
    name: str, voxels: Voxels, dataset: RawDataset, label: FileFacts
) -> Iterator[tuple[str, str]]:
    low, high = voxels.minimum, voxels.maximum
    if low == high:
        yield "constant image", f"all voxels are {low:g}"
    elif any(voxels.digest == values.digest for values in label.channels):
        yield "image holds labels", "the same voxels as the label of this case"
    elif voxels.whole and low >= 0 and high <= min(max(dataset.label_map), MOST_LABELS):
        holds = f"holds only whole numbers from {low:g} to {high:g}"
        if any(values.counts.keys() - dataset.label_map.keys() for values in label.channels):
            yield "image holds labels", f"{holds}, and the label file other values: swapped?"
        else:
            yield "label-like image", holds
    elif name.casefold() == "ct" and not (low <= HIGHEST_AIR_HU and high >= LOWEST_TISSUE_HU):
        yield (
            "not in HU",
            f"values from {low:g} to {high:g} in a CT, which has air below {HIGHEST_AIR_HU:g} HU",
        )


def _check_label(dataset: RawDataset, case: RawCase, facts: FileFacts) -> Iterator[Finding]:
    if facts.failure is not None:
        return

    def found(kind: str, problem: str) -> Finding:
        return make_finding(kind, case.identifier, case.label, problem)

    if len(facts.channels) != 1:
        yield found("wrong dimensions", f"4D with {len(facts.channels)} channels where 3D is due")
        return
    voxels = facts.channels[0]
    if voxels.fractional:
        yield found("non-integer label", f"{_count(voxels.fractional)} not whole, such as {voxels.example:g}")
    elif voxels.rounding:
        yield found("rounded label", f"values up to {voxels.rounding:.1g} from whole numbers; mended")
    unknown = sorted(voxels.counts.keys() - dataset.label_map.keys())
    if unknown:
        number = sum(voxels.counts[value] for value in unknown)
        shown = ", ".join(map(str, unknown[:_SHOWN_VALUES])) + ", ..." * (len(unknown) > _SHOWN_VALUES)
        allowed = ", ".join(map(str, sorted(dataset.label_map)))
        yield found("unknown label", f"label value {shown} ({_count(number)}) where {allowed} are allowed")
        return
    labelled = sum(number for value, number in voxels.counts.items() if dataset.label_map[value])
    if not labelled and not voxels.fractional:
        yield found("empty label", "no voxel is labelled")
    elif 0 < labelled < FEWEST_LABELLED_VOXELS:
        yield found("tiny label", f"only {_count(labelled)} labelled")


def in_mm(lengths: Iterable[float]) -> str:
    """Lengths as text: ``0.8 x 0.8 x 2.5 mm``."""
    return " x ".join(f"{length:.4g}" for length in lengths) + " mm"


def _geometry(facts: Facts, file: Path) -> Geometry | None:
    return facts[file].geometry


def _displacement_mm(one: Geometry, other: Geometry) -> float:
    """The largest distance between the places that two grids of one size give to a corner voxel."""
    places = []
    for grid in (one, other):
        steps = np.reshape(grid.direction, (len(grid.size), -1)) * grid.spacing_mm
        corners = itertools.product(*((0, size - 1) for size in grid.size))
        places.append(np.array([steps @ corner + grid.origin_mm for corner in corners]))
    return float(np.linalg.norm(places[0] - places[1], axis=1).max())


def _voxels(geometry: Geometry) -> str:
    return " x ".join(map(str, geometry.size)) + " voxels"


def _count(number: int) -> str:
    return f"{number} voxel" + "s" * (number != 1)
