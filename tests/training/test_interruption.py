"""Signals as requests to stop, in this process and in loader processes."""

import itertools
import multiprocessing
import os
import signal
import threading
import time

import pytest
from waiting import is_alive, wait_for

from gsl_experiments.training.interruption import (
    EXIT_STATUS,
    Interrupted,
    StopRequest,
    ignore_signals,
    stop_requests,
)

NAMES = ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT"]
forking = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
fork = multiprocessing.get_context("fork")  # as PyTorch starts loaders on Linux


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_is_a_request(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with stop_requests() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
        assert stop.signal == name
    assert signal.getsignal(number) == before


def test_the_first_signal_is_the_one_that_asked() -> None:
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal == "SIGUSR1"


def test_a_second_ctrl_c_breaks_off() -> None:
    with pytest.raises(KeyboardInterrupt), stop_requests():  # noqa: PT012 - the second one raises
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGUSR1)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_thread_gets_no_signals() -> None:
    seen = []

    def run() -> None:
        with stop_requests() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]


def test_at_once_raises_in_the_midst_and_not_after() -> None:
    with stop_requests() as stop:
        with pytest.raises(Interrupted, match="predicting"), stop.at_once("predicting"):  # noqa: PT012
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("it went on")
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted), stop.at_once("predicting"):
            pytest.fail("it began")


def test_an_error_after_the_request_is_put_down_to_it() -> None:
    stop = StopRequest()
    with pytest.raises(ZeroDivisionError), stop.at_once("predicting"):
        raise ZeroDivisionError
    with pytest.raises(Interrupted), stop.at_once("predicting"):  # noqa: PT012 - the block under test
        stop.signal = "SIGTERM"  # the handler waits for a collective to return, which the others break off
        raise ConnectionError


def test_the_status_is_the_systems_for_call_again() -> None:
    assert EXIT_STATUS == os.EX_TEMPFAIL


def load_forever(turns: multiprocessing.Value) -> None:  # type: ignore[valid-type]
    ignore_signals()
    for turn in itertools.count(1):
        turns.value = turn
        time.sleep(0.01)


@forking
@pytest.mark.parametrize("name", NAMES)
def test_a_loader_outlives_signals_but_not_its_trainer_terminating_it(name: str) -> None:
    turns = fork.Value("l", 0)
    loader = fork.Process(target=load_forever, args=(turns,), daemon=True)
    loader.start()
    wait_for(lambda: turns.value > 0)
    sender = fork.Process(target=os.kill, args=(loader.pid, getattr(signal, name)))
    sender.start()
    sender.join()
    now = turns.value
    wait_for(lambda: turns.value > now + 10)
    loader.terminate()
    loader.join(60)
    assert loader.exitcode is not None


@forking
def test_a_loader_ends_with_its_trainer() -> None:
    turns, pid = fork.Value("l", 0), fork.Value("l", 0)

    def train() -> None:
        loader = fork.Process(target=load_forever, args=(turns,))
        loader.start()
        pid.value = loader.pid
        time.sleep(1000)

    trainer = fork.Process(target=train)
    trainer.start()
    wait_for(lambda: turns.value > 0)
    trainer.kill()
    trainer.join()
    wait_for(lambda: not is_alive(pid.value))
