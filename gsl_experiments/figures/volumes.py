"""Image, reference and predictions of a case, turned so that slices look as on a radiologist's screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from gsl_experiments.datasets.nifti import read_image
from gsl_experiments.evaluation.label_images import check_same_grid, label_array, read_labels

# plane -> array axes of a (z, y, x) volume that become slices, rows and columns, and whether the rows are turned
_AXES = {"axial": ((0, 1, 2), False), "coronal": ((1, 0, 2), True), "sagittal": ((2, 0, 1), True)}
MR_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, eq=False)
class CaseVolumes:
    """A case in one plane: all arrays are (slices, rows, columns), those of a 2D image with one slice.

    Attributes:
        image: grey values; None if only labels were read.
        reference: labels.
        predictions: labels, one array a run.
        spacing_mm: of slices, rows and columns.
        is_2d: whether the files are 2D, so that the slice has no thickness.
    """

    image: NDArray[Any] | None
    reference: NDArray[Any]
    predictions: tuple[NDArray[Any], ...]
    spacing_mm: tuple[float, float, float]
    is_2d: bool = False


def read_volumes(
    image_file: Path | None, reference_file: Path, prediction_files: Sequence[Path], *, plane: str
) -> CaseVolumes:
    """Read a case and turn it: patient's front or head up, patient's right (or front) at the left.

    Args:
        image_file: one channel of the image; None reads labels alone.
        reference_file: the reference's labels.
        prediction_files: labels of each run.
        plane: `axial`, `coronal` or `sagittal`; an image of one slice is shown as it is.

    Raises:
        UserError: a file cannot be read, or lies on another grid than the reference.
    """
    reference = read_labels(reference_file)
    upright_reference = upright(reference)
    if upright_reference.GetDepth() == 1:
        plane = "axial"
    image = None
    if image_file is not None:
        scan = read_image(image_file)
        check_same_grid(scan, reference, image_file, reference_file)
        image = _turn(sitk.GetArrayFromImage(upright(scan)), plane)
    predictions = []
    for file in prediction_files:
        prediction = read_labels(file)
        check_same_grid(prediction, reference, file, reference_file)
        turned = upright(prediction)  # has to outlive the view of its voxels
        predictions.append(_turn(label_array(turned, file), plane))
    (slices, rows, columns), _ = _AXES[plane]
    spacing_mm = upright_reference.GetSpacing()[::-1]
    return CaseVolumes(
        image,
        _turn(label_array(upright_reference, reference_file), plane),
        tuple(predictions),
        (spacing_mm[slices], spacing_mm[rows], spacing_mm[columns]),
        is_2d=reference.GetDimension() == 2,
    )


def grey_window(image: NDArray[Any], *, is_ct: bool, ct_window: tuple[float, float]) -> tuple[float, float]:
    """The values that become black and white: a fixed window in HU for CT, percentiles of the image otherwise.

    The percentiles (0.5 and 99.5) are those of the voxels that are not 0, because 0 is the outside of many MR images.
    """
    if is_ct:
        return ct_window
    inside = image[image != 0]
    low, high = np.percentile(inside, MR_PERCENTILES) if inside.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def upright(image: sitk.Image) -> sitk.Image:
    """Array axes towards head, back and left, whatever the scanner's order; a 2D image becomes one slice, as it is.

    Of a picture with colours in one file the first channel is taken.
    """
    if image.GetNumberOfComponentsPerPixel() > 1:
        image = sitk.VectorIndexSelectionCast(image, 0)
    return sitk.JoinSeries(image) if image.GetDimension() == 2 else sitk.DICOMOrient(image, "LPS")


def _turn(array: NDArray[Any], plane: str) -> NDArray[Any]:
    axes, turned = _AXES[plane]
    volume = array.transpose(axes)
    return np.array(volume[:, ::-1] if turned else volume)
