"""Folder and S3, memory and DynamoDB: each pair keeps to one contract, against the real protocol."""

from __future__ import annotations

import itertools
import random
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.errors import CloudError, LocationError, RequestError, SettingsError, StateConflictError, UnreadableStateError
from app.handlers.request import read_source
from app.storage.items import to_attributes
from app.storage.location import read_location, write_location
from app.storage.objects import BLOCK_BYTES, Objects, open_objects
from app.storage.state import (
    MemoryState,
    Parked,
    Position,
    ShardOrigin,
    StateStore,
    Stored,
    Waiting,
)
from app.storage.state_table import DynamoDbState, create_state_table
from tests.handlers_for_tests import Parcel, WeighParcelHandler

if TYPE_CHECKING:
    from pathlib import Path

    from devtools.cloud.supervisor import Cloud

pytestmark = pytest.mark.cloud
_numbers = itertools.count()


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud) -> Objects:  # noqa: ARG001
    if request.param == "folder":
        return open_objects(str(tmp_path / "root"))
    bucket = f"bucket-{next(_numbers)}"
    aws.client("s3").create_bucket(Bucket=bucket)
    return open_objects(f"s3://{bucket}/some/prefix")


def test_objects_are_put_found_and_replaced(objects: Objects) -> None:
    objects.check()
    assert objects.get("a/b.jsonl") is None
    assert list(objects.names()) == []
    objects.put("a/b.jsonl", b"1")
    objects.put("a/a.jsonl", b"")
    objects.put("c.jsonl", b"3")
    objects.put("a/b.jsonl", b"2")
    assert objects.get("a/b.jsonl") == b"2"
    assert objects.get("a/a.jsonl") == b""
    assert list(objects.names()) == ["a/a.jsonl", "a/b.jsonl", "c.jsonl"]
    assert list(objects.names("a/")) == ["a/a.jsonl", "a/b.jsonl"]


def test_an_object_is_asked_for_without_reading_it(objects: Objects) -> None:
    assert not objects.exists("a/b.jsonl")
    objects.put("a/b.jsonl", b"")
    assert objects.exists("a/b.jsonl")
    assert objects.modified_s("a/b.jsonl") == pytest.approx(time.time(), abs=600)
    assert objects.modified_s("a") is None
    assert not objects.exists("a")
    objects.delete("a/b.jsonl")
    objects.delete("a/b.jsonl")
    assert not objects.exists("a/b.jsonl")


def test_a_large_object_comes_back_whole_and_in_blocks(objects: Objects) -> None:
    data = random.Random(1).randbytes(20 * 1024 * 1024 + 1)  # S3 takes it in three parts, and gives it in three ranges
    objects.put("large", data)
    assert objects.get("large") == data
    blocks = list(objects.blocks("large"))
    assert b"".join(blocks) == data
    assert all(0 < len(block) <= BLOCK_BYTES for block in blocks)
    assert list(objects.names()) == ["large"]


def test_blocks_of_no_object_are_a_clear_error(objects: Objects) -> None:
    objects.put("empty", b"")
    assert list(objects.blocks("empty")) == []
    with pytest.raises(LocationError, match=f"^{re.escape(objects.root)}/none: there is no such object$"):
        next(objects.blocks("none"))


@pytest.mark.usefixtures("cloud")
def test_a_bucket_that_is_not_there_is_one_clear_error() -> None:
    objects = open_objects("s3://no-such-bucket/x")
    for call in (
        objects.check,
        lambda: objects.put("a", b""),
        lambda: list(objects.names()),
        lambda: next(objects.blocks("a")),
    ):
        with pytest.raises(CloudError, match="s3://no-such-bucket/x"):
            call()


@pytest.mark.parametrize("location", ["http://example.invalid/x", "s3://"])
def test_other_locations_are_refused(location: str) -> None:
    with pytest.raises(SettingsError, match="give a folder or s3://bucket/prefix"):
        open_objects(location)


