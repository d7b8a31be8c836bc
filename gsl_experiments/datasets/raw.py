"""What every raw dataset is turned into before it is written for nnU-Net."""

import re
from dataclasses import dataclass
from pathlib import Path

from gsl_experiments.datasets.finding import Finding
from gsl_experiments.errors import UserError

# nnU-Net takes "<identifier>_seg.b2nd" for a segmentation, so that ending is not free.
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?<!_seg)")
_MOST_LABELS = 255


class DatasetError(UserError):
    """A raw dataset that cannot be used: one line that names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class RawCase:
    """One subject: its images and its label file, as they came.

    Args:
        identifier: nnU-Net's case identifier: letters, digits, ``.``, ``_`` and ``-``.
        images: one 3D file a channel, in the order of the dataset's channels, or one 4D file that holds them
            all.
        label: the 3D label file, with raw label values.
    """

    identifier: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class RawDataset:
    """A raw dataset of any layout, read but not yet converted.

    Args:
        cases: the labelled subjects.
        channel_names: one name a channel; nnU-Net normalises ``CT`` as CT and all else by z-score.
        labels: name -> nnU-Net label, consecutive, ``background`` = 0 first.
        label_map: raw label value -> nnU-Net label. Every raw value that may occur is listed.
        regions: name -> nnU-Net labels whose union is evaluated under that name.
        label_geometry_from_image: the headers of the label files are not reliable; only their shape is
            checked.
        incomplete: what the layout itself found wrong with cases that it therefore left out of ``cases``: a
            missing modality or label, a name that occurs twice.
        edition: which release or copy of the dataset it is, as far as names tell.
        unlabelled: number of cases of test and validation sets without labels, which were passed over.
        channel_order: where a 4D file holds all channels: the place in it of each of ``channel_names``; by
            default the channels are in that order.

    Raises:
        DatasetError: if there is no case, an identifier is repeated or not usable, or the labels, the map,
            the regions and the channels do not fit together.
    """

    cases: tuple[RawCase, ...]
    channel_names: tuple[str, ...]
    labels: dict[str, int]
    label_map: dict[int, int]
    regions: dict[str, tuple[int, ...]]
    label_geometry_from_image: bool = False
    incomplete: tuple[Finding, ...] = ()
    edition: str = ""
    unlabelled: int = 0
    channel_order: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuses what nnU-Net would choke on later."""
        _check_labels(self.labels, self.label_map, self.regions)
        if self.incomplete and not self.cases:
            raise DatasetError(f"no case is complete: {first_of(self.incomplete)}")
        _check_cases(self.cases, len(self.channel_names))

    @property
    def original_labels(self) -> dict[int, int]:
        """nnU-Net label -> raw label; where several raw labels were merged, the smallest of them."""
        return {
            label: min(raw for raw, mapped in self.label_map.items() if mapped == label)
            for label in self.labels.values()
        }


def first_of(findings: tuple[Finding, ...]) -> str:
    """The first of some findings in one line, and how many more there are."""
    others = len(findings) - 1
    return f"{findings[0]}" + (f" (and {others} more problem{'s' * (others > 1)})" if others else "")


def _check_labels(
    labels: dict[str, int], label_map: dict[int, int], regions: dict[str, tuple[int, ...]]
) -> None:
    values = list(labels.values())
    if not values or next(iter(labels)) != "background" or values != list(range(len(values))):
        raise DatasetError(f"labels must be background = 0 and then 1, 2, ... in order, not {labels}")
    if len(values) > _MOST_LABELS:
        raise DatasetError(f"at most {_MOST_LABELS} labels are supported, not {len(values)}")
    if set(label_map.values()) != set(values):
        raise DatasetError(f"the label map {label_map} must reach each of the labels {labels} and no other")
    for name, region in regions.items():
        if not region or not set(region) <= set(values[1:]):
            raise DatasetError(f"region {name!r} = {region} must list foreground labels among {labels}")


def _check_cases(cases: tuple[RawCase, ...], channels: int) -> None:
    if not cases or not channels:
        raise DatasetError(
            f"a dataset needs at least one case and one channel, not {len(cases)} and {channels}"
        )
    seen: set[str] = set()
    for case in cases:
        if not _IDENTIFIER.fullmatch(case.identifier):
            raise DatasetError(
                f"{case.label}: {case.identifier!r} cannot be a case identifier; rename the case with "
                "letters, digits, '.', '_' and '-' only, and no '_seg' at the end"
            )
        if case.identifier in seen:
            raise DatasetError(f"{case.label}: a second case named {case.identifier!r}; keep one of the two")
        if len(case.images) not in (1, channels):
            raise DatasetError(
                f"{case.identifier}: {len(case.images)} images for {channels} channels; give one a channel"
            )
        seen.add(case.identifier)
