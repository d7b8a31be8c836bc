"""Processes that share the work on cases, as many at a time as memory allows."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from types import TracebackType
from typing import Protocol, TypeVar

from tqdm import tqdm

from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.memory import GB

WORKER_BYTES = int(0.2 * GB)  # of a process that has only imported what it needs
_PRELOADED = ["gsl_experiments.preprocessing.cases"]  # imports torch and nnU-Net, once for all workers
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Case(Protocol):
    """What can be worked on: anything that says which case it is about."""

    @property
    def identifier(self) -> str:
        """The case."""
        ...


Job = TypeVar("Job", bound=Case)
Result = TypeVar("Result")


class Workers:
    """A pool of processes that starts when there is work, and serves all steps of the stage.

    A single worker is a thread, which saves a process the seconds of its imports.

    Args:
        processes: the most cases at a time.
        limit: bytes that all of them together may take.
    """

    def __init__(self, processes: int, limit: int) -> None:
        self.processes = processes
        self.limit = limit
        self._pool: Executor | None = None
        self._size = 0

    def __enter__(self) -> Workers:
        """Have torch and nnU-Net imported in the background, from where workers are forked in no time."""
        if self.processes > 1 and _METHOD == "forkserver":
            from multiprocessing.forkserver import ensure_running, set_forkserver_preload

            set_forkserver_preload(_PRELOADED)
            ensure_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes, after the cases that are being worked on."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(
        self,
        call: Callable[[Job], Result],
        jobs: Sequence[Job],
        *,
        bytes_of: Callable[[Job], int | None],
        title: str,
    ) -> list[Result]:
        """Call for every job, the largest first, and return the results in the order of the jobs.

        A job starts once the estimates of those that run leave room for its own.

        Args:
            call: a function of a module, and what it returns, that processes can exchange.
            jobs: what to call it with.
            bytes_of: estimate of the memory that a call takes; a job of which nothing is known (None) runs alone.
            title: of the progress bar.

        Raises:
            UserError: a job does not fit by itself, before any is started; a job fails; a process is killed; the
                disk is full.
        """
        if not jobs:
            return []
        alone = self.limit - WORKER_BYTES
        needs = [alone if need is None else need for need in map(bytes_of, jobs)]
        parallel = self._parallel(jobs, needs)
        room = self.limit - parallel * WORKER_BYTES
        waiting = sorted(range(len(jobs)), key=lambda i: -needs[i])
        running: dict[Future[Result], int] = {}
        results: dict[int, Result] = {}
        pool = self._started(parallel)
        try:
            with tqdm(total=len(jobs), desc=title, unit="case") as bar:
                while waiting or running:
                    free = room - sum(needs[i] for i in running.values())
                    fitting = [i for i in waiting if needs[i] <= free]
                    if fitting and len(running) < parallel:
                        waiting.remove(fitting[0])
                        running[pool.submit(call, jobs[fitting[0]])] = fitting[0]
                        continue
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        index = running.pop(future)
                        results[index] = _result(future, jobs[index])
                        bar.update()
        finally:
            for future in running:
                future.cancel()
        return [results[i] for i in range(len(jobs))]

    def _parallel(self, jobs: Sequence[Job], needs: Sequence[int]) -> int:
        """Return how many processes to use: as many as leave room for the largest case."""
        largest = max(needs)
        if largest + WORKER_BYTES > self.limit:
            case = jobs[list(needs).index(largest)].identifier
            raise UserError(
                f"case {case} needs about {(largest + WORKER_BYTES) / GB:.1f} GB of memory and "
                f"{self.limit / GB:.1f} GB may be used: free some, set memory_gb=N, or leave the case out"
            )
        return min(self.processes, (self.limit - largest) // WORKER_BYTES)

    def _started(self, parallel: int) -> Executor:
        if self._pool is not None and self._size != parallel:
            self._pool.shutdown()
            self._pool = None
        if self._pool is None:
            self._pool, self._size = _start(parallel), parallel
        return self._pool


def _start(processes: int) -> Executor:
    if processes == 1:
        return ThreadPoolExecutor(1)
    context = multiprocessing.get_context(_METHOD)
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process as soon as the one that started it is gone: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _result(future: Future[Result], job: Job) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"a worker process was killed, by the system for want of memory? (case {job.identifier}) "
            "Set memory_gb to less, or processes=1"
        ) from error
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise UserError(
                f"case {job.identifier}: {error.filename or 'a file'} cannot be written ({error.strerror}): "
                "free some space and call again; finished cases are kept"
            ) from error
        raise UserError(f"case {job.identifier} cannot be preprocessed: {error}") from error
    except Exception as error:
        raise UserError(f"case {job.identifier} cannot be preprocessed: {error}") from error
