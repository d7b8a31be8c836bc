"""LiTS 2017: abdominal CT, binary liver segmentation as in section 2.3 of the paper."""

import re
from pathlib import Path

from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset

_EXPECTED = "volume-N.nii[.gz] beside segmentation-N.nii[.gz]"


def read_lits(raw: Path) -> RawDataset:
    """Finds the LiTS training cases of one folder; the liver's lesions (raw 2) are part of the liver (1).

    Some label files of the release bear no geometry (unit spacing beside a CT of 0.8 x 0.8 x 2.5 mm, as in
    number 53), though their voxels are those of the CT: labels take the geometry of their volume. Volumes 28
    to 47 are published with unit spacing themselves; nothing here can know better.

    Args:
        raw: folder that holds ``volume-N.nii[.gz]`` and ``segmentation-N.nii[.gz]``.

    Returns:
        One CT channel, labels background and liver, cases ``lits_000``, ``lits_001``, ... in the order of N.

    Raises:
        DatasetError: if the folder is missing or holds no volume, a volume has no segmentation or the
            reverse, or a number occurs twice.
    """
    if not raw.is_dir():
        raise DatasetError(f"{raw}: no such folder; point it at the folder that holds {_EXPECTED}")
    volumes = _numbered_files(raw, "volume")
    segmentations = _numbered_files(raw, "segmentation")
    if not volumes:
        raise DatasetError(f"{raw}: no LiTS volume found; expected {_EXPECTED} directly in this folder")
    for number in sorted(volumes.keys() ^ segmentations.keys()):
        present, absent = volumes, "segmentation"
        if number in segmentations:
            present, absent = segmentations, "volume"
        raise DatasetError(
            f"{present[number]}: {absent}-{number}.nii[.gz] is missing; add it or remove this file"
        )
    return RawDataset(
        cases=tuple(
            RawCase(f"lits_{number:03d}", (volumes[number],), segmentations[number])
            for number in sorted(volumes)
        ),
        channel_names=("CT",),
        labels={"background": 0, "liver": 1},
        label_map={0: 0, 1: 1, 2: 1},
        regions={"Liver": (1,)},
        label_geometry_from_image=True,
    )


def _numbered_files(folder: Path, prefix: str) -> dict[int, Path]:
    files: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(rf"{prefix}-(\d+)\.nii(\.gz)?", path.name)
        if not match or not path.is_file():
            continue
        number = int(match[1])
        if number in files:
            raise DatasetError(f"{path}: the same case as {files[number].name}; keep one of the two")
        files[number] = path
    return files
