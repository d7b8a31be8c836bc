"""Predicted label images against reference label images: one row a case and region."""

import functools
import math
import multiprocessing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import SimpleITK as sitk  # noqa: N813
from jaxtyping import Bool, Integer
from tqdm import tqdm

from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.label_images import (
    case_name,
    check_headers,
    check_same_grid,
    label_array,
    label_files,
    labels_in,
    read_labels,
)
from gsl_experiments.metrics import NSD_TOLERANCE_MM, segmentation_metrics

CASE_COLUMNS = (
    "case",
    "region",
    "dice",
    "hd95_mm",
    "asd_mm",
    "hd95_surface_mm",
    "assd_mm",
    "hd_mm",
    "nsd",
    "reference_ml",
    "prediction_ml",
    "reference_empty",
    "prediction_empty",
)

FilePair = tuple[Path, Path]
Row = dict[str, Any]
Regions = Mapping[str, Sequence[int]]
Item = TypeVar("Item")
Result = TypeVar("Result")


def evaluate_case(
    prediction_file: Path,
    reference_file: Path,
    regions: Regions,
    *,
    known_labels: Collection[int] | None = None,
    nsd_tolerance_mm: float = NSD_TOLERANCE_MM,
) -> list[Row]:
    """Measure one predicted label image against its reference, one row a region.

    Args:
        prediction_file: label image; its name without the ending is the case.
        reference_file: label image on the same grid, with the same label values.
        regions: region -> the labels whose union it is.
        known_labels: the labels that either image may hold; any by default.
        nsd_tolerance_mm: distance up to which two surfaces agree, for `nsd`.

    Returns:
        A dict a region, in the order of `regions`, with the keys `CASE_COLUMNS`: metrics as in
        `gsl_experiments.metrics`, volumes in ml, spacing from the reference image.

    Raises:
        UserError: an image cannot be read or holds no labels, the two grids differ (see `check_same_grid`), a
            label is not known, or no region is given.
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
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    rows = []
    for region, values in regions.items():
        prediction, reference = _union(prediction_labels, values), _union(reference_labels, values)
        metrics = segmentation_metrics(
            prediction, reference, spacing_mm=spacing_mm, nsd_tolerance_mm=nsd_tolerance_mm
        )
        rows.append(
            {
                "case": case_name(prediction_file),
                "region": region,
                "dice": metrics.dice,
                "hd95_mm": metrics.hd95_mm,
                "asd_mm": metrics.asd_mm,
                "hd95_surface_mm": metrics.hd95_surface_mm,
                "assd_mm": metrics.assd_mm,
                "hd_mm": metrics.hd_mm,
                "nsd": metrics.nsd,
                "reference_ml": int(np.count_nonzero(reference)) * voxel_ml,
                "prediction_ml": int(np.count_nonzero(prediction)) * voxel_ml,
                "reference_empty": not reference.any(),
                "prediction_empty": not prediction.any(),
            }
        )
    return rows


def evaluate_folder(
    predictions: Path,
    references: Path,
    regions: Regions | None = None,
    *,
    processes: int = 1,
    known_labels: Collection[int] | None = None,
    allow_missing_predictions: bool = False,
    nsd_tolerance_mm: float = NSD_TOLERANCE_MM,
) -> pd.DataFrame:
    """Measure every prediction of a folder against the reference of the same case.

    Args:
        predictions: folder of predicted label images.
        references: folder of reference label images; their endings may be others than the predictions'.
        regions: region -> the labels whose union it is. By default every label of the references is a region of
            its own, `label 1` and so on, and no prediction may hold another.
        processes: worker processes; 1 works in this one.
        known_labels: the labels that the images may hold; any by default, if `regions` are given.
        allow_missing_predictions: leave out references that have no prediction, instead of refusing them.
        nsd_tolerance_mm: distance up to which two surfaces agree, for `nsd`.

    Returns:
        One row a case and region with the columns `CASE_COLUMNS`, sorted by case.

    Raises:
        UserError: a folder is missing or holds no label image or two of one case, a prediction has no reference, a
            reference has no prediction (unless allowed), the references hold no label, a pair cannot be
            compared, or the tolerance of `nsd` is no length.
    """
    check_nsd_tolerance(nsd_tolerance_mm)
    predicted, referenced = label_files(predictions), label_files(references)
    if without_reference := sorted(predicted.keys() - referenced.keys()):
        raise UserError(f"{predictions}: no reference in {references} for {_listing(without_reference)}")
    without_prediction = sorted(referenced.keys() - predicted.keys())
    if without_prediction and not allow_missing_predictions:
        raise UserError(f"{references}: no prediction in {predictions} for {_listing(without_prediction)}")
    pairs = [(predicted[case], referenced[case]) for case in sorted(predicted)]
    for pair in pairs:
        check_headers(*pair)
    if regions is None:
        labels = _all_labels([reference for _, reference in pairs], processes)
        if not labels:
            raise UserError(f"{references}: no label image there holds a label other than 0")
        regions, known_labels = {f"label {label}": (label,) for label in labels}, {0, *labels}
    rows = evaluate_pairs(
        pairs, regions, processes=processes, known_labels=known_labels, nsd_tolerance_mm=nsd_tolerance_mm
    )
    return pd.DataFrame([row for case_rows in rows for row in case_rows], columns=list(CASE_COLUMNS))


def evaluate_pairs(
    pairs: Sequence[FilePair],
    regions: Regions,
    *,
    processes: int,
    known_labels: Collection[int] | None = None,
    nsd_tolerance_mm: float = NSD_TOLERANCE_MM,
    description: str = "Evaluating",
) -> Iterator[list[Row]]:
    """Rows of every (prediction file, reference file) as they come, in their order, behind a progress bar."""
    evaluate = functools.partial(
        _evaluate_pair,
        regions=dict(regions),
        known_labels=None if known_labels is None else frozenset(known_labels),
        nsd_tolerance_mm=nsd_tolerance_mm,
    )
    yield from tqdm(_map(evaluate, pairs, processes), total=len(pairs), desc=description, unit="case")


def check_nsd_tolerance(value: Any) -> None:
    """Refuse a tolerance of `nsd` that is no length.

    Raises:
        UserError: it is not a finite number of 0 or more.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise UserError(f"evaluate.nsd_tolerance_mm={value}: allowed is a length in mm, 0 or more")


