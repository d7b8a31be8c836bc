"""Preprocessing that is killed or runs out of disk: nothing is damaged, and a later call ends as undisturbed."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import blosc2
import numpy as np
import pytest

from gsl_experiments.locking import exclusive
from gsl_experiments.preprocessing.maps import open_maps

ROOT = Path(__file__).parents[2]
CASES = 6
# Where a call is killed: as soon as such a file is there.
MOMENTS = {
    "an image is being converted": "raw/*/*/.partial-*/*",
    "a case is being analysed for the fingerprint": "preprocessed/*/.fingerprint/.partial-*/*",
    "the first case is being written": "preprocessed/*/.scratch/*/*.b2nd",
    "maps are being written": "preprocessed/*/.scratch/*/*_dtm.b2nd",
    "the first entry is there": "preprocessed/*/*_dtm/manifest/*.json",
    "four entries are there": "preprocessed/*/*_dtm/manifest/*[4-6].json",
    "the weights are there": "preprocessed/*/*_dtm/class_weights.json",
}


def overrides(folder: Path, processes: int) -> list[str]:
    paths = [f"paths.{name}={folder / name}" for name in ("raw", "preprocessed", "results")]
    return [
        "dataset=phantom_brats",
        f"dataset.generate.cases={CASES}",
        "dataset.generate.size=[48,48,40]",
        "dataset.patch_size=[16,24,16]",
        "dataset.base_features=4",
        f"processes={processes}",
        f"dataset.raw={folder.parent / 'source'}",
        *paths,
    ]


def start(
    folder: Path, processes: int = 1, before: Callable[[], None] | None = None
) -> "subprocess.Popen[str]":
    """Call preprocessing in a process group of its own."""
    call = [sys.executable, str(ROOT / "scripts" / "preprocess.py"), *overrides(folder, processes)]
    return subprocess.Popen(
        call,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=before,
    )


def finish(folder: Path, processes: int = 1) -> str:
    process = start(folder, processes)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return stdout


def files(folder: Path, pattern: str) -> set[Path]:
    while True:
        try:
            return set(folder.glob(pattern))
        except FileNotFoundError:  # a folder went while it was being read
            continue


def kill_once(folder: Path, patterns: Sequence[str], processes: int) -> str | None:
    """Kill a call as soon as a file of one of these names is there; return which, or None if it ended before."""
    process = start(folder, processes)
    present = {pattern: files(folder, pattern) for pattern in patterns}
    while process.poll() is None:
        for pattern in patterns:
            if files(folder, pattern) - present[pattern]:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return pattern
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    return None


def arrays(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every array, and of every file that decides what is trained on."""
    preprocessed = next((folder / "preprocessed").iterdir())
    for file in sorted(preprocessed.rglob("*.b2nd")):
        name = file.relative_to(preprocessed).as_posix()
        array = open_maps(file)[:] if "_dtm/" in name else np.asarray(blosc2.open(str(file), mode="r")[:])
        yield name, array.tobytes()
    for pattern in ("*/*.pkl", "gt_segmentations/*", "splits_final.json", "paperPlans.json", "*_dtm/*.json"):
        for file in sorted(preprocessed.glob(pattern)):
            yield file.relative_to(preprocessed).as_posix(), file.read_bytes()
    fingerprint = json.loads((preprocessed / "dataset_fingerprint.json").read_text())
    yield "fingerprint", json.dumps(fingerprint).encode()
    for file in sorted((folder / "raw").rglob("*.nii.gz")):
        yield file.name, file.read_bytes()


