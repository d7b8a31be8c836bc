"""Contestants in processes of their own: some work leaves its mark on a process, as loading does on its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.turns import peak_mb

TIME, PEAK = "time", "peak"  # what a process is asked for


class Apart:
    """Work that is done in a fork of this process each time it is called; what it returns stays there.

    Args:
        work: done by calls.
        first: done once, before all else.
    """

    def __init__(self, work: Callable[[], Any], first: Callable[[], Any] | None = None) -> None:
        context = get_context("fork")
        self.requests, answers = context.Pipe()
        self.process = context.Process(target=_answer, args=(answers, work, first), daemon=True)
        self.process.start()
        answers.close()

    def __call__(self) -> None:
        """Work."""
        self._ask(TIME)

    def peak_mb(self) -> float | None:
        """Work, and return the most memory held beyond what the process held before; None if not on Linux."""
        return self._ask(PEAK)

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()

    def _ask(self, request: str) -> Any:
        self.requests.send(request)
        found = self.requests.recv()
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


def _answer(requests: Connection, work: Callable[[], Any], first: Callable[[], Any] | None) -> None:
    if first is not None:
        first()
    while True:
        request = requests.recv()
        try:
            answer = peak_mb(work) if request == PEAK else work() and None
        except Exception as error:
            answer = error
        requests.send(answer)
