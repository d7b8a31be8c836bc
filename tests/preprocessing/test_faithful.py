"""The paper's preprocessing (section 2.3), from raw files on disk to preprocessed cases, against plain numpy.

The raw images are small but in the layouts of LiTS and BraTS, and their numbers are chosen so that each wrong reading
of the paper gives another result. nnU-Net's fingerprint draws a million foreground voxels a case with replacement: what
a draw decides is compared within five standard errors, all else exactly.
"""

import contextlib
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import nibabel as nib
import numpy as np
import pytest

from gsl_experiments.cli import compose
from gsl_experiments.config import configure_nnunet

Array = np.ndarray[Any, Any]
CASES = 5
DRAWN = CASES * 10**6
LITS_SHAPE = (20, 16, 12)  # x, y, z, as everywhere in what is written
BRATS_SHAPE = (22, 24, 20)
FLOAT32 = 1e-4


@dataclass(frozen=True)
class Preprocessed:
    """A dataset after the stage; arrays come back as x, y, z."""

    folder: Path
    plans: dict[str, Any]
    printed: str

    @property
    def configuration(self) -> dict[str, Any]:
        return self.plans["configurations"]["3d_fullres"]

    @property
    def intensities(self) -> dict[str, float]:
        return self.plans["foreground_intensity_properties_per_channel"]["0"]

    def images(self, case: str) -> Array:
        return np.asarray(self._open(case)[:]).transpose(0, 3, 2, 1)

    def labels(self, case: str) -> Array:
        return np.asarray(self._open(f"{case}_seg")[0]).transpose(2, 1, 0)

    def class_weights(self) -> dict[str, list[float]]:
        (file,) = self.folder.glob("*_dtm/class_weights.json")
        return json.loads(file.read_text())

    def _open(self, name: str) -> Any:
        return blosc2.open(
            str(self.folder / self.configuration["data_identifier"] / f"{name}.b2nd"), mode="r"
        )


def run_stage(folder: Path, *overrides: str) -> Preprocessed:
    """Preprocess what lies in `folder`/source, as `make preprocess` does."""
    from gsl_experiments.preprocessing.stage import preprocess

    before = dict(os.environ)
    paths = [f"paths.{name}={folder / name}" for name in ("raw", "preprocessed", "results")]
    small = ["dataset.patch_size=null", "dataset.batch_size=null", "dataset.base_features=4", "processes=1"]
    cfg = compose([*paths, *small, f"dataset.raw={folder / 'source'}", *overrides])
    printed = io.StringIO()
    try:
        configure_nnunet(cfg)
        with contextlib.redirect_stdout(printed):
            preprocess(cfg)
    finally:
        os.environ.clear()
        os.environ.update(before)
    made = folder / "preprocessed" / cfg.dataset.nnunet_name
    plans = json.loads((made / f"{cfg.planning.plans_name}.json").read_text())
    return Preprocessed(made, plans, printed.getvalue())


def write_nifti(file: Path, voxels: Array, spacing_mm: Sequence[float]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([*spacing_mm, 1.0])), file)


# LiTS


def ct_cases() -> list[tuple[Array, Array]]:
    """Volumes in HU with their labels: 2000 voxels of liver a case, the lesions (2) in the last two cases.

    Of the 10,000 liver voxels 0.2 % lie at -900 HU, 1 % at -17, 1 % at 201 and 0.2 % at 3000, so that the window of
    all cases is -17 to 201, the paper's. The low ones are all in the first case and the high ones all in the lesions of
    the last: no case alone, no mean over cases and no liver without its lesions has that window.
    """
    rng = np.random.default_rng(0)
    cases = []
    for index in range(CASES):
        liver = rng.normal(60 + 20 * index, 15, 2000).clip(-10, 190).astype(np.int16)
        label = np.ones(2000, np.uint8)
        if index == 0:
            liver[:120] = [-900] * 20 + [-17] * 100
        if index >= CASES - 2:
            label[:300] = 2
        if index == CASES - 1:
            liver[:120] = [201] * 100 + [3000] * 20
        volume = np.full(np.prod(LITS_SHAPE), -1000, np.int16)
        volume[2500:3000] = 1500  # bone
        labels = np.zeros_like(volume, np.uint8)
        volume[:2000], labels[:2000] = liver, label
        order = rng.permutation(volume.size)
        cases.append((volume[order].reshape(LITS_SHAPE), labels[order].reshape(LITS_SHAPE)))
    return cases


@pytest.fixture(scope="module")
def lits(tmp_path_factory: pytest.TempPathFactory) -> Preprocessed:
    folder = tmp_path_factory.mktemp("lits")
    for number, (volume, label) in enumerate(ct_cases()):
        write_nifti(folder / "source" / f"volume-{number}.nii", volume, (0.8, 0.8, 2.5))
        write_nifti(folder / "source" / f"segmentation-{number}.nii", label, (0.8, 0.8, 2.5))
    return run_stage(folder, "dataset=lits")


