from pathlib import Path

import numpy as np
import pytest
import torch
from augmentation_samples import OUTSIDE, Sample, distance_maps, ellipsoids, make_sample
from matplotlib.image import imread

from gsl_experiments.training.augmentation_picture import write_augmentation_picture


def batch(sample: Sample, *, deep: bool = False) -> dict[str, object]:
    named = {
        name: sample[key][None] if key in sample else None
        for name, key in (("data", "image"), ("target", "segmentation"), ("dtm", "regression_target"))
    }
    if deep:
        named |= {name: [named[name], torch.zeros(1)] for name in ("target", "dtm")}
    return {**named, "keys": ["case_1"]}


def loaded(shape: tuple[int, ...], spacing_mm: tuple[float, ...], *, maps: bool = True) -> Sample:
    labels = ellipsoids(shape, spacing_mm, np.random.default_rng(0))
    dtm = distance_maps(labels, spacing_mm)
    labels[..., :3] = OUTSIDE
    return make_sample(labels, dtm if maps else None)


@pytest.mark.parametrize("maps", [True, False])
@pytest.mark.parametrize(
    ("shape", "spacing_mm"), [((12, 50, 50), (4.0, 1.0, 1.0)), ((60, 50), (1.0, 1.0))], ids=["3D", "2D"]
)
def test_a_picture_is_written(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], maps: bool, tmp_path: Path
) -> None:
    sample = loaded(shape, spacing_mm, maps=maps)
    path = tmp_path / "new" / "augmentation.png"
    pair = (batch(sample), batch(sample, deep=maps))
    names = ["background", "organ", "lesion"]
    assert write_augmentation_picture([pair], path, class_names=names, spacing_mm=spacing_mm) == path
    assert [file.name for file in path.parent.iterdir()] == ["augmentation.png"]
    pixels = imread(path)
    assert pixels.shape[1] > 400
    orange = np.abs(pixels[..., :3] - np.array([0xE6, 0x9F, 0x00]) / 255).max(-1) < 0.02
    assert orange.any(), "the organ has no patch in the legend"


def test_a_map_that_does_not_fit_its_labels_is_seen(tmp_path: Path) -> None:
    """The contour is drawn from the map: shifted by 12 mm it lies elsewhere over the same labels."""
    fitting, shifted = loaded((50, 50), (1.0, 1.0)), loaded((50, 50), (1.0, 1.0))
    shifted["regression_target"] = shifted["regression_target"].roll(12, -1)
    pictures = []
    for after in (fitting, shifted):
        path = write_augmentation_picture(
            [(batch(fitting), batch(after))],
            tmp_path / "augmentation.png",
            class_names=["background", "organ", "lesion"],
            spacing_mm=(1.0, 1.0),
        )
        pictures.append(imread(path))
    differ = (pictures[0] != pictures[1]).any((0, 2))
    width = len(differ)
    before, labels_after = differ[: width // 2], differ[int(width * 0.63) : int(width * 0.76)]
    assert not before.any()
    assert labels_after.any()


def test_a_patch_without_foreground_is_drawn(tmp_path: Path) -> None:
    labels = np.zeros((6, 20, 20), np.int16)
    empty = make_sample(labels, distance_maps(labels, (1, 1, 1)))
    path = tmp_path / "empty.png"
    write_augmentation_picture(
        [(batch(empty), batch(empty))], path, class_names=["b", "organ", "lesion"], spacing_mm=(1, 1, 1)
    )
    assert path.stat().st_size > 1000
