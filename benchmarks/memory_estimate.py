"""Peak memory of preprocessing one case, against the estimate that decides how many run side by side.

    .venv/bin/python -m benchmarks.memory_estimate [ct_down ...]

Every case is made up and preprocessed in a process of its own, first its fingerprint and then the case itself.
Prints one line a case: what it is, voxels before and after resampling, peaks and estimates in GB, and seconds.
Arguments choose sizes by their names; without any, all run. Imports, 0.75 GB, are not counted. For Linux.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from benchmarks.preprocessing_plans import CT, MR, preprocessing_plans

# name: normalisation, channels, classes, raw shape (z, y, x), raw and target spacing in mm
SIZES: dict[str, tuple[str, int, int, tuple[int, ...], tuple[float, ...], tuple[float, ...]]] = {
    "ct_down": (CT, 1, 2, (200, 256, 256), (1.0, 0.7, 0.7), (1.5, 0.8, 0.8)),
    "ct_up": (CT, 1, 2, (60, 256, 256), (5.0, 0.9, 0.9), (1.5, 0.77, 0.77)),
    "ct_same": (CT, 1, 2, (120, 256, 256), (1.0, 0.8, 0.8), (1.0, 0.8, 0.8)),
    "ct_separate_z": (CT, 1, 2, (60, 256, 256), (5.0, 0.9, 0.9), (4.0, 0.77, 0.77)),
    "ct_checkered": (CT, 1, 2, (160, 512, 512), (1.0, 0.8, 0.8), (1.0, 0.8, 0.8)),
    "ct_many_classes": (CT, 1, 12, (100, 200, 200), (2.0, 0.9, 0.9), (1.5, 0.8, 0.8)),
    "mr_same": (MR, 4, 4, (155, 240, 240), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "mr_resampled": (MR, 4, 4, (120, 160, 160), (1.2, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "mr_dense": (MR, 1, 60, (128, 160, 160), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "lits_300": (CT, 1, 2, (300, 512, 512), (1.25, 0.7, 0.7), (1.5, 0.77, 0.77)),
    "lits_600": (CT, 1, 2, (600, 512, 512), (0.8, 0.8, 0.8), (1.5, 0.77, 0.77)),
}


def main(names: list[str]) -> None:
    """Measure each size in a process of its own."""
    for name in names or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            _write_case(name, Path(folder))
            for step in ("fingerprint", "case"):
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.memory_estimate", "--one", name, step, folder],
                    check=True,
                )


def _write_case(name: str, folder: Path) -> None:
    _, channels, classes, shape, spacing, _ = SIZES[name]
    rng = np.random.default_rng(0)
    grid = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    radius = np.sqrt(sum(axis**2 for axis in grid)).astype(np.float32)
    for channel in range(channels):
        image = rng.integers(-900, 400, shape, dtype=np.int16)
        image[radius > 1.3] = 0
        if name == "ct_checkered":  # no image has more parts of zeros, which the crop tells apart
            image[sum(np.ogrid[tuple(slice(n) for n in shape)]) % 2 == 0] = 0
        _write(image, spacing, folder / f"case_{channel:04d}.nii")
    label = np.zeros(shape, dtype=np.uint8)
    for k in range(1, classes):
        outermost = 1.1 if name == "mr_dense" else 0.45
        label[radius < outermost * (1 - (k - 1) / classes)] = k
    _write(label, spacing, folder / "case.nii")


def _write(array: np.ndarray, spacing: tuple[float, ...], file: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(file))


def measure(name: str, step: str, folder: Path) -> dict[str, Any]:
    """Return the peak memory in this process and the estimate, in bytes, with the sizes behind them."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    from gsl_experiments.preprocessing.cases import CaseJob, preprocess_case
    from gsl_experiments.preprocessing.fingerprint import AnalysisJob, analyse
    from gsl_experiments.preprocessing.manifest import manifest_folder
    from gsl_experiments.preprocessing.memory import case_bytes, case_size, fingerprint_bytes
    from gsl_experiments.preprocessing.raw_cases import RawFiles

    scheme, channels, classes, _, _, target = SIZES[name]
    images = tuple(str(folder / f"case_{channel:04d}.nii") for channel in range(channels))
    size = case_size(images, target_spacing_mm=target)
    assert size is not None
    plans, dataset_json = preprocessing_plans(
        scheme, channels=channels, classes=classes, spacing_mm=target, file_ending=".nii"
    )
    cases = folder / "preprocessed" / "cases"
    for needed in (cases, manifest_folder(cases), cases.parent / "gt_segmentations"):
        needed.mkdir(parents=True, exist_ok=True)
    start, before = time.monotonic(), _peak()
    if step == "fingerprint":
        files = RawFiles(images, str(folder / "case.nii"))
        analyse(AnalysisJob("case", files, SimpleITKIO, 10**6, folder))
        estimate = fingerprint_bytes(size)
    else:
        label = str(folder / "case.nii")
        preprocess_case(
            CaseJob("case", images, label, plans, "3d_fullres", dataset_json, cases, "diagonal", {})
        )
        estimate = case_bytes(size)
    return {
        "voxels": size.voxels,
        "target_voxels": size.target_voxels,
        "peak": _peak() - before,
        "estimate": estimate,
        "imports": before,
        "seconds": time.monotonic() - start,
    }


def _peak() -> int:
    """Return the most memory that this process has held; a parent's share of getrusage would count, so Linux only."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measured = measure(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
        print(json.dumps({"name": sys.argv[2], "step": sys.argv[3]} | measured), flush=True)
    else:
        main(sys.argv[1:])
