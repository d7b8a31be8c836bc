"""Distance maps on disk: rounding, signs, patches against slices of the whole, metadata."""

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import blosc2
import numpy as np
import pytest
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gsl_experiments.distance import signed_distance_maps
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.maps import StoredMaps, open_maps, read_metadata, write_maps

few = settings(max_examples=40, deadline=None, derandomize=True)
SPACING_MM = (2.5, 0.8, 0.8)


def store(maps: np.ndarray, folder: Path, spacing_mm: tuple[float, ...] = SPACING_MM) -> StoredMaps:
    path = folder / "case.b2nd"
    write_maps(maps, path, shape=maps.shape, spacing_mm=spacing_mm, patch_size=[16, 16, 16])
    return open_maps(path)


def check_rounding(stored: np.ndarray, maps: np.ndarray) -> None:
    """The bounds that users are promised, and no voxel on another side of a boundary than before."""
    error, distance = np.abs(stored.astype(np.float64) - maps), np.abs(maps.astype(np.float64))
    assert (error[distance < 32] <= 0.05).all()
    assert (error[distance >= 32] <= 0.001 * distance[distance >= 32]).all()
    np.testing.assert_array_equal(stored > 0, maps > 0)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, StoredMaps]:
    """Maps of three classes of more blocks and chunks than one along each axis, none of which divides its axis."""
    z, y, x = np.ogrid[:37, :101, :97]
    labels = np.zeros((37, 101, 97), np.uint8)
    labels[(z - 18) ** 2 + (y - 40) ** 2 + (x - 50) ** 2 < 250] = 1
    labels[(z - 20) ** 2 + (y - 45) ** 2 + (x - 52) ** 2 < 60] = 2
    maps = signed_distance_maps(labels, 3, SPACING_MM)
    return maps, store(maps, tmp_path_factory.mktemp("maps"))


class TestRounding:
    def test_by_hand(self, tmp_path: Path) -> None:
        # In steps of 1/16 mm: 0.8 mm is 12.8 steps, 13 / 16 = 0.8125; sqrt(2) mm is 22.6 steps, 23 / 16 = 1.4375.
        maps = np.array([0.0, -0.8, math.sqrt(2), -5.0], np.float32).reshape(1, 1, 2, 2)
        assert store(maps, tmp_path)[:].ravel().tolist() == [0.0, -0.8125, 1.4375, -5.0]

    @few
    @given(
        labels=hnp.arrays(
            np.int8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(-1, 2)
        ),
        spacing_mm=st.tuples(*[st.floats(0.004, 12.0)] * 3),
        absent_class=st.sampled_from(["diagonal", "zero"]),
    )
    def test_maps_of_any_labels_and_spacing(
        self, labels: np.ndarray, spacing_mm: tuple[float, float, float], absent_class: str
    ) -> None:
        maps = signed_distance_maps(labels, 3, spacing_mm, absent_class=absent_class)  # type: ignore[arg-type]
        with TemporaryDirectory() as folder:
            check_rounding(store(maps, Path(folder), spacing_mm)[:], maps)

    @few
    @given(
        distances=hnp.arrays(
            np.float32,
            (1, 3, 5, 7),
            elements=st.just(0.0) | st.floats(0.8125, 3000, width=32) | st.floats(-3000, -0.8125, width=32),
        )
    )
    def test_any_distance_of_a_whole_body(self, distances: np.ndarray) -> None:
        """The image is as large as its distances: more than 2 m, which 16 bits of 1/16 mm do not reach."""
        with TemporaryDirectory() as folder:
            check_rounding(store(distances, Path(folder), (1000.0, 0.8, 0.8))[:], distances)

    @pytest.mark.parametrize("filled", [False, True])
    def test_a_class_without_boundary(self, filled: bool, tmp_path: Path) -> None:
        # sqrt((40 x 15)^2 + (10 x 3)^2 + (10 x 4)^2) = 602.1 mm
        maps = signed_distance_maps(np.full((40, 10, 10), int(filled)), 2, (15.0, 3.0, 4.0))
        stored = store(maps, tmp_path, (15.0, 3.0, 4.0))[:]
        check_rounding(stored, maps)
        assert abs(stored[1, 0, 0, 0]) == pytest.approx(602.1, abs=0.1)

    def test_all_of_a_case(self, blobs: tuple[np.ndarray, StoredMaps]) -> None:
        maps, stored = blobs
        check_rounding(stored[:], maps)


