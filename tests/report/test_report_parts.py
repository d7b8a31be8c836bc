"""Slices and their outlines, the choice of cases, and the looks of runs."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from gsl_experiments.errors import UserError
from gsl_experiments.report.selection import choose_cases
from gsl_experiments.report.slices import UNITS_PER_PIXEL, SliceOptions, case_slices, svg_path, to_grey

OPTIONS = SliceOptions(("axial", "coronal", "sagittal"), 64, 320, is_ct=False, ct_window=(-160, 240))


def polygons(path: str) -> list[np.ndarray]:
    """The corners of each closed line of an SVG path in pixels, read by the grammar of SVG: M x y l dx dy ... z."""
    found = []
    for line in path.split("z")[:-1]:
        steps = np.array([float(number) for number in re.findall(r"-?\d+", line)]).reshape(-1, 2)
        found.append(steps.cumsum(axis=0) / UNITS_PER_PIXEL)
    return found


def area(polygon: np.ndarray) -> float:
    """Gauss's area of a polygon."""
    x, y = polygon.T
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


def test_an_outline_encloses_the_area_of_its_mask() -> None:
    rows, columns = np.ogrid[:60, :80]
    mask = (rows - 25) ** 2 + (columns - 40) ** 2 <= 20**2
    (outline,) = polygons(svg_path(mask, (2.0, 3.0)))
    assert area(outline) == pytest.approx(mask.sum() * 6, rel=0.02)
    np.testing.assert_allclose(outline.mean(axis=0), (40.5 * 3, 25.5 * 2), atol=2)


def test_a_rectangle_has_its_edges_where_its_voxels_end() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    (outline,) = polygons(svg_path(mask, (4.0, 4.0)))
    assert (outline.min(axis=0) == (12, 8)).all()
    assert (outline.max(axis=0) == (36, 20)).all()
    assert svg_path(np.zeros((5, 5), bool), (1.0, 1.0)) == ""
    assert len(polygons(svg_path(np.eye(4, 8, dtype=bool)[:1], (4.0, 4.0)))) == 1


def test_grey_values_follow_the_window() -> None:
    values = np.array([-1000, -160, 40, 240, 3000], np.int16)
    assert to_grey(values, (-160, 240)).tolist() == [0, 0, 128, 255, 255]


def write(file: Path, array: np.ndarray, spacing=(1.0, 1.0, 3.0), orientation: str = "LPS") -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(file))
    return file


@pytest.fixture
def case(tmp_path: Path):
    """Image and label image of a box that lies to the left, in front and at the top, written in any orientation."""

    def write_case(orientation: str) -> tuple[Path, Path]:
        labels = np.zeros((30, 60, 70), np.uint8)
        labels[20:26, 10:20, 40:60] = 1
        image = labels.astype(np.int16) * 100 + np.arange(70, dtype=np.int16)
        names = [tmp_path / f"{name}_{orientation}.nii.gz" for name in ("image", "labels")]
        return write(names[0], image, orientation=orientation), write(
            names[1], labels, orientation=orientation
        )

    return write_case


def test_slices_look_alike_however_the_scanner_stored_them(case) -> None:
    cuts = [
        case_slices(image, labels, {"0": labels}, {"Box": [1]}, OPTIONS)
        for image, labels in map(case, ("LPS", "RAI"))
    ]
    assert cuts[0] == cuts[1]


