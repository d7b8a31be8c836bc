"""Requests to stop: a batch system's notice or Ctrl-C lets a training finish its step and write a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_STATUS = 75  # EX_TEMPFAIL of sysexits.h: not done, call the same command again
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)  # Windows has two of them
]


class Interrupted(Exception):  # noqa: N818 - not an error: the work done so far is kept
    """A training stopped on request, its checkpoint written. The message says where, as in "epoch 3, step 17"."""


class StopRequest:
    """Whether, and by which signal, this process was asked to stop.

    Attributes:
        signal: name of the first signal that asked, None as long as none did.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._place: str | None = None

    @property
    def requested(self) -> bool:
        """True from the first signal on."""
        return self.signal is not None

    def request(self, name: str) -> None:
        """Ask to stop; inside :meth:`at_once` this raises."""
        self.signal = self.signal or name
        if self._place is not None:
            raise Interrupted(self._place)

    @contextmanager
    def at_once(self, place: str) -> Iterator[None]:
        """Raise :class:`Interrupted` inside the block as soon as a signal asks, for work that needs no checkpoint.

        An error that comes after the request is put down to it: the other processes of the group are stopping too.
        """
        self._place = place
        try:
            if self.requested:
                raise Interrupted(place)
            yield
        except Exception as error:
            if not self.requested or isinstance(error, Interrupted):
                raise
            raise Interrupted(place) from error
        finally:
            self._place = None


@contextmanager
def stop_requests(*, announce: bool = True) -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGUSR1, SIGUSR2 and the first SIGINT into a :class:`StopRequest`; a second SIGINT breaks off.

    A signal that this process was started to ignore stays ignored. Outside the main thread, where Python installs no
    handlers, no request ever comes.

    Args:
        announce: tell the user on standard error that the signal has been heard.
    """
    stop = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if name == "SIGINT" and stop.requested:
            raise KeyboardInterrupt
        if announce and not stop.requested:  # not `print`, which a signal may have interrupted
            again = "; again to break off" if name == "SIGINT" else ""
            os.write(2, f"\n{name}: stopping after this step, with a checkpoint{again}\n".encode())
        stop.request(name)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """End this process, at once and within about a second, when the process that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def ignore_signals() -> None:
    """Make this loader process deaf to stop signals: its trainer still needs batches to finish the step.

    A terminal and a batch system signal every process of a job. Only the trainer's own SIGTERM (``terminate()``)
    ends the loader, and the trainer's death. Call it in the loader process before it starts any thread.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    if not hasattr(signal, "sigtimedwait"):  # macOS cannot tell who sent a signal
        end_with_parent()
        return
    signal.signal(
        signal.SIGTERM, lambda *_: None
    )  # the thread below waits for it; no other one may die of it
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def watch() -> None:
        while os.getppid() == parent:
            received = signal.sigtimedwait({signal.SIGTERM}, 1)
            if received is not None and received.si_pid == parent:
                break
        os._exit(0)  # PyTorch takes any other status for a failure of the loader

    threading.Thread(target=watch, name="end-with-trainer", daemon=True).start()
