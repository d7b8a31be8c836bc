"""What the two phantoms share besides shapes: their parameters' checks and their folder's bookkeeping."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.atomic import replacing
from gsl_experiments.datasets.raw import DatasetError
from gsl_experiments.errors import UserError

_SMALLEST_SIZE = 16
_PARAMETERS_FILE = "phantom.json"


def check_parameters(cases: int, size: tuple[int, int, int]) -> None:
    """Refuses a phantom without cases or with too few voxels to show any anatomy.

    Raises:
        ValueError: naming the parameter, the least value and what was given.
    """
    if cases < 1:
        raise UserError(f"cases must be at least 1, not {cases}")
    if len(size) != 3 or min(size) < _SMALLEST_SIZE:
        raise UserError(
            f"size must be three numbers (x, y, z) of at least {_SMALLEST_SIZE}, not {tuple(size)}"
        )


def claim_folder(folder: Path, parameters: dict[str, Any]) -> None:
    """Makes the folder of a phantom, or checks that it holds this very phantom, perhaps unfinished.

    Raises:
        DatasetError: if the folder holds anything else, such as real data or a phantom of other parameters.
    """
    file = folder / _PARAMETERS_FILE
    text = json.dumps(parameters, indent=2) + "\n"
    if file.is_file():
        if file.read_text() != text:
            raise DatasetError(
                f"{file}: a phantom of other parameters; delete the folder or choose another "
                f"(wanted {json.dumps(parameters)})"
            )
        return
    if folder.is_dir() and any(path for path in folder.iterdir() if not path.name.startswith(".")):
        raise DatasetError(f"{folder}: holds files that are not a phantom's; choose an empty folder")
    with replacing(file) as partial:
        partial.write_text(text)


def case_generator(seed: int, index: int) -> np.random.Generator:
    """A case's own random numbers: the same whatever number of cases is made."""
    return np.random.default_rng(np.random.SeedSequence([seed, index]))


def to_image(
    voxels: npt.NDArray[Any], spacing_mm: tuple[float, ...], origin_mm: tuple[float, ...]
) -> sitk.Image:
    """An image of an array in (z, y, x) order; spacing and origin in (x, y, z) order, axes left, back, up."""
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_mm)
    image.SetOrigin(origin_mm)
    return image
