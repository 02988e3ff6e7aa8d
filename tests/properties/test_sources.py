"""The promises of batch sources for any batch, any failure and any delivery: nothing lost, in order, nothing raised."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import EventError, HandlerFailedError, MillraceError, UnacknowledgedError
from app.handlers.base import LambdaHandler
from app.handlers.invocation import process_settings
from app.handlers.sources.dynamodb import dynamodb_stream_handler, item_of
from app.handlers.sources.eventbridge import eventbridge_handler
from app.handlers.sources.firehose import firehose_handler
from app.handlers.sources.kinesis import kinesis_handler
from app.handlers.sources.s3 import s3_handler
from app.handlers.sources.sns import sns_handler
from app.handlers.sources.sqs import sqs_handler
from app.stream.testing import FIRST_SEQUENCE_NUMBER, FakeStreams, event_of
from tests.unit.handlers.sources.sources_for_tests import (
    Clock,
    Label,
    Parcel,
    ParcelHandler,
    dynamodb_event,
    dynamodb_number,
    eventbridge_event,
    firehose_event,
    handed_back,
    s3_event,
    sns_event,
    sqs_event,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.handlers.invocation import Invocation

GROUPS = ["a", "b", "c"]
LARGEST_BATCH = 10
MAX_RECEIVES = 3
does = st.sampled_from(["take", "raise", "refuse", "wait", "garbage"])


@pytest.fixture(autouse=True, scope="module")
def _settings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTPUT_STREAM", "labels")
        patch.setenv("QUARANTINE_STREAM", "aside")
        patch.setenv("PARTIAL_RESPONSES", "True")
        patch.setenv("LOG_LEVEL", "ERROR")
        process_settings.cache_clear()
        yield
    process_settings.cache_clear()


def body(n: int, do: str) -> object:
    return "no JSON" if do == "garbage" else {"n": n, "do": do}


@given(st.lists(does, max_size=30), st.booleans())
def test_a_standard_queue_gets_back_exactly_what_failed(done: list[str], raw: bool) -> None:
    handler = ParcelHandler.fresh()
    event: Any = sqs_event([body(n, do) for n, do in enumerate(done)])
    answer = sqs_handler(handler)(json.dumps(event).encode() if raw else event)
    assert handed_back(answer) == [f"m-{n}" for n, do in enumerate(done) if do != "take"]
    assert handler.taken == [n for n, do in enumerate(done) if do == "take"]


@given(st.lists(st.tuples(st.sampled_from("xyz"), does), max_size=12), st.booleans())
def test_no_identifier_is_named_twice_and_none_is_made_up(messages: list[tuple[str, str]], fifo: bool) -> None:
    ids = [each for each, _ in messages]
    event = sqs_event([body(n, do) for n, (_, do) in enumerate(messages)], ids=ids, groups=["g"] * len(ids))
    found = handed_back(sqs_handler(ParcelHandler.fresh(), fifo=fifo)(event))
    assert len(found) == len(set(found))
    assert set(found) <= set(ids)


class Queue:
    """A FIFO queue with a dead-letter queue, as SQS has it: a message that is received blocks its group until it is
    deleted or visible again, and one that was received too often moves aside.
    """

    def __init__(self, sent: list[tuple[str, int]]) -> None:
        self.waiting = [(f"m-{n}", group, n) for group, n in sent]
        self.receives: Counter[str] = Counter()
        self.dead: list[int] = []

    def receive(self, count: int) -> list[tuple[str, str, int]]:
        batch: list[tuple[str, str, int]] = []
        for message in list(self.waiting):
            if len(batch) == count:
                break
            if self.receives[message[0]] == MAX_RECEIVES:
                self.waiting.remove(message)
                self.dead.append(message[2])
                continue
            self.receives[message[0]] += 1
            batch.append(message)
        return batch

    def delete_all_but(self, batch: list[tuple[str, str, int]], kept: list[str]) -> None:
        for message in batch:
            if message[0] not in kept:
                self.waiting.remove(message)


class Fickle(LambdaHandler[Parcel, Label]):
    """Fails on a parcel so many times, or until its time is up, and remembers in which order it took the others."""

    failures: Counter[int]
    taken: list[int]
    late: set[int]

    def handle(self, request: Parcel, invocation: Invocation) -> Label:
        if request.n in self.late:
            self.late.discard(request.n)
            invocation.deadline._at_s = 0
        if self.failures[request.n]:
            self.failures[request.n] -= 1
            raise ValueError
        self.taken.append(request.n)
        return Label(request.n)


def fickle(failures: dict[int, int], late: set[int]) -> type[Fickle]:
    return type("FickleHandler", (Fickle,), {"failures": Counter(failures), "taken": [], "late": set(late)})


@given(
    st.lists(st.sampled_from(GROUPS), max_size=25),
    st.dictionaries(st.integers(0, 24), st.integers(1, 2 * MAX_RECEIVES)),
    st.sets(st.integers(0, 24), max_size=3),
    st.booleans(),
    st.data(),
)
def test_fifo_order_per_group_is_held_whatever_fails_and_nothing_is_lost(
    groups: list[str], failures: dict[int, int], late: set[int], by_group: bool, data: Any
) -> None:
    handler = fickle(failures, late)
    function = sqs_handler(handler, fifo=True, by_group=by_group)
    queue = Queue([(group, n) for n, group in enumerate(groups)])
    while batch := queue.receive(data.draw(st.integers(1, LARGEST_BATCH))):
        ids, of_groups, numbers = zip(*batch, strict=True)
        answer = function(sqs_event([{"n": n} for n in numbers], ids=ids, groups=of_groups, queue="q.fifo"))
        queue.delete_all_but(batch, handed_back(answer))
    assert sorted(handler.taken + queue.dead) == list(range(len(groups)))  # each once: taken, or in the dead letters
    taken: dict[str, list[int]] = defaultdict(list)
    for n in handler.taken:
        taken[groups[n]].append(n)
    for numbers_taken in taken.values():
        assert numbers_taken == sorted(numbers_taken)
    held_up = {groups[n] for n in failures if n < len(groups)}
    if by_group and not late:
        assert {groups[n] for n in queue.dead} <= held_up  # no group pays for another


@given(
    st.integers(0, 25),
    st.dictionaries(st.integers(0, 24), st.integers(1, 4)),
    st.sets(st.integers(0, 24), max_size=3),
    st.data(),
)
def test_a_shard_resumes_where_it_is_told_and_every_change_is_handled_in_order(
    count: int, failures: dict[int, int], late: set[int], data: Any
) -> None:
    handler = fickle(failures, late)
    function = dynamodb_stream_handler(handler)
    at, calls = 0, 0
    while at < count:
        calls += 1
        assert calls <= 200
        begin = at - data.draw(st.integers(0, min(at, 3)))  # what was acknowledged may be delivered again
        stop = min(count, at + data.draw(st.integers(1, LARGEST_BATCH)))
        images = [{"n": {"N": str(n)}} for n in range(begin, stop)]
        named = handed_back(function(dynamodb_event(images, start=begin)))
        assert len(named) <= 1
        at = max(at, begin + [dynamodb_number(n) for n in range(begin, stop)].index(named[0])) if named else stop
    first_taken = list(dict.fromkeys(handler.taken))
    assert first_taken == list(range(count))


@given(st.lists(does, max_size=25))
def test_an_asynchronous_event_fails_exactly_if_a_record_failed_and_all_are_tried(done: list[str]) -> None:
    handler = ParcelHandler.fresh()
    event = sns_event([body(n, do) for n, do in enumerate(done)])
    failed = sum(do != "take" for do in done)
    try:
        assert sns_handler(handler)(event) is None
        assert not failed
    except UnacknowledgedError as error:
        assert failed
        assert str(error).startswith(f"{failed} of {len(done)} records")
    assert handler.tried == [n for n, do in enumerate(done) if do != "garbage"]


@given(
    st.lists(st.tuples(st.sampled_from(GROUPS), does), max_size=20),
    st.sets(st.integers(0, 19), max_size=2),
    st.data(),
)
def test_on_the_spine_each_record_ends_as_output_or_in_quarantine_in_order_per_key(
    sent: list[tuple[str, str]], late: set[int], data: Any
) -> None:
    streams, waits = FakeStreams(), Counter({n: 2 for n, (_, do) in enumerate(sent) if do == "wait"})
    tried: Counter[int] = Counter()

    class Passing(ParcelHandler):
        """Waits twice for what it waits for."""

        def handle(self, request: Parcel, invocation: Invocation) -> Label:
            tried[request.n] += 1
            if request.n in late:
                late.discard(request.n)
                invocation.deadline._at_s -= 45  # of 60: past the half that is kept for outputs
            if request.do == "wait" and not waits[request.n]:
                return Label(request.n)
            waits[request.n] -= request.do == "wait"
            return super().handle(request, invocation)

    function, keys, at, calls = kinesis_handler(Passing, service=streams), [key for key, _ in sent], 0, 0
    payloads = [msgspec.json.encode({"n": n, "do": do}) if do != "garbage" else b"?" for n, (_, do) in enumerate(sent)]
    while at < len(sent):
        calls += 1
        assert calls <= 200
        stop, before = min(len(sent), at + data.draw(st.integers(1, LARGEST_BATCH))), tried.copy()
        answer = function(event_of(payloads[at:stop], keys[at:stop], start=at), Clock())
        assert max((tried - before).values(), default=0) <= 1  # no handler is called twice within an invocation
        named = [each["itemIdentifier"] for each in answer["batchItemFailures"]]
        at = int(named[0]) - FIRST_SEQUENCE_NUMBER if named else stop
    put: dict[str, list[int]] = defaultdict(list)
    for key, each in streams.records["labels"]:
        number = msgspec.json.decode(each)["parcel"]
        if number not in put[key]:
            put[key].append(number)
    for key in GROUPS:
        assert put[key] == [n for n, (each, do) in enumerate(sent) if each == key and do in {"take", "wait"}]
    aside = {msgspec.json.decode(each)["source"]["sequence_number"] for _, each in streams.records["aside"]}
    bad = {str(FIRST_SEQUENCE_NUMBER + n) for n, (_, do) in enumerate(sent) if do in {"raise", "refuse", "garbage"}}
    assert aside == bad


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
examples = st.sampled_from(
    [
        sqs_event([{"n": 1}]),
        dynamodb_event([{"n": {"N": "1"}}, None]),
        sns_event([{"n": 1}]),
        s3_event({"key": "a+b"}),
        eventbridge_event({"n": 1}),
        json.loads(event_of([b'{"n": 1}'])),
    ]
)


@st.composite
def spoilt(draw: Any) -> Any:
    """An event of some source in which something has been replaced or left out."""
    event = json.loads(json.dumps(draw(examples)))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = event
        while isinstance(node, (dict, list)) and node:
            key = draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else draw(st.integers(0, len(node) - 1))
            if draw(st.integers(0, 3)) == 0 or not isinstance(node[key], (dict, list)):
                if draw(st.booleans()):
                    node[key] = draw(anything)
                else:
                    del node[key]
                break
            node = node[key]
    return event


@given(anything | spoilt(), st.booleans())
def test_garbage_is_refused_in_one_line_and_never_ends_in_a_stack_trace(event: Any, raw: bool) -> None:
    for function in (
        sqs_handler(ParcelHandler.fresh()),
        dynamodb_stream_handler(ParcelHandler.fresh()),
        sns_handler(ParcelHandler.fresh()),
        s3_handler(ParcelHandler.fresh()),
        eventbridge_handler(ParcelHandler.fresh()),
        kinesis_handler(ParcelHandler.fresh(), service=FakeStreams()),
    ):
        try:
            function(json.dumps(event).encode() if raw else event)
        except MillraceError as error:
            assert not isinstance(error, HandlerFailedError)
            assert "\n" not in str(error)
            str(error).encode()


@given(st.binary(max_size=60))
def test_bytes_that_are_no_event_are_refused(event: bytes) -> None:
    for make in (sqs_handler, dynamodb_stream_handler, sns_handler, s3_handler, eventbridge_handler):
        with pytest.raises(EventError):
            make(ParcelHandler.fresh())(event)


def attribute_of(value: Any) -> dict[str, Any]:
    """A plain value as DynamoDB writes it."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, list):
        return {"L": [attribute_of(each) for each in value]}
    if isinstance(value, dict):
        return {"M": {name: attribute_of(each) for name, each in value.items()}}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


