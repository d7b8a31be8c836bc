"""Label images on disk: read one, and make sure that two lie on the same grid."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from jaxtyping import Integer

from gsl_experiments.datasets.nifti import read_image
from gsl_experiments.errors import UserError

# Programs round the headers that they write: grids this close, in mm and in direction cosines, are the same.
GEOMETRY_TOLERANCE = 1e-3
_MANY_LABELS = 1 << 16


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
        UserError: the file is cut off, or cannot be read as an image.
    """
    return read_image(file)


def check_headers(prediction_file: Path, reference_file: Path) -> None:
    """Refuse two files whose voxels do not coincide, from their headers alone; see `check_same_grid`."""
    check_same_grid(_header(prediction_file), _header(reference_file), prediction_file, reference_file)


def _header(file: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        read_labels(file)  # says in one line what is wrong
        raise
    return reader


def label_array(image: sitk.Image, file: Path) -> Integer[np.ndarray, "*spatial"]:
    """Labels of an image as integers, axes reversed against the image's (z, y, x); valid while the image is.

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
                f"{prediction_file} and {reference_file} differ in {name}: {ours} against {theirs}; "
                "bring the prediction onto the reference's grid"
            )
