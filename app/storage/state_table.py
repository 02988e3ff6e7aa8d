"""State in a DynamoDB table: one item for each state key, written under a condition on its revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import aws
from app.errors import CloudError, StateConflictError, StateTooLargeError, UnreadableStateError
from app.storage.items import from_attributes, get_items, to_attributes
from app.storage.state import (
    BEGUN_ANEW,
    FAULT_CHARACTERS,
    LARGEST_VALUE_BYTES,
    Parked,
    Position,
    ShardOrigin,
    Stored,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

STATE_KEY = "state_key"  # the table's partition key, a string
WAIT_S = 60  # a new table is active after some ten seconds


class DynamoDbState:
    """State in a DynamoDB table with the partition key `STATE_KEY`."""

    def __init__(self, table: str) -> None:
        """Open a table; nothing is called yet."""
        self._table = table

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Read keys in calls of 100; see `get_items`. A damaged item is its key's fault.

        Raises:
            CloudError: DynamoDB does not answer.
        """
        loaded: dict[str, Stored] = {}
        wanted = [{STATE_KEY: key} for key in dict.fromkeys(keys)]
        for item in get_items(self._table, wanted, f"state table {self._table}"):
            loaded[item[STATE_KEY]] = self._read(item)
        return loaded

    def _read(self, item: Mapping[str, Any]) -> Stored:
        try:
            return stored_of(item)
        except ValueError:
            return _damaged(item, self._table)

    def all(self) -> Iterator[tuple[str, Stored]]:
        """Read every item of the table, with its key, in no order; DynamoDB charges for all of them.

        Raises:
            CloudError: DynamoDB does not answer.
        """
        with aws.explaining(f"state table {self._table}"):
            pages = aws.client("dynamodb").get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
            for page in pages:
                for attributes in page["Items"]:
                    item = from_attributes(attributes)
                    yield item[STATE_KEY], self._read(item)

    def check_size(self, key: str, value: bytes) -> None:
        """Check that an item takes a value."""
        if len(value) > LARGEST_VALUE_BYTES:
            raise StateTooLargeError(
                f"state of {key!r} has {len(value)} bytes, more than an item of {self._table} takes: "
                "set STATE_LOCATION to a folder or s3://… for it"
            )

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Put the item under a condition on the revision that it had when it was read.

        Raises:
            StateConflictError: The item has another revision now.
            StateTooLargeError: The value is larger than an item may be.
            CloudError: DynamoDB does not answer.
        """
        if staged.value is None:
            self._mark(key, staged, before)
            return
        self.check_size(key, staged.value)
        item: dict[str, Any] = {
            STATE_KEY: key,
            "value": staged.value,
            "applied": {str(origin): str(position) for origin, position in staged.applied.items()},
            "revision": staged.revision,
        }
        if staged.parked is not None:
            item["parked"] = _mark_item(staged.parked)
        condition, values = _condition(before)
        self._write(key, "put_item", {"Item": to_attributes(item)}, condition, values)

    def _mark(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Write a key's mark and its revision, and leave the rest of its item as it is."""
        condition, values = _condition(before)
        values[":next"] = staged.revision
        changes = "SET revision = :next"
        if before is None or before.former is not None:  # without positions it is no item of this release
            changes += ", applied = :none"
            values[":none"] = {}
        if staged.parked is None:
            changes += " REMOVE parked"
        else:
            changes += ", parked = :parked"
            values[":parked"] = _mark_item(staged.parked)
        self._write(
            key, "update_item", {"Key": to_attributes({STATE_KEY: key}), "UpdateExpression": changes}, condition, values
        )

    def begin_anew(self, key: str, before: Stored) -> None:
        """Remove a parked key's value, once; its mark and its positions stay.

        Raises:
            StateConflictError: The item has another revision now.
            CloudError: DynamoDB does not answer.
        """
        if before.parked is None or before.parked.begun_anew:
            return
        condition, values = _condition(before)
        parked = before.parked._replace(fault=f"{BEGUN_ANEW}{before.parked.fault}"[:FAULT_CHARACTERS])
        values[":parked"] = _mark_item(parked)
        values[":next"] = before.revision + 1
        values[":applied"] = {str(origin): str(position) for origin, position in before.applied.items()}
        self._write(
            key,
            "update_item",
            {
                "Key": to_attributes({STATE_KEY: key}),
                "UpdateExpression": "SET revision = :next, applied = :applied, parked = :parked REMOVE #value",
                "ExpressionAttributeNames": {"#value": "value"},  # a reserved word of DynamoDB's
            },
            condition,
            values,
        )

    def _write(
        self, key: str, operation: str, request: Mapping[str, Any], condition: str, values: Mapping[str, Any]
    ) -> None:
        """Write one item under a condition."""
        if values:
            request = {**request, "ExpressionAttributeValues": to_attributes(values)}
        dynamodb = aws.client("dynamodb")
        with aws.explaining(f"state table {self._table}"):
            try:
                getattr(dynamodb, operation)(TableName=self._table, ConditionExpression=condition, **request)
            except dynamodb.exceptions.ConditionalCheckFailedException as error:
                raise StateConflictError(f"state of {key!r} in {self._table}: another writer was first") from error