def test_a_slice_is_where_and_as_large_as_it_says(case) -> None:
    image, labels = case("LPS")
    planes = case_slices(image, labels, {"0": labels}, {"Box": [1]}, OPTIONS)
    axial, coronal = planes["axial"], planes["coronal"]
    # 15 mm around the box: 5 slices, 15 rows, 15 columns; cut off at the image's edges
    assert axial["indices"] == list(range(15, 30))
    assert (axial["height"], axial["width"], axial["total"]) == (35, 45, 30)
    assert (coronal["height"], coronal["width"], coronal["total"]) == (15 * 3, 45, 60)
    outlined = [bool(path) for path in axial["paths"]["Box"]["reference"]]
    assert outlined == [20 <= index < 26 for index in axial["indices"]]
    assert axial["indices"][axial["start"]] in range(20, 26)
    assert axial["paths"]["Box"]["0"] == axial["paths"]["Box"]["reference"]
    (box,) = polygons(axial["paths"]["Box"]["reference"][axial["start"]])
    assert (box.min(axis=0).tolist(), box.max(axis=0).tolist()) == ([15, 10], [35, 20])
    (upright,) = polygons(coronal["paths"]["Box"]["reference"][coronal["start"]])
    # the head is up: of 15 slices, the box fills those from 5 to 11, counted from the lowest
    assert (upright.min(axis=0).tolist(), upright.max(axis=0).tolist()) == ([15, 4 * 3], [35, 10 * 3])
    picture = Image.open(io.BytesIO(base64.b64decode(axial["images"][axial["start"]].split(",")[1])))
    assert picture.size == (45, 35)
    grey = np.asarray(picture.convert("L"), float)
    assert grey[12:18, 18:32].mean() > grey[:8].mean() + 60


def test_many_slices_are_thinned_and_large_ones_made_smaller(case) -> None:
    image, labels = case("LPS")
    options = SliceOptions(("axial",), 4, 20, is_ct=False, ct_window=(0, 1))
    (axial,) = case_slices(image, labels, {}, {"Box": [1]}, options).values()
    assert axial["indices"] == [15, 19, 23, 27]
    assert (axial["height"], axial["width"]) == (16, 20)


@pytest.mark.parametrize(("spacing", "columns"), [((1.0, 1.0, 4.0), 70), ((1.0, 1.0, 3.0), 80)])
def test_label_images_lie_on_the_grid_of_the_image(case, tmp_path: Path, spacing, columns: int) -> None:
    image, labels = case("LPS")
    other = write(tmp_path / "other.nii.gz", np.ones((30, 60, columns), np.uint8), spacing)
    for reference, prediction in ((labels, other), (other, labels)):
        with pytest.raises(UserError, match=f"{other} and {image} differ in") as caught:
            case_slices(image, reference, {"0": prediction}, {"Box": [1]}, OPTIONS)
        assert "\n" not in str(caught.value)


def test_a_2d_image_is_one_slice_whatever_the_planes(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.nii.gz" for name in ("image", "labels")]
    for file, kind in zip(files, (np.int16, np.uint8), strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(np.eye(30, 40, dtype=kind)), str(file))
    options = SliceOptions(("coronal",), 64, 320, is_ct=False, ct_window=(0, 1))
    planes = case_slices(files[0], files[1], {"0": files[1]}, {"Line": [1]}, options)
    assert planes.keys() == {"axial"}
    assert planes["axial"]["total"] == len(planes["axial"]["images"]) == 1
    assert planes["axial"]["paths"]["Line"]["0"][0].startswith("M")


def test_cases_are_the_given_ones_and_then_the_worst_of_each_run() -> None:
    data = {
        "cases": ["a", "b", "c", "d", "e"],
        "regions": [
            {"values": {"hd": [[1, 9, 3, 4, 5], [1, 2, 3, None, 5]]}},
            {"values": {"hd": [[0, 0, 0, 0, 0], [8, 0, 0, 0, 0]]}},
        ],
    }
    options = {"first": {"c": "middle"}, "metric": "hd", "higher_is_better": False}
    assert choose_cases(data, ["A", "B"], number=4, **options) == {
        "c": "middle",
        "b": "worst of A",
        "a": "worst of B",
        "e": "number 2 from the worst of A",
    }
    assert list(choose_cases(data, ["A", "B"], number=0, **options)) == []
    best = options | {"higher_is_better": True, "first": {}}
    assert list(choose_cases(data, ["A", "B"], number=1, **best)) == ["a"]