numbers = st.integers(-(10**38) + 1, 10**38 - 1) | st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**10), max_value=10**10, places=20
)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), plain, max_size=4))
def test_an_item_comes_back_from_dynamodbs_format_as_it_was(item: dict[str, Any]) -> None:
    assert item_of({name: attribute_of(value) for name, value in item.items()}) == item


odd_values: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just([])
)
ODD = 1  # the record with an odd field


def paths_of(record: Any, *path: str) -> list[tuple[str, ...]]:
    """The paths of all fields in a record."""
    if not isinstance(record, dict):
        return [path]
    return [*([path] if path else []), *(each for name in record for each in paths_of(record[name], *path, name))]


def with_odd_field(data: st.DataObject, event: dict[str, Any], records: str = "Records") -> tuple[str, ...]:
    """Put any value in place of any field of one record; return the field's path."""
    path: tuple[str, ...] = data.draw(st.sampled_from(paths_of(event[records][ODD])))
    owner = event[records][ODD]
    for name in path[:-1]:
        owner = owner[name]
    owner[path[-1]] = data.draw(odd_values)
    return path


@given(st.data())
def test_an_odd_field_of_a_message_costs_no_other_message(data: st.DataObject) -> None:
    handler = ParcelHandler.fresh()
    event = sqs_event([body(n, "take") for n in range(3)])
    path = with_odd_field(data, event)
    try:
        assert set(handed_back(sqs_handler(handler)(event))) <= {f"m-{ODD}"}
    except EventError:
        assert path in {("messageId",), ("eventSource",)}
    else:
        assert {0, 2} <= set(handler.taken)


