"""Plans and dataset.json as nnU-Net writes them, as far as preprocessing one made-up case reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CT, MR = "CTNormalization", "ZScoreNormalization"


def preprocessing_plans(
    scheme: str,
    *,
    channels: int,
    classes: int,
    spacing_mm: Sequence[float],
    patch_size: Sequence[int] = (128, 128, 128),
    file_ending: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both.

    Args:
        scheme: `CT` or `MR`, nnU-Net's normalisation of every channel.
        channels: images of the case.
        classes: background included.
        spacing_mm: to resample to.
        patch_size: of a training, for which files are written in chunks.
        file_ending: of the raw files.
    """
    of_images = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "cases",
        "preprocessor_name": "DefaultPreprocessor",
        "patch_size": list(patch_size),
        "spacing": list(spacing_mm),
        "normalization_schemes": [scheme] * channels,
        "use_mask_for_norm": [scheme == MR] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": of_images,
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": of_images | {"is_seg": True, "order": 1},
        "architecture": {},
    }
    window = {"mean": 150.0, "std": 20.0, "percentile_00_5": 90.0, "percentile_99_5": 210.0}
    plans = {
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "label_manager": "LabelManager",
        "configurations": {"3d_fullres": configuration},
        "foreground_intensity_properties_per_channel": {str(c): window for c in range(channels)},
    }
    labels = {"background": 0} | {f"class_{k}": k for k in range(1, classes)}
    return plans, {"labels": labels, "file_ending": file_ending}
