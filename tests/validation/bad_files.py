"""Files that are not there, too many or not readable, and the one line that each gives."""

import gzip

import numpy as np
from damage import AGAIN, CASE, SHEAR, BadInput, change, copy, dangle, put, remove, rewrite, rgb
from sound_datasets import MR_AFFINE, ct, labels, mr, save

BAD_FILES = {
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
}