@given(st.data())
def test_an_odd_field_of_a_change_costs_no_change_before_it(data: st.DataObject) -> None:
    handler = ParcelHandler.fresh()
    event = dynamodb_event([{"n": {"N": str(n)}} for n in range(3)])
    path = with_odd_field(data, event)
    try:
        resumes = handed_back(dynamodb_stream_handler(handler)(event))
        assert resumes in ([], [event["Records"][ODD]["dynamodb"]["SequenceNumber"]])
    except EventError:
        assert path in {("dynamodb",), ("dynamodb", "SequenceNumber"), ("eventSource",)}
    else:
        assert handler.taken[:1] == [0]


@given(st.data(), st.sampled_from(["sns", "s3"]))
def test_an_odd_field_of_an_event_that_comes_whole_costs_no_other_record(data: st.DataObject, source: str) -> None:
    seen: list[str] = []

    class Keep(LambdaHandler[dict[str, Any], None]):
        """Remembers requests."""

        def handle(self, request: dict[str, Any], _invocation: Invocation) -> None:
            seen.append(json.dumps(request))

    sns = sns_event([{"n": n} for n in range(3)])
    event = sns if source == "sns" else s3_event(*[{"key": str(n)} for n in range(3)])
    path = with_odd_field(data, event)
    try:
        (sns_handler(Keep) if source == "sns" else s3_handler(Keep))(event)
    except EventError:
        assert path in {("eventSource",), ("EventSource",)}
        return
    except UnacknowledgedError as error:
        assert str(error).startswith("1 of 3")
    expected = ['"n": 0', '"n": 2'] if source == "sns" else ['"key": "0"', '"key": "2"']
    assert all(any(each in request for request in seen) for each in expected)


