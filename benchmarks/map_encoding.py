"""Distance maps in several encodings: size on disk and time to decode patches, both relative to the images'.

    .venv/bin/python benchmarks/map_encoding.py FOLDER ... [--cases 2]

FOLDER holds preprocessed cases, such as data/nnUNet_preprocessed/Dataset501_LiTS/paperPlans_3d_fullres, beside the
folder of their maps. Times are those of the processor, on one core, files in the page cache; each patch counts with the
fastest of three reads.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import blosc2
import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params
from numpy.typing import NDArray

from gsl_experiments.distance import signed_distance_maps
from gsl_experiments.preprocessing.maps import maps_folder, open_maps, read_metadata, write_maps

Codec, Filter = blosc2.Codec, blosc2.Filter
PATCH = 128
PATCHES = 8
STEP_MM = np.float32(1 / 16)
STOCK_PATCH = (128, 128, 128)


@dataclass(frozen=True)
class Encoding:
    """One way to store maps.

    Args:
        name: row of the table.
        dtype: float16 for mm, int16 for steps of 1/16 mm, float32 for a codec that rounds by itself.
        codec: of blosc2.
        level: of compression.
        filters: of blosc2, before the codec.
        blocks: (channels, z, y, x); nnU-Net's choice by default. Zero channels are all of them.
        options: further parameters of blosc2.
    """

    name: str
    dtype: type[np.generic]
    codec: blosc2.Codec
    level: int
    filters: tuple[blosc2.Filter, ...]
    blocks: tuple[int, int, int, int] | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def write(self, maps: NDArray[np.float32], path: Path) -> None:
        """Encode and store."""
        encoded = (
            np.rint(maps / STEP_MM).astype(np.int16) if self.dtype is np.int16 else maps.astype(self.dtype)
        )
        blocks, chunks = comp_blosc2_params(encoded.shape, STOCK_PATCH, encoded.itemsize)
        if self.blocks is not None:
            wanted = (self.blocks[0] or len(maps), *self.blocks[1:])
            chunks = (wanted[0], *chunks[1:])
            blocks = tuple(map(min, wanted, chunks, encoded.shape))
        meta = [encoded.itemsize if f is Filter.BYTEDELTA else 0 for f in self.filters]
        cparams = {"codec": self.codec, "clevel": self.level, "filters": list(self.filters), "nthreads": 1}
        cparams |= {"filters_meta": meta} | dict(self.options)
        blosc2.asarray(encoded, urlpath=str(path), chunks=chunks, blocks=blocks, cparams=cparams)

    def reader(self, path: Path) -> Callable[[Any], Any]:
        """Return what reads a part as float32 in mm."""
        array = _open(path)
        if self.dtype is np.int16:
            return lambda where: array[where] * STEP_MM
        return lambda where: torch.from_numpy(array[where]).float()


SHUFFLE, DELTA = (Filter.SHUFFLE,), (Filter.SHUFFLE, Filter.BYTEDELTA)
ENCODINGS = (
    Encoding("float16, zstd 3, shuffle", np.float16, Codec.ZSTD, 3, SHUFFLE),
    Encoding("float16, lz4hc 5, shuffle", np.float16, Codec.LZ4HC, 5, SHUFFLE),
    Encoding("int16, lz4 5, shuffle", np.int16, Codec.LZ4, 5, SHUFFLE),
    Encoding("int16, blosclz 5, shuffle", np.int16, Codec.BLOSCLZ, 5, SHUFFLE),
    Encoding("int16, lz4hc 5, shuffle", np.int16, Codec.LZ4HC, 5, SHUFFLE),
    Encoding("int16, lz4hc 5, bitshuffle", np.int16, Codec.LZ4HC, 5, (Filter.BITSHUFFLE,)),
    Encoding("int16, lz4hc 5, shuffle, bytedelta", np.int16, Codec.LZ4HC, 5, DELTA),
    Encoding("int16, zstd 3, shuffle", np.int16, Codec.ZSTD, 3, SHUFFLE),
    Encoding("int16, zstd 3, bitshuffle", np.int16, Codec.ZSTD, 3, (Filter.BITSHUFFLE,)),
    Encoding("int16, zstd 3, delta, shuffle", np.int16, Codec.ZSTD, 3, (Filter.DELTA, Filter.SHUFFLE)),
    Encoding("int16, zstd 1, shuffle, bytedelta", np.int16, Codec.ZSTD, 1, DELTA),
    Encoding("int16, zstd 3, shuffle, bytedelta", np.int16, Codec.ZSTD, 3, DELTA),
    Encoding("int16, zstd 4, shuffle, bytedelta", np.int16, Codec.ZSTD, 4, DELTA),
    Encoding("the same, blocks of 16 x 32 x 32", np.int16, Codec.ZSTD, 4, DELTA, (1, 16, 32, 32)),
    Encoding("the same, blocks of 32 x 32 x 64", np.int16, Codec.ZSTD, 4, DELTA, (1, 32, 32, 64)),
    Encoding("the same, blocks of 64 x 64 x 64", np.int16, Codec.ZSTD, 4, DELTA, (1, 64, 64, 64)),
    Encoding(
        "the same, blocks of 32 x 32 x 32, all classes", np.int16, Codec.ZSTD, 4, DELTA, (0, 32, 32, 32)
    ),
    Encoding("int16, zstd 5, shuffle, bytedelta", np.int16, Codec.ZSTD, 5, DELTA),
)


@dataclass
class Cost:
    """What an encoding has cost so far."""

    size: int = 0
    reading_s: float = 0.0
    writing_s: float = 0.0


def measure(cases_folder: Path, cases: int) -> dict[str, Cost]:
    """Return the costs of the images, of the maps as this package writes them, and of every encoding."""
    rng = np.random.default_rng(1)
    costs: dict[str, Cost] = {}
    for labels_file in sorted(cases_folder.glob("*_seg.b2nd"))[:cases]:
        identifier = labels_file.name.removesuffix("_seg.b2nd")
        image_file = cases_folder / f"{identifier}.b2nd"
        maps_file = maps_folder(cases_folder) / f"{identifier}.b2nd"
        labels = _open(labels_file)[0]
        metadata = read_metadata(maps_file)
        spacing_mm = metadata["spacing_mm"]
        maps = signed_distance_maps(labels, len(metadata["voxels"]), spacing_mm)
        boxes = [_random_box(rng, labels.shape) for _ in range(PATCHES)]

        _add(costs, "images", image_file, _open(image_file).__getitem__, boxes)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "maps.b2nd"
            started = time.thread_time()
            write_maps(maps, path, shape=maps.shape, spacing_mm=spacing_mm, patch_size=STOCK_PATCH)
            _add(costs, "**gsl_experiments**", path, open_maps(path).__getitem__, boxes, started)
            for encoding in ENCODINGS:
                path.unlink()
                started = time.thread_time()
                encoding.write(maps, path)
                _add(costs, encoding.name, path, encoding.reader(path), boxes, started)
    return costs


def _add(
    costs: dict[str, Cost],
    name: str,
    path: Path,
    read: Callable[[Any], Any],
    boxes: list[Any],
    started: float | None = None,
) -> None:
    cost = costs.setdefault(name, Cost())
    cost.writing_s += time.thread_time() - started if started is not None else 0.0
    cost.size += path.stat().st_size
    cost.reading_s += sum(min(_seconds(read, box) for _ in range(3)) for box in boxes)


def _seconds(read: Callable[[Any], Any], box: Any) -> float:
    started = time.thread_time()
    read(box)
    return time.thread_time() - started


def _random_box(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[slice, ...]:
    corner = [int(rng.integers(max(1, n - PATCH + 1))) for n in shape]
    return (slice(None), *(slice(low, low + PATCH) for low in corner))


def _open(path: Path) -> blosc2.NDArray:
    return blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})


def main() -> None:
    """Print one table: size, decoding and writing, three columns a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--cases", type=int, default=2)
    arguments = parser.parse_args()
    blosc2.set_nthreads(1)
    torch.set_num_threads(1)
    results = [measure(folder, arguments.cases) for folder in arguments.folders]
    names = [f"{folder.parent.name}: size | decoding | writing, s" for folder in arguments.folders]
    print(f"| encoding | {' | '.join(names)} |")
    print("|---|" + "---|---|---|" * len(results))
    for name in results[0]:
        cells = []
        for costs in results:
            cost, images = costs[name], costs["images"]
            writing = f"{cost.writing_s / arguments.cases:.2f}" if cost.writing_s else ""
            cells += [f"{cost.size / images.size:.3f}", f"{cost.reading_s / images.reading_s:.2f}", writing]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
