"""The one way into nnU-Net: checks a raw dataset and writes it as an nnU-Net v2 raw folder."""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813
from tqdm import tqdm

from gsl_experiments.datasets.nifti import Geometry, read_geometry, read_image, replacing, write_image
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset

_logger = logging.getLogger(__name__)

# Files written by different programs disagree in the last digits of their headers: below this, in mm and in
# direction cosines, two grids are the same.
_HEADER_NOISE = 1e-3
_INTEGER_NOISE = 1e-3
_UNKNOWN = 255
# A worker costs seconds to start: it has to have some cases to be worth it.
_CASES_PER_PROCESS = 8


def write_nnunet_raw(dataset: RawDataset, folder: Path, *, processes: int = 1) -> None:
    """Writes a raw dataset as nnU-Net v2 expects it, checking each label file on the way.

    Writes ``imagesTr/CASE_0000.nii.gz``, ..., ``labelsTr/CASE.nii.gz`` and at the very end ``dataset.json``,
    to whose nnU-Net keys are added ``evaluation_regions`` (name -> nnU-Net labels), ``original_labels``
    (nnU-Net label -> raw label) and ``label_map`` (raw label -> nnU-Net label). The file ending is ``.nii``
    if all images have it. Images that can be used as they are become symbolic links, or copies where links
    are not possible. Labels are written as uint8 with the geometry of their image. A case that is there and
    newer than its raw files is left alone; an interrupted call never leaves half a file.

    Args:
        dataset: what to write.
        folder: nnU-Net's ``DatasetNNN_Name`` folder; made if missing.
        processes: number of worker processes; few cases are written without any.

    Raises:
        DatasetError: if the folder holds another dataset or foreign cases, if an image is not readable or its
            channels differ in geometry (by more than 0.001 mm), or if a label file is not readable, is not on
            the grid of its image (only its shape counts where ``dataset`` says that label headers are not
            reliable) or holds a value that is not in the label map. All cases are checked; the error shows
            the first bad file and counts the others, the good cases stay written.
        ValueError: if ``processes`` is less than 1.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, not {processes}")
    writer = _CaseWriter(
        folder=folder,
        ending=_common_ending(dataset),
        label_map=dataset.label_map,
        channels=len(dataset.channel_names),
        label_geometry_from_image=dataset.label_geometry_from_image,
    )
    description = _describe(dataset, writer.ending)
    _check_folder(writer, dataset, description)
    pending = [case for case in dataset.cases if not writer.is_up_to_date(case)]
    description_file = folder / "dataset.json"
    if pending:
        # Its presence says that every case is in place.
        description_file.unlink(missing_ok=True)
    problems = [problem for problem in _write_cases(writer, pending, processes) if problem]
    if problems:
        others = f" ({len(problems) - 1} more of {len(dataset.cases)} cases are bad)" if problems[1:] else ""
        raise DatasetError(problems[0] + others)
    text = json.dumps(description, indent=2) + "\n"
    if not description_file.is_file() or description_file.read_text() != text:
        with replacing(description_file) as partial:
            partial.write_text(text)


def _common_ending(dataset: RawDataset) -> str:
    images = [image for case in dataset.cases for image in case.images]
    return ".nii" if all(image.name.endswith(".nii") for image in images) else ".nii.gz"


def _describe(dataset: RawDataset, ending: str) -> dict[str, Any]:
    return {
        "channel_names": {str(index): name for index, name in enumerate(dataset.channel_names)},
        "labels": dataset.labels,
        "numTraining": len(dataset.cases),
        "file_ending": ending,
        "overwrite_image_reader_writer": "SimpleITKIO",
        "evaluation_regions": {name: list(labels) for name, labels in dataset.regions.items()},
        "original_labels": {str(label): raw for label, raw in dataset.original_labels.items()},
        "label_map": {str(raw): label for raw, label in dataset.label_map.items()},
    }


def _check_folder(writer: "_CaseWriter", dataset: RawDataset, description: Mapping[str, Any]) -> None:
    """Cases may be added to a folder later, but never those of another dataset."""
    file = writer.folder / "dataset.json"
    if file.is_file():
        try:
            present = json.loads(file.read_text())
        except ValueError as error:
            raise DatasetError(
                f"{file}: not valid JSON ({error}); delete the folder or choose another"
            ) from error
        for key in description:
            if key != "numTraining" and present.get(key) != description[key]:
                raise DatasetError(
                    f"{file}: describes another dataset ({key} is {present.get(key)}, not "
                    f"{description[key]}); delete the folder or choose another"
                )
    expected = {
        path for case in dataset.cases for path in (*writer.image_files(case), writer.label_file(case))
    }
    for subfolder in ("imagesTr", "labelsTr"):
        for path in sorted((writer.folder / subfolder).glob(f"*{writer.ending}")):
            if path not in expected:
                raise DatasetError(f"{path}: not a case of this dataset; delete it or choose another folder")


def _write_cases(writer: "_CaseWriter", cases: list[RawCase], processes: int) -> Iterator[str | None]:
    """Yields, in the order of the cases, None or what is wrong with a case."""
    workers = min(processes, len(cases) // _CASES_PER_PROCESS)
    progress = {"total": len(cases), "desc": "Writing nnU-Net cases", "unit": "case", "disable": not cases}
    if workers <= 1:
        yield from tqdm(map(writer.write, cases), **progress)
        return
    # Forked children may inherit a locked thread pool of ITK or PyTorch: start them afresh.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from tqdm(pool.map(writer.write, cases), **progress)


@dataclass(frozen=True)
class _CaseWriter:
    folder: Path
    ending: str
    label_map: dict[int, int]
    channels: int
    label_geometry_from_image: bool

    def image_files(self, case: RawCase) -> list[Path]:
        stem = self.folder / "imagesTr" / case.identifier
        return [stem.with_name(f"{stem.name}_{channel:04d}{self.ending}") for channel in range(self.channels)]

    def label_file(self, case: RawCase) -> Path:
        return self.folder / "labelsTr" / f"{case.identifier}{self.ending}"

    def is_up_to_date(self, case: RawCase) -> bool:
        sources = case.images if len(case.images) == self.channels else case.images * self.channels
        images_done = all(map(_is_current, self.image_files(case), sources))
        label = self.label_file(case)
        return images_done and all(_is_current(label, source) for source in (case.label, *case.images))

    def write(self, case: RawCase) -> str | None:
        """Writes one case; returns None, or what is wrong with it."""
        try:
            geometry = self._check_images(case)
            self._check_label_geometry(case.label, geometry)
            label = _read_label(case.label, geometry, self.label_map)
            if len(case.images) == self.channels:
                for source, target in zip(case.images, self.image_files(case), strict=True):
                    self._place_image(source, target, geometry)
            else:
                _split_channels(case.images[0], self.image_files(case))
            write_image(label, self.label_file(case))
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
            difference = geometry.difference(geometries[0], _HEADER_NOISE)
            if difference:
                raise DatasetError(
                    f"{image}: not on the grid of {case.images[0].name} ({difference}); resample it"
                )
        return geometries[0]

    def _place_image(self, source: Path, target: Path, geometry: Geometry) -> None:
        # nnU-Net refuses channels whose spacings differ at all: header noise cannot be linked.
        if source.name.endswith(self.ending) and read_geometry(source) == geometry:
            _link_or_copy(source, target)
        else:
            write_image(geometry.apply_to(read_image(source)), target)

    def _check_label_geometry(self, file: Path, image: Geometry) -> None:
        label = read_geometry(file)
        difference = "4D against 3D" if label.channels != 1 else label.difference(image, _HEADER_NOISE)
        if not difference:
            return
        if self.label_geometry_from_image and label.size == image.size and label.channels == 1:
            _logger.warning("%s: takes the geometry of its image (%s)", file, difference)
            return
        raise DatasetError(
            f"{file}: not on the grid of its image ({difference}); resample it or drop the case"
        )


def _is_current(output: Path, source: Path) -> bool:
    if output.is_symlink():
        return output.resolve() == source.resolve()
    # A source that is not there any more is reported when the case is written.
    return output.is_file() and source.is_file() and output.stat().st_mtime_ns >= source.stat().st_mtime_ns


def _link_or_copy(source: Path, target: Path) -> None:
    with replacing(target) as partial:
        try:
            partial.symlink_to(source.resolve())
        except (OSError, NotImplementedError):
            shutil.copyfile(source, partial)


def _split_channels(source: Path, targets: list[Path]) -> None:
    image = read_image(source)
    for channel, target in enumerate(targets):
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