def leftovers(folder: Path) -> list[Path]:
    names = (".partial-*", ".scratch", ".fingerprint")
    return [path for name in names for path in folder.rglob(name)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that one call has preprocessed; its raw data is that of all others."""
    folder = tmp_path_factory.mktemp("undisturbed") / "work"
    finish(folder)
    return folder


@pytest.fixture
def work(undisturbed: Path, tmp_path: Path) -> Path:
    """A place for another dataset of the same raw data, of which nothing is there yet."""
    shutil.copytree(undisturbed.parent / "source", tmp_path / "source")
    return tmp_path / "work"


def assert_as_undisturbed(work: Path, undisturbed: Path) -> None:
    expected, made = dict(arrays(undisturbed)), dict(arrays(work))
    assert sum(name.endswith("_seg.b2nd") for name in made) == CASES
    assert made.keys() == expected.keys()
    assert [name for name in expected if made[name] != expected[name]] == []
    assert leftovers(work) == []


def test_a_call_that_is_killed_half_way_is_continued(work: Path, undisturbed: Path) -> None:
    assert kill_once(work, [MOMENTS["the first entry is there"]], processes=1)
    finish(work)
    assert_as_undisturbed(work, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_call_that_is_killed_at_every_step_is_continued(
    work: Path, undisturbed: Path, processes: int
) -> None:
    # A moment that is too short to be seen must not let the call end: then the next one counts.
    patterns = list(MOMENTS.values())
    seen = [kill_once(work, patterns[i:], processes) for i in range(len(patterns))]
    assert len(set(seen) & set(patterns)) >= 4, seen
    finish(work, processes)
    assert_as_undisturbed(work, undisturbed)


@pytest.mark.slow
def test_calls_that_are_killed_after_a_random_time_are_continued(work: Path, undisturbed: Path) -> None:
    """Anywhere from the start of the work on; what the killed calls have finished shortens the next."""
    draw, killed = random.Random(0), 0
    for _ in range(8):
        process = start(work, processes=2)
        while process.poll() is None and not (work / "preprocessed").exists():
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 6))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed > 0
    finish(work, processes=2)
    assert_as_undisturbed(work, undisturbed)


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(work: Path, undisturbed: Path) -> None:
    """The system kills one process for want of memory, not the group: orphans must not go on writing."""
    process = start(work, processes=2)
    while process.poll() is None and not files(work, "preprocessed/*/.scratch/*"):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while _group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _group(process.pid) == []
    process.communicate()
    finish(work, processes=2)
    assert_as_undisturbed(work, undisturbed)


def _group(leader: int) -> list[int]:
    """The living processes of a group."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return members


# Bytes that a file may have: of an image, a case, its maps, an analysis and a plans file.
@pytest.mark.parametrize("most_bytes", [200_000, pytest.param(60_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_file_that_cannot_grow_is_one_clear_line_and_no_damage(
    work: Path, undisturbed: Path, most_bytes: int, processes: int
) -> None:
    """A limit on the size of a file stands for a full disk: it needs no rights."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    process = start(work, processes, before=limit)
    _, stderr = process.communicate(timeout=300)
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert process.returncode == 2, stderr
    assert len(lines) == 1, stderr
    assert "File too large" in lines[0]
    assert "Traceback" not in stderr
    finish(work, processes)
    assert_as_undisturbed(work, undisturbed)


WRITE = """
import sys
from pathlib import Path
import numpy as np
import SimpleITK as sitk
from gsl_experiments.datasets.nifti import write_image
noise = np.random.default_rng(0).integers(0, 255, (30, 30, 30), dtype=np.uint8)
write_image(sitk.GetImageFromArray(noise), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("most_bytes", [100, 20_000])
def test_a_converted_image_that_cannot_be_written_whole_is_not_kept(
    tmp_path: Path, name: str, most_bytes: int
) -> None:
    """SimpleITK returns without a word from a disk that is full."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    call = [sys.executable, "-c", WRITE, str(tmp_path / name)]
    outcome = subprocess.run(call, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert outcome.stderr.splitlines()[-1].startswith("OSError: [Errno 28] cannot be written whole")
    assert list(tmp_path.iterdir()) == []
    subprocess.run(call, check=True)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_second_call_at_the_same_time_waits(work: Path, undisturbed: Path) -> None:
    folder = work / "preprocessed" / "Dataset512_PhantomBraTS"
    with exclusive(folder, what="preprocessing"):
        second = start(work)
        assert second.stderr is not None
        line = second.stderr.readline()
        assert line.startswith("preprocessing of Dataset512_PhantomBraTS: another process "), line
        assert f"({os.getpid()} on " in line
        assert sorted(file.name for file in work.rglob("*")) == [
            ".lock",
            ".lock.json",
            "Dataset512_PhantomBraTS",
            "preprocessed",
        ]
    _, stderr = second.communicate(timeout=300)
    assert second.returncode == 0, stderr
    assert_as_undisturbed(work, undisturbed)
