from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

from app import telemetry
from app.handlers.invocation import ALARM_S, run
from app.settings import Settings

if TYPE_CHECKING:
    import pytest

    from app.handlers.invocation import Invocation


class Lambda:
    """A context of Lambda's with so many seconds before its timeout."""

    aws_request_id = "r-1"

    def __init__(self, timeout_s: float) -> None:
        self._ends_s = time.monotonic() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends_s - time.monotonic()) * 1000)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_metrics_are_written_before_the_timeout_and_the_work_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure()

    def work(invocation: Invocation) -> str:
        invocation.metrics.count("rows", 3)
        rung = time.monotonic() + ALARM_S
        while time.monotonic() < rung:  # what interrupts it does not end it
            time.sleep(ALARM_S)
        return "done"

    assert run("slow", work, Lambda(ALARM_S + 0.02), settings=Settings()) == "done"
    warning, near, done = lines(capsys)
    assert warning["message"].startswith("not done, and the function's timeout is near")
    assert warning["request_id"] == "r-1"
    assert (near["rows"], near["timeouts_near"], near["invocations"]) == (3, 1, 1)
    assert done["success"] == 1
    assert "invocations" not in done  # none is counted twice


def test_an_invocation_that_ends_in_time_leaves_no_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    def others(_signal: int, _frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGALRM, others)
    try:
        run("quick", lambda _invocation: None, Lambda(60), settings=Settings())
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert signal.getsignal(signal.SIGALRM) is others  # a handler that was there is put back
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(lines(capsys)) == 1


def test_an_alarm_that_rings_after_the_end_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run("quick", lambda _invocation: None, Lambda(60), settings=Settings())
    signal.raise_signal(signal.SIGALRM)
    assert len(lines(capsys)) == 1
