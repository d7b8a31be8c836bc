"""Memory: what is free, what a case needs, and how many cases may run side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk  # noqa: N813
from omegaconf import DictConfig

GB = 10**9
PLENTY = 10**15  # where the system does not tell
_SMALL = 64 * 10**6  # whatever the size
_SHARE_OF_FREE = 0.9  # the rest is left to what else happens on the machine
_CGROUPS = (  # limit and use of this process's group, of both versions
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class CaseSize:
    """What decides the memory that a case needs.

    Args:
        channels: images of the case.
        voxels: of one raw image.
        target_voxels: of one image after resampling, before anything is cropped.
        resampled: whether the shape changes at all.
    """

    channels: int
    voxels: int
    target_voxels: int
    resampled: bool


def memory_limit(cfg: DictConfig) -> int:
    """Return the bytes that preprocessing may use: ``memory_gb``, or 90 % of what is free now."""
    if cfg.memory_gb != "auto":
        return int(cfg.memory_gb * GB)
    return int(_SHARE_OF_FREE * free_memory())


def free_memory() -> int:
    """Return the bytes that this process could still take: the system's, or those left of its control group."""
    free = [_left_of_group(Path(limit), Path(used)) for limit, used in _CGROUPS]
    return min([_available(), *(n for n in free if n is not None)])


def _available() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return PLENTY


def _left_of_group(limit: Path, used: Path) -> int | None:
    try:
        return max(0, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no group, or "max"
        return None


def case_size(
    images: Sequence[str],
    *,
    target_spacing_mm: Sequence[float] = (),
    transpose: Sequence[int] = (0, 1, 2),
) -> CaseSize | None:
    """Return what decides the memory of a case, from the headers of its images; None where they cannot be read.

    Args:
        images: the raw images of the case.
        target_spacing_mm: of the plans, axes in their order; an axis that is missing at their
            front, as in nnU-Net's 2D configuration, is not resampled.
        transpose: the plans' ``transpose_forward``.
    """
    reader = sitk.ImageFileReader()
    channels = 0
    for image in images:
        reader.SetFileName(str(image))
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return None
        channels += reader.GetSize()[3] if reader.GetDimension() == 4 else reader.GetNumberOfComponents()
    shape = reader.GetSize()[:3][::-1]
    spacing_mm = reader.GetSpacing()[:3][::-1]
    if len(shape) != 3:  # a 2D image: nnU-Net makes one slice of it
        shape, spacing_mm = (1, *shape), (1.0, *spacing_mm)
    voxels = [shape[axis] for axis in transpose]
    spacing = [spacing_mm[axis] for axis in transpose]
    target = [*spacing[: 3 - len(target_spacing_mm)], *target_spacing_mm]
    resampled = [round(n * s / t) for n, s, t in zip(voxels, spacing, target, strict=True)]
    return CaseSize(
        channels=channels,
        voxels=math.prod(voxels),
        target_voxels=math.prod(resampled),
        resampled=resampled != voxels,
    )


def case_bytes(size: CaseSize) -> int:
    """Return an upper estimate of the bytes that preprocessing a case takes.

    Fitted to measurements from above: docs/preprocessing.md, "Memory". nnU-Net resamples in double precision, which
    is most of it.
    """
    if not size.resampled:
        return _SMALL + (12 * size.channels + 68) * size.voxels
    reading = (16 * size.channels + 24) * size.voxels
    return _SMALL + reading + (4 * size.channels + 24) * size.target_voxels


def fingerprint_bytes(size: CaseSize) -> int:
    """Return an upper estimate of the bytes that the fingerprint of a case takes, fitted as :func:`case_bytes`.

    The worst case takes 4 bytes a voxel for every image and for the label, and 10 for the crop.
    """
    return _SMALL + (6 * size.channels + 12) * size.voxels