@pytest.fixture
def bucket(cloud: Cloud) -> str:  # noqa: ARG001 - the environment first
    """A bucket of the test's own."""
    name = f"bucket-{next(_numbers)}"
    aws.client("s3").create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize("key", ["a.json", "some/folder/a.json", "a b/ö#1?%.json"])
def test_an_object_by_its_name(bucket: str, key: str) -> None:
    location = f"s3://{bucket}/{key}"
    with pytest.raises(LocationError) as raised:
        read_location(location)
    assert str(raised.value) == f"{location}: there is no such object"
    write_location(location, b"[1]")
    write_location(location, b"[2]")
    assert read_location(location) == b"[2]"
    assert read_source(location) == b"[2]"
    assert list(open_objects(f"s3://{bucket}").names()) == [key]


def test_an_event_may_be_an_object_that_holds_the_request(bucket: str) -> None:
    location = f"s3://{bucket}/request.json"
    write_location(location, b'{"grams": 5}')
    assert WeighParcelHandler.decode(location) == Parcel(5)
    assert WeighParcelHandler.get_handler()(location) == {"cents": 5}
    write_location(location, b'{"grams": "5"}')
    with pytest.raises(RequestError, match=r"^\$\.grams: expected `int`, got `str`$"):
        WeighParcelHandler.decode(location)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("bucket_name", ["no-such-bucket", "Not a bucket's name"])
def test_an_object_of_no_bucket_is_one_clear_error(bucket_name: str) -> None:
    for use in (read_location, lambda name: write_location(name, b"")):
        with pytest.raises(CloudError) as raised:
            use(f"s3://{bucket_name}/a.json")
        assert bucket_name in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.fixture
def table(cloud: Cloud) -> str:  # noqa: ARG001 - the environment first
    name = f"state-{next(_numbers)}"
    create_state_table(name)
    return name


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> StateStore:
    return MemoryState() if request.param == "memory" else DynamoDbState(request.getfixturevalue("table"))


SHARD = ShardOrigin("arn:aws:kinesis:eu-west-1:123456789012:stream/s@x", 1_767_225_600_123, "shardId-000000000000")
FAR = Position(10**55, 3)  # sequence numbers have up to 56 digits


def test_a_commit_needs_the_revision_it_started_from(store: StateStore) -> None:
    assert store.load(["a"]) == {}
    first = Stored(b"1", {SHARD: Position(5)})
    store.commit("a", first, None)
    with pytest.raises(StateConflictError):
        store.commit("a", Stored(b"lost"), None)
    second = first.after(b"2", {SHARD: FAR, SHARD._replace(shard="shardId-000000000001"): Position(7)})
    store.commit("a", second, first)
    with pytest.raises(StateConflictError):
        store.commit("a", first.after(b"lost", {}), first)
    with pytest.raises(StateConflictError):
        store.commit("b", first.after(b"lost", {}), first)
    assert store.load(["a", "b", "a"]) == {"a": second}


@pytest.mark.usefixtures("cloud")
def test_an_item_of_an_earlier_release_is_replaced_under_its_position(table: str) -> None:
    item = {"state_key": "a", "value": b"1", "sequence_number": "4960", "sub_sequence_number": 2}
    aws.client("dynamodb").put_item(TableName=table, Item=to_attributes(item))
    store = DynamoDbState(table)
    before = store.load(["a"])["a"]
    assert (before.value, before.applied) == (b"1", {})
    store.commit("a", before.after(b"2", {SHARD: FAR}), before)
    with pytest.raises(StateConflictError):
        store.commit("a", before.after(b"lost", {}), before)
    assert store.load(["a"])["a"] == Stored(b"2", {SHARD: FAR}, 1)


MARK = Parked("state of 'a': damaged", "2026-01-01T00:00:00Z", {SHARD: Waiting(Position(6, -1), FAR)}, 2, 1_796_000_000)


