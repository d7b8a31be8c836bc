"""Slices of a case for the report: images as WebP, outlines of its masks as SVG paths."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon

from gsl_experiments.datasets.nifti import read_image
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.label_images import check_same_grid, label_array, read_labels
from gsl_experiments.figures.case_panels import contour_lines
from gsl_experiments.figures.errors_of_case import Box, bounding_box
from gsl_experiments.figures.volumes import grey_window, upright

# Plane -> the array's axis that its slices are stacked along. Arrays are (z, y, x) with x to the patient's left,
# y to the back and z to the head.
PLANES: Mapping[str, int] = {"axial": 0, "coronal": 1, "sagittal": 2}

MARGIN_MM = 15.0  # of image around everything that is segmented
WEBP_QUALITY = 72
UNITS_PER_PIXEL = 4  # of the paths' whole numbers
TOLERANCE_PIXELS = 0.3  # how far a simplified outline may lie from the exact one


@dataclass(frozen=True)
class SliceOptions:
    """How much of a case goes into the report.

    Attributes:
        planes: out of `PLANES`.
        most_slices: of a plane; of more, every second, third, ... is taken.
        most_pixels: longest side of a slice.
        is_ct: whether the image holds HU.
        ct_window: the HU that become black and white; of other images two percentiles do.
    """

    planes: tuple[str, ...]
    most_slices: int
    most_pixels: int
    is_ct: bool
    ct_window: tuple[float, float]


@dataclass(frozen=True, eq=False)
class _Foreground:
    """The part of a label image that is not background, and where it lies."""

    box: Box
    labels: NDArray[np.integer]


def case_slices(
    image_file: Path,
    reference_file: Path,
    prediction_files: Mapping[str, Path],
    regions: Mapping[str, Sequence[int]],
    options: SliceOptions,
) -> dict[str, Any]:
    """Cut a case into slices around everything that its reference and predictions hold.

    Args:
        image_file: one channel of the image.
        reference_file: label image on the same grid.
        prediction_files: run -> label image on the same grid.
        regions: region -> the labels whose union is outlined.
        options: planes, numbers and sizes.

    Returns:
        Plane -> `width` and `height` in pixels; `indices`, the slices' places in the whole image, and `total`, how many
        it has; `start`, the position in `indices` of the slice with most of the reference; `images`, data URIs; and
        `paths`: region -> `reference` or run -> one SVG path a slice, in units of 1 / `UNITS_PER_PIXEL` pixel.

    Raises:
        UserError: a file is missing, cannot be read, or the image and a label image lie on different grids.
    """
    if not image_file.is_file():
        raise UserError(f"{image_file}: no such image; report.images=false makes a report without images")
    image = upright(read_image(image_file))
    shape, spacing_mm = image.GetSize()[::-1], image.GetSpacing()[::-1]
    files = {"reference": reference_file, **prediction_files}
    foregrounds = {name: _read_foreground(file, image, image_file) for name, file in files.items()}
    box = _joint_box([fore.box for fore in foregrounds.values() if fore], shape, spacing_mm)
    labels = {name: _paste(foreground, box) for name, foreground in foregrounds.items()}
    masks = {
        region: {name: np.isin(volume, values) for name, volume in labels.items()}
        for region, values in regions.items()
    }
    values = sitk.GetArrayViewFromImage(image)[box]
    grey = to_grey(values, grey_window(values, is_ct=options.is_ct, ct_window=options.ct_window))
    planes = options.planes if shape[0] > 1 else ("axial",)
    return {plane: _cut(PLANES[plane], grey, masks, box, shape, spacing_mm, options) for plane in planes}


def to_grey(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Image values as 0 to 255 between the window's ends."""
    low, high = window
    share = (values.astype(np.float32) - low) / (high - low)
    return np.rint(255 * share.clip(0, 1)).astype(np.uint8)


