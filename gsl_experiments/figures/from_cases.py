"""Figures that show cases: slices with contours, and surfaces coloured by their error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gsl_experiments.figures.case_panels import CaseRow, Column, Prediction, draw_cases
from gsl_experiments.figures.errors_of_case import error_distances, largest_slice, worst_error, worst_slice
from gsl_experiments.figures.options import FigureOptions, metric_of
from gsl_experiments.figures.planned import DrawnFigure, NothingToDrawError
from gsl_experiments.figures.selection import ChosenCase, Comparison, case_values, choose_cases
from gsl_experiments.figures.surface import draw_error_surfaces, error_surface
from gsl_experiments.figures.volumes import CaseVolumes, grey_window, read_volumes
from gsl_experiments.figures.words import (
    dataset_name,
    enumerate_words,
    percentile_words,
    run_records,
    settings_sentence,
)

SLICE_RULES = {
    "one_slice": "Every image is one slice.",
    "largest_area": "The slice is the {plane} one with the largest area of the reference.",
    "worst_error": "The slice is the {plane} one that holds the worst error of {baseline}.",
}


def cases_figure(
    comparison: Comparison,
    region: str,
    options: FigureOptions,
    *,
    images: Path,
    references: Path,
    channel: int,
    is_ct: bool,
) -> DrawnFigure:
    """Figure 3 or 4 of the paper for one region.

    Args:
        comparison: the runs, one a column.
        region: whose contours are drawn.
        options: of the figures.
        images: folder of nnU-Net's raw images.
        references: folder of the reference labels.
        channel: number of the image's channel.
        is_ct: whether that is a CT, which is shown in a fixed window.
    """
    rows, records = [], []
    for chosen in choose_cases(comparison, region, options):
        volumes = _read(comparison, chosen.case, options, images, references, channel)
        row, number = _case_row(comparison, chosen, region, volumes, options, is_ct=is_ct)
        rows.append(row)
        records.append(_record(row, chosen, number, volumes, comparison))
    columns = [Column(look.name, look.color) for look in comparison.looks]
    figure = draw_cases(rows, columns, width_mm=options.text_mm)
    names = [look.name for look in comparison.looks]
    is_flat = all(record["slices"] == 1 for record in records)
    rule = SLICE_RULES["one_slice" if is_flat else options.slice].format(
        plane=options.plane, baseline=names[comparison.leading]
    )
    caption = (
        f"{dataset_name(comparison)}, {region}: {_which_cases(comparison, records, options)} {rule} Left to right: "
        f"image, reference, and the predictions of {enumerate_words(names)} with the reference (dashed) over them. "
        "HD95 is taken over all voxels of the whole case; the ring marks the voxel of the slice that is farthest from "
        f"where it should be ({2 if is_flat else 3}D distance to the other mask). {_window_words(options, is_ct)} "
        f"{settings_sentence(comparison)}"
    )
    sources = {
        "runs": run_records(comparison),
        "region": region,
        "plane": options.plane,
        "slice_rule": options.slice,
        "channel": channel,
        "cases": records,
    }
    return DrawnFigure(f"cases_{file_part(region)}", figure, caption, _alt(region, names, records), sources)


def surface_figure(
    comparison: Comparison, region: str, options: FigureOptions, *, references: Path
) -> DrawnFigure:
    """Each run's surface of a case, coloured by the distance to the reference.

    It is the last case of the case figure, the hardest, that has the region in its reference and in a prediction.

    Raises:
        NothingToDrawError: none has, or the cases are single slices.
    """
    for chosen in reversed(choose_cases(comparison, region, options)):
        volumes = _read(comparison, chosen.case, options, None, references, 0)
        if len(volumes.reference) == 1:
            raise NothingToDrawError(f"case {chosen.case} is one slice and has no surface")
        reference, predictions = _masks(comparison, region, volumes)
        shown = [
            error_surface(look.name, prediction, reference, volumes.spacing_mm)
            for look, prediction in zip(comparison.looks, predictions, strict=True)
            if prediction.any() and reference.any()
        ]
        if shown:
            break
    else:
        raise NothingToDrawError(f"no case shown has {region} in its reference and in a prediction")
    figure = draw_error_surfaces(shown, width_mm=options.text_mm)
    without = [look.name for look in comparison.looks if look.name not in [surface.name for surface in shown]]
    caption = (
        f"{dataset_name(comparison)}, {region}: surface of each prediction of case {chosen.case}, seen from two "
        "sides, coloured by the distance to the nearest point of the reference's surface. "
        + (f"{enumerate_words(without)}: nothing predicted. " if without else "")
        + settings_sentence(comparison)
    )
    alt = f"Surfaces of {region} in case {chosen.case}. Largest distance to the reference: " + "; ".join(
        f"{surface.name} {np.abs(surface.distances_mm).max():.1f} mm" for surface in shown
    )
    sources = {"runs": run_records(comparison), "region": region, "case": chosen.case}
    return DrawnFigure(f"surface_{file_part(region)}", figure, caption, f"{alt}.", sources)


def file_part(name: str) -> str:
    """A name as a part of a file's name: lower case, underscores."""
    return "".join(c if c.isalnum() else "_" for c in name.lower())


