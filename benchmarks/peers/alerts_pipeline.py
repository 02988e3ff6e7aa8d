"""Run (d): Millrace's pipeline `alerts` as deployed, from event bytes to signed PutRecords, with state in memory.

A dictionary replaces the state table in DynamoDB. Requests are answered where they would leave the process.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domains.alerts.records import ALERT_ROLES
from app.registry import open_runtime
from app.storage.state import MemoryState
from app.stream.origin import StreamOrigins
from benchmarks.alerts_contract import STAGES, TENANT, stream_of
from benchmarks.alerts_made import STREAM, event, made
from benchmarks.alerts_stages import Stages
from benchmarks.contract import Peer
from benchmarks.server import entries_of
from benchmarks.wire import Wire
from benchmarks.worker import memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domains.alerts.alert import Alert
    from app.stream.runtime import Runtime


def open_peer(_folder: Path) -> dict[str, Any]:
    """Return the commands of the runtime that INIT makes."""
    streaming = _Streaming(open_runtime(measure=lambda *_: None))
    return {"begin": streaming.begin, "feed": streaming.feed, "stages": streaming.stages, "digests": streaming.digests}


class _Streaming:
    """Sends a stream of alerts through the runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        runtime.processor_for(STREAM).origins = StreamOrigins(lambda _: 1)  # there is no stream that could be asked
        self._wire = Wire(Peer(service=runtime.writer.service))
        self._alerts: Iterator[Alert] = iter(())
        self._state = MemoryState()
        self._roles: Counter[str] = Counter()
        self._fed = 0

    def begin(self, shape: str, data: str | None) -> dict[str, Any]:
        """Start a new stream with empty state."""
        self._alerts, self._fed = made(shape, Path(data) if data else None), 0
        self._state = self._runtime.processor_for(STREAM).store = MemoryState()
        self._roles.clear()
        return {}

    def feed(self, count: int, per_event: int) -> dict[str, Any]:
        """Process the next alerts; return their times, and the state and outputs since the beginning."""
        cpu = wall = 0.0
        for spent_cpu, spent_wall, bodies in self._events(count, per_event):
            cpu, wall = cpu + spent_cpu, wall + spent_wall
            for body in bodies:
                self._roles[_stream(body)] += entries_of("PutRecords", body)
        roles = {role: self._roles[stream_of(role)] for role in ALERT_ROLES}
        return {"cpu_s": cpu, "wall_s": wall, "state_bytes": len(self._value()), "outputs": roles, **memory()}

    def stages(self, count: int, per_event: int) -> dict[str, Any]:
        """Process the next alerts with clocks around the stages; return each stage's microseconds of CPU an alert."""
        stages = Stages()
        with stages.clocks():
            spent_s = sum(spent for spent, *_ in self._events(count, per_event))
        found = stages.of(spent_s)
        return {stage: found.get(stage, 0.0) / count * 1e6 for stage in STAGES}

    def digests(self, count: int, per_event: int) -> dict[str, Any]:
        """Process the next alerts; return digests of their outputs, in sorted order, and of the state."""
        records: list[bytes] = []
        for *_, bodies in self._events(count, per_event):
            for body in bodies:
                stream = _stream(body)
                for entry in json.loads(body)["Records"]:
                    prefix = f"{stream} {entry['PartitionKey']} ".encode()
                    records.append(prefix + base64.b64decode(entry["Data"]))
        digest = hashlib.sha256(b"\n".join(sorted(records))).hexdigest()
        return {"outputs": digest, "records": len(records), "state": hashlib.sha256(self._value()).hexdigest()}

    def _events(self, count: int, per_event: int) -> Iterator[tuple[float, float, list[bytes]]]:
        """Process the next events; yield each one's CPU, wall clock and requests."""
        until = self._fed + count
        while self._fed < until:
            data, held = event(self._alerts, min(per_event, until - self._fed), self._fed)
            bodies = self._wire.sent = []
            cpu, wall = time.process_time(), time.perf_counter()
            answer = self._runtime.handle(data)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if answer["batchItemFailures"] or answer["quarantined"]:
                first = [f"{each['reason']}: {each['message']}" for each in answer["quarantined"][:1]]
                raise RuntimeError(f"alerts were not taken: {first[0] if first else 'handed back'}")
            self._fed += held
            yield cpu, wall, bodies

    def _value(self) -> bytes:
        stored = self._state.stored.get(f"alerts/{TENANT}")
        return (stored.value if stored else None) or b""


def _stream(body: bytes) -> str:
    """Return the name of a request's stream."""
    return body[: body.index(b",")].decode().rpartition(":")[2].strip('"')
