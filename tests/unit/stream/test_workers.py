"""Calls beside the caller: what has ended, what is waited for, what is abandoned."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from app.stream.workers import Threads

if TYPE_CHECKING:
    from concurrent.futures import Future


def test_wait_returns_the_calls_that_have_ended_and_leaves_the_others() -> None:
    workers, gate = Threads(2), threading.Event()
    quick, slow = workers.submit(pow, 2, 3), workers.submit(gate.wait, 10)
    calls: list[Future[Any]] = [quick, slow]
    assert workers.wait(calls, 5) == [quick]
    assert quick.result() == 8
    assert not workers.wait([slow], 0)
    gate.set()
    assert workers.wait([slow], 5) == [slow]


def test_waiting_without_calls_only_takes_time() -> None:
    began = time.monotonic()
    assert not Threads(1).wait([], 0.02)
    assert time.monotonic() - began >= 0.02


def test_a_call_that_does_not_end_does_not_hold_up_those_after_renew() -> None:
    workers, gate = Threads(1), threading.Event()
    stuck: Future[bool] = workers.submit(gate.wait, 10)
    behind = workers.submit(pow, 2, 3)
    workers.renew()
    assert workers.submit(pow, 3, 2).result(5) == 9
    assert behind.cancelled()
    assert not stuck.done()
    gate.set()
