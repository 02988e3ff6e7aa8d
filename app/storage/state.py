"""State of pipelines, by state key, written under a condition so that a repeated batch changes nothing.

A state key (a tenant, say) carries its value and the position of the last record applied to it. A commit names the
position it started from; when another writer was there first it fails and writes nothing. Sequence numbers grow
along a partition key through every reshard, so a position is comparable for the whole life of a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.errors import CloudError, StateConflictError
from app.storage.items import get_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LARGEST_VALUE_BYTES = 390_000  # an item takes 400 KB with its names, its key and its position


class Position(NamedTuple):
    """Where a record stands: its sequence number, and its place in an aggregated record (0 otherwise)."""

    sequence_number: int
    sub_sequence_number: int = 0


class Stored(NamedTuple):
    """A state key's value, and the last position applied to it."""

    value: bytes
    last: Position


class StateStore(Protocol):
    """Where staged state is kept between batches."""

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """The stored state of those keys that have one, read consistently."""

    def commit(self, key: str, staged: Stored, expected: Position | None) -> None:
        """Writes a key's state if its last position still is `expected` (None: there was no state yet).

        Raises:
            StateConflictError: It is not; nothing was written.
        """


class MemoryState:
    """State in a dictionary: for tests and for one process on a laptop. It is gone with the process."""

    def __init__(self) -> None:
        """Starts empty."""
        self.stored: dict[str, Stored] = {}

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """The stored state of those keys that have one."""
        return {key: self.stored[key] for key in keys if key in self.stored}

    def commit(self, key: str, staged: Stored, expected: Position | None) -> None:
        """Writes a key's state under the condition."""
        now = self.stored.get(key)
        if (now.last if now else None) != expected:
            raise StateConflictError(f"state of {key!r}: another writer was first")
        self.stored[key] = staged


class DynamoDbState:
    """State in a DynamoDB table whose partition key is the string `state_key`."""

    def __init__(self, table: str) -> None:
        """Opens a table; nothing is called yet."""
        self._table = table

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Reads keys in calls of 100; see `get_items`.

        Raises:
            CloudError: DynamoDB does not answer, or an item is none that `commit` has written.
        """
        loaded: dict[str, Stored] = {}
        wanted = [{"state_key": {"S": key}} for key in dict.fromkeys(keys)]
        for item in get_items(self._table, wanted, f"state table {self._table}"):
            key = item["state_key"]["S"]
            try:
                last = Position(int(item["sequence_number"]["S"]), int(item["sub_sequence_number"]["N"]))
                loaded[key] = Stored(item["value"]["B"], last)
            except (KeyError, ValueError):
                raise CloudError(
                    f"state of {key!r} in {self._table}: no item of a state: is the table also used for something else?"
                ) from None
        return loaded

    def commit(self, key: str, staged: Stored, expected: Position | None) -> None:
        """Puts the item under a condition on the position that it had when it was read.

        Raises:
            StateConflictError: It has another one now.
            CloudError: The value is larger than an item may be, or DynamoDB does not answer.
        """
        if len(staged.value) > LARGEST_VALUE_BYTES:
            raise CloudError(
                f"state of {key!r} has {len(staged.value)} bytes, more than an item of {self._table} takes: "
                "set STATE_LOCATION to a folder or s3://… for it"
            )
        item = {
            "state_key": {"S": key},
            "value": {"B": staged.value},
            # A sequence number has up to 56 digits, more than DynamoDB's 38 for a number.
            "sequence_number": {"S": str(staged.last.sequence_number)},
            "sub_sequence_number": {"N": str(staged.last.sub_sequence_number)},
        }
        condition: dict[str, object] = {"ConditionExpression": "attribute_not_exists(state_key)"}
        if expected is not None:
            condition = {
                "ConditionExpression": "sequence_number = :sequence AND sub_sequence_number = :sub",
                "ExpressionAttributeValues": {
                    ":sequence": {"S": str(expected.sequence_number)},
                    ":sub": {"N": str(expected.sub_sequence_number)},
                },
            }
        dynamodb = aws.client("dynamodb")
        try:
            dynamodb.put_item(TableName=self._table, Item=item, **condition)
        except dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise StateConflictError(f"state of {key!r} in {self._table}: another writer was first") from error
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"state table {self._table}") from error
