"""The quarantine takes many records a call, in any order, and gives them back in theirs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from app.settings import Settings
from app.storage import objects as objects_module
from app.storage.objects import FolderObjects
from app.stream import replay
from app.stream.aggregation_writer import Packer
from app.stream.quarantine import QuarantinedRecord, RecordSource
from app.stream.replay import QuarantinedRecords
from app.stream.testing import FakeStreams, MemorySpine
from tests.pipelines_for_tests import EchoPipeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


BROKEN = 4000


def aggregate(datas: Sequence[bytes]) -> bytes:
    packer = Packer()
    for data in datas:
        packer.add("tenant", data)
    return packer.pack()


def test_an_aggregate_of_broken_records_of_one_key_takes_a_handful_of_calls() -> None:
    spine = MemorySpine(EchoPipeline())
    result = spine.run([aggregate([b"!%d" % number for number in range(BROKEN)])], ["tenant"])
    assert result.acknowledged == BROKEN
    assert len(spine.streams.records["quarantine"]) == BROKEN
    assert len(spine.streams.calls) == BROKEN / 500


def test_pointers_to_large_records_of_one_key_share_a_call(tmp_path: Path) -> None:
    spine = MemorySpine(EchoPipeline(), FakeStreams(), objects=FolderObjects(tmp_path))
    result = spine.run([b"!" * 900_000] * 5, ["tenant"] * 5)
    assert result.acknowledged == 5
    assert spine.streams.calls == [5]


def record(number: int, sub: int, *, stream: str = "in", shard: int = 0) -> QuarantinedRecord:
    source = RecordSource(stream, f"shardId-{shard:012}", str(number), sub, "tenant")
    return QuarantinedRecord(f"{stream}/{number}/{sub}", "not_json", "", source, "echo", "", b"%d.%d" % (number, sub))


def test_records_come_back_in_the_order_of_their_shards_however_the_quarantine_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequence numbers grow along a key, across a reshard too, and are compared as numbers."""
    before = [record(number, sub) for number in (9, 10, 200) for sub in range(3)]
    after = [record(10**50 + number, 0, shard=1) for number in range(20)]
    other = [record(number, 0, stream="other") for number in range(5)]
    mixed = [*before, *after, *other, *before]  # an attempt that failed has left some twice
    random.Random(7).shuffle(mixed)
    objects = FolderObjects(tmp_path)
    objects.put("a.jsonl", msgspec.json.Encoder().encode_lines(mixed[:20]))
    pointers = [msgspec.structs.replace(each, data=None, location=f"{objects.root}/a.jsonl") for each in mixed[:20]]
    on_stream = [*mixed[20:], *pointers]
    monkeypatch.setattr(replay, "read_stream", lambda *_: map(msgspec.json.encode, on_stream))
    for location in ("", objects.root):
        with QuarantinedRecords(Settings(quarantine_stream="aside", quarantine_location=location)) as records:
            assert list(records) == [*before, *after, *other]
            assert records.find("in/200/1").data == b"200.1"


def test_of_a_large_quarantine_only_the_records_of_a_parked_key_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = msgspec.structs.replace(record(1, 0), reason="key_parked", parked_key="count/a")
    others = [record(2, 0), msgspec.structs.replace(record(3, 0), parked_key="count/b")]
    gone = msgspec.structs.replace(record(4, 0), data=None, location=f"{tmp_path}/gone.jsonl")
    lines = [msgspec.json.encode(each) for each in [*others, gone, mine]]
    monkeypatch.setattr(replay, "read_stream", lambda *_: lines)
    with QuarantinedRecords(Settings(quarantine_stream="aside"), "count/a") as records:
        assert list(records) == [mine]


@pytest.mark.parametrize("block_bytes", [1, 100, 100_000])
def test_an_object_is_read_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    """Whoever may write there could fill the memory of the person who replays."""
    monkeypatch.setattr(replay, "LARGEST_LINE_BYTES", 2_000)
    monkeypatch.setattr(objects_module, "BLOCK_BYTES", block_bytes)
    objects, lines = FolderObjects(tmp_path), list(map(msgspec.json.encode, (record(1, 0), record(2, 0))))
    objects.put("a.jsonl", b"%b\n%b\r\n%b" % (lines[0], b"x" * 10_000, lines[1]))
    with QuarantinedRecords(Settings(quarantine_location=objects.root)) as records:
        assert list(records) == [record(1, 0), record(2, 0)]
    longest = 0

    def measured(data: bytes, _: str) -> list[QuarantinedRecord]:
        nonlocal longest
        longest = max(longest, len(data))
        return []

    monkeypatch.setattr(replay, "_read", measured)
    with QuarantinedRecords(Settings(quarantine_location=objects.root)):
        assert longest < 2_000 + block_bytes


def test_a_pointer_to_an_object_that_is_gone_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pointer = msgspec.structs.replace(record(1, 0), data=None, location=f"{tmp_path}/gone.jsonl")
    monkeypatch.setattr(replay, "read_stream", lambda *_: [msgspec.json.encode(pointer)])
    with QuarantinedRecords(Settings(quarantine_stream="aside")) as records:
        assert list(records) == [pointer]


@pytest.mark.parametrize(
    "location",
    ["file:///a/b.jsonl", "https://a.example/b", "s3:///b", "b", "/", "~nobody-here/b", "/a\0/b", f"/{'a' * 5000}/b",
     f"/{'a' * 300}/b"],
)  # fmt: skip
@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_pointer_that_cannot_be_followed_stops_no_other_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str, is_allowed: bool
) -> None:
    """Whoever may put records on the stream could stop the replay of all with one."""
    pointer, other = msgspec.structs.replace(record(1, 0), data=None, location=location), record(2, 0)
    monkeypatch.setattr(replay, "read_stream", lambda *_: [msgspec.json.encode(each) for each in (pointer, other)])
    allowed = ["/", str(tmp_path)] if is_allowed else []
    with QuarantinedRecords(Settings(quarantine_stream="aside", allowed_locations=allowed)) as records:
        assert list(records) == [pointer, other]


@pytest.mark.parametrize("allowed", [True, False])
def test_a_pointer_that_leads_elsewhere_is_kept_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    """Whoever may put records on the stream could name any file."""
    whole = record(1, 0)
    (tmp_path / "own").mkdir()
    FolderObjects(tmp_path / "elsewhere").put("a.jsonl", msgspec.json.encode(whole))
    pointer = msgspec.structs.replace(whole, data=None, location=f"{tmp_path}/own/../elsewhere/a.jsonl")
    monkeypatch.setattr(replay, "read_stream", lambda *_: [msgspec.json.encode(pointer)])
    settings = Settings(
        quarantine_stream="aside",
        quarantine_location=f"{tmp_path}/own",
        allowed_locations=[f"{tmp_path}/elsewhere"] if allowed else [],
    )
    with QuarantinedRecords(settings) as records:
        assert list(records) == [whole if allowed else pointer]
