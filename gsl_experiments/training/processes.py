"""The processes that train a fold together: torchrun's agent in this process, and the first failure told first."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, LogsDest, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from gsl_experiments.errors import UserError
from gsl_experiments.training.interruption import Interrupted, StopRequest
from gsl_experiments.training.rank_folder import RankFolder
from gsl_experiments.training.worker import USER_ERROR_STATUS

SECONDS_AFTER_A_FAILURE = (
    5  # for the other ranks to notice by themselves: gloo tells them at once, nccl may not
)
SECONDS_AFTER_A_STOP = (
    60  # for the other ranks once one has stopped; the first one may be writing the checkpoint
)
SECONDS_TO_MEET = 600  # for all nodes to come to the rendezvous
LOST_CONNECTION = ("gloo/transport", "DistBackendError", "DistNetworkError", "DistStoreError", "NCCL error")


@dataclass(frozen=True)
class Group:
    """How many processes train together, and where they meet.

    Args:
        name: what is trained; the same on all nodes.
        processes: on each node.
        nodes: machines; each runs the same command.
        rendezvous: ``(host, port)`` of the machine where the nodes meet; None on a single one.
        max_restarts: how often the processes are started anew after one has failed.
        logs: folder for the output of all ranks but this node's first, which shares the terminal.
    """

    name: str
    processes: int
    nodes: int
    rendezvous: tuple[str, int] | None
    max_restarts: int
    logs: Path


class RankFolders(DefaultLogsSpecs):
    """torchrun's log files, remembering where those of the current attempt lie."""

    def __init__(self, group: Group) -> None:
        redirects = dict.fromkeys(range(1, group.processes), Std.ALL)
        super().__init__(log_dir=str(group.logs), redirects=redirects)
        self.ranks: list[RankFolder] = []

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """Make the folders of a new attempt, as torchrun does."""
        logs = super().reify(envs)
        self.ranks = [RankFolder(Path(file).parent) for file in logs.error_files.values()]
        return logs


def run_processes(command: Sequence[str], group: Group, stop: StopRequest) -> None:
    """Run a command of the Python interpreter in every process of a group, until all have ended.

    A request to stop is passed on, and the processes get the time that they need. When one of them fails, the others
    are ended within seconds.

    Args:
        command: what follows ``python``, as in ``["-m", "gsl_experiments.training.worker", ...]``.
        group: the processes.
        stop: this process's requests to stop.

    Raises:
        Interrupted: the processes have stopped on request.
        UserError: one of them has failed for a reason that the user can mend, or the nodes do not meet.
        SystemExit: one of them has failed for another reason, which is the message.
    """
    _keep_torchruns_log_apart(group.logs)
    folders = RankFolders(group)
    ended: Future[None] = Future()

    def launch() -> None:
        try:
            elastic_launch(_launch_config(group, folders), sys.executable)(*command)
            ended.set_result(None)
        except BaseException as error:
            ended.set_exception(error)

    # In the main thread torchrun would take the signals, and kill what has not stopped half a minute later.
    threading.Thread(target=launch, name="torchrun", daemon=True).start()
    try:
        _watch(ended, folders, stop)
    except KeyboardInterrupt:
        _send(folders.ranks, signal.SIGKILL)
        raise
    stopped = [rank.interrupted for rank in folders.ranks if rank.interrupted]
    if stopped:
        raise Interrupted(stopped[0])
    try:
        ended.result()
    except ChildFailedError as error:
        _tell(error.failures, folders, group)
    except RendezvousError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"rendezvous={_endpoint(group)}: the {group.nodes} nodes did not meet ({reason}); start the same command "
            "on every node, with a host that all of them reach"
        ) from error


