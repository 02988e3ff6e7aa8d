"""Play async-kinesis: its producer, its KPL aggregation, and its consumer, on a loop whose time is not waited for."""

from __future__ import annotations

import asyncio
import importlib
import selectors
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks.controls.aggregates import read_by_shard
from benchmarks.controls.plan import (
    FOREIGN,
    MERGE,
    SLOW,
    NoAnswerError,
    Service,
    Shards,
    Trace,
    records_of,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

SLOW_S = 40.0  # for a record; the consumer waits 30 s for space in its queue
SLOW_QUEUE = 10  # records; its default of 10,000 takes as long with longer records


def play(scenario: str, seed: int) -> Trace:
    """Put or read a history's records."""
    if scenario == FOREIGN:
        return _aggregate(seed)
    shards = Shards(scenario, seed)
    trace = Trace(shards.sent if scenario in {MERGE, SLOW} else records_of(seed))
    service = Service(scenario, seed)
    client = _Client(service, shards)
    _run(_read(trace, client, scenario) if scenario in {MERGE, SLOW} else _put(trace, client))
    trace.delivered = trace.delivered or service.delivered
    return trace


async def _put(trace: Trace, client: _Client) -> None:
    producer = importlib.import_module("kinesis").Producer(
        "output", session=client.session, put_rate_limit_per_shard=10_000, batch_size=20
    )
    try:
        async with producer:
            for key, record in trace.sent:
                await producer.put({"n": record}, partition_key=key)
    except Exception:  # noqa: BLE001 - whatever it raises, it stopped
        trace.stuck = True


async def _read(trace: Trace, client: _Client, scenario: str) -> None:
    size = {"max_queue_size": SLOW_QUEUE} if scenario == SLOW else {}
    consumer = importlib.import_module("kinesis").Consumer(
        "input", session=client.session, idle_timeout=100.0, sleep_time_no_records=1, **size
    )
    async with consumer:
        async for item in consumer:
            trace.delivered.append((item["n"], False))
            if scenario == SLOW:
                await asyncio.sleep(SLOW_S)


def _aggregate(seed: int) -> Trace:
    """Aggregate with its KPL processor, which takes no keys of ours: each record has the key `a` inside."""
    trace = Trace([("a", record) for _, record in records_of(seed)])
    processor = importlib.import_module("kinesis.processors").KPLJsonProcessor(max_size=2000)
    messages = importlib.import_module("aws_kinesis_agg.messages_pb2")
    made = [each for _, record in trace.sent for each in processor.add_item({"n": record})] + [*processor.get_items()]

    def split(payload: bytes) -> list[tuple[str, bytes]]:
        found = messages.AggregatedRecord()
        found.ParseFromString(payload[4:-16])
        return [(found.partition_key_table[each.partition_key_index], each.data) for each in found.records]

    # The producer gives each aggregate a key of its own on the stream, from two clocks.
    read_by_shard(trace, [(f"{seed}.{place}", each.data) for place, each in enumerate(made)], split)
    return trace


class _Client:
    """The part of aiobotocore's client that the library calls."""

    def __init__(self, service: Service, shards: Shards) -> None:
        self._service, self._shards = service, shards
        self.session = importlib.import_module("aiobotocore.session").AioSession()  # the library checks its type
        self.session.create_client = lambda *_, **__: _Opened(self)

    async def describe_stream(self, **_: object) -> dict[str, Any]:
        return {"StreamDescription": {"StreamStatus": "ACTIVE", "Shards": self._shards.list()}}

    async def put_records(self, Records: list[dict[str, Any]], **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's name
        try:
            return self._service.call_like_boto3([_bytes(record["Data"]) for record in Records])
        except NoAnswerError:
            raise importlib.import_module("aiohttp").ClientConnectionError from None

    async def get_shard_iterator(self, ShardId: str, **more: str) -> dict[str, str]:  # noqa: N803 - boto3's name
        return {"ShardIterator": self._shards.iterator(ShardId, more.get("StartingSequenceNumber"))}

    async def get_records(self, ShardIterator: str, **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return self._shards.read(ShardIterator)

    async def close(self) -> None:
        pass


class _Opened:
    def __init__(self, client: _Client) -> None:
        self._client = client

    async def __aenter__(self) -> _Client:
        return self._client

    async def __aexit__(self, *_: object) -> None:
        pass


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


class _Skipping(selectors.SelectSelector):
    """A selector that does not wait: the time that it would have waited has passed."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passed_s += timeout or 0.0
        return super().select(0)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run on a loop, and on clocks, of which all waiting is skipped."""
    selector = _Skipping()
    clock, monotonic = time.time, time.monotonic
    loop = asyncio.SelectorEventLoop(selector)
    with (
        mock.patch("time.time", side_effect=lambda: clock() + selector.passed_s),
        mock.patch("time.monotonic", side_effect=lambda: monotonic() + selector.passed_s),
    ):
        try:
            loop.run_until_complete(work)
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
