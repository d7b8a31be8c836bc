"""Predicted label images against reference label images: one row a case and region."""

import multiprocessing
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk  # noqa: N813
from tqdm import tqdm

from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.label_images import check_same_grid, label_array, read_labels
from gsl_experiments.metrics import segmentation_metrics

CASE_COLUMNS = (
    "case",
    "region",
    "dice",
    "hd95_mm",
    "asd_mm",
    "hd95_surface_mm",
    "reference_ml",
    "prediction_ml",
    "reference_empty",
    "prediction_empty",
)

FilePair = tuple[Path, Path]
Row = dict[str, Any]


def evaluate_case(
    prediction_file: Path,
    reference_file: Path,
    regions: Mapping[str, Sequence[int]],
    *,
    file_ending: str = ".nii.gz",
    known_labels: Collection[int] | None = None,
) -> list[Row]:
    """Measure one predicted label image against its reference, one row a region.

    Args:
        prediction_file: label image; its name without the ending is the case.
        reference_file: label image on the same grid, with the same label values.
        regions: region -> the labels whose union it is.
        file_ending: what to cut off the name of the file.
        known_labels: the labels that either image may hold; any by default.

    Returns:
        A dict a region, in the order of `regions`, with the keys `CASE_COLUMNS`: metrics as in
        `gsl_experiments.metrics`, volumes in ml, spacing from the reference image.

    Raises:
        UserError: an image cannot be read or holds no labels, the two grids differ (beyond 0.001 in size,
        spacing,
            origin or direction), a label is not known, or no region is given.
    """
    if not regions:
        raise UserError(f"{prediction_file}: no region to evaluate")
    prediction_image, reference_image = read_labels(prediction_file), read_labels(reference_file)
    check_same_grid(prediction_image, reference_image, prediction_file, reference_file)
    prediction_labels = label_array(prediction_image, prediction_file)
    reference_labels = label_array(reference_image, reference_file)
    for file, labels in ((prediction_file, prediction_labels), (reference_file, reference_labels)):
        _check_known(file, labels, known_labels)
    spacing_mm = reference_image.GetSpacing()[::-1]
    case = prediction_file.name.removesuffix(file_ending)
    return [
        {"case": case, "region": region}
        | _region_row(np.isin(prediction_labels, labels), np.isin(reference_labels, labels), spacing_mm)
        for region, labels in regions.items()
    ]


def evaluate_folder(
    predictions: Path,
    references: Path,
    regions: Mapping[str, Sequence[int]],
    *,
    processes: int = 1,
    file_ending: str = ".nii.gz",
    known_labels: Collection[int] | None = None,
    allow_missing_predictions: bool = False,
) -> pd.DataFrame:
    """Measure every prediction of a folder against the reference of the same name.

    Args:
        predictions: folder of predicted label images.
        references: folder of reference label images.
        regions: region -> the labels whose union it is.
        processes: worker processes; 1 works in this one.
        file_ending: ending of the label images in both folders; other files are ignored.
        known_labels: the labels that the images may hold; any by default.
        allow_missing_predictions: leave out references that have no prediction, instead of refusing them.

    Returns:
        One row a case and region with the columns `CASE_COLUMNS`, sorted by case.

    Raises:
        UserError: a folder is missing or holds no such file, a prediction has no reference, a reference has
        no
            prediction (unless allowed), or a pair cannot be compared.
    """
    predicted = _label_files(predictions, file_ending)
    referenced = _label_files(references, file_ending)
    if without_reference := sorted(predicted - referenced):
        raise UserError(f"{predictions}: no reference in {references} for {_listing(without_reference)}")
    without_prediction = sorted(referenced - predicted)
    if without_prediction and not allow_missing_predictions:
        raise UserError(f"{references}: no prediction in {predictions} for {_listing(without_prediction)}")
    pairs = [(predictions / name, references / name) for name in sorted(predicted)]
    rows = evaluate_pairs(
        pairs, regions, processes=processes, file_ending=file_ending, known_labels=known_labels
    )
    return pd.DataFrame([row for case_rows in rows for row in case_rows], columns=list(CASE_COLUMNS))


def evaluate_pairs(
    pairs: Sequence[FilePair],
    regions: Mapping[str, Sequence[int]],
    *,
    processes: int,
    file_ending: str,
    known_labels: Collection[int] | None = None,
    description: str = "Evaluating",
) -> list[list[Row]]:
    """Rows of every (prediction file, reference file), in the order of the pairs, behind a progress bar."""
    evaluate = partial(
        _evaluate_pair, regions=dict(regions), file_ending=file_ending, known_labels=known_labels
    )
    return list(tqdm(_map(evaluate, pairs, processes), total=len(pairs), desc=description, unit="case"))


def _map(evaluate: "partial[list[Row]]", pairs: Sequence[FilePair], processes: int) -> Iterator[list[Row]]:
    if processes < 1:
        raise UserError(f"processes={processes}: allowed is a positive whole number")
    if processes == 1 or len(pairs) < 2:
        yield from map(evaluate, pairs)
        return
    # Spawned, because forking a process that has threads (ITK's, torch's) can deadlock; one ITK thread each,
    # because the processes share the cores already.
    with ProcessPoolExecutor(
        min(processes, len(pairs)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=sitk.ProcessObject.SetGlobalDefaultNumberOfThreads,
        initargs=(1,),
    ) as pool:
        yield from pool.map(evaluate, pairs)


def _evaluate_pair(
    pair: FilePair,
    *,
    regions: Mapping[str, Sequence[int]],
    file_ending: str,
    known_labels: Collection[int] | None,
) -> list[Row]:
    return evaluate_case(*pair, regions, file_ending=file_ending, known_labels=known_labels)


def _check_known(file: Path, labels: np.ndarray, known_labels: Collection[int] | None) -> None:
    if known_labels is None:
        return
    unknown = sorted(set(np.unique(labels).tolist()) - set(known_labels))
    if unknown:
        raise UserError(f"{file}: label {unknown[0]} where only {sorted(known_labels)} are known")


def _region_row(prediction: Any, reference: Any, spacing_mm: Sequence[float]) -> Row:
    metrics = segmentation_metrics(prediction, reference, spacing_mm=spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    return {
        "dice": metrics.dice,
        "hd95_mm": metrics.hd95_mm,
        "asd_mm": metrics.asd_mm,
        "hd95_surface_mm": metrics.hd95_surface_mm,
        "reference_ml": int(np.count_nonzero(reference)) * voxel_ml,
        "prediction_ml": int(np.count_nonzero(prediction)) * voxel_ml,
        "reference_empty": not reference.any(),
        "prediction_empty": not prediction.any(),
    }


def _label_files(folder: Path, file_ending: str) -> set[str]:
    names = {path.name for path in folder.glob(f"*{file_ending}")} if folder.is_dir() else set()
    if not names:
        raise UserError(f"{folder}: no *{file_ending} file there")
    return names


def _listing(names: Sequence[str]) -> str:
    others = f" and {len(names) - 3} more" if names[3:] else ""
    return ", ".join(names[:3]) + others
