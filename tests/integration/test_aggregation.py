"""Aggregated records from the feeder to the outputs, on the local cloud; and a stream whose shards have changed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from app.cli.feeding import feed_aggregates
from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.aggregation_ranges import HashRange, hash_key_of, list_ranges
from app.stream.aggregation_writer import Packer
from app.stream.shards import StartingPosition, StreamReader, read_stream
from tests.integration.test_cli import run
from tests.integration.test_stream import double_shards, drained, put, read, runtime
from tests.pipelines_for_tests import orders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.cloud


def kinesis_records(stream: str) -> dict[str, list[SubRecords]]:
    """The aggregates of each shard of a stream, in order."""
    reader = StreamReader(stream, StartingPosition())
    found: dict[str, list[SubRecords]] = {}
    while not reader.at_tip():
        reader.read()
        for shard in reader.shards:
            while shard.buffer:
                data = shard.buffer.popleft()["Data"]
                assert data.startswith(MAGIC)
                inside = split(data)
                assert isinstance(inside, SubRecords)
                found.setdefault(shard.shard_id, []).append(inside)
    return found


def test_fed_in_aggregates_every_record_gives_one_output(new_stream: Callable[..., str], tmp_path: Path) -> None:
    source, output, aside = new_stream("in", 2), new_stream("out"), new_stream("aside")
    bike = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}}
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join([*(json.dumps({**bike, "pred_id": row}) for row in range(400)), "not JSON"]))
    fed = run("feed", str(lines), "--stream", source, "--aggregate", "--aggregate-bytes", "2000")
    said = re.search(r"401 records put on \S+ as (\d+) aggregated records", fed.stderr)
    assert said
    ranges = list_ranges(source)
    aggregates = kinesis_records(source)
    assert sum(map(len, aggregates.values())) == int(said[1]) < 80
    for shard, inside in aggregates.items():
        assert all(ranges[shard].holds(hash_key_of(key)) for each in inside for key in each.partition_keys)
    run(
        *("run", "--stream", source, "--drain"),
        OUTPUT_STREAM=output,
        QUARANTINE_STREAM=aside,
        FOREIGN_RECORDS="quarantine",
    )
    results = read(output)
    assert sorted(each["prediction"]["pred_id"] for each in results) == list(range(400))
    assert len({each["id"] for each in results}) == 400
    [kept] = read(aside)
    assert kept["reason"] == "not_json"
    printed = run("drain", "--stream", source).stdout.splitlines()
    assert len(printed) == 401
    run("replay", QUARANTINE_STREAM=aside)
    again = run("drain", "--stream", source).stdout.splitlines()
    assert len(again) == 402  # now a record of its own
    assert sum("data_base64" in line for line in again) == 2


def test_the_order_of_a_key_is_kept_through_aggregates(new_stream: Callable[..., str]) -> None:
    source, output = new_stream("in", 3), new_stream("out")
    keys = [f"key-{row % 7}" for row in range(210)]
    steps = feed_aggregates(source, zip(keys, orders(210), strict=True), aggregate_bytes=200)
    assert sum(records for records, _ in steps) == 210
    handler = runtime(output, pipeline="echo").handle
    drained(source, handler, batch_size=50)
    numbers = [each["n"] for each in read(output)]
    for key in range(7):
        assert [number for number in numbers if number % 7 == key] == list(range(key, 210, 7))


def test_aggregated_outputs_reach_the_next_stage_in_order_through_a_reshard(
    kinesis: Any, new_stream: Callable[..., str]
) -> None:
    between, output, aside = new_stream("between"), new_stream("out"), new_stream("aside")
    first = runtime(between, pipeline="echo", output_aggregation=["default"]).handle
    keys = [f"key-{row % 7}" for row in range(420)]
    for half in (slice(0, 210), slice(210, 420)):
        source = new_stream("in")
        put(kinesis, source, orders(420)[half], keys[half])
        drained(source, first)
        if not half.start:
            double_shards(kinesis, between)
    packed = list(read_stream(between, StartingPosition()))
    assert len(packed) < 60
    assert {len({*found.partition_keys}) for found in map(split, packed) if isinstance(found, SubRecords)} == {1}
    assert len(run("drain", "--stream", between).stdout.splitlines()) == 420
    last = runtime(output, pipeline="echo", quarantine_stream=aside, foreign_records="quarantine").handle
    drained(between, last)
    assert read(aside) == []
    numbers = [each["n"] for each in read(output)]
    for key in range(7):
        assert [number for number in numbers if number % 7 == key] == list(range(key, 420, 7))


def test_a_rate_is_kept_in_aggregates_of_a_tick(new_stream: Callable[..., str]) -> None:
    source = new_stream("in")
    records = [("one key", payload) for payload in orders(60)]
    assert list(feed_aggregates(source, iter(records), rate=200)) == [(20, 1)] * 3


def test_records_of_another_shard_after_a_reshard(kinesis: Any, new_stream: Callable[..., str]) -> None:
    """A producer that has not heard of the split packs for the old shard; the record lands in one of the children."""
    source = new_stream("in")
    double_shards(kinesis, source)
    held = list_ranges(source, only_open=True)
    assert len(held) == 2 < len(list_ranges(source))
    assert sorted(each for half in held.values() for each in half)[::3] == [0, 2**128 - 1]
    packer = Packer()
    for row, payload in enumerate(orders(20)):
        packer.add(f"key-{row}", payload)
    put(kinesis, source, [packer.pack()], ["key-0"])
    [shard] = [shard for shard in held.values() if shard.holds(hash_key_of("key-0"))]
    here = [row for row in range(20) if shard.holds(hash_key_of(f"key-{row}"))]
    assert 0 < len(here) < 20
    for policy, kept in {"keep": list(range(20)), "skip": here, "quarantine": here}.items():
        output, aside = new_stream("out"), new_stream("aside")
        handler = runtime(output, pipeline="echo", quarantine_stream=aside, foreign_records=policy).handle
        drained(source, handler)
        assert sorted(each["n"] for each in read(output)) == kept
        foreign = [row for row in range(20) if row not in here] if policy == "quarantine" else []
        assert sorted(each["source"]["sub_sequence_number"] for each in read(aside)) == foreign


def test_explain_tells_of_an_aggregate(tmp_path: Path) -> None:
    bike = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 7}
    packer = Packer()
    for _ in range(3):
        packer.add("7", json.dumps(bike).encode())
    file = tmp_path / "record"
    file.write_bytes(packer.pack())
    steps = json.loads(run("explain", f"@{file}").stdout)
    assert steps["aggregated records"] == 3
    assert steps["record"]["pred_id"] == 7
    file.write_bytes(packer.pack()[:-1])
    assert json.loads(run("explain", f"@{file}").stdout)["quarantined"]["reason"] == "aggregate_digest"


def test_a_range_is_what_the_stream_says(new_stream: Callable[..., str]) -> None:
    assert list(list_ranges(new_stream("in")).values()) == [HashRange(0, 2**128 - 1)]
