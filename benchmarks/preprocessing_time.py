"""Preprocessing of whole datasets, maps included, against stock nnU-Net on the same files, in turns.

    .venv/bin/python -m benchmarks.preprocessing_time [FOLDER ...] [--processes 2] [--repetitions 3]

FOLDER is a dataset in nnU-Net's raw format, such as data/nnUNet_raw/Dataset503_Hippocampus. Without any, synthetic MR
and CT are made first. Both plan and preprocess 3d_fullres with nnU-Net's rules; ours also checks the raw data, makes
the maps and records what it did. Prints wall clock and processor seconds of each call, and their ratios. For Linux.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import blosc2
import nnunetv2
import numpy as np

from benchmarks.turns import OURS, STOCK, DisagreementError, Row, in_turns
from gsl_experiments.datasets import (
    read_brats,
    read_lits,
    write_nnunet_raw,
    write_phantom_brats,
    write_phantom_lits,
)

SCRIPTS_OF_NNUNET = Path(nnunetv2.__file__).parents[4] / "bin"
SCRIPT = Path(__file__).parent.parent / "scripts" / "preprocess.py"
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
MR_SIZE, CT_SIZE = (160, 192, 152), (256, 256, 80)  # x, y, z
CASES, PROCESSES = 6, 2


def line_of(cases: int, size: tuple[int, ...], processes: int) -> str:
    """Return the `line` of the rows of `measure`."""
    return f"{cases} MR of {' x '.join(map(str, size))}, {processes} processes"


def measure(
    *, cases: int = CASES, size: tuple[int, ...] = MR_SIZE, processes: int = PROCESSES, repetitions: int = 2
) -> list[Row]:
    """Time both on synthetic MR of four channels, about as large as a brain of BraTS without its margin.

    Raises:
        DisagreementError: an image or a label image that the two have preprocessed differs.
    """
    _adopt_orphans()
    with TemporaryDirectory() as name:
        raw = Path(name) / "nnUNet_raw" / "Dataset902_MR"
        write_phantom_brats(Path(name) / "mr", cases=cases, size=size, absent_enhancing_fraction=0.0)
        write_nnunet_raw(read_brats(Path(name) / "mr"), raw)
        made = {OURS: Path(name) / "ours", STOCK: Path(name) / "stock"}

        def call(contestant: str) -> None:
            shutil.rmtree(made[contestant], ignore_errors=True)
            (ours if contestant == OURS else stock)(raw, made[contestant], processes)

        contestants = {OURS: lambda: call(OURS), STOCK: lambda: call(STOCK)}
        rows = in_turns(line_of(cases, size, processes), contestants, repetitions=repetitions, warmups=0)
        _compare(made[OURS] / raw.name, made[STOCK] / raw.name)
    return rows


def _compare(ours_folder: Path, stock_folder: Path) -> None:
    files = [file.relative_to(stock_folder) for file in sorted(stock_folder.glob("*_3d_fullres/*.b2nd"))]
    if not files:
        raise DisagreementError("nnU-Net has preprocessed nothing")
    for file in files:
        mine, theirs = (
            blosc2.open(str(folder / file), mode="r")[:] for folder in (ours_folder, stock_folder)
        )
        if mine.shape != theirs.shape or not np.allclose(mine, theirs, atol=1e-4):
            raise DisagreementError(f"{file}: ours differs from nnU-Net's")


def generate(folder: Path, cases: int) -> list[Path]:
    """Write synthetic MR and CT in nnU-Net's raw format."""
    raw = folder / "nnUNet_raw"
    mr, ct = raw / "Dataset902_MR", raw / "Dataset901_CT"
    write_phantom_brats(folder / "mr", cases=cases, size=MR_SIZE, absent_enhancing_fraction=0.0)
    write_nnunet_raw(read_brats(folder / "mr"), mr)
    write_phantom_lits(folder / "ct", cases=cases, size=CT_SIZE)
    write_nnunet_raw(read_lits(folder / "ct"), ct)
    return [mr, ct]


def stock(dataset: Path, folder: Path, processes: int) -> tuple[float, float]:
    """Run nnU-Net's own command; return wall clock and processor seconds."""
    number = dataset.name.removeprefix("Dataset")[:3]
    script = str(SCRIPTS_OF_NNUNET / "nnUNetv2_plan_and_preprocess")
    command = [sys.executable, script, "-d", number, "-c", "3d_fullres"]
    return _seconds([*command, "-npfp", str(processes), "-np", str(processes)], dataset, folder)


def ours(dataset: Path, folder: Path, processes: int) -> tuple[float, float]:
    """Run this package's command; return wall clock and processor seconds."""
    choice = ["dataset=nnunet", f"dataset.id={dataset.name}", "protocol=nnunet", f"processes={processes}"]
    return _seconds([sys.executable, str(SCRIPT), *choice], dataset, folder)


def _seconds(command: list[str], dataset: Path, folder: Path) -> tuple[float, float]:
    folder.mkdir(exist_ok=True)
    folders = {"nnUNet_raw": dataset.parent, "nnUNet_preprocessed": folder, "nnUNet_results": folder}
    environment = os.environ | {name: str(path) for name, path in folders.items()}
    cpu, started = _processor_seconds(), time.perf_counter()
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True)
    wall_clock = time.perf_counter() - started
    if outcome.returncode != 0:
        raise RuntimeError(
            f"{command[1]} ended with status {outcome.returncode}: {outcome.stderr[-500:].strip()}"
        )
    with contextlib.suppress(ChildProcessError):
        while True:  # the processes that the command has left to us, until there are none
            os.wait()
    return wall_clock, _processor_seconds() - cpu


def _adopt_orphans() -> None:
    """Have the processes whose parent ends become ours: only then does their time count."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(dataset: Path, processes: int, repetitions: int) -> None:
    """Run both in turns and print a line a call, then the medians."""
    calls = {"stock": stock, "ours": ours}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for repetition in range(repetitions):
        for name in sorted(calls, reverse=repetition % 2 == 0):
            with TemporaryDirectory() as folder:
                seconds = calls[name](dataset, Path(folder), processes)
            taken[name].append(seconds)
            print(
                f"{dataset.name}  {name:5s}  {seconds[0]:7.1f} s  {seconds[1]:7.1f} s processor", flush=True
            )
    for kind, label in enumerate(("wall clock", "processor")):
        medians = {name: statistics.median(pair[kind] for pair in pairs) for name, pairs in taken.items()}
        print(f"{dataset.name}  {label}: ours / stock = {medians['ours'] / medians['stock']:.2f}", flush=True)


def main() -> None:
    """Compare on every dataset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--cases", type=int, default=12, help="of each generated dataset")
    arguments = parser.parse_args()
    _adopt_orphans()
    with TemporaryDirectory() as folder:
        for dataset in arguments.folders or generate(Path(folder), arguments.cases):
            compare(dataset.absolute(), arguments.processes, arguments.repetitions)


if __name__ == "__main__":
    main()