def pooled_liver() -> Array:
    return np.concatenate([volume[label > 0] for volume, label in ct_cases()]).astype(np.float64)


def errors_of_the_draw(values: Array) -> tuple[float, float]:
    """Five standard errors of the mean and of the standard deviation of `DRAWN` draws."""
    deviations = values - values.mean()
    variance, fourth = (deviations**2).mean(), (deviations**4).mean()
    of_variance = np.sqrt((fourth - variance**2) / DRAWN)
    return 5 * float(np.sqrt(variance / DRAWN)), 5 * float(of_variance / (2 * np.sqrt(variance)))


def test_lesions_are_liver(lits: Preprocessed) -> None:
    for number, (_, label) in enumerate(ct_cases()):
        np.testing.assert_array_equal(lits.labels(f"lits_{number:03d}"), label > 0)


def test_the_window_is_that_of_the_liver_voxels_of_all_cases(lits: Preprocessed) -> None:
    window = lits.intensities["percentile_00_5"], lits.intensities["percentile_99_5"]
    np.testing.assert_allclose(np.percentile(pooled_liver(), [0.5, 99.5]), [-17, 201])
    assert window == (-17, 201)


def test_mean_and_std_are_those_of_the_liver_voxels_of_all_cases(lits: Preprocessed) -> None:
    """Of the voxels as they are, before clipping: nnU-Net's way, where the paper does not say."""
    values = pooled_liver()
    of_mean, of_std = errors_of_the_draw(values)
    assert lits.intensities["mean"] == pytest.approx(values.mean(), abs=of_mean)
    assert lits.intensities["std"] == pytest.approx(values.std(), abs=of_std)
    # The draw is good enough to tell this reading from the other one.
    assert abs(values.clip(-17, 201).std() - values.std()) > 10 * of_std


def test_volumes_are_clipped_and_scored(lits: Preprocessed) -> None:
    values = pooled_liver()
    mean, std = values.mean(), values.std()
    of_mean, of_std = errors_of_the_draw(values)
    largest = max(abs(-17 - mean), abs(201 - mean)) / std
    tolerance = of_mean / std + largest * of_std / std + FLOAT32
    assert lits.configuration["normalization_schemes"] == ["CTNormalization"]
    for number, (volume, _) in enumerate(ct_cases()):
        expected = (volume.astype(np.float64).clip(-17, 201) - mean) / std
        np.testing.assert_allclose(lits.images(f"lits_{number:03d}")[0], expected, rtol=0, atol=tolerance)


def test_class_weights_of_a_ct_count_the_whole_volume(lits: Preprocessed) -> None:
    """Eq. (13) by hand: 5 x 3840 voxels, 10,000 of them liver; (1/9200) / (1/9200 + 1/10000) = 100/192."""
    content = lits.class_weights()
    assert content["voxels"] == [9200, 10000]
    np.testing.assert_allclose(content["class_weights"], [100 / 192, 92 / 192])


def test_what_is_printed_can_be_compared_with_the_paper(lits: Preprocessed) -> None:
    printed = lits.printed
    assert re.search(r"CT\W+foreground -17 to 201 ", printed)
    for number in (lits.intensities["mean"], lits.intensities["std"]):
        assert f"{number:.4g}" in printed
    assert "2.5 x 0.8 x 0.8 mm" in printed
    assert " x ".join(map(str, lits.configuration["patch_size"])) in printed
    for text in ("9,200", "10,000", f"{100 / 192:.6f}", f"{92 / 192:.6f}", "1, 1, 1, 1, 1"):
        assert text in printed


# Spacing

SPACINGS = (
    (0.6, 0.9, 2.0),
    (0.7, 0.8, 4.0),
    (0.9, 0.7, 5.0),
    (0.65, 0.65, 6.0),
    (0.75, 0.95, 9.0),
)  # x, y, z


@pytest.fixture(scope="module")
def anisotropic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spacing")
    rng = np.random.default_rng(0)
    for number, spacing_mm in enumerate(SPACINGS):
        volume = rng.integers(-100, 200, (30, 30, 8)).astype(np.int16)
        write_nifti(folder / "source" / f"volume-{number}.nii", volume, spacing_mm)
        write_nifti(
            folder / "source" / f"segmentation-{number}.nii", (volume > 150).astype(np.uint8), spacing_mm
        )
    return folder


