"""The one way into nnU-Net: checks a raw dataset and writes it as an nnU-Net v2 raw folder."""

import json
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gsl_experiments.atomic import replacing
from gsl_experiments.datasets.nnunet_case import CaseWriter
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset, first_of

# A worker costs seconds to start: it has to have some cases to be worth it.
_CASES_PER_PROCESS = 8


def write_nnunet_raw(
    dataset: RawDataset, folder: Path, *, processes: int = 1, excluded: Collection[str] = ()
) -> None:
    """Writes a raw dataset as nnU-Net v2 expects it, checking each label file on the way.

    Writes ``imagesTr/CASE_0000.nii.gz``, ..., ``labelsTr/CASE.nii.gz`` and at the very end ``dataset.json``,
    to whose nnU-Net keys are added ``evaluation_regions`` (name -> nnU-Net labels), ``original_labels``
    (nnU-Net label -> raw label), ``label_map`` (raw label -> nnU-Net label) and ``edition``. The file ending
    is ``.nii`` if all images have it. Images that can be used as they are become symbolic links, or copies
    where links are not possible. Labels are written as uint8 with the geometry of their image. ``sources``
    records for each case the size, time and hash of the raw files it was made of: one that is there and whose
    raw files have not changed is left alone. An interrupted call never leaves half a file.

    Args:
        dataset: what to write.
        folder: nnU-Net's ``DatasetNNN_Name`` folder; made if missing.
        processes: number of worker processes; few cases are written without any.
        excluded: cases that ``dataset`` is without, and whose files of an earlier call may lie in the folder.

    Raises:
        DatasetError: if ``dataset`` has incomplete cases, if the folder holds another dataset or foreign
            cases, if an image is not readable or its channels differ in geometry (by more than 0.001 mm), or
            if a label file is not readable, is not on the grid of its image (only its shape counts where
            ``dataset`` says that label headers are not reliable) or holds a value that is not in the label
            map. All cases are checked; the error shows the first bad file and counts the others, the good
            cases stay written.
        ValueError: if ``processes`` is less than 1.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, not {processes}")
    if dataset.incomplete:
        raise DatasetError(first_of(dataset.incomplete))
    writer = CaseWriter(
        folder=folder,
        ending=_common_ending(dataset),
        label_map=dataset.label_map,
        channel_order=dataset.channel_order or tuple(range(len(dataset.channel_names))),
        label_geometry_from_image=dataset.label_geometry_from_image,
    )
    description = _describe(dataset, writer.ending)
    _check_folder(writer, dataset, description, excluded)
    pending = [case for case in dataset.cases if not writer.is_up_to_date(case)]
    if dataset.unlabelled:
        print(f"{dataset.unlabelled} cases of test or validation sets without labels are passed over")
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
        "edition": dataset.edition,
    }


def _check_folder(
    writer: CaseWriter, dataset: RawDataset, description: Mapping[str, Any], excluded: Collection[str]
) -> None:
    """Cases may be added to a folder later, but never those of another dataset."""
    file = writer.folder / "dataset.json"
    if file.is_file():
        try:
            present = json.loads(file.read_text())
        except ValueError as error:
            raise DatasetError(
                f"{file}: not valid JSON ({error}); delete the folder or choose another"
            ) from error
        if not isinstance(present, dict):
            raise DatasetError(f"{file}: not a JSON object; delete the folder or choose another")
        # A folder that was written before editions were told apart has none.
        present.setdefault("edition", dataset.edition)
        for key in description:
            if key != "numTraining" and present.get(key) != description[key]:
                raise DatasetError(
                    f"{file}: describes another dataset ({key} is {present.get(key)}, not "
                    f"{description[key]}); delete the folder or choose another"
                )
    cases = [*(case.identifier for case in dataset.cases), *excluded]
    expected = {path for case in cases for path in (*writer.image_files(case), writer.label_file(case))}
    for subfolder in ("imagesTr", "labelsTr"):
        for path in sorted((writer.folder / subfolder).glob(f"*{writer.ending}")):
            if path not in expected:
                raise DatasetError(f"{path}: not a case of this dataset; delete it or choose another folder")


def _write_cases(writer: CaseWriter, cases: list[RawCase], processes: int) -> Iterator[str | None]:
    """Yields, in the order of the cases, None or what is wrong with a case."""
    workers = min(processes, len(cases) // _CASES_PER_PROCESS)
    progress = {"total": len(cases), "desc": "Writing nnU-Net cases", "unit": "case", "disable": not cases}
    if workers <= 1:
        yield from tqdm(map(writer.write, cases), **progress)
        return
    # Forked children may inherit a locked thread pool of ITK or PyTorch: start them afresh.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from tqdm(pool.map(writer.write, cases), **progress)
