"""The lock of a folder, against a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gsl_experiments.errors import UserError
from gsl_experiments.locking import exclusive

HOLD = """
import sys
from pathlib import Path
from gsl_experiments.locking import exclusive
with exclusive(Path(sys.argv[1]), what="the other"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    other = holder(tmp_path)
    with (
        pytest.raises(
            UserError, match=rf"^training of fold 0: another process \({other.pid} on .+\) is at it"
        ),
        exclusive(tmp_path, what="training of fold 0", wait=False),
    ):
        pass
    other.communicate("\n")
    with exclusive(tmp_path, what="training of fold 0", wait=False):
        pass


def test_a_second_process_says_that_it_waits_and_then_goes_on(tmp_path: Path) -> None:
    other = holder(tmp_path)
    code = HOLD.replace("sys.stdin.readline()", "")
    waiting = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert waiting.stderr is not None
    assert waiting.stderr.readline().startswith(f"the other: another process ({other.pid} on ")
    assert waiting.poll() is None
    other.communicate("\n")
    stdout, _ = waiting.communicate(timeout=60)
    assert (stdout, waiting.returncode) == ("held\n", 0)


def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path) -> None:
    other = holder(tmp_path)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with exclusive(tmp_path, what="anything", wait=False):
        assert (tmp_path / ".lock").exists()
    other.communicate()


def test_an_error_in_the_block_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), exclusive(tmp_path, what="anything"):
        raise RuntimeError("inside")
    other = holder(tmp_path)
    other.communicate("\n")
    assert other.returncode == 0


def test_folders_are_locked_each_by_itself(tmp_path: Path) -> None:
    other = holder(tmp_path / "a")
    with exclusive(tmp_path / "b", what="anything", wait=False):
        pass
    other.communicate("\n")