def _read(
    comparison: Comparison,
    case: str,
    options: FigureOptions,
    images: Path | None,
    references: Path,
    channel: int,
) -> CaseVolumes:
    ending = comparison.results[0].run.file_ending
    predictions = []
    for result in comparison.results:
        fold = int(result.cases.loc[result.cases["case"] == case, "fold"].iloc[0])
        predictions.append(result.run.prediction_file(fold, case))
    image = None if images is None else images / f"{case}_{channel:04d}{ending}"
    plane = "axial" if images is None else options.plane  # a surface stands upright, whatever the slices
    return read_volumes(image, references / f"{case}{ending}", predictions, plane=plane)


def _masks(comparison: Comparison, region: str, volumes: CaseVolumes) -> tuple[Any, list[Any]]:
    labels = list(comparison.results[0].run.regions[region])
    return np.isin(volumes.reference, labels), [np.isin(p, labels) for p in volumes.predictions]


def _case_row(
    comparison: Comparison,
    chosen: ChosenCase,
    region: str,
    volumes: CaseVolumes,
    options: FigureOptions,
    *,
    is_ct: bool,
) -> tuple[CaseRow, int]:
    """The row of a case, and the number of its slice."""
    reference, masks = _masks(comparison, region, volumes)
    number = largest_slice(reference)
    if options.slice == "worst_error":
        baseline = masks[comparison.leading]
        number = worst_slice(error_distances(baseline, reference, volumes.spacing_mm), reference)
    predictions = tuple(
        Prediction(
            mask[number],
            float(case_values(result, region, "hd95_mm")[chosen.case]),
            worst_error(error_distances(mask, reference, volumes.spacing_mm)[number]),
            missed=bool(reference.any() and not mask.any()),
        )
        for result, mask in zip(comparison.results, masks, strict=True)
    )
    assert volumes.image is not None
    percentile = "" if chosen.percentile is None else percentile_words(chosen.percentile)
    row = CaseRow(
        title="\n".join(filter(None, (chosen.word, percentile))),
        case=chosen.case,
        image=volumes.image[number],
        window=grey_window(volumes.image, is_ct=is_ct, ct_window=options.ct_window),
        reference=reference[number],
        spacing_mm=volumes.spacing_mm[1:],
        predictions=predictions,
        reference_ml=(
            None
            if volumes.is_2d
            else int(np.count_nonzero(reference)) * float(np.prod(volumes.spacing_mm)) / 1000
        ),
    )
    return row, number


def _record(
    row: CaseRow, chosen: ChosenCase, number: int, volumes: CaseVolumes, comparison: Comparison
) -> dict[str, Any]:
    return {
        "case": chosen.case,
        "percentile": chosen.percentile,
        "slice": number,
        "slices": len(volumes.reference),
        "window": list(row.window),
        "predictions": {
            look.name: {
                "hd95_mm": prediction.hd95_mm,
                "worst_in_slice_mm": prediction.worst.distance_mm if prediction.worst else None,
            }
            for look, prediction in zip(comparison.looks, row.predictions, strict=True)
        },
    }


def _which_cases(comparison: Comparison, records: list[dict[str, Any]], options: FigureOptions) -> str:
    if options.cases is not None:
        return f"{_plural(len(records), 'chosen case')}."
    percentiles = enumerate_words([f"{record['percentile']:g}" for record in records])
    metric = metric_of(options.metric).title
    baseline = comparison.looks[comparison.leading].name
    return f"cases at percentiles {percentiles} of {metric} of {baseline}, from easy to hard."


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _window_words(options: FigureOptions, is_ct: bool) -> str:
    if is_ct:
        low, high = options.ct_window
        return f"Window {low:g} to {high:g} HU."
    return "Grey values between the percentiles 0.5 and 99.5 of the image outside of 0."


def _alt(region: str, names: list[str], records: list[dict[str, Any]]) -> str:
    parts = []
    for record in records:
        distances = ", ".join(f"{name} {record['predictions'][name]['hd95_mm']:.1f} mm" for name in names)
        parts.append(f"case {record['case']}: HD95 {distances}")
    return f"Slices with contours of {region}, one row a case. {'; '.join(parts)}."
