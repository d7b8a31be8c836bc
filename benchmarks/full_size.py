"""Seconds and peak memory of each step of preprocessing, on cases of true size.

    .venv/bin/python -m benchmarks.full_size ["LiTS, 1000 slices" ...] [--step maps ...]

Each case is made up of noise and nested ellipsoids, and each step runs in a process of its own, one thread. Seconds are
those of the processor, without the imports and without loading the compiled code of the maps. The peak is the most
memory that the process has held, 0.7 GB of it for imports. For Linux.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from benchmarks.preprocessing_plans import CT, MR, preprocessing_plans

GB = 10**9


@dataclass(frozen=True)
class Size:
    """What a case measures, axes z, y, x.

    Args:
        channels: images.
        classes: background included.
        shape: voxels.
        spacing: mm.
        target: spacing to resample to, mm.
        patch: voxels of a training patch.
    """

    channels: int
    classes: int
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    target: tuple[float, float, float]
    patch: tuple[int, int, int] = (128, 256, 256)


LITS_TARGET, FINE_TARGET = (2.5, 0.77, 0.77), (1.0, 0.77, 0.77)
SIZES = {
    "BraTS": Size(4, 4, (155, 240, 240), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (128, 128, 128)),
    "LiTS, 75 slices": Size(1, 2, (75, 512, 512), (5.0, 0.8, 0.8), LITS_TARGET),
    "LiTS, 450 slices": Size(1, 2, (450, 512, 512), (1.0, 0.75, 0.75), LITS_TARGET),
    "LiTS, 1000 slices": Size(1, 2, (1000, 512, 512), (0.8, 0.7, 0.7), LITS_TARGET),
    "LiTS, 1000 slices, to 1 mm": Size(1, 2, (1000, 512, 512), (0.8, 0.7, 0.7), FINE_TARGET),
}


class Case:
    """A made-up case in a folder, and the steps that it goes through.

    Args:
        size: what it measures.
        folder: where its files lie.
    """

    def __init__(self, size: Size, folder: Path) -> None:
        self.size = size
        self.images = [folder / f"case_{channel:04d}.nii.gz" for channel in range(size.channels)]
        self.label = folder / "case.nii.gz"
        self.folder = folder
        self.preprocessed = folder / "preprocessed"

    def make(self) -> None:
        """Write the images, zero outside the largest ellipsoid, and the label."""
        squares = [np.linspace(-1, 1, n, dtype=np.float32) ** 2 for n in self.size.shape]
        radius = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
        label = np.zeros(self.size.shape, np.uint8)
        for k in range(1, self.size.classes):
            label[radius < 0.45 * (1 - (k - 1) / self.size.classes)] = k
        self._write(label, self.label)
        rng = np.random.default_rng(1)
        for image in self.images:
            voxels = np.empty(self.size.shape, np.int16)
            for slice_, inside, of_label in zip(voxels, radius < 0.95, label, strict=True):
                noise = rng.normal(100 + 50.0 * of_label, 20, slice_.shape)
                slice_[...] = np.where(inside, np.maximum(noise, 1), 0 if self.size.channels > 1 else -1000)
            self._write(voxels, image)

    def _write(self, voxels: np.ndarray, file: Path) -> None:
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(self.size.spacing[::-1])
        sitk.WriteImage(image, str(file), useCompression=True, compressionLevel=1)

    def check(self) -> None:
        """The check of the raw data: one reading of each file."""
        from gsl_experiments.validation.scan import scan_file

        for file in (*self.images, self.label):
            scan_file(file, is_label=file == self.label)

    def stock_fingerprint(self) -> None:
        """nnU-Net's analysis of a case."""
        from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
            DatasetFingerprintExtractor,
        )
        from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

        images = [str(image) for image in self.images]
        DatasetFingerprintExtractor.analyze_case(images, str(self.label), SimpleITKIO, 10**6)

    def fingerprint(self) -> None:
        """The same with this package's crop."""
        from gsl_experiments.preprocessing.cropping import lean_crop

        with lean_crop():
            self.stock_fingerprint()

    def stock(self) -> None:
        """Stock nnU-Net: read, crop, normalise, resample, write."""
        from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

        self._run_case(ConfigurationManager, self.folder / "stock")

    def image(self) -> None:
        """The same with this package's crop and resampling."""
        from gsl_experiments.preprocessing.cropping import lean_crop
        from gsl_experiments.preprocessing.resampling import LeanConfiguration

        with lean_crop():
            self._run_case(LeanConfiguration, self.preprocessed)

    def _run_case(self, configuration: Callable[[dict[str, Any]], Any], folder: Path) -> None:
        from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        plans, dataset_json = preprocessing_plans(
            CT if self.size.channels == 1 else MR,
            channels=self.size.channels,
            classes=self.size.classes,
            spacing_mm=self.size.target,
            patch_size=self.size.patch,
            file_ending=".nii.gz",
        )
        folder.mkdir()
        DefaultPreprocessor(verbose=False).run_case_save(
            str(folder / "case"),
            [str(image) for image in self.images],
            str(self.label),
            PlansManager(plans),
            configuration(plans["configurations"]["3d_fullres"]),
            dataset_json,
        )

    def maps(self) -> None:
        """Distance maps of all classes, computed and written; needs what `image` has left."""
        import blosc2

        from gsl_experiments.class_weights import count_voxels
        from gsl_experiments.distance import each_signed_distance_map
        from gsl_experiments.preprocessing.maps import write_maps

        labels = blosc2.open(str(self.preprocessed / "case_seg.b2nd"), mode="r")[0]
        count_voxels(labels, self.size.classes)
        write_maps(
            each_signed_distance_map(labels, self.size.classes, self.size.target),
            self.folder / "maps.b2nd",
            shape=(self.size.classes, *labels.shape),
            spacing_mm=self.size.target,
            patch_size=self.size.patch,
        )


STEPS = {
    "check": Case.check,
    "stock, fingerprint": Case.stock_fingerprint,
    "fingerprint": Case.fingerprint,
    "stock, image": Case.stock,
    "image": Case.image,
    "maps": Case.maps,
}


def measure(name: str, step: str, folder: Path) -> dict[str, float]:
    """Run one step in this process; return its processor seconds and the peak memory in GB."""
    import nnunetv2.preprocessing.preprocessors.default_preprocessor  # noqa: F401 - imports are not measured
    import torch

    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if step == "maps":
        _load_compiled_maps()
    started = time.process_time()
    STEPS[step](Case(SIZES[name], folder))
    seconds = time.process_time() - started
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    return {"seconds": seconds, "peak_gb": peak / GB}


def _load_compiled_maps() -> None:
    """Make maps of a few voxels, so that loading the compiled code is not part of the seconds."""
    from gsl_experiments.distance import each_signed_distance_map

    for _ in each_signed_distance_map(np.eye(3, dtype=np.int16)[None], 2, (1.0,) * 3):
        pass


def main() -> None:
    """Print a row a case and step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=", ".join(SIZES))
    parser.add_argument("--step", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], arguments.one[1], Path(arguments.one[2]))))
        return
    print("| case | step | processor, s | peak, GB |\n|---|---|---|---|")
    for name in arguments.names or SIZES:
        with TemporaryDirectory() as folder:
            Case(SIZES[name], Path(folder)).make()
            for step in arguments.step:
                one = [sys.executable, "-m", "benchmarks.full_size", "--one", name, step, folder]
                result = json.loads(
                    subprocess.run(one, check=True, capture_output=True).stdout.splitlines()[-1]
                )
                print(f"| {name} | {step} | {result['seconds']:.1f} | {result['peak_gb']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