def test_a_mark_leaves_the_value_alone(store: StateStore) -> None:
    first = Stored(b"1", {SHARD: Position(5)})
    store.commit("a", first, None)
    store.commit("a", Stored(None, revision=2, parked=MARK), first)
    marked = store.load(["a"])["a"]
    assert marked == first._replace(revision=2, parked=MARK)
    with pytest.raises(StateConflictError):
        store.commit("a", Stored(None, revision=2, parked=None), first)
    store.commit("a", Stored(None, revision=3), marked)
    assert store.load(["a"])["a"] == first._replace(revision=3)


def test_a_key_without_a_value_may_be_marked_and_is_written_whole_afterwards(store: StateStore) -> None:
    fresh = Stored(None, revision=1, parked=MARK)
    store.commit("a", fresh, None)
    with pytest.raises(StateConflictError):
        store.commit("a", fresh, None)
    assert store.load(["a"])["a"] == fresh
    store.commit("a", Stored(b"", {SHARD: FAR}, 2, parked=MARK), fresh)
    assert store.load(["a"])["a"] == Stored(b"", {SHARD: FAR}, 2, parked=MARK)
    store.commit("a", Stored(b"2", {SHARD: FAR}, 3), Stored(b"", {SHARD: FAR}, 2))
    assert store.load(["a"])["a"] == Stored(b"2", {SHARD: FAR}, 3)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    "item", [{}, {"value": b"1"}, {"value": b"1", "revision": 7}, {"value": b"1", "revision": "x", "applied": {}}]
)
def test_a_damaged_item_is_its_keys_fault_and_may_be_marked(table: str, item: dict[str, Any]) -> None:
    aws.client("dynamodb").put_item(TableName=table, Item=to_attributes({"state_key": "a", **item}))
    store = DynamoDbState(table)
    store.commit("b", Stored(b"1"), None)
    found = store.load(["a", "b"])
    damaged = found["a"]
    assert isinstance(damaged.fault, UnreadableStateError)
    assert (damaged.value, found["b"]) == (None, Stored(b"1"))
    store.commit("a", Stored(None, revision=damaged.revision + 1, parked=MARK), damaged)
    with pytest.raises(StateConflictError):
        store.commit("a", Stored(None, revision=damaged.revision + 1, parked=MARK), damaged)
    marked = store.load(["a"])["a"]
    assert (marked.revision, marked.parked) == (damaged.revision + 1, MARK)
    store.commit("a", Stored(None, revision=marked.revision + 1, parked=MARK), marked)
    store.begin_anew("a", store.load(["a"])["a"])
    anew = store.load(["a"])["a"]
    begun = MARK._replace(fault=f"begun anew; it was: {MARK.fault}")
    assert anew == Stored(None, revision=marked.revision + 2, parked=begun)
    store.begin_anew("a", anew)  # a command that is repeated removes nothing that was made since
    assert store.load(["a"])["a"] == anew
    assert dict(store.all()) == {"a": anew, "b": Stored(b"1")}


@pytest.mark.usefixtures("cloud")
def test_an_item_of_an_earlier_release_may_be_marked(table: str) -> None:
    item = {"state_key": "a", "value": b"1", "sequence_number": "4960", "sub_sequence_number": 2}
    aws.client("dynamodb").put_item(TableName=table, Item=to_attributes(item))
    store = DynamoDbState(table)
    before = store.load(["a"])["a"]
    store.commit("a", before.after(None, {})._replace(parked=MARK), before)
    assert store.load(["a"])["a"] == Stored(b"1", revision=1, parked=MARK)


def test_many_keys_load_at_once(store: StateStore) -> None:
    for number in range(130):
        store.commit(f"key-{number}", Stored(str(number).encode()), None)
    loaded = store.load(f"key-{number}" for number in range(150))
    assert len(loaded) == 130
    assert loaded["key-129"] == Stored(b"129")


@pytest.mark.usefixtures("cloud")
def test_a_missing_table_is_one_clear_error() -> None:
    with pytest.raises(CloudError, match="state table nowhere"):
        DynamoDbState("nowhere").load(["a"])
