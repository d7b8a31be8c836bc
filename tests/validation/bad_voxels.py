"""Images and labels of wrong content, and the one line that each gives."""

import numpy as np
from damage import CASE, BadInput, copy, put, scaled_label, swap, with_values
from sound_datasets import MR_AFFINE, SHAPE, ct, labels, mr, save

BAD_VOXELS = {
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
        "constant channel",
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
