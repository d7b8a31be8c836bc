"""How many cases run side by side, and what a case is estimated to take."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.cli import compose
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.memory import (
    GB,
    CaseSize,
    case_bytes,
    case_size,
    fingerprint_bytes,
    free_memory,
    memory_limit,
)
from gsl_experiments.preprocessing.workers import WORKER_BYTES, Workers

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Load:
    """A case that takes so many bytes for so long."""

    identifier: str
    size: int
    seconds: float = 0.0


class Meter:
    """Adds up what runs at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: list[Load] = []
        self.most_bytes = self.most_cases = 0
        self.started: list[str] = []

    def __call__(self, load: Load) -> str:
        with self.lock:
            self.started.append(load.identifier)
            self.running.append(load)
            self.most_bytes = max(self.most_bytes, sum(one.size for one in self.running))
            self.most_cases = max(self.most_cases, len(self.running))
        time.sleep(load.seconds)
        with self.lock:
            self.running.remove(load)
        return load.identifier.upper()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in threads, whose load a test can see."""
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr("gsl_experiments.preprocessing.workers._start", ThreadPoolExecutor)


def run(workers: Workers, meter: Meter, loads: list[Load]) -> list[str]:
    with workers:
        return workers.run(meter, loads, bytes_of=lambda load: load.size, title="loads")


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("seed", range(5))
def test_cases_that_run_side_by_side_never_exceed_the_limit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5 * GB, 30)
    loads = [Load(f"case {i}", int(size), float(rng.uniform(0, 0.01))) for i, size in enumerate(sizes)]
    meter, limit = Meter(), 8 * GB
    outcome = run(Workers(6, limit), meter, loads)
    assert outcome == [load.identifier.upper() for load in loads]
    assert meter.most_bytes <= limit - WORKER_BYTES
    assert 1 < meter.most_cases <= 6
    assert not meter.running


@pytest.mark.usefixtures("threads")
def test_the_largest_case_starts_first() -> None:
    meter = Meter()
    run(Workers(1, 8 * GB), meter, [Load("a", 2 * GB), Load("b", 3 * GB), Load("c", GB)])
    assert meter.started == ["b", "a", "c"]


@pytest.mark.usefixtures("threads")
def test_small_cases_fill_what_a_large_one_leaves() -> None:
    """5 GB and two of 1 GB fit into 8 GB with three workers; two of 5 GB do not."""
    meter = Meter()
    loads = [Load("a", 5 * GB, 0.2), Load("b", 5 * GB, 0.2), Load("c", GB, 0.2), Load("d", GB, 0.2)]
    run(Workers(3, 8 * GB + 3 * WORKER_BYTES), meter, loads)
    assert meter.started[:3] == ["a", "c", "d"]
    assert meter.most_bytes == 7 * GB


@pytest.mark.usefixtures("threads")
def test_a_case_of_unknown_size_runs_alone() -> None:
    meter = Meter()
    loads = [Load("known", GB, 0.05), Load("unknown", 0, 0.05), Load("other", GB, 0.05)]
    with Workers(3, 8 * GB) as workers:
        workers.run(meter, loads, bytes_of=lambda load: load.size or None, title="loads")
    assert meter.started[0] == "unknown"
    assert meter.most_bytes <= 2 * GB


def test_a_case_that_does_not_fit_is_named_before_anything_starts() -> None:
    meter = Meter()
    with pytest.raises(UserError, match=r"^case b needs about 9\.2 GB of memory and 8\.0 GB may be used: "):
        run(Workers(2, 8 * GB), meter, [Load("a", GB), Load("b", 9 * GB)])
    assert meter.started == []


def test_the_limit_is_the_users_or_a_share_of_what_is_free() -> None:
    assert memory_limit(compose(["memory_gb=2.5"])) == 2_500_000_000
    total = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines())
    assert 0 < free_memory() <= total * 1024
    assert memory_limit(compose([])) < total * 1024


class TestCaseSize:
    def write(self, folder: Path, shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> str:
        image = sitk.GetImageFromArray(np.zeros(shape, dtype=np.uint8))
        image.SetSpacing(spacing_mm[::-1])
        sitk.WriteImage(image, str(folder / "image.nii.gz"))
        return str(folder / "image.nii.gz")

    def test_by_hand(self, tmp_path: Path) -> None:
        """10 slices of 2.5 mm make 25 of 1 mm; 20 and 30 voxels of 1 mm make 10 and 15 of 2 mm."""
        image = self.write(tmp_path, (10, 20, 30), (2.5, 1.0, 1.0))
        size = case_size([image, image], target_spacing_mm=[1.0, 2.0, 2.0])
        assert size == CaseSize(2, 6000, 25 * 10 * 15, resampled=True)

    def test_without_a_target_nothing_is_resampled(self, tmp_path: Path) -> None:
        image = self.write(tmp_path, (10, 20, 30), (4.0, 1.0, 1.0))
        assert case_size([image]) == CaseSize(1, 6000, 6000, resampled=False)

    def test_slices_of_a_2d_configuration_stay(self, tmp_path: Path) -> None:
        image = self.write(tmp_path, (10, 20, 30), (4.0, 1.0, 1.0))
        size = case_size([image], target_spacing_mm=[0.5, 1.0])
        assert size is not None
        assert size.target_voxels == 10 * 40 * 30

    def test_axes_follow_the_plans(self, tmp_path: Path) -> None:
        """The plans put the last axis, 30 voxels of 2 mm, first."""
        image = self.write(tmp_path, (10, 20, 30), (1.0, 1.0, 2.0))
        size = case_size([image], target_spacing_mm=[1.0, 1.0, 1.0], transpose=[2, 0, 1])
        assert size is not None
        assert size.target_voxels == 60 * 10 * 20

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        assert case_size([str(tmp_path / "nowhere.nii.gz")]) is None


def test_what_is_larger_and_what_has_more_channels_takes_more() -> None:
    same = CaseSize(1, 10**7, 10**7, resampled=False)
    larger = CaseSize(1, 10**7, 4 * 10**7, resampled=True)
    channels = CaseSize(4, 10**7, 4 * 10**7, resampled=True)
    estimates = [case_bytes(size) for size in (same, larger, channels)]
    assert estimates == sorted(set(estimates))
    assert fingerprint_bytes(same) < fingerprint_bytes(channels)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ct_down", "ct_same", "ct_checkered"])
def test_a_real_case_stays_below_its_estimate_but_not_far(name: str) -> None:
    """Peaks are measured in a process of its own for the fingerprint and for the case."""
    call = [sys.executable, "-m", "benchmarks.memory_estimate", name]
    outcome = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    steps = [json.loads(line) for line in outcome.stdout.splitlines() if line.startswith("{")]
    assert [step["step"] for step in steps] == ["fingerprint", "case"]
    for step in steps:
        assert step["peak"] < step["estimate"], step
    assert steps[1]["peak"] > steps[1]["estimate"] / 5
