"""The way back: segmentations with the label values of the raw dataset."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.datasets.nifti import read_image, write_image
from gsl_experiments.datasets.raw import DatasetError


def restore_labels(segmentation_file: Path, output: Path, original_labels: Mapping[int, int]) -> None:
    """Writes a segmentation with its original labels, such as 4 for BraTS' enhancing tumour (nnU-Net: 3).

    Labels that were merged on the way in cannot be told apart any more: the whole liver of LiTS becomes 1.

    Args:
        segmentation_file: 3D file with nnU-Net labels.
        output: file to write, whole or not at all, with the same geometry; uint8 where the
            labels fit into it, else the next larger type.
        original_labels: nnU-Net label -> raw label, not negative; all that may occur are listed.

    Raises:
        DatasetError: if the file is not readable or holds a label that is not listed.
    """
    image = read_image(segmentation_file)
    labels = sitk.GetArrayViewFromImage(image)
    restored = np.zeros(labels.shape, np.min_scalar_type(max(original_labels.values())))
    known = np.zeros(labels.shape, bool)
    for label, raw in original_labels.items():
        restored[labels == label] = raw
        known |= labels == label
    if not known.all():
        unknown = np.unique(labels[~known])[:5].tolist()
        raise DatasetError(
            f"{segmentation_file}: label {unknown} where only {sorted(original_labels)} are known; "
            "give the labels of the dataset that it was predicted for"
        )
    result = sitk.GetImageFromArray(restored)
    result.CopyInformation(image)
    write_image(result, output)
