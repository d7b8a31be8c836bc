"""The phantoms: reproducible, plausible, and different enough from case to case."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from scipy import ndimage

from gsl_experiments.datasets import (
    DatasetError,
    read_brats,
    read_lits,
    write_nnunet_raw,
    write_phantom_brats,
    write_phantom_lits,
)
from gsl_experiments.datasets.phantom_shapes import Grid, ellipsoid, random_voxel, smooth_noise, smooth_union

LITS_SIZE = (48, 48, 32)
BRATS_SIZE = (48, 56, 44)
CONTRASTS = ("t1", "t1ce", "t2", "flair")


def _load(path: Path) -> Any:
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def lits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "lits"
    write_phantom_lits(folder, cases=6, size=LITS_SIZE)
    return folder


@pytest.fixture(scope="module")
def brats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "brats"
    write_phantom_brats(folder, cases=6, size=BRATS_SIZE, absent_enhancing_fraction=1 / 3)
    return folder


@pytest.fixture(scope="module")
def brats_cases(brats: Path) -> list[dict[str, Any]]:
    folders = sorted(path for path in brats.iterdir() if path.is_dir())
    return [
        {name: _load(folder / f"{folder.name}_{name}.nii.gz") for name in (*CONTRASTS, "seg")}
        for folder in folders
    ]


def test_lits_files(lits: Path) -> None:
    expected = {f"{kind}-{number}.nii" for kind in ("volume", "segmentation") for number in range(6)}
    assert {path.name for path in lits.iterdir()} == expected | {"phantom.json"}
    for number in range(6):
        volume, label = (nib.load(lits / f"{kind}-{number}.nii") for kind in ("volume", "segmentation"))
        assert volume.shape == label.shape == LITS_SIZE
        assert volume.get_data_dtype() == np.int16
        assert label.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(volume.affine, label.affine)


def test_lits_densities(lits: Path) -> None:
    for case in read_lits(lits).cases:
        hounsfield, label = _load(case.images[0]), _load(case.label)
        assert hounsfield.min() >= -1024
        assert hounsfield.max() <= 3071
        assert abs(np.median(hounsfield[:2, :2]) + 1000) < 5, "air around the patient"
        assert (hounsfield > 250).any(), "bone"
        assert 40 < np.median(hounsfield[label == 1]) < 75
        # The window of the paper is -17 to 201 HU; coarse voxels at the lungs may fall below it.
        assert np.percentile(hounsfield[label > 0], 10) > -17
        # Something beside the liver has its density.
        around = ndimage.binary_dilation(label > 0, iterations=8) & (label == 0)
        assert ((hounsfield[around] > 40) & (hounsfield[around] < 75)).mean() > 0.1


def test_lits_labels(lits: Path) -> None:
    labels = [_load(case.label) for case in read_lits(lits).cases]
    assert all(set(np.unique(label)) <= {0, 1, 2} for label in labels)
    assert any((label == 2).any() for label in labels)
    for label in labels:
        components, count = ndimage.label(label > 0)
        assert np.bincount(components.ravel())[1:].max() > 0.9 * (label > 0).sum(), f"one liver, not {count}"


def test_lits_cases_vary(lits: Path) -> None:
    images = [nib.load(case.label) for case in read_lits(lits).cases]
    spacings = np.array([image.header.get_zooms() for image in images])
    assert len(np.unique(spacings[:, 0])) == len(np.unique(spacings[:, 2])) == 6
    np.testing.assert_array_equal(spacings[:, 0], spacings[:, 1])
    in_plane_mm, height_mm = spacings[:, 0] * LITS_SIZE[0], spacings[:, 2] * LITS_SIZE[2]
    assert ((in_plane_mm >= 0.7 * 512 - 1e-2) & (in_plane_mm <= 512)).all()
    assert ((height_mm >= 219.9) & (height_mm <= 320.1)).all()
    litres = [
        np.prod(zooms) * (_load_of(image) > 0).sum() / 1e6
        for zooms, image in zip(spacings, images, strict=True)
    ]
    assert max(litres) > 1.2 * min(litres)
    assert all(0.5 < volume < 4.5 for volume in litres)


def _load_of(image: Any) -> Any:
    return np.asanyarray(image.dataobj)


def test_brats_files(brats: Path) -> None:
    dataset = read_brats(brats)
    assert [case.identifier for case in dataset.cases] == [f"BraTS20_Phantom_{n:03d}" for n in range(1, 7)]
    affines = [nib.load(file).affine for case in dataset.cases for file in (*case.images, case.label)]
    assert all((affine == affines[0]).all() for affine in affines)
    zooms = nib.load(dataset.cases[0].label).header.get_zooms()
    assert zooms[0] == zooms[1] == zooms[2] >= 1


def test_brats_background_is_exactly_zero(brats_cases: list[dict[str, Any]]) -> None:
    """nnU-Net crops to the voxels that are not zero: all four contrasts have to show the same brain."""
    for case in brats_cases:
        brain = case["t1"] > 0
        assert 0.2 < brain.mean() < 0.7
        assert ndimage.label(brain)[1] == 1
        assert not brain[0].any()
        assert not brain[:, -1].any()
        for contrast in CONTRASTS:
            assert case[contrast].min() == 0
            np.testing.assert_array_equal(case[contrast] > 0, brain)
        assert not case["seg"][~brain].any()


def test_brats_regions_are_nested(brats_cases: list[dict[str, Any]]) -> None:
    for case in brats_cases:
        label = case["seg"]
        assert set(np.unique(label)) <= {0, 1, 2, 4}
        enhancing, core, whole = label == 4, np.isin(label, (1, 4)), label > 0
        assert core.sum() < whole.sum()
        assert core.any()
        # The rim closes the core off: necrosis hardly touches what is not tumour.
        if enhancing.any():
            beyond = ndimage.binary_dilation(label == 1) & ~whole
            assert beyond.sum() <= 0.05 * whole.sum()


def test_brats_enhancing_tumour_is_absent_in_every_third_case(brats_cases: list[dict[str, Any]]) -> None:
    present = [bool((case["seg"] == 4).any()) for case in brats_cases]
    assert present == [True, True, False, True, True, False]


def test_brats_tumours_vary_in_size_and_place(brats_cases: list[dict[str, Any]]) -> None:
    voxels = [(case["seg"] > 0).sum() for case in brats_cases]
    assert max(voxels) > 4 * min(voxels)
    centres = np.array([ndimage.center_of_mass(case["seg"] > 0) for case in brats_cases])
    assert (centres.std(axis=0) > 2).all()


def test_brats_contrasts(brats_cases: list[dict[str, Any]]) -> None:
    """Enhancing tumour stands out in T1ce and not in T1; oedema is bright in FLAIR and T2, dark in T1."""
    case = max(brats_cases, key=lambda case: (case["seg"] == 4).sum())
    relative = {
        name: {label: np.median(case[name][(case["seg"] == label) & (case[name] > 0)]) for label in (0, 2, 4)}
        for name in CONTRASTS
    }
    assert relative["t1ce"][4] > 1.2 * relative["t1ce"][0]
    assert relative["t1"][4] < relative["t1"][0]
    assert relative["flair"][2] > 1.2 * relative["flair"][0]
    assert relative["t2"][2] > 1.2 * relative["t2"][0]
    assert relative["t1"][2] < relative["t1"][0]


@pytest.mark.parametrize("write", [write_phantom_lits, write_phantom_brats])
def test_same_seed_same_files_whatever_the_number_of_cases(write: Any, tmp_path: Path) -> None:
    size = (24, 26, 22)
    write(tmp_path / "three", cases=3, size=size, seed=7)
    write(tmp_path / "one", cases=1, size=size, seed=7)
    write(tmp_path / "other", cases=1, size=size, seed=8)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.nii*"))
    assert len([file for file in files if (tmp_path / "one" / file).is_file()]) in (2, 5)
    for file in files:
        np.testing.assert_array_equal(_load(tmp_path / "one" / file), _load(tmp_path / "three" / file))
        assert (_load(tmp_path / "one" / file) != _load(tmp_path / "other" / file)).any()


@pytest.mark.parametrize("write", [write_phantom_lits, write_phantom_brats])
def test_a_second_call_only_adds_what_is_missing(write: Any, tmp_path: Path) -> None:
    folder = tmp_path / "phantom"
    write(folder, cases=2, size=(16, 16, 16))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    gone = next(path for path in files if path.suffix != ".json")
    gone_case = gone.parent if gone.parent != folder else gone
    gone.unlink()
    if gone_case.is_dir():
        for path in gone_case.iterdir():
            path.unlink()
        gone_case.rmdir()
    write(folder, cases=2, size=(16, 16, 16))
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == files
    assert all(path.read_bytes() == content for path, (_, content) in before.items())
    kept = [path for path, (state, _) in before.items() if path.stat().st_mtime_ns == state]
    assert len(kept) >= len(files) / 2


@pytest.mark.parametrize("write", [write_phantom_lits, write_phantom_brats])
def test_folder_of_something_else(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "phantom", cases=1, size=(16, 16, 16))
    with pytest.raises(
        DatasetError, match=r"phantom\.json: a phantom of other parameters; delete the folder"
    ):
        write(tmp_path / "phantom", cases=1, size=(16, 16, 17))
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "volume-0.nii").touch()
    with pytest.raises(DatasetError, match="real: holds files that are not a phantom's; choose an empty"):
        write(tmp_path / "real", cases=1, size=(16, 16, 16))
    assert (tmp_path / "real" / "volume-0.nii").stat().st_size == 0


@pytest.mark.parametrize("write", [write_phantom_lits, write_phantom_brats])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cases": 0}, "cases must be at least 1, not 0"),
        (
            {"size": (16, 16, 15)},
            r"size must be three numbers \(x, y, z\) of at least 16, not \(16, 16, 15\)",
        ),
        ({"size": (64, 64)}, r"size must be three numbers .* not \(64, 64\)"),
    ],
)
def test_parameters_are_checked(write: Any, arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "phantom", **arguments)
    assert not (tmp_path / "phantom").exists()


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_fraction_is_checked(fraction: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent_enhancing_fraction must lie between 0 and 1"):
        write_phantom_brats(tmp_path / "phantom", absent_enhancing_fraction=fraction)


@pytest.mark.parametrize(("fraction", "present"), [(0.0, True), (1.0, False)])
def test_all_or_no_case_enhances(fraction: float, present: bool, tmp_path: Path) -> None:
    write_phantom_brats(tmp_path, cases=3, size=(16, 16, 16), absent_enhancing_fraction=fraction)
    for case in read_brats(tmp_path).cases:
        assert (_load(case.label) == 4).any() == present


@pytest.mark.parametrize("write", [write_phantom_lits, write_phantom_brats])
def test_an_interrupted_call_leaves_no_case_behind(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr("gsl_experiments.datasets.nifti.sitk.WriteImage", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        write(tmp_path / "phantom", cases=1, size=(16, 16, 16))
    assert [path.name for path in (tmp_path / "phantom").iterdir()] == ["phantom.json"]


def test_nnunet_reads_what_becomes_of_them(lits: Path, brats: Path, tmp_path: Path) -> None:
    for name, dataset in {"lits": read_lits(lits), "brats": read_brats(brats)}.items():
        write_nnunet_raw(dataset, tmp_path / name)
        for case in dataset.cases:
            images = sorted((tmp_path / name / "imagesTr").glob(f"{case.identifier}_*"))
            label = next((tmp_path / name / "labelsTr").glob(f"{case.identifier}.*"))
            voxels, properties = SimpleITKIO().read_images([str(image) for image in images])
            target, target_properties = SimpleITKIO().read_seg(str(label))
            assert voxels.shape == (len(dataset.channel_names), *target.shape[1:])
            assert properties["spacing"] == target_properties["spacing"]
            assert set(np.unique(target)) <= set(dataset.labels.values())


def test_ellipsoid_by_hand() -> None:
    """Three voxels of 2 mm along x lie at -2, 0 and 2 mm; with a radius of 4 mm the field is 1 - |x| / 4."""
    field = ellipsoid(Grid((3, 1, 1), (2.0, 1.0, 1.0)), (0, 0, 0), (4, 1, 1))
    np.testing.assert_allclose(field, [[[0.5, 1.0, 0.5]]])


def test_smooth_noise_does_not_depend_on_the_grid() -> None:
    """Every second voxel of a fine grid is the coarse grid: the field is one of positions in mm."""
    fine = smooth_noise(Grid((9, 7, 5), (1.0, 1.0, 1.0)), np.random.default_rng(1), 20)
    coarse = smooth_noise(Grid((5, 4, 3), (2.0, 2.0, 2.0)), np.random.default_rng(1), 20)
    np.testing.assert_allclose(fine[::2, ::2, ::2], coarse, atol=1e-5)
    large = smooth_noise(Grid((40, 40, 40), (5.0, 5.0, 5.0)), np.random.default_rng(1), 20)
    assert abs(large.mean()) < 0.05
    assert large.std() == pytest.approx(1, abs=0.1)


def test_smooth_union_covers_both() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32)
    union = smooth_union(first, second)
    assert (union >= np.maximum(first, second) - 1e-6).all()
    np.testing.assert_allclose(union, np.maximum(first, second), atol=0.1)
    np.testing.assert_allclose(smooth_union(second, first), union, atol=1e-6)


def test_random_voxel() -> None:
    grid = Grid((3, 4, 5), (1.0, 2.0, 3.0))
    mask = np.zeros((5, 4, 3), bool)
    assert random_voxel(mask, np.random.default_rng(0), grid) is None
    mask[4, 0, 2] = True
    assert random_voxel(mask, np.random.default_rng(0), grid) == (1.0, -3.0, 6.0)
