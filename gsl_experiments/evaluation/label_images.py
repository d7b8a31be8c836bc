"""Label images on disk: read one, and make sure that two lie on the same grid."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from jaxtyping import Integer

from gsl_experiments.datasets.nifti import read_image
from gsl_experiments.errors import UserError

# Programs round the headers that they write: grids this close, in mm and in direction cosines, are the same. Of small
# voxels, spacings must agree to this share of a voxel and origins to ten times that.
GEOMETRY_TOLERANCE = 1e-3
_MANY_LABELS = 1 << 16
_LARGEST_LABEL = np.iinfo(np.int32).max

# Formats that carry a spacing and that SimpleITK reads, longest ending first.
LABEL_ENDINGS = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")


def case_name(file: Path) -> str:
    """Name of the case that a label image belongs to: the file's, without its ending."""
    known = (ending for ending in LABEL_ENDINGS if file.name.endswith(ending))
    return file.name.removesuffix(next(known, file.suffix))


def label_files(folder: Path) -> dict[str, Path]:
    """Case -> its label image, of all label images of a folder; hidden and other files are passed over.

    Raises:
        UserError: the folder is missing or holds no label image, or two of the same case.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.name.endswith(LABEL_ENDINGS):
            continue
        if twin := files.get(case_name(file)):
            raise UserError(f"{twin} and {file} are of the same case: remove one of them")
        files[case_name(file)] = file
    if not files:
        raise UserError(f"{folder}: no label image there ({', '.join(LABEL_ENDINGS)})")
    return files


def read_labels(file: Path) -> sitk.Image:
    """Read a label image.

    Raises:
        UserError: the file is cut off, cannot be read as an image, or is no label image.
    """
    image = read_image(file)
    _check_kind(image, file)
    return image


def check_headers(prediction_file: Path, reference_file: Path) -> None:
    """Refuse two files that are no label images of one grid, from their headers alone; see `check_same_grid`."""
    check_same_grid(_header(prediction_file), _header(reference_file), prediction_file, reference_file)


def _header(file: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        read_labels(file)  # says in one line what is wrong
        raise
    _check_kind(reader, file)
    return reader


def _check_kind(image: sitk.Image | sitk.ImageFileReader, file: Path) -> None:
    """Refuse an image that is neither 2D nor 3D, or holds more than a number a voxel."""
    if image.GetDimension() not in (2, 3):
        raise UserError(f"{file}: {image.GetDimension()} axes, but a label image is 2D or 3D")
    kind = sitk.GetPixelIDValueAsString(image.GetPixelID())
    if kind.startswith(("vector", "complex")):
        raise UserError(f"{file}: each voxel is a {kind}, but a label is one number")


def label_array(image: sitk.Image, file: Path) -> Integer[np.ndarray, "*spatial"]:
    """Labels of an image as integers, axes reversed against the image's (z, y, x); valid while the image is.

    Raises:
        UserError: a value is not a whole number, or has more than 32 bits.
    """
    values = sitk.GetArrayViewFromImage(image)
    if np.issubdtype(values.dtype, np.integer):
        return values
    labels = np.rint(values)
    if not np.array_equal(labels, values):
        raise UserError(f"{file}: a label image must hold whole numbers")
    if (largest := np.abs(labels).max()) > _LARGEST_LABEL:
        raise UserError(f"{file}: label {largest:g} is too large, the largest is {_LARGEST_LABEL}")
    return labels.astype(np.int64)


def labels_in(labels: Integer[np.ndarray, "*spatial"]) -> set[int]:
    """Labels that occur in an array."""
    highest = int(labels.max())
    if labels.min() < 0 or highest >= _MANY_LABELS:
        return set(np.unique(labels).tolist())
    # Plane by plane, because NumPy counts in arrays of 8 bytes a voxel; far faster than sorting all voxels.
    counts = sum(np.bincount(plane.ravel(), minlength=highest + 1) for plane in labels)
    return set(np.flatnonzero(counts).tolist())


def check_same_grid(
    prediction: sitk.Image | sitk.ImageFileReader,
    reference: sitk.Image | sitk.ImageFileReader,
    prediction_file: Path,
    reference_file: Path,
) -> None:
    """Refuse two images, or two headers, whose voxels do not coincide.

    Raises:
        UserError: the sizes differ, a spacing by more than 0.001 mm or 0.1 %, the origin by more than 0.001 mm or
            1 % of a voxel's shortest side, or a direction cosine by more than 0.001.
    """
    spacing_mm = np.array(reference.GetSpacing())
    for name, ours, theirs, tolerance in (
        ("size", prediction.GetSize(), reference.GetSize(), 0.0),
        ("spacing", prediction.GetSpacing(), reference.GetSpacing(), np.minimum(1.0, spacing_mm)),
        ("origin", prediction.GetOrigin(), reference.GetOrigin(), min(1.0, 10 * spacing_mm.min())),
        ("direction", prediction.GetDirection(), reference.GetDirection(), 1.0),
    ):
        if len(ours) != len(theirs) or not np.allclose(
            ours, theirs, rtol=0.0, atol=GEOMETRY_TOLERANCE * tolerance
        ):
            raise UserError(
                f"{prediction_file} and {reference_file} differ in {name}: {ours} against {theirs}; "
                "bring the prediction onto the reference's grid"
            )