def stored_of(item: Mapping[str, Any]) -> Stored:
    """Return the state in an item, of this release or an earlier one.

    Raises:
        ValueError: It is no item of a state.
    """
    try:
        if "revision" not in item:
            former = str(item["sequence_number"]), int(item["sub_sequence_number"])
            return Stored(bytes(item["value"]), {}, 0, former)
        applied = {ShardOrigin.parse(origin): Position.parse(last) for origin, last in item["applied"].items()}
        value = bytes(item["value"]) if "value" in item else None
        return Stored(value, applied, int(item["revision"]), parked=_mark_of(item))
    except (ArithmeticError, AttributeError, KeyError, TypeError) as error:
        raise ValueError("no item of a state") from error


def _damaged(item: Mapping[str, Any], table: str) -> Stored:
    """Return what can be read of a damaged item: its revision and its mark."""
    fault = UnreadableStateError(
        f"state of {item[STATE_KEY]!r} in {table}: no item of a state: is the table also used for something else?"
    )
    try:
        return Stored(None, {}, int(item.get("revision", 0)), parked=_mark_of(item), fault=fault)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return Stored(None, {}, 0, fault=fault)


def _mark_item(parked: Parked) -> dict[str, Any]:
    shards = {str(origin): f"{waiting.behind} {waiting.last}" for origin, waiting in parked.shards.items()}
    held = {"held_until": parked.held_until_s} if parked.held_until_s else {}
    return {"fault": parked.fault, "since": parked.since, "records": parked.records, "shards": shards, **held}


def _mark_of(item: Mapping[str, Any]) -> Parked | None:
    """Return an item's mark, if it has one."""
    mark = item.get("parked")
    if mark is None:
        return None
    shards = {}
    for origin, bounds in mark["shards"].items():
        behind, _, last = bounds.partition(" ")
        shards[ShardOrigin.parse(origin)] = Waiting(Position.parse(behind), Position.parse(last))
    return Parked(str(mark["fault"]), str(mark["since"]), shards, int(mark["records"]), int(mark.get("held_until", 0)))


def _condition(before: Stored | None) -> tuple[str, dict[str, Any]]:
    """Return the condition that fails if another writer was first, and the values in it."""
    if before is None:
        return f"attribute_not_exists({STATE_KEY})", {}
    if before.former is not None:
        sequence_number, sub_sequence_number = before.former
        values = {":sequence": sequence_number, ":sub": sub_sequence_number}
        return "attribute_not_exists(revision) AND sequence_number = :sequence AND sub_sequence_number = :sub", values
    if before.fault is not None and before.parked is None:  # its revision may be what is damaged
        return f"attribute_exists({STATE_KEY}) AND attribute_not_exists(parked)", {}
    return "revision = :revision", {":revision": before.revision}


def create_state_table(table: str, wait_s: int = WAIT_S) -> bool:
    """Create a table for `STATE_TABLE`, paid by the request, and wait until it is active.

    Returns:
        False when the table existed.

    Raises:
        CloudError: It does not become active in time, or cannot be created, or exists with another key.
    """
    dynamodb = aws.client("dynamodb")
    made = True
    with aws.explaining(f"state table {table}"):
        try:
            dynamodb.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": STATE_KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": STATE_KEY, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
        except dynamodb.exceptions.ResourceInUseException:
            made = False
        waiter = dynamodb.get_waiter("table_exists")
        waiter.wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": wait_s})
        keys = dynamodb.describe_table(TableName=table)["Table"]["KeySchema"]
    if [key["AttributeName"] for key in keys] != [STATE_KEY]:
        raise CloudError(f"state table {table}: its key is not {STATE_KEY} alone; give another name")
    return made
