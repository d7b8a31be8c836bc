"""Label images on disk: read one, and make sure that two lie on the same grid."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from jaxtyping import Integer

from gsl_experiments.datasets.nifti import read_image
from gsl_experiments.errors import UserError

# Programs round the headers that they write: grids this close, in mm and in direction cosines, are the same.
GEOMETRY_TOLERANCE = 1e-3


def read_labels(file: Path) -> sitk.Image:
    """Read a label image.

    Raises:
        UserError: the file is cut off, or cannot be read as an image.
    """
    return read_image(file)


def label_array(image: sitk.Image, file: Path) -> Integer[np.ndarray, "*spatial"]:
    """Labels of an image as integers, axes reversed against the image's (z, y, x).

    Raises:
        UserError: a value is not a whole number.
    """
    values = sitk.GetArrayViewFromImage(image)
    if np.issubdtype(values.dtype, np.integer):
        return values
    labels = np.rint(values)
    if not np.array_equal(labels, values):
        raise UserError(f"{file}: a label image must hold whole numbers")
    return labels.astype(np.int64)


def check_same_grid(
    prediction: sitk.Image, reference: sitk.Image, prediction_file: Path, reference_file: Path
) -> None:
    """Refuse two images whose voxels do not coincide.

    Raises:
        UserError: size, spacing, origin or direction differ by more than `GEOMETRY_TOLERANCE`.
    """
    for name, ours, theirs in (
        ("size", prediction.GetSize(), reference.GetSize()),
        ("spacing", prediction.GetSpacing(), reference.GetSpacing()),
        ("origin", prediction.GetOrigin(), reference.GetOrigin()),
        ("direction", prediction.GetDirection(), reference.GetDirection()),
    ):
        if len(ours) != len(theirs) or not np.allclose(ours, theirs, rtol=0.0, atol=GEOMETRY_TOLERANCE):
            raise UserError(
                f"{prediction_file} and {reference_file} differ in {name}: {ours} against {theirs}"
            )