@given(st.data(), st.booleans())
def test_an_odd_field_of_a_record_to_transform_costs_no_other_record(data: st.DataObject, stream: bool) -> None:
    event = firehose_event([msgspec.json.encode({"n": n}) for n in range(3)], stream=stream)
    path = with_odd_field(data, event, "records")
    try:
        answer = firehose_handler(ParcelHandler.fresh())(event)
    except EventError:
        assert path == ("recordId",)
    else:
        results = [each["result"] for each in answer["records"] if each["recordId"] in {"r-0", "r-2"}]
        assert results in (["Ok", "Ok"], ["Ok", "Ok", "Ok"])


@given(st.data(), st.booleans())
def test_an_odd_field_of_a_streams_record_costs_no_other_record(data: st.DataObject, raw: bool) -> None:
    event = json.loads(event_of([msgspec.json.encode({"n": n}) for n in range(3)]))
    path = with_odd_field(data, event)
    handler, streams = ParcelHandler.fresh(), FakeStreams()
    try:
        answer = kinesis_handler(handler, service=streams)(json.dumps(event).encode() if raw else event)
    except EventError:
        needed = {"kinesis", "sequenceNumber", "eventSource", "eventID", "eventSourceARN"}
        assert path[-1] in needed
    else:
        assert answer["batchItemFailures"] == []
        assert {0, 2} <= set(handler.taken)
        assert len(streams.records["labels"]) + len(streams.records["aside"]) == 3