@pytest.mark.parametrize("rule", ["paper", "nnunet"])
def test_target_spacing(rule: str, anisotropic: Path) -> None:
    """Medians in plane are 0.7 and 0.8; along z the 90th percentile is 6 + 0.6 * 3, the 10th 2 + 0.4 * 2.

    nnU-Net's rule takes the 10th, for the median of 5 mm is over three times the others.
    """
    along_z = {"paper": 7.8, "nnunet": 2.8}[rule]
    made = run_stage(
        anisotropic, "dataset=lits", f"planning.target_spacing={rule}", f"planning.plans_name={rule}Plans"
    )
    target = np.array([along_z, 0.8, 0.7])  # z, y, x
    np.testing.assert_allclose(made.configuration["spacing"], target, rtol=1e-6)
    for number, spacing_mm in enumerate(SPACINGS):
        expected = np.round(np.array((30, 30, 8)) * spacing_mm / target[::-1])
        assert made.labels(f"lits_{number:03d}").shape == tuple(expected)
    assert f"{along_z} x 0.8 x 0.7 mm" in made.printed


# BraTS


def brain_cases() -> list[tuple[Array, Array]]:
    """Four contrasts (channels first) and raw labels: an ellipsoid brain, exact zeros around it, at varying places."""
    rng = np.random.default_rng(1)
    x, y, z = np.ogrid[: BRATS_SHAPE[0], : BRATS_SHAPE[1], : BRATS_SHAPE[2]]
    cases = []
    for index in range(CASES):
        cx, cy, cz = 9 + index, 11, 11 - index / 2
        distance = np.sqrt(((x - cx) / 7) ** 2 + ((y - cy) / 9) ** 2 + ((z - cz) / 6) ** 2)
        brain = distance <= 1
        scale = np.array([100, 300, 500, 900])[:, None, None, None] * (1 + index)
        images = (scale * rng.uniform(0.5, 1.5, (4, *BRATS_SHAPE)) * brain).astype(np.float32)
        labels = np.zeros(BRATS_SHAPE, np.uint8)
        labels[distance <= 0.7], labels[distance <= 0.5], labels[distance <= 0.3] = 2, 4, 1
        cases.append((images, labels))
    return cases


@pytest.fixture(scope="module")
def brats(tmp_path_factory: pytest.TempPathFactory) -> Preprocessed:
    folder = tmp_path_factory.mktemp("brats")
    for index, (images, labels) in enumerate(brain_cases()):
        name = f"BraTS20_Training_{index:03d}"
        case = folder / "source" / name
        for contrast, image in zip(("t1", "t1ce", "t2", "flair"), images, strict=True):
            write_nifti(case / f"{name}_{contrast}.nii.gz", image, (1, 1, 1))
        write_nifti(case / f"{name}_seg.nii.gz", labels, (1, 1, 1))
    return run_stage(folder, "dataset=brats", "dataset.patch_size=[16,16,16]")


def box(mask: Array) -> tuple[slice, ...]:
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(mask))


def test_brains_are_cropped_to_non_zero_and_scored_there_alone(brats: Preprocessed) -> None:
    assert brats.configuration["use_mask_for_norm"] == [True] * 4
    for index, (images, _) in enumerate(brain_cases()):
        made = brats.images(f"BraTS20_Training_{index:03d}")
        brain = images.any(axis=0)
        inside = box(brain)
        assert made.shape[1:] == brain[inside].shape != brain.shape
        for channel, image in enumerate(images):
            values = image[brain].astype(np.float64)
            expected = np.where(brain, (image - values.mean()) / values.std(), 0)[inside]
            np.testing.assert_allclose(made[channel], expected, rtol=0, atol=FLOAT32)


def test_labels_of_brains_are_cropped_and_marked_outside(brats: Preprocessed) -> None:
    """Raw 4, the enhancing tumour, is 3; -1 lies outside the brain."""
    for index, (images, labels) in enumerate(brain_cases()):
        brain = images.any(axis=0)
        expected = np.where(labels == 4, 3, labels).astype(int)
        expected[~brain] = -1
        np.testing.assert_array_equal(brats.labels(f"BraTS20_Training_{index:03d}"), expected[box(brain)])


def test_class_weights_of_brains_count_the_background_inside_the_mask_alone(brats: Preprocessed) -> None:
    """Eq. (13): w_k = (1/N_k) / sum_j (1/N_j), over the whole dataset."""
    counts = [0, 0, 0, 0]
    for images, labels in brain_cases():
        brain = images.any(axis=0)
        for k, raw in enumerate((0, 1, 2, 4)):
            counts[k] += int((brain & (labels == raw)).sum())
    content = brats.class_weights()
    assert content["voxels"] == counts
    expected = [(1 / n) / sum(1 / m for m in counts) for n in counts]
    np.testing.assert_allclose(content["class_weights"], expected, rtol=1e-12)
    for count, weight in zip(counts, expected, strict=True):
        assert f"{count:,}" in brats.printed
        assert f"{weight:.6f}" in brats.printed
