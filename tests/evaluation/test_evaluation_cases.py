"""Files in, rows out: the numbers of a case worked out by hand, and every way in which two files can disagree."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import cases, evaluate_case, evaluate_folder
from gsl_experiments.evaluation.cases import CASE_COLUMNS
from gsl_experiments.evaluation.label_images import labels_in
from gsl_experiments.metrics import segmentation_metrics

REGIONS = {"All": (1, 2), "Inner": (2,)}


def write_labels(file, labels, *, spacing_mm=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing([float(length) for length in reversed(spacing_mm)])
    image.SetOrigin(origin)
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file))
    return file


def boxes(offset=0):
    """Label 1 in 4 x 4 x 4 voxels, label 2 in the 2 x 2 x 2 of one corner, shifted along the last axis."""
    labels = np.zeros((8, 8, 10), np.uint8)
    labels[2:6, 2:6, 2 + offset : 6 + offset] = 1
    labels[2:4, 2:4, 2 + offset : 4 + offset] = 2
    return labels


def test_rows_of_a_case_by_hand(tmp_path):
    """The prediction is the reference shifted by one voxel of 2 mm; voxels of 5 x 3 x 2 mm."""
    prediction = write_labels(tmp_path / "p" / "liver_1.nii.gz", boxes(1), spacing_mm=(5, 3, 2))
    reference = write_labels(tmp_path / "r" / "liver_1.nii.gz", boxes(), spacing_mm=(5, 3, 2))
    rows = evaluate_case(prediction, reference, REGIONS)
    assert [tuple(row) for row in rows] == [CASE_COLUMNS, CASE_COLUMNS]
    whole, inner = rows
    assert (whole["case"], whole["region"], inner["region"]) == ("liver_1", "All", "Inner")
    # 4 of 4 planes shifted by one: overlap 3/4 of 64; and 1/2 of 8
    assert (whole["dice"], inner["dice"]) == (0.75, 0.5)
    # A quarter (a half) of each mask is 2 mm away from the other: P95 is 2 mm.
    assert whole["hd95_mm"] == inner["hd95_mm"] == pytest.approx(2.0)
    assert whole["hd95_surface_mm"] == pytest.approx(2.0)
    # 64 and 8 voxels of 30 mm^3
    assert (whole["reference_ml"], inner["prediction_ml"]) == (pytest.approx(1.92), pytest.approx(0.24))
    assert not any(row[key] for row in rows for key in ("reference_empty", "prediction_empty"))
    # Inner, 2 x 2 x 2: all voxels are contour. 4 of the 8 are 0, the others 2 mm away.
    assert inner["asd_mm"] == pytest.approx(1.0)


def test_spacing_is_matched_to_the_array_axes(tmp_path):
    rng = np.random.default_rng(0)
    spacing_mm = (4.0, 0.5, 1.5)
    arrays = [(rng.random((6, 9, 7)) > 0.8).astype(np.uint8) for _ in range(2)]
    files = [
        write_labels(tmp_path / name / "c.nii.gz", array, spacing_mm=spacing_mm)
        for name, array in zip("pr", arrays, strict=True)
    ]
    row = evaluate_case(*files, {"All": (1,)})[0]
    expected = segmentation_metrics(arrays[0] == 1, arrays[1] == 1, spacing_mm=spacing_mm)
    assert (row["dice"], row["hd95_mm"], row["asd_mm"]) == (expected.dice, expected.hd95_mm, expected.asd_mm)


def test_a_missed_region_is_marked_and_costs_the_diagonal(tmp_path):
    labels = boxes()
    labels[labels == 2] = 1
    prediction = write_labels(tmp_path / "p" / "c.nii.gz", labels)
    reference = write_labels(tmp_path / "r" / "c.nii.gz", boxes())
    row = evaluate_case(prediction, reference, REGIONS)[1]
    assert (row["prediction_empty"], row["reference_empty"], row["dice"]) == (True, False, 0.0)
    assert row["hd95_mm"] == row["asd_mm"] == pytest.approx(np.sqrt(64 + 64 + 100))


def test_labels_stored_as_floats_are_labels(tmp_path):
    prediction = write_labels(tmp_path / "p" / "c.nii.gz", boxes().astype(np.float32))
    reference = write_labels(tmp_path / "r" / "c.nii.gz", boxes())
    assert [row["dice"] for row in evaluate_case(prediction, reference, REGIONS)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"labels": np.zeros((8, 8, 9), np.uint8)}, "differ in size"),
        ({"labels": np.zeros((8, 8), np.uint8), "spacing_mm": (1, 1), "origin": (0, 0)}, "differ in size"),
        ({"spacing_mm": (1.0, 1.0, 1.01)}, "differ in spacing"),
        ({"origin": (0.0, 0.1, 0.0)}, "differ in origin"),
        ({"labels": boxes() + np.float32(0.5)}, "whole numbers"),
        ({"labels": boxes() * np.float32(1e30)}, r"label 2e\+30 is too large, the largest is 2147483647"),
    ],
)
def test_files_that_cannot_be_compared(tmp_path, other, message):
    prediction = write_labels(tmp_path / "p" / "c.nii.gz", **({"labels": boxes()} | other))
    reference = write_labels(tmp_path / "r" / "c.nii.gz", boxes())
    with pytest.raises(UserError, match=message) as error:
        evaluate_case(prediction, reference, REGIONS)
    assert str(prediction) in str(error.value)
    if "differ" in message:
        assert str(reference) in str(error.value)


@pytest.mark.parametrize(
    ("spacing_mm", "other_mm", "equal"),
    [(3.0, 3.0004, True), (5.0, 5.004, False), (0.0007, 0.0015, False), (0.0007, 0.0007000001, True)],
)
def test_spacings_of_large_and_of_small_voxels(tmp_path, spacing_mm, other_mm, equal):
    """Small voxels, as in microscopy, must agree to 0.1 %; .mha has them in double precision."""
    prediction = write_labels(tmp_path / "p" / "c.mha", boxes(), spacing_mm=[spacing_mm] * 3)
    reference = write_labels(tmp_path / "r" / "c.mha", boxes(), spacing_mm=[other_mm] * 3)
    if equal:
        assert evaluate_case(prediction, reference, REGIONS)[0]["dice"] == 1.0
        return
    with pytest.raises(UserError, match="differ in spacing"):
        evaluate_case(prediction, reference, REGIONS)


def test_origins_of_small_voxels(tmp_path):
    files = [
        write_labels(tmp_path / name / "c.mha", boxes(), spacing_mm=[0.001] * 3, origin=(0, 0, origin))
        for name, origin in (("p", 0.0009), ("r", 0.0))
    ]
    with pytest.raises(UserError, match="differ in origin"):
        evaluate_case(*files, REGIONS)


def image_of_kind(kind):
    """An image that is no label image."""
    if kind == "four axes":
        return sitk.GetImageFromArray(np.stack([boxes(), boxes()]), isVector=False)
    if kind == "four axes, one volume":
        return sitk.GetImageFromArray(boxes()[None], isVector=False)
    if kind == "complex":
        return sitk.GetImageFromArray(boxes().astype(np.complex64))
    return sitk.GetImageFromArray(np.stack([boxes()] * 3, axis=-1), isVector=True)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("four axes", "4 axes, but a label image is 2D or 3D"),
        ("four axes, one volume", "4 axes, but a label image is 2D or 3D"),
        ("vector", "each voxel is a vector of 8-bit unsigned integer, but a label is one number"),
        ("complex", "each voxel is a (complex|vector) of 32-bit float, but a label is one number"),
    ],
)
def test_images_that_are_no_label_images(tmp_path, kind, message, both):
    prediction, reference = tmp_path / "p" / "c.mha", tmp_path / "r" / "c.mha"
    for file in (prediction, reference):
        write_labels(file, boxes())
    for file in (prediction, reference)[: 1 + both]:
        sitk.WriteImage(image_of_kind(kind), str(file))
    with pytest.raises(UserError, match=rf"p/c\.mha: {message}"):
        evaluate_case(prediction, reference, REGIONS)
    with pytest.raises(UserError, match=rf"p/c\.mha: {message}"):
        evaluate_folder(tmp_path / "p", tmp_path / "r")


@pytest.mark.parametrize("tolerance", [-1, "abc", float("nan"), None, True])
def test_a_tolerance_that_is_no_length(two_folders, tolerance):
    with pytest.raises(
        UserError, match=rf"evaluate\.nsd_tolerance_mm={tolerance}: allowed is a length in mm"
    ):
        evaluate_folder(*two_folders, REGIONS, nsd_tolerance_mm=tolerance)


def test_directions_that_differ_and_headers_that_are_rounded(tmp_path):
    reference = write_labels(tmp_path / "r" / "c.nii.gz", boxes(), spacing_mm=(3, 1, 1))
    rounded = write_labels(tmp_path / "p" / "c.nii.gz", boxes(), spacing_mm=(3.0004, 1, 1))
    assert evaluate_case(rounded, reference, REGIONS)[0]["dice"] == 1.0
    image = sitk.ReadImage(str(rounded))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(rounded))
    with pytest.raises(UserError, match="differ in direction"):
        evaluate_case(rounded, reference, REGIONS)


def test_unreadable_file_and_no_region(tmp_path):
    reference = write_labels(tmp_path / "r" / "c.nii.gz", boxes())
    broken = tmp_path / "c.nii.gz"
    broken.write_text("no image")
    with pytest.raises(UserError, match=r"c\.nii\.gz: damaged or cut off"):
        evaluate_case(broken, reference, REGIONS)
    with pytest.raises(UserError, match="no region"):
        evaluate_case(reference, reference, {})


@pytest.fixture
def two_folders(tmp_path):
    for case, offset in (("b", 1), ("a", 0)):
        write_labels(tmp_path / "predictions" / f"{case}.nii.gz", boxes(offset))
        write_labels(tmp_path / "references" / f"{case}.nii.gz", boxes())
    (tmp_path / "predictions" / "summary.json").write_text("{}")
    return tmp_path / "predictions", tmp_path / "references"


def test_a_folder_is_sorted_by_case(two_folders):
    table = evaluate_folder(*two_folders, REGIONS)
    assert tuple(table.columns) == CASE_COLUMNS
    assert list(zip(table["case"], table["region"], table["dice"], strict=True)) == [
        ("a", "All", 1.0),
        ("a", "Inner", 1.0),
        ("b", "All", 0.75),
        ("b", "Inner", 0.5),
    ]


def test_two_processes_give_the_same_table(two_folders):
    pd.testing.assert_frame_equal(
        evaluate_folder(*two_folders, REGIONS, processes=2), evaluate_folder(*two_folders, REGIONS)
    )


def test_folders_that_do_not_match(two_folders):
    predictions, references = two_folders
    extra = write_labels(references / "c.nii.gz", boxes())
    with pytest.raises(UserError, match=r"no prediction in .*predictions for c$"):
        evaluate_folder(predictions, references, REGIONS)
    assert set(evaluate_folder(predictions, references, REGIONS, allow_missing_predictions=True)["case"]) == {
        "a",
        "b",
    }
    extra.rename(predictions / "d.nii.gz")
    with pytest.raises(UserError, match=r"no reference in .*references for d$"):
        evaluate_folder(predictions, references, REGIONS, allow_missing_predictions=True)


def test_folders_that_hold_nothing(two_folders, tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        evaluate_folder(tmp_path / "nowhere", two_folders[1], REGIONS)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"empty: no label image there \(\.nii\.gz, \.nii"):
        evaluate_folder(two_folders[0], tmp_path / "empty", REGIONS)
    with pytest.raises(UserError, match="processes=0"):
        evaluate_folder(*two_folders, REGIONS, processes=0)


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd"])
def test_folders_of_different_endings(two_folders, ending):
    predictions, references = two_folders
    expected = evaluate_folder(*two_folders, REGIONS)
    for file in predictions.glob("*.nii.gz"):
        sitk.WriteImage(sitk.ReadImage(str(file)), str(predictions / file.name.replace(".nii.gz", ending)))
        file.unlink()
    pd.testing.assert_frame_equal(evaluate_folder(predictions, references, REGIONS), expected)


def test_grids_are_compared_before_anything_is_measured(two_folders, monkeypatch):
    """The last case is the wrong one; orientation is part of the grid."""
    predictions, references = two_folders
    image = sitk.ReadImage(str(predictions / "b.nii.gz"))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(predictions / "b.nii.gz"))
    monkeypatch.setattr(cases, "segmentation_metrics", pytest.fail)
    message = r"predictions/b\.nii\.gz and .*references/b\.nii\.gz differ in direction"
    with pytest.raises(UserError, match=message):
        evaluate_folder(predictions, references, REGIONS)
    (references / "b.nii.gz").write_text("no image")
    with pytest.raises(UserError, match=r"references/b\.nii\.gz: damaged or cut off"):
        evaluate_folder(predictions, references, REGIONS)


def test_two_files_of_one_case(two_folders):
    predictions, references = two_folders
    write_labels(references / "a.nii", boxes())
    with pytest.raises(UserError, match=r"a\.nii and .*a\.nii\.gz are of the same case"):
        evaluate_folder(predictions, references, REGIONS)


def test_without_regions_every_label_of_the_references_counts_by_itself(two_folders):
    predictions, references = two_folders
    more = boxes()
    more[0, 0, 0] = 7
    write_labels(references / "b.nii.gz", more)
    table = evaluate_folder(predictions, references)
    assert list(table["region"]) == ["label 1", "label 2", "label 7"] * 2
    # No label 7 in case a, neither here nor there; in case b it is missed.
    assert list(table["dice"][table["region"] == "label 7"]) == [1.0, 0.0]
    assert list(table["reference_empty"][table["region"] == "label 7"]) == [True, False]
    write_labels(predictions / "a.nii.gz", boxes() * 3)
    with pytest.raises(UserError, match=r"a\.nii\.gz: label 3 where only \[0, 1, 2, 7\] are known"):
        evaluate_folder(predictions, references)


def test_references_without_any_label(tmp_path):
    for folder in ("predictions", "references"):
        write_labels(tmp_path / folder / "a.nii.gz", boxes() * 0)
    with pytest.raises(UserError, match="references: no label image there holds a label other than 0"):
        evaluate_folder(tmp_path / "predictions", tmp_path / "references")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_labels_that_occur(dtype):
    labels = np.array([[[0, 5, 5], [100, 1, 0]]], dtype)
    assert labels_in(labels) == {0, 1, 5, 100}
    if dtype is not np.uint8:
        assert labels_in(-labels) == {0, -1, -5, -100}
    if dtype is np.int64:
        assert labels_in(labels * 10**6) == {0, 10**6, 5 * 10**6, 10**8}


def test_tolerance_of_the_surface_dice(tmp_path):
    """Shifted by 2 mm: 32 of 56 contour voxels of the outer box have none of the other at their place."""
    prediction = write_labels(tmp_path / "p" / "c.nii.gz", boxes(1), spacing_mm=(5, 3, 2))
    reference = write_labels(tmp_path / "r" / "c.nii.gz", boxes(), spacing_mm=(5, 3, 2))
    values = [
        evaluate_case(prediction, reference, {"All": (1, 2)}, nsd_tolerance_mm=tolerance)[0]["nsd"]
        for tolerance in (0, 1.9, 2)
    ]
    # 4 x 4 x 4 has 56 contour voxels. The shifted one shares 4 x 4 of its planes 1 to 3 along the last axis, of which
    # its own contour keeps 16, 12, 12 and the other's 12, 12, 16: equal are 12 of the middle two planes each, and
    # those where one has its end plane and the other its rim: 12.
    assert values == [pytest.approx(36 / 56), pytest.approx(36 / 56), 1.0]
