from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.errors import MissingStreamError, NoOutputStreamError, SettingsError
from app.settings import Settings
from app.storage.objects import FolderObjects
from app.storage.state import MemoryState
from app.stream.emit import Writer
from app.stream.outcomes import Outcomes, digest_of
from app.stream.pipeline import Pipeline, StateWrites
from app.stream.processor import Processor
from app.stream.puts import TransientError
from app.stream.quarantine import QuarantineDestination
from app.stream.testing import FakeStreams, MemorySpine, sequence_number
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline, Order, orders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from app.stream.batch import Batch


def test_every_result_carries_a_deterministic_id_and_its_source() -> None:
    spine = MemorySpine(EchoPipeline())
    spine.run(orders(2))
    spine.run(orders(2), start=0)
    assert spine.outputs()[:2] == spine.outputs()[2:]
    number = sequence_number(0)
    assert spine.outputs()[0] == {
        "n": 0,
        "id": f"input/shardId-000000000000/{number}/0/echo/0",
        "source": {"stream": "input", "shard": "shardId-000000000000", "sequence_number": number},
    }


def test_an_empty_batch_is_done_at_once() -> None:
    spine = MemorySpine(EchoPipeline())
    result = spine.run([])
    assert (result.rows, result.acknowledged, result.resume_at) == (0, 0, None)
    assert spine.streams.calls == []


def test_a_poisoned_record_is_quarantined_and_its_neighbours_go_on() -> None:
    pipeline = EchoPipeline()
    spine = MemorySpine(pipeline)
    result = spine.run([*orders(8, _5="raise"), b"no JSON"])
    assert sorted(each["n"] for each in spine.outputs()) == [0, 1, 2, 3, 4, 6, 7]
    assert result.resume_at is None
    poisoned, not_json = sorted(spine.quarantined(), key=lambda each: each["reason"], reverse=True)
    assert poisoned["reason"] == "pipeline_error"
    assert poisoned["message"] == "ValueError: cannot"
    assert msgspec.json.decode(base64.b64decode(poisoned["data"])) == {"n": 5, "do": "raise"}
    assert poisoned["source"]["sequence_number"] == sequence_number(5)
    assert poisoned["source"]["partition_key"] == "key-5"
    assert not_json["reason"] == "not_json"
    assert result.counts["quarantined_pipeline_error"] == 1
    # Halving finds one in eight with three further levels of two calls each, not eight calls.
    assert pipeline.calls == [8, 4, 4, 2, 1, 1, 2]


def test_after_a_retry_nothing_is_started() -> None:
    spine = MemorySpine(EchoPipeline())
    result = spine.run(orders(6, _2="retry", _4="skip"))
    assert [each["n"] for each in spine.outputs()] == [0, 1]
    assert (result.acknowledged, result.resume_at) == (2, sequence_number(2))
    assert result.counts["retried"] == 4


def test_a_skipped_record_is_safe() -> None:
    spine = MemorySpine(EchoPipeline())
    result = spine.run(orders(3, _1="skip"))
    assert result.resume_at is None
    assert [each["n"] for each in spine.outputs()] == [0, 2]
    assert result.counts["skipped"] == 1


