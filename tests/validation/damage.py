"""Ways to break a sound dataset."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from sound_datasets import CT_AFFINE, MR_AFFINE, SHAPE, ct, labels, save

CASE = "BraTS20_Training_002"
Break = Callable[[Path], object]


@dataclass(frozen=True)
class BadInput:
    """A dataset, what is done to it, and the kind, file, problem and remedy of the only finding."""

    layout: str
    damage: Break
    kind: str
    file: str
    problem: str
    remedy: str


def rewrite(file: str, content: bytes) -> Break:
    return lambda raw: (raw / file).write_bytes(content)


def change(file: str, edit: Callable[[bytes], bytes]) -> Break:
    return lambda raw: (raw / file).write_bytes(edit((raw / file).read_bytes()))


def put(file: str, voxels: Any, affine: Any = CT_AFFINE) -> Break:
    return lambda raw: save(raw / file, voxels, affine)


def remove(file: str) -> Break:
    return lambda raw: (raw / file).unlink()


def copy(source: str, target: str) -> Break:
    return lambda raw: shutil.copyfile(raw / source, raw / target)


def all_of(*damages: Break) -> Break:
    return lambda raw: [damage(raw) for damage in damages]


def header(file: str, edit: Callable[[Any], object]) -> Break:
    """Edits the header of a plain file in place."""

    def damage(raw: Path) -> None:
        image = nib.load(raw / file)
        voxels, head = np.asarray(image.dataobj), image.header
        edit(head)
        (raw / file).write_bytes(head.binaryblock + b"\0" * 4 + voxels.tobytes(order="F"))

    return damage


def spacing(*sizes: float) -> Callable[[Any], None]:
    def edit(head: Any) -> None:
        head["pixdim"][1:4] = sizes
        head["qform_code"] = head["sform_code"] = 0

    return edit


def both(*damages_of_file: Callable[[str], Break]) -> Break:
    """The same for volume 1 and its segmentation."""
    return all_of(*(damage(f) for f in ("volume-1.nii", "segmentation-1.nii") for damage in damages_of_file))


def scaled(spacing_mm: tuple[float, float, float]) -> Any:
    return np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1])


def regrid(affine: Any) -> Break:
    """Volume 1 and its segmentation with another geometry."""
    return all_of(put("volume-1.nii", ct(1), affine), put("segmentation-1.nii", labels(1, 2), affine))


def with_values(voxels: Any, **values: Any) -> Any:
    """A float copy with a few voxels replaced."""
    changed = np.asarray(voxels, np.float32).copy()
    for index, value in enumerate(values["few"]):
        changed[index, 0, 0] = value
    return changed


def shifted(mm: float) -> Any:
    affine = MR_AFFINE.copy()
    affine[0, 3] = mm
    return affine


def contradict(head: Any) -> None:
    head.set_sform(CT_AFFINE, 1)
    head.set_qform(CT_AFFINE @ np.diag([1, 1, 1, 1.0]) + np.array([[0, 0, 0, 5.0], *3 * [[0] * 4]]), 1)


def rgb(raw: Path) -> None:
    voxels = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nib.save(nib.Nifti1Image(voxels, CT_AFFINE), raw / "volume-1.nii")


def dangle(raw: Path) -> None:
    (raw / "volume-1.nii").unlink()
    (raw / "volume-1.nii").symlink_to(raw / "gone.nii")


def scaled_label(raw: Path) -> None:
    image = nib.Nifti1Image(labels(1, 2).astype(np.float64) * 1.0001, CT_AFFINE)
    nib.save(image, raw / "segmentation-1.nii")


def swap(one: str, other: str) -> Break:
    def damage(raw: Path) -> None:
        (raw / one).rename(raw / "aside")
        (raw / other).rename(raw / one)
        (raw / "aside").rename(raw / other)

    return damage


SHEAR = CT_AFFINE @ np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
UPSIDE_DOWN = CT_AFFINE @ np.diag([1, 1, -1, 1])
AGAIN, EXCLUDE = "download or convert it again", "leave the case out"
