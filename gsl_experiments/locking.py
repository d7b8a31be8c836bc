"""One process at a time: a lock on a folder that vanishes with the process that holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gsl_experiments.atomic import write_json
from gsl_experiments.errors import UserError

LOCK_NAME = ".lock"
HOLDER_NAME = ".lock.json"  # who holds it: the lock file itself is emptied by whoever tries to take it


@contextmanager
def exclusive(folder: Path, *, what: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock of ``folder`` during the block, so that no second process does the same work there.

    The lock is the operating system's: a process that is killed, at whatever moment, leaves none behind.

    Args:
        folder: made if it is missing; ``.lock`` and ``.lock.json`` are written into it.
        what: what is done there, for the message, such as ``preprocessing of Dataset501_LiTS``.
        wait: wait, and say so, while another process holds the lock; otherwise raise.

    Raises:
        UserError: ``wait`` is false and another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        busy = f"{what}: {_holder(folder)} is at it"
        if not wait:
            raise UserError(f"{busy}; wait until it has ended, or end it") from error
        print(f"{busy}; waiting", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        write_json(folder / HOLDER_NAME, {"pid": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER_NAME).read_text())
        return f"another process ({holder['pid']} on {holder['host']})"
    except (OSError, ValueError, KeyError):
        return "another process"
