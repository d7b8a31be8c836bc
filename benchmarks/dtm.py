"""Signed distance maps of all classes of a case, against other exact transforms that take one class at a time.

Sizes of a BraTS and of a LiTS case. Every contestant makes the same signed maps. ITK has them in one call; MIST, the
later code of the paper's authors, calls ITK. SciPy and edt measure the distance to the boundary voxels, which SciPy's
minimum filter finds, and get the sign from the mask. SciPy has one thread; the others take all cores, and ours is timed
with one, too.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.turns import OURS, DisagreementError, Row, in_turns, missing_modules, missing_row
from gsl_experiments.distance import signed_distance_maps

Case = tuple[tuple[int, ...], int, tuple[float, ...]]
CASES: dict[str, Case] = {
    "BraTS": ((130, 175, 140), 4, (1.0, 1.0, 1.0)),
    "LiTS": ((400, 380, 380), 2, (1.0, 0.8, 0.8)),
}
ITK, SCIPY, EDT, MIST = "SimpleITK", "SciPy", "edt", "mist-medical"
ONE_THREAD = f"{OURS}, one thread"
MODULES = {EDT: "edt", MIST: "mist"}
LARGEST_ERROR = 1e-5  # of the longest distance; ITK works in single precision


def measure(cases: Mapping[str, Case] = CASES, *, repetitions: int = 3) -> list[Row]:
    """Time each case.

    Args:
        cases: name -> shape, number of classes, spacing in mm.
        repetitions: of each contestant.

    Raises:
        DisagreementError: two maps of a class differ.
    """
    return [row for name, case in cases.items() for row in _measure_case(name, case, repetitions)]


def _measure_case(name: str, case: Case, repetitions: int) -> list[Row]:
    shape, classes, spacing_mm = case
    labels = nested_labels(shape, classes)
    contestants = {
        OURS: lambda: signed_distance_maps(labels, classes, spacing_mm),
        ONE_THREAD: lambda: _in_one_thread(labels, classes, spacing_mm),
        ITK: lambda: [_by_itk(labels == k, spacing_mm) for k in range(classes)],
        SCIPY: lambda: [by_scipy(labels == k, spacing_mm) for k in range(classes)],
        EDT: lambda: [_by_edt(labels == k, spacing_mm) for k in range(classes)],
    }
    contestants[MIST] = lambda: _by_mist(labels, classes)
    missing = {peer: "not installed" for peer, module in MODULES.items() if missing_modules([module])}
    if set(spacing_mm) != {1.0}:
        missing.setdefault(MIST, "its maps are in voxels, not in mm")
    for peer in missing:
        del contestants[peer]
    _compare(contestants, shape)  # warms up, too
    rows = in_turns(line_of(name, case), contestants, repetitions=repetitions, warmups=0)
    return rows + [missing_row(line_of(name, case), *peer) for peer in missing.items()]


def line_of(name: str, case: Case) -> str:
    """Return how a case is called on the page."""
    shape, classes, _ = case
    return f"{name}, {' x '.join(str(n) for n in shape)}, {classes} classes"


def nested_labels(shape: tuple[int, ...], classes: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return nested bodies with rough surfaces, one a class, the outermost of about an eighth of the image."""
    rng = np.random.default_rng(seed)
    grid = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    coarse = ndimage.gaussian_filter(rng.normal(size=[max(3, n // 8) for n in shape]), 1.0)
    zoom = [n / m for n, m in zip(shape, coarse.shape, strict=True)]
    rough = ndimage.zoom(coarse.astype(np.float32), zoom, order=1)
    radius = np.sqrt(sum(axis.astype(np.float32) ** 2 for axis in grid)) + 0.1 * rough / rough.std()
    labels = np.zeros(shape, dtype=np.uint8)
    for k, limit in enumerate(np.linspace(0.6, 0.25, classes - 1), start=1):
        labels[radius < limit] = k
    return labels


def _compare(contestants: Mapping[str, Callable[[], Any]], shape: tuple[int, ...]) -> None:
    """Run each contestant once and hold its maps against ITK's."""
    expected = contestants[ITK]()
    for name in contestants:
        for k, (map_of_class, exact) in enumerate(zip(contestants[name](), expected, strict=True)):
            error = float(abs(map_of_class - exact).max() / abs(exact).max())
            if not error <= LARGEST_ERROR:
                raise DisagreementError(
                    f"{name} and {ITK} differ by {error:.1e} of the longest distance, class {k} of {shape}"
                )


def _in_one_thread(
    labels: NDArray[np.uint8], classes: int, spacing_mm: tuple[float, ...]
) -> NDArray[np.float32]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return signed_distance_maps(labels, classes, spacing_mm)
    finally:
        torch.set_num_threads(before)


def _by_itk(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float32]:
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    options = {"insideIsPositive": False, "squaredDistance": False, "useImageSpacing": True}
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, **options))


def by_scipy(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the signed map from SciPy's distance to the boundary voxels."""
    return _signed(mask, ndimage.distance_transform_edt(_not_boundary(mask), sampling=spacing_mm))


def _by_edt(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float32]:
    import edt

    threads = multiprocessing.cpu_count()
    distances = edt.edt(_not_boundary(mask), anisotropy=spacing_mm, black_border=False, parallel=threads)
    return _signed(mask, distances)


def _by_mist(labels: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    from mist.preprocessing.preprocess import compute_dtm

    dtms: NDArray[np.float32] = compute_dtm(sitk.GetImageFromArray(labels), list(range(classes)), False).T
    return dtms


def _not_boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return ~mask | ndimage.minimum_filter(mask, size=3, mode="nearest")


def _signed(mask: NDArray[np.bool_], distances: NDArray[Any]) -> NDArray[Any]:
    return np.negative(distances, where=mask, out=distances)
