"""Histories that have what it takes to find a fault which those of seeds seldom meet."""

from __future__ import annotations

from app.stream.testing.faults import SLOW, Fault
from app.stream.testing.history import History, Sent

HISTORIES = {
    # Each call takes a second or two, so that outputs are in flight whenever the time is up.
    "slow puts": History(
        seed=1,
        stateful=True,
        records=[Sent(number, 0.0, "input", "k") for number in range(12)],
        faults=[Fault("put", SLOW, 0, times=1_000_000)],
        batch_size=100,
        timeout_s=3.0,
    ),
}
