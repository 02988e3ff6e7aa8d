"""Alerts from stream to streams over HTTP, with their state in a DynamoDB table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.domains.alerts.pipeline import AlertPipeline, TechniquePipeline
from app.settings import Environment, Settings
from app.storage.objects import FolderObjects
from app.storage.spilling import SpillingState
from app.storage.state_table import DynamoDbState
from app.stream.runtime import Runtime
from tests.alerts_for_tests import STORY, payload, resolver, tenant_factory
from tests.integration.test_stream import double_shards, drained, put, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.storage.state import StateStore, Stored

pytestmark = pytest.mark.cloud

PIPELINES: Any = {
    "alerts": lambda _settings: AlertPipeline(resolver(), tenant_factory()),
    "alerts-technique": lambda _settings: TechniquePipeline(resolver()),
}


class Room:
    """An input stream, a stream for each role, a quarantine and a state table of the test's own."""

    def __init__(self, new_stream: Callable[..., str]) -> None:
        self.source, self.aside = new_stream("alerts"), new_stream("aside")
        self.roles = {role: new_stream(role) for role in ("enriched", "incidents", "tickets")}
        aws.client("dynamodb").create_table(
            TableName=self.source,
            KeySchema=[{"AttributeName": "state_key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "state_key", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def runtime(self, **settings: Any) -> Runtime:
        values: dict[str, Any] = {
            "pipeline": "alerts",
            "output_streams": self.roles,
            "quarantine_stream": self.aside,
            "state_table": self.source,
            "partial_responses": True,
            **settings,
        }
        return Runtime(Settings(**values), PIPELINES)

    def told(self, role: str) -> list[dict[str, Any]]:
        return read(self.roles[role])

    def clusters(self) -> dict[str, int]:
        return {each["alert"]["id"]: each["cluster_id"] for each in self.told("enriched")}


@pytest.fixture
def room(new_stream: Callable[..., str]) -> Room:
    return Room(new_stream)


PAYLOADS = [payload(number) for number in range(2 * len(STORY))]
KEYS = ["acme"] * len(PAYLOADS)


def test_alerts_become_incidents_and_a_second_delivery_changes_nothing(kinesis: Any, room: Room) -> None:
    put(kinesis, room.source, [*PAYLOADS, b"no alert"], [*KEYS, "acme"])
    for _ in range(2):  # the second mapping knows nothing of the first, and delivers all again
        assert drained(room.source, room.runtime().handle, batch_size=5) == len(PAYLOADS) + 1

    enriched = room.told("enriched")
    assert [each["alert"]["id"] for each in enriched] == [f"a{number}" for number in range(len(PAYLOADS))]
    assert {change["change"] for change in room.told("incidents")} >= {"opened"}
    assert {change["type"] for change in room.told("incidents")} == {"cluster", "flow"}
    assert {ticket["ticket_id"] for ticket in room.told("tickets")}
    assert {each["reason"] for each in read(room.aside)} == {"unknown_format"}


def test_one_stage_feeds_the_other(kinesis: Any, room: Room, new_stream: Callable[..., str]) -> None:
    put(kinesis, room.source, PAYLOADS)  # any key: techniques ask for no order
    between = new_stream("between", 2)
    acme = Environment(ALERTS_TENANT="acme")
    first = room.runtime(pipeline="alerts-technique", output_streams={"enriched": between}, environ=acme)
    drained(room.source, first.handle, batch_size=100)
    drained(between, room.runtime().handle, batch_size=5)

    assert sorted(room.clusters()) == sorted(f"a{number}" for number in range(len(PAYLOADS)))


class Slow:
    """A state store on which another writer is quicker each time."""

    def __init__(self, store: StateStore, other: Callable[[], object]) -> None:
        self._store, self._other = store, other
        self.load, self.check_size = store.load, store.check_size

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        self._other()
        self._store.commit(key, staged, before)


def test_of_two_writers_one_wins_and_the_other_comes_again(kinesis: Any, room: Room) -> None:
    put(kinesis, room.source, PAYLOADS, KEYS)
    first, second = room.runtime(), room.runtime()
    processor = first.processor_for(room.source)
    store = processor.store
    assert store is not None

    def both(event: bytes, context: Any) -> Any:
        processor.store = Slow(store, lambda: second.handle(event, context))
        return first.handle(event, context)

    assert drained(room.source, both, batch_size=8) == len(PAYLOADS)
    once = {each["id"]: each["cluster_id"] for each in room.told("enriched")}
    assert len(once) == len(PAYLOADS)
    assert all(once[each["id"]] == each["cluster_id"] for each in room.told("enriched"))


def test_a_resharded_stream_carries_on(kinesis: Any, room: Room) -> None:
    half = len(PAYLOADS) // 2
    put(kinesis, room.source, PAYLOADS[:half], KEYS[:half])
    double_shards(kinesis, room.source)
    put(kinesis, room.source, PAYLOADS[half:], KEYS[half:])
    drained(room.source, room.runtime().handle, batch_size=3)

    assert [each["alert"]["id"] for each in room.told("enriched")] == [f"a{n}" for n in range(len(PAYLOADS))]
    assert max(room.clusters().values()) > room.clusters()[f"a{half - 1}"]  # ids go on where they stood


def test_a_large_state_lies_beside_the_table(kinesis: Any, room: Room, tmp_path: Path) -> None:
    put(kinesis, room.source, PAYLOADS, KEYS)
    target = room.runtime()
    target.processor_for(room.source).store = SpillingState(DynamoDbState(room.source), FolderObjects(tmp_path), 10)
    assert drained(room.source, target.handle, batch_size=5) == len(PAYLOADS)

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    revisions = [each.revision for each in DynamoDbState(room.source).load(f"alerts/{key}" for key in KEYS).values()]
    assert len(written) == sum(revisions)  # one for each commit: former ones stay for a while
    assert len(set(room.clusters())) == len(PAYLOADS)
