"""What preprocessing prints at its end: the numbers that can be compared with the paper's at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_LABEL_WIDTH = 24


def report(
    preprocessed: Path,
    plans: dict[str, Any],
    configuration: str,
    dataset_json: dict[str, Any],
    voxels: np.ndarray,
    weights: np.ndarray,
    folds: list[dict[str, list[str]]],
    *,
    excluded: list[str],
    seconds: float,
) -> str:
    """Return the closing lines: spacing, patch, intensities, class voxels and weights, folds, cases, place, time.

    Args:
        preprocessed: the dataset's preprocessed folder.
        plans: nnU-Net's plans.
        configuration: nnU-Net's configuration.
        dataset_json: nnU-Net's description of the dataset.
        voxels: of each class in the whole dataset.
        weights: of the classes, eq. (13).
        folds: nnU-Net's folds.
        excluded: the cases that were left out.
        seconds: that the stage took.
    """
    planned = plans["configurations"][configuration]
    spacing = " x ".join(f"{s:.3g}" for s in planned["spacing"])
    cases = {case for fold in folds for case in fold["val"]}
    left_out = f", {len(excluded)} of {len(cases) + len(excluded)} left out" if excluded else ""
    rows = [
        ("cases", f"{len(cases)}{left_out}"),
        ("folds", f"{len(folds)}, holding out {', '.join(str(len(fold['val'])) for fold in folds)} cases"),
        ("target spacing", f"{spacing} mm (axes as nnU-Net orders them)"),
        ("patch, batch", f"{' x '.join(str(p) for p in planned['patch_size'])}, {planned['batch_size']}"),
        *_intensities(plans, dataset_json),
        *(
            (f"class {name}", f"{count:,} voxels, weight {weight:.6f}")
            for name, count, weight in zip(dataset_json["labels"], voxels.tolist(), weights, strict=True)
        ),
        ("where", str(preprocessed / planned["data_identifier"])),
        ("time", _duration(seconds)),
    ]
    return "\n".join(
        [f"{plans['dataset_name']} is ready:", *(f"  {label:{_LABEL_WIDTH}}{text}" for label, text in rows)]
    )


def _intensities(plans: dict[str, Any], dataset_json: dict[str, Any]) -> list[tuple[str, str]]:
    names = dataset_json["channel_names"] if "channel_names" in dataset_json else dataset_json["modality"]
    return [
        (
            names[str(channel)],
            f"foreground {p['percentile_00_5']:.4g} to {p['percentile_99_5']:.4g} (0.5 and 99.5 percentile), "
            f"mean {p['mean']:.4g}, std {p['std']:.4g}",
        )
        for channel, p in plans["foreground_intensity_properties_per_channel"].items()
    ]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
