"""One case on its way into nnU-Net: its checks, its images linked, its label mapped."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.atomic import replacing, write_json
from gsl_experiments.datasets.nifti import (
    HEADER_NOISE,
    Geometry,
    check_complete,
    read_geometry,
    read_image,
    write_image,
)
from gsl_experiments.datasets.raw import DatasetError, RawCase
from gsl_experiments.file_record import FileRecord

_logger = logging.getLogger(__name__)

SOURCES = "sources"  # folder of the records, one JSON file a case, of the files that it was made of
_INTEGER_NOISE = 1e-3
_UNKNOWN = 255


@dataclass(frozen=True)
class CaseWriter:
    """Writes cases into the ``imagesTr`` and ``labelsTr`` of one nnU-Net raw folder.

    Args:
        folder: the nnU-Net raw folder.
        ending: file ending of all images and labels in it.
        label_map: raw label value -> nnU-Net label.
        channel_order: for each channel its place in a 4D file of all channels.
        label_geometry_from_image: compare only the shape of a label with its image's.
    """

    folder: Path
    ending: str
    label_map: dict[int, int]
    channel_order: tuple[int, ...]
    label_geometry_from_image: bool

    @property
    def channels(self) -> int:
        """Number of channels of each case."""
        return len(self.channel_order)

    def image_files(self, case: str) -> list[Path]:
        """The image files of a case, one a channel."""
        stem = self.folder / "imagesTr" / case
        return [stem.with_name(f"{stem.name}_{channel:04d}{self.ending}") for channel in range(self.channels)]

    def label_file(self, case: str) -> Path:
        """The label file of a case."""
        return self.folder / "labelsTr" / f"{case}{self.ending}"

    def is_up_to_date(self, case: RawCase) -> bool:
        """Whether a case is written, from these very files as they are now."""
        files, records = source_files(case), read_sources(self.folder, case.identifier)
        if len(files) != len(records) or not self.label_file(case.identifier).is_file():
            return False
        unchanged = all(
            record.path == str(file) and record.looks_like(file)
            for file, record in zip(files, records, strict=True)
        )
        return unchanged and all(image.is_file() for image in self.image_files(case.identifier))

    def write(self, case: RawCase) -> str | None:
        """Writes one case, the record of its files last; returns None, or what is wrong with it, writing nothing."""
        try:
            geometry = self._check_images(case)
            self._check_label_geometry(case.label, geometry)
            records = [FileRecord.of(file) for file in source_files(case)]
            label = _read_label(case.label, geometry, self.label_map)
            if len(case.images) == self.channels:
                for source, target in zip(case.images, self.image_files(case.identifier), strict=True):
                    self._place_image(source, target, geometry)
            else:
                _split_channels(case.images[0], self.image_files(case.identifier), self.channel_order)
            write_image(label, self.label_file(case.identifier))
            write_json(_sources_file(self.folder, case.identifier), [asdict(record) for record in records])
        except DatasetError as error:
            return str(error)
        return None

    def _check_images(self, case: RawCase) -> Geometry:
        geometries = [read_geometry(image) for image in case.images]
        for image, geometry in zip(case.images, geometries, strict=True):
            if geometry.channels * len(case.images) != self.channels:
                raise DatasetError(
                    f"{image}: {geometry.channels} channels where {self.channels // len(case.images)} are "
                    "needed; correct the channel names or the image"
                )
            difference = geometry.difference(geometries[0], HEADER_NOISE)
            if difference:
                raise DatasetError(
                    f"{image}: not on the grid of {case.images[0].name} ({difference}); resample it"
                )
        return geometries[0]

    def _place_image(self, source: Path, target: Path, geometry: Geometry) -> None:
        # nnU-Net refuses channels whose spacings differ at all: header noise cannot be linked.
        if source.name.endswith(self.ending) and read_geometry(source) == geometry:
            check_complete(source)
            _link_or_copy(source, target)
        else:
            write_image(geometry.apply_to(read_image(source)), target)

    def _check_label_geometry(self, file: Path, image: Geometry) -> None:
        label = read_geometry(file)
        difference = "4D against 3D" if label.channels != 1 else label.difference(image, HEADER_NOISE)
        if not difference:
            return
        if self.label_geometry_from_image and label.size == image.size and label.channels == 1:
            _logger.warning("%s: takes the geometry of its image (%s)", file, difference)
            return
        raise DatasetError(
            f"{file}: not on the grid of its image ({difference}); resample it or drop the case"
        )


def source_files(case: RawCase) -> list[Path]:
    """The user's files that a case is made of, images first, as absolute paths."""
    return [file.absolute() for file in (*case.images, case.label)]


def read_sources(folder: Path, case: str) -> list[FileRecord]:
    """The files that a case in an nnU-Net raw folder was made of, as they were; none where that is not known."""
    try:
        return [FileRecord(**record) for record in json.loads(_sources_file(folder, case).read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def _sources_file(folder: Path, case: str) -> Path:
    return folder / SOURCES / f"{case}.json"


def _link_or_copy(source: Path, target: Path) -> None:
    with replacing(target) as partial:
        try:
            partial.symlink_to(source.resolve())
        except (OSError, NotImplementedError):
            shutil.copyfile(source, partial)


def _split_channels(source: Path, targets: list[Path], channel_order: tuple[int, ...]) -> None:
    image = read_image(source)
    for channel, target in zip(channel_order, targets, strict=True):
        write_image(sitk.Extract(image, [*image.GetSize()[:3], 0], [0, 0, 0, channel]), target)


def _read_label(file: Path, geometry: Geometry, label_map: Mapping[int, int]) -> sitk.Image:
    # The view is only good while the image that owns the memory has a name.
    raw_label = read_image(file)
    values = sitk.GetArrayViewFromImage(raw_label)
    return geometry.apply_to(sitk.GetImageFromArray(_map_labels(file, values, label_map)))


def _map_labels(file: Path, values: npt.NDArray[Any], label_map: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    mapped = np.full(values.shape, _UNKNOWN, np.uint8)
    for raw, label in label_map.items():
        # Labels stored as floats, or with a scale factor, may be off by rounding.
        is_raw = np.abs(values - raw) < _INTEGER_NOISE if values.dtype.kind == "f" else values == raw
        mapped[is_raw] = label
    unknown = np.unique(values[mapped == _UNKNOWN])
    if unknown.size:
        shown = ", ".join(f"{value:g}" for value in unknown[:5]) + (", ..." if unknown.size > 5 else "")
        allowed = ", ".join(map(str, sorted(label_map)))
        raise DatasetError(
            f"{file}: label value {shown} where only {allowed} are allowed; correct the label file"
        )
    return mapped
