"""Contestants in processes of their own: some work leaves its mark on a process, as loading does on its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.turns import peak_mb

WORK, PEAK = "work", "peak"  # what a process is asked for


class Apart:
    """Work that each call has done in a fork of this process, one for all calls; what it returns stays there.

    Args:
        work: what a call has done.
        first: what the process does before all else.
    """

    def __init__(self, work: Callable[[], Any], first: Callable[[], Any] | None = None) -> None:
        context = get_context("fork")
        self.requests, theirs = context.Pipe()
        self.process = context.Process(target=_answer, args=(theirs, self.requests, work, first), daemon=True)
        self.process.start()
        theirs.close()

    def __call__(self) -> None:
        """Work.

        Raises:
            Exception: that of the work.
            RuntimeError: the process has ended.
        """
        self._ask(WORK)

    def peak_mb(self) -> float | None:
        """Work, and return the most memory held beyond what the process held before; None if not on Linux."""
        return self._ask(PEAK)

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()

    def _ask(self, request: str) -> Any:
        try:
            self.requests.send(request)
            found = self.requests.recv()
        except (EOFError, ConnectionError) as error:
            self.process.join()
            raise RuntimeError(f"a contestant's process ended with status {self.process.exitcode}") from error
        if isinstance(found, Exception):
            raise found
        return found


@contextmanager
def apart(
    contestants: Mapping[str, Callable[[], Any]], first: Mapping[str, Callable[[], Any]]
) -> Iterator[Mapping[str, Apart]]:
    """Give each contestant a process, until the end of the block.

    Args:
        contestants: name -> the work.
        first: name -> what that process does before all else.
    """
    processes = {name: Apart(work, first.get(name)) for name, work in contestants.items()}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.end()


def _answer(
    requests: Connection, of_parent: Connection, work: Callable[[], Any], first: Callable[[], Any] | None
) -> None:
    of_parent.close()  # so that the parent's end ends this process
    if first is not None:
        first()
    with suppress(EOFError):
        while True:
            requests.send(_done(work, requests.recv()))


def _done(work: Callable[[], Any], request: str) -> float | Exception | None:
    try:
        if request == PEAK:
            return peak_mb(work)
        work()
    except Exception as error:
        return error
    return None
