"""Count what outputs cost with and without `OUTPUT_AGGREGATION`: calls, records, units that are billed, and time.

The service is in memory and answers after the usual latency. The time is that of one batch through the emitter.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.stream.deadline import Deadline
from app.stream.emit import Writer
from app.stream.testing import FakeStreams
from app.stream.tracker import Tracker
from benchmarks.contract import LATENCY_MS, OUTPUT_STREAM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.stream.puts import PutRecords

OUTPUTS = 4000
OUTPUT_BYTES = 250  # a result with its id and source
UNIT_BYTES = (
    25 * 1024
)  # of a record, that PutRecords is billed by: https://aws.amazon.com/kinesis/data-streams/pricing/
KEYS = (1, 10, 500, OUTPUTS)
WITHIN_S = 600.0


@dataclass(frozen=True)
class Sent:
    """A row of the table: one batch of outputs, sent in one way.

    Attributes:
        keys: Number of partition keys of the outputs.
        aggregated: Whether they were aggregated.
        calls: PutRecords calls.
        records: Records that the stream accepted.
        units: Units of 25 KB that are billed.
        wall_s: Time until all were accepted, in seconds.
    """

    keys: int
    aggregated: bool
    calls: int
    records: int
    units: int
    wall_s: float


class _SlowStreams(FakeStreams):
    """Streams in memory that answer after the usual latency."""

    def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
        time.sleep(LATENCY_MS / 1000)
        return super().put(stream, keys, datas)


def measure_aggregation(outputs: int = OUTPUTS) -> list[Sent]:
    """Send a batch of outputs with few and many keys, both ways."""
    found: list[Sent] = []
    for keys in KEYS:
        for aggregated in (False, True):
            streams = _SlowStreams()
            wall_s = send(streams, OUTPUT_STREAM, outputs, keys, aggregated=aggregated)
            records = streams.records[OUTPUT_STREAM]
            units = sum(math.ceil((len(data) + len(key)) / UNIT_BYTES) for key, data in records)
            found.append(Sent(keys, aggregated, len(streams.calls), len(records), units, wall_s))
    return found


def send(service: PutRecords, stream: str, outputs: int, keys: int, *, aggregated: bool) -> float:
    """Send one batch of outputs, each in turn with the next of the keys, and return how long that took, in seconds."""
    writer, tracker, rows = Writer(service), Tracker(outputs), range(outputs)
    data = b'{"n": "' + b"x" * (OUTPUT_BYTES - 9) + b'"}'
    tracker.expect(rows)
    began = time.perf_counter()
    emitter = writer.begin(tracker, Deadline(WITHIN_S))
    emitter.add(stream, rows, [f"key-{row % keys}" for row in rows], [data] * outputs, aggregates=aggregated)
    tracker.settle(rows)
    emitter.finish()
    took_s = time.perf_counter() - began
    writer.close()
    if not tracker.is_done:
        raise emitter.failure or TimeoutError(f"{tracker.prefix} of {outputs} outputs within {WITHIN_S:g} s")
    return took_s