def svg_path(mask: NDArray[np.bool_], scale: tuple[float, float]) -> str:
    """The outline of a 2D mask as an SVG path of whole numbers; empty for an empty mask.

    Args:
        mask: (rows, columns).
        scale: pixels of the drawn slice for one row and one column.
    """
    parts = []
    for line in contour_lines(mask, scale):
        corners = approximate_polygon(line + np.asarray(scale)[::-1] / 2, TOLERANCE_PIXELS)
        points = np.rint(UNITS_PER_PIXEL * corners).astype(int)
        steps = np.diff(points, axis=0)
        steps = steps[steps.any(axis=1)]
        if len(steps) > 1:
            moves = "l".join(f"{x} {y}" for x, y in steps.tolist())
            parts.append(f"M{points[0, 0]} {points[0, 1]}l{moves}z".replace(" -", "-"))
    return "".join(parts)


def _read_foreground(file: Path, image: sitk.Image, image_file: Path) -> _Foreground | None:
    """The labelled part of a label image on the image's grid; None if there is none."""
    label_image = upright(read_labels(file))  # owns the memory of the array
    check_same_grid(label_image, image, file, image_file)
    labels = label_array(label_image, file)
    if not labels.any():
        return None
    box = bounding_box(labels > 0)
    return _Foreground(box, labels[box].copy())


def _joint_box(boxes: Sequence[Box], shape: Sequence[int], spacing_mm: Sequence[float]) -> Box:
    """The smallest box with all others and a margin; the whole image if there is none."""
    if not boxes:
        return tuple(slice(0, length) for length in shape)
    joint = []
    for axis, (length, spacing) in enumerate(zip(shape, spacing_mm, strict=True)):
        margin = round(MARGIN_MM / spacing)
        start = min(box[axis].start for box in boxes) - margin
        stop = max(box[axis].stop for box in boxes) + margin
        joint.append(slice(max(0, start), min(length, stop)))
    return tuple(joint)


def _paste(foreground: _Foreground | None, box: Box) -> NDArray[np.integer]:
    """The labels in a box that holds all of the foreground."""
    volume = np.zeros(
        [part.stop - part.start for part in box],
        dtype=np.int64 if foreground is None else foreground.labels.dtype,
    )
    if foreground is not None:
        place = zip(foreground.box, box, strict=True)
        volume[tuple(slice(own.start - part.start, own.stop - part.start) for own, part in place)] = (
            foreground.labels
        )
    return volume


def _cut(
    axis: int,
    grey: NDArray[np.uint8],
    masks: Mapping[str, Mapping[str, NDArray[np.bool_]]],
    box: Box,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    options: SliceOptions,
) -> dict[str, Any]:
    """All slices of one plane; see `case_slices`."""
    rows, columns = (other for other in range(3) if other != axis)
    step = -(-grey.shape[axis] // options.most_slices)
    chosen = list(range(0, grey.shape[axis], step))
    extent = np.array([grey.shape[rows] * spacing_mm[rows], grey.shape[columns] * spacing_mm[columns]])
    finest = min(spacing_mm[rows], spacing_mm[columns])
    height, width = (
        np.rint(extent * min(1 / finest, options.most_pixels / extent.max())).astype(int).clip(1).tolist()
    )
    scale = (height / grey.shape[rows], width / grey.shape[columns])
    references = np.logical_or.reduce([of_region["reference"] for of_region in masks.values()])
    areas = [int(_slice(references, axis, place).sum()) for place in chosen]
    return {
        "width": width,
        "height": height,
        "indices": [box[axis].start + place for place in chosen],
        "total": shape[axis],
        "start": int(np.argmax(areas)) if any(areas) else len(areas) // 2,
        "images": [_data_uri(_slice(grey, axis, place), (width, height)) for place in chosen],
        "paths": {
            region: {
                name: [svg_path(_slice(mask, axis, place), scale) for place in chosen]
                for name, mask in of_region.items()
            }
            for region, of_region in masks.items()
        },
    }


def _slice(volume: NDArray[Any], axis: int, place: int) -> NDArray[Any]:
    """One slice as it is looked at: the head up, or in an axial slice the front; the patient's right at the left."""
    piece = volume.take(place, axis)
    return piece if axis == 0 else piece[::-1]


def _data_uri(grey: NDArray[np.uint8], size: tuple[int, int]) -> str:
    picture = Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=WEBP_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
