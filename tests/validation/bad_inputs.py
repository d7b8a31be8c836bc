"""Ways to break a sound dataset, and the one line that each has to give."""

import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from sound_datasets import CT_AFFINE, MR_AFFINE, SHAPE, ct, labels, mr, save

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

BAD_INPUTS = {
    # files that are not there, or too many
    "no segmentation": BadInput(
        "lits", remove("segmentation-1.nii"), "missing file", "volume-1.nii", "is missing", "add it"
    ),
    "no volume": BadInput(
        "lits", remove("volume-1.nii"), "missing file", "segmentation-1.nii", "volume-1.nii", "add it"
    ),
    "no modality": BadInput(
        "brats",
        remove(f"{CASE}/{CASE}_t2.nii.gz"),
        "missing file",
        f"{CASE}_t2.nii.gz",
        "missing",
        "add the file",
    ),
    "dangling link": BadInput("lits", dangle, "missing file", "volume-1.nii", "no such file", "add the file"),
    "second copy elsewhere": BadInput(
        "lits",
        lambda raw: save(raw / "old" / "volume-1.nii.gz", ct(7)),
        "duplicate file",
        "volume-1",
        "a second",
        "keep one",
    ),
    "second candidate beside": BadInput(
        "brats",
        copy(f"{CASE}/{CASE}_t2.nii.gz", f"{CASE}/{CASE}_t2.nii"),
        "duplicate file",
        f"{CASE}_t2.nii",
        "a second",
        "keep one",
    ),
    "other edition": BadInput(
        "brats",
        lambda raw: [
            save(raw / "Other_7" / f"Other_7_{name}.nii.gz", mr(70 + i), MR_AFFINE)
            for i, name in enumerate(("t1", "t1ce", "t2", "flair", "seg"))
        ],
        "foreign case",
        "Other_7",
        "no case of BraTS 2020",
        "move it",
    ),
    "further modality": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_adc.nii.gz", mr(99), MR_AFFINE),
        "extra file",
        f"{CASE}_adc.nii.gz",
        "belongs to no modality",
        "move it away",
    ),
    "copy with a longer name": BadInput(
        "lits", put("volume-1_old.nii", ct(9)), "extra file", "volume-1_old.nii", "no modality", "move it"
    ),
    "channel too many": BadInput(
        "nnunet",
        put("imagesTr/case_1_0001.nii.gz", ct(9)),
        "extra file",
        "case_1_0001.nii.gz",
        "belongs to no modality",
        "move it away",
    ),
    # files that cannot be read
    "cut off": BadInput(
        "lits",
        change("volume-1.nii", lambda b: b[:-100]),
        "truncated file",
        "volume-1.nii",
        "ends 100 bytes",
        AGAIN,
    ),
    "header alone": BadInput(
        "lits", change("volume-1.nii", lambda b: b[:352]), "truncated file", "volume-1.nii", "ends", AGAIN
    ),
    "compressed and cut off": BadInput(
        "lits",
        change("volume-2.nii.gz", lambda b: b[: len(b) // 2]),
        "truncated file",
        "volume-2.nii.gz",
        "cut off",
        AGAIN,
    ),
    "a flipped bit": BadInput(
        "lits",
        change("volume-2.nii.gz", lambda b: b[:-8] + bytes([b[-8] ^ 1]) + b[-7:]),
        "truncated file",
        "volume-2.nii.gz",
        "damaged",
        AGAIN,
    ),
    "label cut off": BadInput(
        "lits",
        change("segmentation-1.nii", lambda b: b[:-1]),
        "truncated file",
        "segmentation-1.nii",
        "ends 1 byte",
        AGAIN,
    ),
    "empty file": BadInput(
        "lits", rewrite("volume-1.nii", b""), "truncated file", "volume-1.nii", "0 bytes", AGAIN
    ),
    "half a header": BadInput(
        "lits",
        change("volume-1.nii", lambda b: b[:200]),
        "unreadable file",
        "volume-1.nii",
        "not readable",
        AGAIN,
    ),
    "text": BadInput(
        "lits", rewrite("volume-1.nii", b"x" * 999), "unreadable file", "volume-1.nii", "not readable", AGAIN
    ),
    "Git LFS pointer": BadInput(
        "lits",
        rewrite("volume-1.nii", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "unreadable file",
        "volume-1.nii",
        "Git LFS pointer",
        "git lfs pull",
    ),
    "git-annex pointer": BadInput(
        "lits",
        rewrite("volume-1.nii", b"/annex/objects/MD5E-s1--0.nii\n"),
        "unreadable file",
        "volume-1.nii",
        "git-annex pointer",
        "git annex get",
    ),
    "web page": BadInput(
        "lits",
        rewrite("volume-2.nii.gz", b"<!DOCTYPE html><html>Log in</html>"),
        "unreadable file",
        "volume-2.nii.gz",
        "web page",
        "download it again",
    ),
    "macOS resource fork": BadInput(
        "lits",
        rewrite("volume-1.nii", b"\x00\x05\x16\x07" + b"\0" * 400),
        "unreadable file",
        "volume-1.nii",
        "resource fork",
        "copy the image",
    ),
    "zip": BadInput(
        "lits",
        rewrite("volume-1.nii", b"PK\x03\x04" + b"\0" * 99),
        "unreadable file",
        "volume-1.nii",
        "zip",
        "unpack",
    ),
    "compressed without .gz": BadInput(
        "lits",
        change("volume-1.nii", gzip.compress),
        "unreadable file",
        "volume-1.nii",
        "compressed",
        "to .nii.gz",
    ),
    "plain with .gz": BadInput(
        "lits",
        change("volume-2.nii.gz", gzip.decompress),
        "unreadable file",
        "volume-2.nii.gz",
        "not compressed",
        "rename it to .nii",
    ),
    "colours": BadInput("lits", rgb, "unreadable file", "volume-1.nii", "voxels of type", AGAIN),
    "complex numbers": BadInput(
        "lits",
        put("volume-1.nii", ct(1).astype(np.complex64)),
        "unreadable file",
        "volume-1.nii",
        "complex",
        AGAIN,
    ),
    "sheared axes": BadInput(
        "lits", put("volume-1.nii", ct(1), SHEAR), "unreadable file", "volume-1.nii", "right angles", "sform"
    ),
    # axes
    "time series": BadInput(
        "lits",
        put("volume-1.nii", np.stack([ct(1), ct(8)], -1)),
        "wrong dimensions",
        "volume-1.nii",
        "4D with 2 channels where 3D is due",
        "one 3D file a channel",
    ),
    "4D label": BadInput(
        "lits",
        put("segmentation-1.nii", np.stack([labels(1), labels(2)], -1)),
        "wrong dimensions",
        "segmentation-1.nii",
        "4D with 2 channels where 3D is due",
        "3D file",
    ),
    "5D": BadInput(
        "lits",
        put("volume-1.nii", np.zeros((4, 4, 4, 1, 3), np.int16)),
        "wrong dimensions",
        "volume-1.nii",
        "5D, 4 x 4 x 4 x 1 x 3 voxels",
        "3D file",
    ),
    "one slice": BadInput(
        "lits",
        put("volume-1.nii", ct(1)[..., 0]),
        "wrong dimensions",
        "volume-1.nii",
        "2D, 24 x 20",
        "3D file",
    ),
    "4D modality": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_t1.nii.gz", np.stack([mr(1), mr(2)], -1), MR_AFFINE),
        "wrong dimensions",
        f"{CASE}_t1.nii.gz",
        "where 3D is due",
        "one 3D file a channel",
    ),
    "a channel too few": BadInput(
        "msd",
        put("imagesTr/case_1.nii.gz", mr(5), MR_AFFINE),
        "wrong dimensions",
        "case_1.nii.gz",
        "3D where 4D with 2 channels is due",
        "4D file with all channels",
    ),
    # grids
    "no spacing": BadInput(
        "lits",
        header("volume-1.nii", spacing(0, 0, 0)),
        "invalid spacing",
        "volume-1.nii",
        "0 x 0 x 0 mm",
        "true spacing",
    ),
    "spacing NaN": BadInput(
        "lits",
        header("volume-1.nii", spacing(*3 * [np.nan])),
        "invalid spacing",
        "volume-1.nii",
        "nan x nan x nan mm",
        "true spacing",
    ),
    "negative spacing": BadInput(
        "lits",
        header("volume-1.nii", spacing(-1, 1, 1)),
        "invalid spacing",
        "volume-1.nii",
        "-1 x 1 x 1",
        "true",
    ),
    "metres": BadInput(
        "lits",
        regrid(scaled((0.0008, 0.0008, 0.0025))),
        "spacing of another scale",
        "volume-1.nii",
        "0.0008 x 0.0008 x 0.0025 mm",
        "correct the spacing",
    ),
    "fine as a micro-CT": BadInput(
        "lits",
        regrid(scaled((0.08, 0.08, 2.5))),
        "implausible spacing",
        "volume-1.nii",
        "0.08 x 0.08",
        "correct",
    ),
    "thick slices": BadInput(
        "lits",
        regrid(scaled((0.8, 0.8, 25))),
        "implausible spacing",
        "volume-1.nii",
        "0.8 x 0.8 x 25 mm",
        "correct",
    ),
    "tiny field of view": BadInput(
        "lits",
        regrid(scaled((0.3, 0.3, 2.5))),
        "implausible spacing",
        "volume-1.nii",
        "7.2 x 6 x 30 mm",
        "correct the spacing",
    ),
    "giant field of view": BadInput(
        "lits",
        all_of(
            put("volume-1.nii", np.tile(ct(1), (1, 1, 13)), scaled((0.8, 0.8, 19))),
            put("segmentation-1.nii", np.tile(labels(1), (1, 1, 13)), scaled((0.8, 0.8, 19))),
        ),
        "implausible spacing",
        "volume-1.nii",
        "2964 mm",
        "correct the spacing",
    ),
    "spacing lost": BadInput(
        "lits",
        regrid(scaled((1, 1, 1))),
        "identity spacing",
        "volume-1.nii",
        "in 1 of 3 cases",
        "Task03_Liver",
    ),
    "label of another shape": BadInput(
        "lits",
        put("segmentation-1.nii", labels(1, 2)[:, :, :-1]),
        "shape mismatch",
        "segmentation-1.nii",
        "24 x 20 x 11 voxels where its image has 24 x 20 x 12",
        EXCLUDE,
    ),
    "modality of another shape": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_t2.nii.gz", mr(3)[1:], MR_AFFINE),
        "shape mismatch",
        f"{CASE}_t2.nii.gz",
        f"23 x 20 x 12 voxels where {CASE}_t1.nii.gz has 24 x 20 x 12",
        EXCLUDE,
    ),
    "modality elsewhere": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_t2.nii.gz", mr(3), shifted(3)),
        "geometry mismatch",
        f"{CASE}_t2.nii.gz",
        f"up to 3 mm from those of {CASE}_t1.nii.gz",
        "resample it",
    ),
    "label elsewhere": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_seg.nii.gz", labels(1, 2, 4), np.diag([1, 1, 1.5, 1])),
        "geometry mismatch",
        f"{CASE}_seg.nii.gz",
        "up to 5.5 mm",
        "copy the header",
    ),
    "label header of LiTS": BadInput(
        "lits",
        put("segmentation-1.nii", labels(1, 2), np.diag([-0.8, -0.8, 2.5, 1])),
        "label geometry",
        "segmentation-1.nii",
        "up to 70.7 mm from those of its image",
        "check that the label lies on the image",
    ),
    "noise in headers": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_t2.nii.gz", mr(3), shifted(0.0004)),
        "header noise",
        f"{CASE}_t2.nii.gz",
        "from the first image by 0.0004 mm; mended",
        "nothing",
    ),
    "two geometries": BadInput(
        "lits",
        header("volume-1.nii", contradict),
        "contradictory header",
        "volume-1.nii",
        "up to 5 mm apart",
        "decide on one",
    ),
    "upside down": BadInput(
        "lits",
        regrid(UPSIDE_DOWN),
        "orientation",
        "volume-1.nii",
        "orientation LPI where 2 of 3 cases are LPS",
        "reorient image and label",
    ),
    # images
    "NaN": BadInput(
        "lits",
        put("volume-1.nii", with_values(ct(1), few=[np.nan, np.nan])),
        "NaN or infinite voxels",
        "volume-1.nii",
        "2 voxels are NaN and 0 infinite",
        "replace them",
    ),
    "infinite": BadInput(
        "lits",
        put("volume-1.nii", with_values(ct(1), few=[np.inf, -np.inf, np.nan])),
        "NaN or infinite voxels",
        "volume-1.nii",
        "1 voxels are NaN and 2 infinite",
        "replace them",
    ),
    "NaN in one channel": BadInput(
        "msd",
        put("imagesTr/case_1.nii.gz", np.stack([mr(5), with_values(mr(6), few=[np.nan])], -1), MR_AFFINE),
        "NaN or infinite voxels",
        "case_1.nii.gz",
        "1 voxels are NaN",
        "replace them",
    ),
    "NaN in a label": BadInput(
        "lits",
        put("segmentation-1.nii", with_values(labels(1, 2), few=[np.nan])),
        "NaN or infinite voxels",
        "segmentation-1.nii",
        "1 voxels are NaN",
        "replace them",
    ),
    "constant image": BadInput(
        "lits",
        put("volume-1.nii", np.full(SHAPE, 7, np.int16)),
        "constant image",
        "volume-1.nii",
        "are 7",
        "export",
    ),
    "constant modality": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_t2.nii.gz", np.zeros(SHAPE, np.int16), MR_AFFINE),
        "constant image",
        f"{CASE}_t2.nii.gz",
        "all voxels are 0",
        "export the image again",
    ),
    "label as image": BadInput(
        "lits",
        copy("segmentation-1.nii", "volume-1.nii"),
        "image holds labels",
        "volume-1.nii",
        "the same voxels as the label",
        "put image and label in their places",
    ),
    "mask as modality": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_t2.nii.gz", labels(1), MR_AFFINE),
        "label-like image",
        f"{CASE}_t2.nii.gz",
        "only whole numbers from 0 to 1",
        "look at it",
    ),
    "offset of 1024": BadInput(
        "lits", put("volume-1.nii", ct(1) + 1024), "not in HU", "volume-1.nii", "from 24 to", "rescale slope"
    ),
    "window": BadInput(
        "lits",
        put("volume-1.nii", np.clip(ct(1) / 400 + 0.5, 0, 1).astype(np.float32)),
        "not in HU",
        "volume-1.nii",
        "from 0 to 1 ",
        "export the image again",
    ),
    "one scan, two names": BadInput(
        "lits",
        lambda raw: save(raw / "volume-2.nii.gz", ct(1).astype(np.float32)),
        "duplicate image",
        "volume-2.nii.gz",
        "the same voxels as volume-1.nii of case lits_001",
        "keep one of the two",
    ),
    "one modality, two names": BadInput(
        "brats",
        copy(f"{CASE}/{CASE}_t1.nii.gz", f"{CASE}/{CASE}_t1ce.nii.gz"),
        "duplicate image",
        f"{CASE}_t1ce.nii.gz",
        f"the same voxels as {CASE}_t1.nii.gz of this case",
        "keep one of the two",
    ),
    "one channel twice": BadInput(
        "msd",
        put("imagesTr/case_1.nii.gz", np.stack([mr(5), mr(5)], -1), MR_AFFINE),
        "duplicate image",
        "case_1.nii.gz",
        "channel 1: the same voxels as channel 0",
        "keep one of the two",
    ),
    # labels
    "interpolated label": BadInput(
        "lits",
        put("segmentation-1.nii", with_values(labels(1, 2), few=[0.5, 0.25])),
        "non-integer label",
        "segmentation-1.nii",
        "2 voxels not whole, such as 0.5",
        "nearest neighbour",
    ),
    "label value 7": BadInput(
        "lits",
        put("segmentation-1.nii", labels(1, 2, 7)),
        "unknown label",
        "segmentation-1.nii",
        "label value 7 (32 voxels) where 0, 1, 2 are allowed",
        "correct the label file",
    ),
    "negative label": BadInput(
        "lits",
        put("segmentation-1.nii", labels(1, -1, dtype=np.int16)),
        "unknown label",
        "segmentation-1.nii",
        "label value -1",
        "correct the label file",
    ),
    "label value 3 in BraTS 2020": BadInput(
        "brats",
        put(f"{CASE}/{CASE}_seg.nii.gz", labels(1, 2, 3), MR_AFFINE),
        "unknown label",
        f"{CASE}_seg.nii.gz",
        "where 0, 1, 2, 4 are allowed",
        "correct the label file",
    ),
    "empty label": BadInput(
        "lits",
        put("segmentation-1.nii", labels()),
        "empty label",
        "segmentation-1.nii",
        "no voxel",
        "look at the case",
    ),
    "label of one voxel": BadInput(
        "lits",
        put("segmentation-1.nii", with_values(labels(), few=[1])),
        "tiny label",
        "segmentation-1.nii",
        "only 1 voxel labelled",
        "look at the case",
    ),
    "scale factor": BadInput(
        "lits", scaled_label, "rounded label", "segmentation-1.nii", "up to 0.0002 from whole", "nothing"
    ),
    "class without a voxel": BadInput(
        "msd",
        lambda raw: [save(raw / "labelsTr" / f"case_{i}.nii.gz", labels(1), MR_AFFINE) for i in range(2)],
        "absent class",
        "labelsTr",
        "no voxel of rest (label 2)",
        "dataset's description",
    ),
}
# More than one finding, each of them due.
SWAPPED = swap("volume-1.nii", "segmentation-1.nii")
