"""State of pipelines by state key, written under a condition so that a repeated batch changes nothing.

A state key (a tenant, say) carries its value and the position of the last record applied to it. A commit names the
position it started from; when another writer was there first it fails and writes nothing. Sequence numbers grow
along a partition key through every reshard, so a position is comparable for the whole life of a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from app import aws
from app.errors import CloudError, StateConflictError, UnreadableStateError
from app.storage.items import get_items, to_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STATE_KEY = "state_key"  # the table's partition key, a string
WAIT_S = 60  # a new table is active after some ten seconds
LARGEST_VALUE_BYTES = 390_000  # an item takes 400 KB with its names, its key and its position


class Position(NamedTuple):
    """A record's position: its sequence number, and its index in an aggregated record (0 otherwise)."""

    sequence_number: int
    sub_sequence_number: int = 0


class Stored(NamedTuple):
    """A state key's value, and the position of the last record applied to it."""

    value: bytes
    last: Position


class StateStore(Protocol):
    """Keeps state between batches."""

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one, read consistently."""

    def commit(self, key: str, staged: Stored, expected: Position | None) -> None:
        """Write a key's state if its last position still is `expected` (None: the key has no state yet).

        Raises:
            StateConflictError: The position is another one now; nothing was written.
        """


class MemoryState:
    """State in a dictionary, for tests and for one process on a laptop; it is lost with the process."""

    def __init__(self) -> None:
        """Start empty."""
        self.stored: dict[str, Stored] = {}

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one."""
        return {key: self.stored[key] for key in keys if key in self.stored}

    def commit(self, key: str, staged: Stored, expected: Position | None) -> None:
        """Write a key's state under the condition."""
        now = self.stored.get(key)
        if (now.last if now else None) != expected:
            raise StateConflictError(f"state of {key!r}: another writer was first")
        self.stored[key] = staged


class DynamoDbState:
    """State in a DynamoDB table with the partition key `STATE_KEY`."""

    def __init__(self, table: str) -> None:
        """Open a table; nothing is called yet."""
        self._table = table

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Read keys in calls of 100; see `get_items`.

        Raises:
            CloudError: DynamoDB does not answer.
            UnreadableStateError: `commit` has not written an item.
        """
        loaded: dict[str, Stored] = {}
        wanted = [{STATE_KEY: key} for key in dict.fromkeys(keys)]
        for item in get_items(self._table, wanted, f"state table {self._table}"):
            key = item[STATE_KEY]
            try:
                last = Position(int(item["sequence_number"]), int(item["sub_sequence_number"]))
                loaded[key] = Stored(bytes(item["value"]), last)
            except (KeyError, TypeError, ValueError):
                raise UnreadableStateError(
                    f"state of {key!r} in {self._table}: no item of a state: is the table also used for something else?"
                ) from None
        return loaded

    def commit(self, key: str, staged: Stored, expected: Position | None) -> None:
        """Put the item under a condition on the position that it had when it was read.

        Raises:
            StateConflictError: The item has another position now.
            CloudError: The value is larger than an item may be, or DynamoDB does not answer.
        """
        if len(staged.value) > LARGEST_VALUE_BYTES:
            raise CloudError(
                f"state of {key!r} has {len(staged.value)} bytes, more than an item of {self._table} takes: "
                "set STATE_LOCATION to a folder or s3://… for it"
            )
        item = {
            STATE_KEY: key,
            "value": staged.value,
            # A sequence number has up to 56 digits, more than DynamoDB's 38 for a number.
            "sequence_number": str(staged.last.sequence_number),
            "sub_sequence_number": staged.last.sub_sequence_number,
        }
        condition: dict[str, object] = {"ConditionExpression": f"attribute_not_exists({STATE_KEY})"}
        if expected is not None:
            values = {":sequence": str(expected.sequence_number), ":sub": expected.sub_sequence_number}
            condition = {
                "ConditionExpression": "sequence_number = :sequence AND sub_sequence_number = :sub",
                "ExpressionAttributeValues": to_attributes(values),
            }
        dynamodb = aws.client("dynamodb")
        with aws.explaining(f"state table {self._table}"):
            try:
                dynamodb.put_item(TableName=self._table, Item=to_attributes(item), **condition)
            except dynamodb.exceptions.ConditionalCheckFailedException as error:
                raise StateConflictError(f"state of {key!r} in {self._table}: another writer was first") from error


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