def loopback_interface() -> str:
    """Return the name of the network interface on which this machine talks to itself."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in names if name in ("lo", "lo0")), names[0])


def _launch_config(group: Group, folders: RankFolders) -> LaunchConfig:
    host, port = group.rendezvous or ("127.0.0.1", 0)
    # torchrun would have restarted processes read, in the store that they share, where the dead ones could be reached
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    alone = host in ("localhost", "127.0.0.1")
    if alone:  # the name of a machine does not always lead back to it
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback_interface())
    return LaunchConfig(
        min_nodes=group.nodes,
        max_nodes=group.nodes,
        nproc_per_node=group.processes,
        run_id=group.name,
        rdzv_backend="c10d",
        rdzv_endpoint=f"{host}:{port}",
        rdzv_configs={"join_timeout": SECONDS_TO_MEET, "read_timeout": SECONDS_TO_MEET},
        max_restarts=group.max_restarts,
        local_addr="127.0.0.1" if alone else None,
        logs_specs=folders,
    )


def _watch(ended: Future[None], folders: RankFolders, stop: StopRequest) -> None:
    """Wait for the processes; pass a request to stop on to them, and do not let them wait for one that is gone."""
    told: set[RankFolder] = set()
    noticed: dict[tuple[RankFolder, float], float] = {}
    while not ended.done():
        time.sleep(0.1)
        ranks, now = list(folders.ranks), time.monotonic()
        stopped = any(rank.interrupted for rank in ranks)
        if stop.requested or stopped:
            fresh = {rank for rank in ranks if rank.is_running} - told
            _send(fresh, signal.SIGUSR1)
            told |= fresh
        failed = any(rank.has_failed for rank in ranks)
        for happened, seconds in ((failed, SECONDS_AFTER_A_FAILURE), (stopped, SECONDS_AFTER_A_STOP)):
            if happened and now - noticed.setdefault((ranks[0], seconds), now) > seconds:
                _send(ranks, signal.SIGKILL)


def _send(ranks: Iterable[RankFolder], number: signal.Signals) -> None:
    for rank in ranks:
        if rank.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(rank.pid, number)


def _tell(failures: Mapping[int, ProcessFailure], folders: RankFolders, group: Group) -> None:
    """Raise for the failure that caused the others."""
    rank = min(failures, key=lambda rank: _order(failures[rank]))
    failure = failures[rank]
    message, stack = _error_of(failure)
    if failure.exitcode == USER_ERROR_STATUS and stack:
        raise UserError(message.removeprefix("UserError: "))
    if failure.exitcode < 0:
        how = f"was killed by {failure.signal_name()}"
        how += " (the system does so when memory runs out)" if failure.signal_name() == "SIGKILL" else ""
    else:
        how = f"failed with exit code {failure.exitcode}"
    logs = folders.ranks[0].path.parent
    raise SystemExit(
        f"error: rank {rank} {how}; call again to continue from the last checkpoint\n"
        f"{stack}What the processes printed is in {logs}, what torchrun did in {group.logs / 'torchrun.log'}"
    )


def _order(failure: ProcessFailure) -> tuple[bool, float]:
    """Sort the cause before its consequences: lost connections, and processes that torchrun has ended."""
    message, _ = _error_of(failure)
    consequence = failure.signal_name() == "SIGTERM" or any(sign in message for sign in LOST_CONNECTION)
    error_file = Path(failure.error_file)
    # torchrun's own times are whole seconds, within which the others have failed too
    return consequence, error_file.stat().st_mtime if error_file.exists() else failure.timestamp


def _error_of(failure: ProcessFailure) -> tuple[str, str]:
    """Return the failed process's exception as a line, and its traceback; empty for one that could not say."""
    error = failure.message
    if not isinstance(error, dict):
        return str(error), ""
    return error["message"], error["extraInfo"]["py_callstack"]


def _keep_torchruns_log_apart(folder: Path) -> None:
    """Send what torchrun reports of its doings to a file; the terminal is for the first failure."""
    folder.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("torch.distributed.elastic")
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(logging.FileHandler(folder / "torchrun.log"))


def _endpoint(group: Group) -> str:
    return ":".join(str(part) for part in group.rendezvous or ())
