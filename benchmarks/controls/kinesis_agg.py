"""Play aws-kinesis-agg: its deaggregator on malformed aggregates, its aggregator before a stream of two shards."""

from __future__ import annotations

import base64
import importlib

from benchmarks.controls.aggregates import malformed, read_by_shard
from benchmarks.controls.plan import MALFORMED, Trace, data_of, id_of, records_of


def play(scenario: str, seed: int) -> Trace:
    """Split, or make and split, a history's aggregates."""
    if scenario == MALFORMED:
        trace, payloads = malformed(seed)
        trace.delivered = [(id_of(data), False) for payload in payloads for _, data in _split(payload)]
        return trace
    trace = Trace(records_of(seed))
    aggregator = importlib.import_module("aws_kinesis_agg.aggregator").RecordAggregator(max_size=2000)
    full = [aggregator.add_user_record(key, data_of(record)) for key, record in trace.sent]
    aggregates = [each.get_contents() for each in [*full, aggregator.clear_and_get()] if each]
    read_by_shard(trace, [(key, data) for key, _, data in aggregates], _split)
    return trace


def _split(payload: bytes) -> list[tuple[str, bytes]]:
    record = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "a",
            "sequenceNumber": "1",
            "approximateArrivalTimestamp": 1.0,
            "data": base64.b64encode(payload).decode(),
        }
    }
    split = importlib.import_module("aws_kinesis_agg.deaggregator").deaggregate_records([record])
    return [(each["kinesis"]["partitionKey"], base64.b64decode(each["kinesis"]["data"])) for each in split]