class TestPatches:
    @few
    @given(data=st.data())
    def test_a_patch_is_a_slice_of_the_whole(
        self, blobs: tuple[np.ndarray, StoredMaps], data: st.DataObject
    ) -> None:
        whole = blobs[1][:]
        where = tuple(slice(*sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2)))) for n in whole.shape[1:])
        np.testing.assert_array_equal(blobs[1][(slice(None), *where)], whole[(slice(None), *where)])

    @few
    @given(corner=st.tuples(st.integers(-20, 36), st.integers(-20, 100), st.integers(-20, 96)))
    def test_nnunets_cropping_pads_it(
        self, blobs: tuple[np.ndarray, StoredMaps], corner: tuple[int, int, int]
    ) -> None:
        box = [[low, low + 24] for low in corner]
        patch = crop_and_pad_nd(blobs[1], box, 0)
        assert patch.dtype == np.float32
        np.testing.assert_array_equal(patch, crop_and_pad_nd(blobs[1][:], box, 0))

    def test_shape_and_type(self, blobs: tuple[np.ndarray, StoredMaps]) -> None:
        maps, stored = blobs
        assert (stored.shape, stored.ndim) == (maps.shape, 4)
        assert stored.dtype == np.float32
        assert stored[1].dtype == np.float32
        np.testing.assert_array_equal(stored[1], stored[:][1])

    def test_of_two_axes(self, tmp_path: Path) -> None:
        maps = signed_distance_maps(np.arange(3 * 40 * 50).reshape(3, 40, 50) % 7 // 6, 2, SPACING_MM)
        write_maps(maps, tmp_path / "a.b2nd", shape=maps.shape, spacing_mm=SPACING_MM, patch_size=[32, 32])
        check_rounding(open_maps(tmp_path / "a.b2nd")[:], maps)


class TestFile:
    def test_one_map_at_a_time_writes_the_same_bytes(self, tmp_path: Path) -> None:
        maps = signed_distance_maps(np.eye(40, dtype=np.uint8)[None].repeat(3, axis=0), 2, SPACING_MM)

        def one_by_one() -> Iterator[np.ndarray]:
            yield from maps

        for name, source in (("array", maps), ("iterator", one_by_one())):
            write_maps(
                source, tmp_path / name, shape=maps.shape, spacing_mm=SPACING_MM, patch_size=[16, 16, 16]
            )
        assert (tmp_path / "array").read_bytes() == (tmp_path / "iterator").read_bytes()

    def test_metadata(self, tmp_path: Path) -> None:
        path = tmp_path / "case.b2nd"
        given = {"voxels": [3, 10**12], "spacing_mm": [2.5, 0.8, 0.8], "absent_class": "diagonal"}
        maps = np.ones((1, 2, 3, 4), np.float32)
        write_maps(maps, path, shape=maps.shape, spacing_mm=SPACING_MM, patch_size=[2, 3, 4], metadata=given)
        assert given.items() <= read_metadata(path).items()

    def test_metadata_without_a_look_at_the_maps(self, tmp_path: Path) -> None:
        path = tmp_path / "case.b2nd"
        maps = np.random.default_rng(1).uniform(1, 50, (2, 30, 30, 30)).astype(np.float32)
        write_maps(
            maps, path, shape=maps.shape, spacing_mm=SPACING_MM, patch_size=[30, 30, 30], metadata={"a": 1}
        )
        content = bytearray(path.read_bytes())
        content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
        path.write_bytes(content)
        assert read_metadata(path)["a"] == 1
        assert not np.array_equal(np.rint(maps * 16) / 16, open_maps(path)[:])  # the maps themselves are gone

    def test_a_file_of_another_version(self, tmp_path: Path) -> None:
        blosc2.asarray(np.zeros((2, 3, 4, 5), np.float16), urlpath=str(tmp_path / "case.b2nd"))
        with pytest.raises(UserError, match=r"case\.b2nd: written by another version .*make preprocess"):
            open_maps(tmp_path / "case.b2nd")
