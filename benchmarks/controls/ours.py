"""Play Millrace: the spine over PutRecords of its own, its packer and splitter, and its reader of streams."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

import msgspec

from app import aws
from app.stream import aggregation
from app.stream.aggregation_ranges import HashRange
from app.stream.aggregation_writer import Aggregator
from app.stream.outcomes import Outcomes
from app.stream.pipeline import Pipeline
from app.stream.putrecords import SignedPutRecords
from app.stream.shards import IDLE_PAUSE_S, StartingPosition, StreamReader
from app.stream.testing import FakeStreams, MemorySpine
from benchmarks.controls.aggregates import HALF, malformed, read_by_shard
from benchmarks.controls.plan import (
    FOREIGN,
    MALFORMED,
    MERGE,
    MOST_ROUNDS,
    SLOW,
    NoAnswerError,
    Service,
    Shards,
    Trace,
    data_of,
    id_of,
    records_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.stream.batch import Batch

SLOW_S = 40.0  # for a record, as the peer has it


class _Record(msgspec.Struct):
    n: int


class _Forward(Pipeline[_Record]):
    """Puts each record on, under its own key."""

    name, record_type = "forward", _Record

    def process(self, batch: Batch[_Record]) -> Outcomes:
        """Return one output a record."""
        outcomes = Outcomes(len(batch))
        for row, record in enumerate(batch.records):
            outcomes.emit(row, batch.partition_keys[row], msgspec.json.encode(record))
        return outcomes


def play(scenario: str, seed: int) -> Trace:
    """Put, split or read a history's records."""
    if scenario == MALFORMED:
        return _split(seed)
    if scenario == FOREIGN:
        return _aggregate(seed)
    if scenario in {MERGE, SLOW}:
        return _read(scenario, seed)
    return _put(scenario, seed)


def _put(scenario: str, seed: int) -> Trace:
    """Deliver events from where the shard resumes, until all records are acknowledged."""
    service, trace = Service(scenario, seed), Trace(records_of(seed))
    with _serving(service):
        spine = MemorySpine(_Forward(), cast("FakeStreams", SignedPutRecords(1)))
        start = 0
        for _round in range(MOST_ROUNDS):
            left = trace.sent[start:]
            payloads, keys = [data_of(record) for _, record in left], [key for key, _ in left]
            start += spine.run(payloads, keys, start=start).acknowledged
            if start == len(trace.sent):
                break
        else:
            trace.stuck = True
    trace.delivered = service.delivered
    return trace


@contextmanager
def _serving(service: Service) -> Iterator[None]:
    """Answer PutRecords calls over HTTP, and let this process's clients call here."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = _answer(service, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with mock.patch.dict("os.environ", AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}"):
                aws.forget()
                yield
        finally:
            server.shutdown()
            thread.join()
            aws.forget()


def _answer(service: Service, body: bytes) -> tuple[int, bytes]:
    datas = [msgspec.json.decode(f'"{each["Data"]}"', type=bytes) for each in json.loads(body)["Records"]]
    try:
        return 200, json.dumps(service.call(datas)).encode()
    except NoAnswerError:
        return 500, b""  # it may have been written, for all its caller knows


def _split(seed: int) -> Trace:
    trace, payloads = malformed(seed)
    for place, payload in enumerate(payloads):
        found = aggregation.split(payload)
        if isinstance(found, aggregation.SubRecords):
            trace.delivered += [(id_of(data), False) for data in found.datas]
        else:  # quarantined whole, with its raw bytes
            trace.reported += [record for _, record in trace.sent[place * 5 : place * 5 + 5]]
    return trace


def _aggregate(seed: int) -> Trace:
    trace = Trace(records_of(seed))
    aggregator = Aggregator([HashRange(0, HALF - 1), HashRange(HALF, 2 * HALF - 1)], 2000)
    full = [made for key, record in trace.sent if (made := aggregator.add(key, data_of(record)))]

    def split(payload: bytes) -> list[tuple[str, bytes]]:
        found = cast("aggregation.SubRecords", aggregation.split(payload))
        return list(zip(found.partition_keys, found.datas, strict=True))

    read_by_shard(trace, [(each.partition_key, each.data) for each in [*full, *aggregator.flush()]], split)
    return trace


class _Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def time(self) -> float:
        return self._now_s

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds


class _Client:
    """The part of boto3's client that the reader calls."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def get_paginator(self, _name: str) -> SimpleNamespace:
        return SimpleNamespace(paginate=lambda **_: [{"Shards": self._shards.list()}])

    def get_shard_iterator(self, **call: str) -> dict[str, str]:
        return {"ShardIterator": self._shards.iterator(call["ShardId"], call.get("StartingSequenceNumber"))}

    def get_records(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's arguments are of several types
        return self._shards.read(call["ShardIterator"])


def _read(scenario: str, seed: int) -> Trace:
    shards, clock = Shards(scenario, seed), _Clock()
    trace = Trace(shards.sent)
    reader = StreamReader("input", StartingPosition(), kinesis=_Client(shards), clock=clock)
    while not reader.at_tip():
        reader.read()
        for shard in reader.shards:
            while shard.buffer:
                trace.delivered.append((id_of(shard.buffer.popleft()["Data"]), False))
                clock.sleep(SLOW_S if scenario == SLOW else 0.0)
        clock.sleep(IDLE_PAUSE_S)
    return trace