def _all_labels(files: Sequence[Path], processes: int) -> list[int]:
    """All labels of label images but 0, sorted."""
    found = tqdm(_map(_labels, files, processes), total=len(files), desc="Reading labels", unit="case")
    return sorted(set().union(*found) - {0})


def _labels(file: Path) -> set[int]:
    image = read_labels(file)  # held as long as its voxels are looked at
    return labels_in(label_array(image, file))


def _map(call: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Result]:
    if processes < 1:
        raise UserError(f"processes={processes}: allowed is a positive whole number")
    if processes == 1 or len(items) < 2:
        yield from map(call, items)
        return
    # Spawned, because forking a process that has threads (ITK's, torch's) can deadlock; one ITK thread each,
    # because the processes share the cores already.
    with ProcessPoolExecutor(
        min(processes, len(items)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=sitk.ProcessObject.SetGlobalDefaultNumberOfThreads,
        initargs=(1,),
    ) as pool:
        yield from pool.map(call, items)


def _evaluate_pair(pair: FilePair, regions: Regions, **options: Any) -> list[Row]:
    return evaluate_case(*pair, regions, **options)


def _check_known(
    file: Path, labels: Integer[np.ndarray, "*spatial"], known_labels: Collection[int] | None
) -> None:
    if known_labels is None:
        return
    unknown = sorted(labels_in(labels) - set(known_labels))
    if unknown:
        raise UserError(f"{file}: label {unknown[0]} where only {sorted(known_labels)} are known")


def _union(labels: Integer[np.ndarray, "*spatial"], values: Sequence[int]) -> Bool[np.ndarray, "*spatial"]:
    """Where one of some labels is; one comparison a label is faster and smaller than `np.isin`."""
    return functools.reduce(np.logical_or, (labels == value for value in values))


def _listing(names: Sequence[str]) -> str:
    others = f" and {len(names) - 3} more" if names[3:] else ""
    return ", ".join(names[:3]) + others