def test_what_the_stream_refuses_for_good_resumes_there() -> None:
    def refuse_3(_stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        return {row: "InternalFailure" for row, key in enumerate(keys) if key == "key-3"}

    spine = MemorySpine(EchoPipeline(), FakeStreams(refuse_3))
    result = spine.run(orders(6), seconds=0.4)
    assert (result.acknowledged, result.resume_at) == (3, sequence_number(3))
    assert sorted(each["n"] for each in spine.outputs()) == [0, 1, 2, 4, 5]
    assert result.counts["put_again"] >= 1
    assert result.counts["will_repeat"] == 2  # 4 and 5 are out, and come again behind 3


def test_a_throttled_entry_alone_is_put_again() -> None:
    refused: list[str] = []

    def refuse_once(_stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        hit = {row: "ProvisionedThroughputExceededException" for row, key in enumerate(keys) if key == "key-3"}
        if refused:
            return {}
        refused.extend(keys)
        return hit

    spine = MemorySpine(EchoPipeline(), FakeStreams(refuse_once))
    result = spine.run(orders(6))
    assert result.resume_at is None
    assert spine.streams.calls == [6, 1]


def test_a_missing_stream_is_one_clear_error() -> None:
    def missing(stream: str, _keys: Sequence[str]) -> Mapping[int, str]:
        raise MissingStreamError(f"stream {stream}: not found")

    spine = MemorySpine(EchoPipeline(), FakeStreams(missing))
    with pytest.raises(MissingStreamError, match="stream output: not found"):
        spine.run(orders(3))


def test_a_role_without_a_stream_says_how_to_name_one() -> None:
    class Audit(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            outcomes.emit_columns(["k"] * len(batch), [b"{}"] * len(batch), role="audit")
            return outcomes

    with pytest.raises(NoOutputStreamError, match="OUTPUT_STREAMS=audit:<stream>"):
        MemorySpine(Audit()).run(orders(1))
    named = MemorySpine(Audit(), output_streams={"audit": "elsewhere"})
    named.run(orders(1))
    assert [key for key, _ in named.streams.records["elsewhere"]] == ["k"]
    assert set(msgspec.json.decode(named.streams.records["elsewhere"][0][1])) == {"id", "source"}


def test_an_output_without_a_declared_role_has_no_stream_in_a_test_either() -> None:
    class Forgotten(EchoPipeline):
        roles = ("alarms",)

    with pytest.raises(NoOutputStreamError, match="emits to role 'default'"):
        MemorySpine(Forgotten()).run(orders(1))


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ({"name": 'a/"b"'}, "its name stands in ids"),
        ({"name": 5}, "its name stands in ids"),
        ({"roles": "alarms"}, "roles is 'alarms': give a tuple or set of names"),
        ({"roles": (1,)}, "roles is '(1,)': give a tuple or set of names"),
        ({"unordered_roles": {"alarm"}}, "unordered_roles has alarm, which roles has not"),
    ],
)
def test_attributes_that_cannot_be_used_are_one_line_at_the_start(attributes: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(line)):
        MemorySpine(type("Wrong", (EchoPipeline,), attributes)())


def test_a_pipeline_without_a_type_of_records_is_one_line_at_the_start() -> None:
    class Untyped(Pipeline[Order]):
        name = "untyped"
        process = EchoPipeline.process

    with pytest.raises(SettingsError, match="pipeline untyped: it has no record_type"):
        MemorySpine(Untyped())


def test_a_connection_that_fails_is_tried_again() -> None:
    calls = 0

    def flaky(_stream: str, _keys: Sequence[str]) -> Mapping[int, str]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise TransientError("ConnectTimeoutError")
        return {}

    result = MemorySpine(EchoPipeline(), FakeStreams(flaky)).run(orders(3))
    assert result.resume_at is None


def test_the_deadline_hands_back_what_was_not_started() -> None:
    class Slow(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            time.sleep(0.01 * len(batch))
            return super().process(batch)

    spine = MemorySpine(Slow())
    began = time.monotonic()
    result = spine.run(orders(400), seconds=1.0)
    assert time.monotonic() - began < 1.0
    assert 16 <= result.acknowledged < 400
    assert result.resume_at == sequence_number(result.acknowledged)
    assert len(spine.outputs()) == result.acknowledged


def test_a_test_run_publishes_nothing_and_shows_everything() -> None:
    spine = MemorySpine(EchoPipeline(), test_run=True, response_results=1)
    result = spine.run([*orders(150), b"no JSON"])
    assert spine.streams.records == {}
    assert len(result.published) == 150
    assert [record.reason for record in result.quarantined] == ["not_json"]
    assert result.resume_at is None


def test_an_output_larger_than_its_stream_takes_quarantines_its_record() -> None:
    class Large(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            data = b'{"x":"' + b"x" * (1024 * 1024) + b'"}'
            outcomes = Outcomes(len(batch))
            for row in range(len(batch)):
                outcomes.emit(row, "small", b"{}")
                outcomes.emit(row, "large", data)
            return outcomes

    spine = MemorySpine(Large())
    assert spine.run(orders(1)).resume_at is None
    assert [each["reason"] for each in spine.quarantined()] == ["output_too_large"]
    assert spine.streams.records["output"] == []

    roomy = MemorySpine(Large(), FakeStreams(limit_kib=2048))
    assert roomy.run(orders(1)).resume_at is None
    assert [key for key, _ in roomy.streams.records["output"]] == ["small", "large"]


@pytest.mark.parametrize("key", ["", "x" * 257])
def test_a_partition_key_that_kinesis_would_refuse_quarantines_its_record(key: str) -> None:
    class Keyed(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            outcomes.emit_columns([key] * len(batch), [b"{}"] * len(batch))
            return outcomes

    spine = MemorySpine(Keyed())
    assert spine.run(orders(1)).resume_at is None
    assert [each["reason"] for each in spine.quarantined()] == ["bad_partition_key"]


class TestQuarantine:
    def test_without_any_destination_the_record_is_handed_back(self) -> None:
        spine = MemorySpine(EchoPipeline(), quarantine_stream="")
        result = spine.run([*orders(2), b"no JSON", *orders(1)])
        assert (result.acknowledged, result.resume_at) == (2, sequence_number(2))

    def test_a_location_alone_takes_all_as_json_lines(self, tmp_path: Path) -> None:
        spine = MemorySpine(EchoPipeline(), quarantine_stream="", objects=FolderObjects(tmp_path))
        result = spine.run([b"no JSON", *orders(2), b"", b"\xff"])
        assert result.resume_at is None
        files = list(tmp_path.rglob("*.jsonl"))
        ids = [msgspec.json.decode(line)["id"] for line in files[0].read_bytes().splitlines()]
        digest = digest_of("\n".join(ids).encode())  # a batch with others between the first and the last has another
        assert [file.name for file in files] == [f"{sequence_number(0)}-{sequence_number(4)}-{digest}.jsonl"]
        reasons = [msgspec.json.decode(line)["reason"] for line in files[0].read_bytes().splitlines()]
        assert reasons == ["not_json", "empty", "not_utf8"]

    def test_what_is_too_large_for_the_stream_goes_to_the_location_with_a_pointer(self, tmp_path: Path) -> None:
        spine = MemorySpine(EchoPipeline(), objects=FolderObjects(tmp_path))
        large = b'{"n": "' + b"x" * 900_000 + b'"}'
        assert spine.run([large, b"small"]).resume_at is None
        kept = msgspec.json.decode(next(tmp_path.rglob("*.jsonl")).read_bytes())
        assert base64.b64decode(kept["data"]) == large
        small, pointer = sorted(spine.quarantined(), key=lambda each: "location" in each)
        assert base64.b64decode(small["data"]) == b"small"
        assert "data" not in pointer
        assert pointer["location"].endswith(
            f"{sequence_number(0)}-{sequence_number(0)}-{digest_of(pointer['id'].encode())}.jsonl"
        )
        assert pointer["id"] == kept["id"]

    def test_too_large_and_no_location_hands_the_record_back(self) -> None:
        spine = MemorySpine(EchoPipeline())
        result = spine.run([*orders(1), b'{"n": "' + b"x" * 900_000 + b'"}'])
        assert result.resume_at == sequence_number(1)

    def test_a_location_that_cannot_be_written_loses_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "echo").write_text("a file where a folder should be")
        spine = MemorySpine(EchoPipeline(), quarantine_stream="", objects=FolderObjects(tmp_path))
        result = spine.run([*orders(1), b"no JSON", *orders(1)])
        assert result.resume_at == sequence_number(1)
        assert "cannot write" in str(result.failure)


class TestState:
    def test_counts_go_on_from_batch_to_batch(self) -> None:
        spine = MemorySpine(CountingPipeline(), store=MemoryState())
        spine.run(orders(3), ["a", "b", "a"])
        spine.run(orders(3), ["a", "b", "b"], start=3)
        counts = [(key, msgspec.json.decode(data)["count"]) for key, data in spine.streams.records["output"]]
        assert sorted(counts) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]

    def test_a_repeated_batch_changes_nothing(self) -> None:
        store = MemoryState()
        spine = MemorySpine(CountingPipeline(), store=store)
        spine.run(orders(4), ["a", "b", "a", "a"])
        before = dict(store.stored)
        result = spine.run(orders(4), ["a", "b", "a", "a"], start=0)
        assert result.resume_at is None
        assert result.counts["skipped"] == 4
        assert store.stored == before
        assert len(spine.outputs()) == 4

    def test_an_overlapping_batch_applies_only_what_is_new(self) -> None:
        spine = MemorySpine(CountingPipeline(), store=MemoryState())
        spine.run(orders(4), ["a"] * 4)
        spine.run(orders(4), ["a"] * 4, start=2)
        assert [each["count"] for each in spine.outputs()] == [1, 2, 3, 4, 5, 6]

    def test_only_the_acknowledged_prefix_is_committed(self) -> None:
        store = MemoryState()
        spine = MemorySpine(CountingPipeline(), store=store)
        result = spine.run(orders(5, _3="retry"), ["a"] * 5)
        assert result.resume_at == sequence_number(3)
        assert store.stored["count/a"].value == b"3"
        spine.run(orders(2), ["a"] * 2, start=3)
        assert [each["count"] for each in spine.outputs()] == [1, 2, 3, 4, 5]

    def test_a_crash_before_the_commit_gives_the_same_outputs_again(self) -> None:
        spine = MemorySpine(CountingPipeline())
        spine.run_and_crash("commit", orders(3), ["a", "a", "b"])
        first = spine.outputs()
        assert (len(first), spine.state("a")) == (3, None)
        spine.run(orders(3), ["a", "a", "b"], start=0)
        assert sorted(map(str, spine.outputs()[len(first) :])) == sorted(map(str, first))
        assert spine.state("a") == b"2"

    @pytest.mark.parametrize("keys", [["a"] * 3, ["a", "b", "c"]])
    def test_a_crash_before_anything_is_put_leaves_nothing_behind(self, keys: list[str]) -> None:
        spine = MemorySpine(CountingPipeline())
        spine.run_and_crash("put", orders(3), keys)
        assert (spine.outputs(), spine.state("a")) == ([], None)
        assert spine.run(orders(3), keys, start=0).resume_at is None
        assert len(spine.outputs()) == 3

    def test_a_crash_before_anything_is_put_writes_no_state_of_records_without_outputs(self) -> None:
        class Silent(CountingPipeline):
            def process_with(self, batch: Batch[Order], _state: Mapping[str, bytes]) -> StateWrites:
                staged = StateWrites(Outcomes(len(batch)))
                for row, key in enumerate(batch.partition_keys):
                    staged.write(row, key, b"seen")
                    staged.outcomes.done(row)
                return staged

        spine = MemorySpine(Silent())
        spine.run_and_crash("put", orders(1), ["a"])
        assert spine.state("a") is None
        spine.run(orders(1), ["a"], start=0)
        assert spine.state("a") == b"seen"

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("other", b"1", "ValueError: state of 'other', which state_keys gives for no record"),
            ("a", "1", "TypeError: state of 'a' is str, not bytes"),
        ],
    )
    def test_state_that_could_not_be_committed_is_its_records_fault(self, key: str, value: Any, message: str) -> None:
        class Wrong(CountingPipeline):
            def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
                staged = super().process_with(batch, state)
                if any(order.n == 1 for order in batch.records):
                    staged.write(len(batch) - 1, key, value)
                return staged

        spine = MemorySpine(Wrong())
        assert spine.run(orders(3), ["a"] * 3).resume_at is None
        [put_aside] = spine.quarantined()
        assert put_aside["reason"] == "pipeline_error"
        assert put_aside["message"].startswith(message)
        assert [each["n"] for each in spine.outputs()] == [0, 2]
        assert spine.state("a") == b"2"

    def test_a_crash_before_the_acknowledgement_applies_nothing_twice(self) -> None:
        spine = MemorySpine(CountingPipeline())
        spine.run_and_crash("acknowledge", orders(3), ["a", "a", "b"])
        again = spine.run(orders(3), ["a", "a", "b"], start=0)
        assert (again.resume_at, again.counts["skipped"]) == (None, 3)
        assert (len(spine.outputs()), spine.state("a")) == (3, b"2")

    def test_of_two_writers_one_wins_and_nothing_is_counted_twice(self) -> None:
        store = MemoryState()
        other = MemorySpine(CountingPipeline(), store=store)

        class Racing(CountingPipeline):
            raced = False

            def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> Any:
                staged = super().process_with(batch, state)
                if not self.raced:
                    self.raced = True
                    other.run(orders(3), ["a"] * 3)
                return staged

        spine = MemorySpine(Racing(), store=store)
        result = spine.run(orders(4), ["b", "a", "a", "a"])
        assert result.resume_at == sequence_number(1)
        assert store.stored["count/a"].value == b"3"
        assert store.stored["count/b"].value == b"1"  # its own row stood before the conflict
        # The shard resumes at its second record. Of the other writer's three, that batch repeats the last two.
        again = spine.run(orders(3), ["a"] * 3, start=1)
        assert again.resume_at is None
        assert again.counts["skipped"] == 2
        assert store.stored["count/a"].value == b"4"

    def test_a_poisoned_record_does_not_count(self) -> None:
        store = MemoryState()
        spine = MemorySpine(CountingPipeline(), store=store)
        spine.run(orders(5, _2="raise"), ["a"] * 5)
        assert [each["count"] for each in spine.outputs()] == [1, 2, 3, 4]
        assert len(spine.quarantined()) == 1
        assert store.stored["count/a"].value == b"4"

    def test_pipelines_share_a_table_without_sharing_keys(self) -> None:
        class Other(CountingPipeline):
            name = "other"

        store = MemoryState()
        MemorySpine(CountingPipeline(), store=store).run(orders(2), ["a"] * 2)
        other = MemorySpine(Other(), store=store)
        other.run(orders(3), ["a"] * 3)
        other.run(orders(1), ["a"], start=3)
        assert {key: stored.value for key, stored in store.stored.items()} == {"count/a": b"2", "other/a": b"4"}

    def test_a_pipeline_with_state_says_which_setting_it_lacks(self) -> None:
        quarantine = QuarantineDestination("quarantine", None)
        with pytest.raises(SettingsError, match="STATE_TABLE"):
            Processor(CountingPipeline(), Writer(FakeStreams()), quarantine, Settings(output_stream="output"))


def test_an_output_may_be_an_empty_object_or_begin_with_white_space() -> None:
    datas: list[Any] = [b"{}", b"{ }", b"{\t\r\n }", b'{ "a": 1}', b'{"a": 1}', bytearray(b"{}")]

    class Blank(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            for row, order in enumerate(batch.records):
                outcomes.emit(row, "k", datas[order.n])
            return outcomes

    spine = MemorySpine(Blank())
    spine.run(orders(len(datas)))
    found = spine.outputs()
    assert len({each["id"] for each in found}) == len(datas)
    assert [{name: each[name] for name in each if name not in {"id", "source"}} for each in found] == [
        {}, {}, {}, {"a": 1}, {"a": 1}, {}
    ]  # fmt: skip
