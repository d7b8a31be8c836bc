"""Several processes: what the user reads when one fails, and how they stop. The training alone is a stub."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import is_alive, wait_for

from gsl_experiments.errors import UserError
from gsl_experiments.training.interruption import Interrupted, StopRequest, stop_requests
from gsl_experiments.training.processes import Group, run_processes

STUB = Path(__file__).parent / "launch_stub.py"
NO_END = 10**6  # steps


def group(folder: Path, *, processes: int = 2, max_restarts: int = 0) -> Group:
    return Group("stub", processes, 1, None, max_restarts, folder / "processes")


def command(folder: Path, fate: str, steps: int) -> list[str]:
    return [str(STUB), str(folder), fate, "configuration", str(steps), "cpu"]


def pids(folder: Path) -> list[int]:
    return [int(file.read_text()) for file in sorted(folder.glob("pid_*"))]


def steps_of(folder: Path, rank: int) -> list[int]:
    return [int(step) for step in (folder / f"steps_{rank}").read_text().split()]


def after(folder: Path, ready: str, act: Callable[[], None]) -> threading.Thread:
    """Act once the file is there that a worker writes."""

    def wait_and_act() -> None:
        wait_for((folder / ready).exists)
        act()

    thread = threading.Thread(target=wait_and_act, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("fate", "first_line"),
    [
        ("throws", "error: rank 1 failed with exit code 1; call again to continue from the last checkpoint"),
        (
            "killed",
            r"error: rank 1 was killed by SIGKILL \(the system does so when memory runs out\); call again",
        ),
    ],
)
def test_the_rank_that_failed_first_is_told_first(tmp_path: Path, fate: str, first_line: str) -> None:
    """Rank 0 fails too, of the connection that it loses; nobody waits for anybody until a timeout."""
    with pytest.raises(SystemExit, match=rf"\A{first_line}") as failure:
        run_processes(command(tmp_path, fate, NO_END), group(tmp_path), StopRequest())
    message = str(failure.value.code)
    assert ("ArithmeticError: the sum of rank 1" in message) == (fate == "throws")
    assert "gloo" not in message
    assert not any(is_alive(pid) for pid in pids(tmp_path))
    (log,) = (tmp_path / "processes").glob("stub_*/attempt_0/1/stdout.log")
    assert log.read_text() == "output of rank 1\n"
    assert str(log.parent.parent) in message


@pytest.mark.parametrize(
    ("fate", "line"),
    [
        ("user", "case_007.b2nd is damaged: preprocess the dataset again"),
        pytest.param(
            "disk", "/results/checkpoint_latest.pth: No space left on device", marks=pytest.mark.slow
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path: Path, fate: str, line: str) -> None:
    with pytest.raises(UserError) as failure:
        run_processes(command(tmp_path, fate, NO_END), group(tmp_path), StopRequest())
    assert str(failure.value) == line


@pytest.mark.slow
def test_a_rank_that_hangs_does_not_outlive_the_one_that_failed(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)\Aerror: rank 1 failed with exit code 1.*the sum of rank 1"):
        run_processes(command(tmp_path, "the other hangs", NO_END), group(tmp_path), StopRequest())
    assert not any(is_alive(pid) for pid in pids(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["throws", "killed"])
def test_a_restart_goes_on_from_the_checkpoint(tmp_path: Path, fate: str) -> None:
    run_processes(command(tmp_path, fate, 8), group(tmp_path, max_restarts=1), StopRequest())
    assert steps_of(tmp_path, 0) == list(range(8))
    assert (tmp_path / "checkpoint").read_text() == "8"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT"])
def test_a_signal_to_the_launcher_stops_all_after_the_same_step(tmp_path: Path, name: str) -> None:
    thread = after(tmp_path, "checkpoint", lambda: os.kill(os.getpid(), getattr(signal, name)))
    with stop_requests() as stop, pytest.raises(Interrupted, match=r"step \d+") as interrupted:
        run_processes(command(tmp_path, "none", NO_END), group(tmp_path, max_restarts=1), stop)
    thread.join()
    assert stop.signal == name
    last = int(str(interrupted.value).split()[1])
    assert steps_of(tmp_path, 0) == steps_of(tmp_path, 1) == list(range(last + 1))
    assert not list(tmp_path.glob("processes/*/attempt_1")), "an interrupted run was restarted"

    run_processes(command(tmp_path, "none", last + 3), group(tmp_path), StopRequest())
    assert steps_of(tmp_path, 0) == list(range(last + 3))


@pytest.mark.slow
@pytest.mark.parametrize("everybody", [False, True])
def test_a_signal_to_the_workers_alone_stops_all(tmp_path: Path, everybody: bool) -> None:
    def notify() -> None:
        for pid in pids(tmp_path)[: None if everybody else 1]:
            os.kill(pid, signal.SIGTERM)

    thread = after(tmp_path, "checkpoint", notify)
    with pytest.raises(Interrupted, match="step"):
        run_processes(command(tmp_path, "none", NO_END), group(tmp_path), StopRequest())
    thread.join()
    assert steps_of(tmp_path, 0) == steps_of(tmp_path, 1)


@pytest.mark.slow
def test_predictions_stop_at_once(tmp_path: Path) -> None:
    """Rank 0 is at its case, rank 1 has no more and waits for it in a barrier."""
    thread = after(tmp_path, "predicting_0", lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with stop_requests() as stop, pytest.raises(Interrupted, match="predicting"):
        run_processes(command(tmp_path, "predicts", 2), group(tmp_path), stop)
    thread.join()


@pytest.mark.slow
def test_a_second_ctrl_c_breaks_off(tmp_path: Path) -> None:
    """The first one asks, and these workers do not listen."""

    def press_twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = after(tmp_path, "deaf_0", press_twice)
    with stop_requests() as stop, pytest.raises(KeyboardInterrupt):
        run_processes(command(tmp_path, "deaf", 2), group(tmp_path), stop)
    thread.join()
    wait_for(lambda: not any(is_alive(pid) for pid in pids(tmp_path)))


@pytest.mark.slow
def test_no_worker_outlives_a_killed_launcher(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from gsl_experiments.training.interruption import StopRequest
from gsl_experiments.training.processes import Group, run_processes
run_processes({command(tmp_path, "none", NO_END)!r}, Group("stub", 2, 1, None, 0, Path({str(tmp_path)!r})),
              StopRequest())
"""
    launcher = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_for((tmp_path / "checkpoint").exists)
        workers = pids(tmp_path)
        assert len(workers) == 2
        assert all(is_alive(pid) for pid in workers)
    finally:
        launcher.kill()
        launcher.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in workers))
