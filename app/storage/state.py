"""State of pipelines by state key, written under a condition so that a repeated batch changes nothing.

A state key (a tenant, say) carries its value and, for each shard that it had records of, the position of the last one
applied. A record is compared only with a record of its own shard, in one life of one stream: anything else says nothing
about whether it was applied. Each commit counts the key's revision up and names the revision that it started from; when
another writer was there first it fails and writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from app.errors import CloudError, StateConflictError, StateTooLargeError, UnreadableStateError
from app.storage.items import get_items, to_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STATE_KEY = "state_key"  # the table's partition key, a string
WAIT_S = 60  # a new table is active after some ten seconds
LARGEST_VALUE_BYTES = 375_000  # an item takes 400 KB with its names, its key and its positions
MOST_SHARDS = 100  # positions of a key, 12 KB; a key has more only if producers spread it by explicit hash keys


class Position(NamedTuple):
    """A record's position in its shard: its sequence number, and its index in an aggregated record (0 otherwise)."""

    sequence_number: int
    sub_sequence_number: int = 0

    def __str__(self) -> str:
        """Return the text that is stored; a sequence number has up to 56 digits, too many for DynamoDB's numbers."""
        return f"{self.sequence_number}/{self.sub_sequence_number}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position that `str` wrote.

        Raises:
            ValueError: It is none.
        """
        sequence_number, _, sub_sequence_number = text.partition("/")
        return cls(int(sequence_number), int(sub_sequence_number))


class ShardOrigin(NamedTuple):
    """A shard in one life of its stream: within it, and nowhere else, positions can be compared.

    Attributes:
        stream_arn: The stream's ARN.
        created_ms: When the stream was created, milliseconds since 1970: one made anew has the same ARN.
        shard: The shard's id.
    """

    stream_arn: str
    created_ms: int
    shard: str

    def __str__(self) -> str:
        """Return the text that is stored."""
        return f"{self.stream_arn}@{self.created_ms}/{self.shard}"

    @classmethod
    def parse(cls, text: str) -> ShardOrigin:
        """Return the shard that `str` wrote.

        Raises:
            ValueError: It is none.
        """
        stream, _, shard = text.rpartition("/")
        stream_arn, _, created_ms = stream.rpartition("@")
        return cls(stream_arn, int(created_ms), shard)


class Stored(NamedTuple):
    """A state key's value, and what was applied to it.

    Attributes:
        value: The value.
        applied: The position of the last record applied, by shard.
        revision: The number of commits; 0 for an item of an earlier release, whose position named no shard.
        former: The position in such an item, which stands for its revision.
    """

    value: bytes
    applied: Mapping[ShardOrigin, Position] = {}
    revision: int = 1
    former: tuple[str, int] | None = None

    def has_applied(self, origin: ShardOrigin | None, position: Position) -> bool:
        """Return whether a record was applied; False where it cannot be compared with any that was."""
        last = self.applied.get(origin) if origin else None
        return last is not None and position <= last

    def after(self, value: bytes, applied: Mapping[ShardOrigin, Position]) -> Stored:
        """Return the state after further records: their value, and the last position of each of their shards."""
        latest = {**self.applied, **applied}
        created = {origin.stream_arn: 0 for origin in latest}
        for origin in latest:
            created[origin.stream_arn] = max(created[origin.stream_arn], origin.created_ms)
        latest = {each: last for each, last in latest.items() if each.created_ms == created[each.stream_arn]}
        while len(latest) > MOST_SHARDS:
            del latest[min(latest.keys() - applied.keys(), key=latest.__getitem__, default=next(iter(latest)))]
        return Stored(value, latest, self.revision + 1)


class StateStore(Protocol):
    """Keeps state between batches."""

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one, read consistently."""

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Write a key's state if it still has the revision of `before` (None: the key has no state yet).

        Raises:
            StateConflictError: The revision is another one now; nothing was written.
            StateTooLargeError: The value is larger than the store takes.
        """


class MemoryState:
    """State in a dictionary, for tests and for one process on a laptop; it is lost with the process."""

    def __init__(self) -> None:
        """Start empty."""
        self.stored: dict[str, Stored] = {}

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one."""
        return {key: self.stored[key] for key in keys if key in self.stored}

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Write a key's state under the condition."""
        now = self.stored.get(key)
        if (now and now.revision) != (before and before.revision):
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
                loaded[key] = stored_of(item)
            except ValueError:
                raise UnreadableStateError(
                    f"state of {key!r} in {self._table}: no item of a state: is the table also used for something else?"
                ) from None
        return loaded

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Put the item under a condition on the revision that it had when it was read.

        Raises:
            StateConflictError: The item has another revision now.
            StateTooLargeError: The value is larger than an item may be.
            CloudError: DynamoDB does not answer.
        """
        if len(staged.value) > LARGEST_VALUE_BYTES:
            raise StateTooLargeError(
                f"state of {key!r} has {len(staged.value)} bytes, more than an item of {self._table} takes: "
                "set STATE_LOCATION to a folder or s3://… for it"
            )
        item = {
            STATE_KEY: key,
            "value": staged.value,
            "applied": {str(origin): str(position) for origin, position in staged.applied.items()},
            "revision": staged.revision,
        }
        from app import aws  # noqa: PLC0415 - a test kit has services of its own, and needs nothing of AWS

        dynamodb = aws.client("dynamodb")
        with aws.explaining(f"state table {self._table}"):
            try:
                dynamodb.put_item(TableName=self._table, Item=to_attributes(item), **_condition(before))
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
        return Stored(bytes(item["value"]), applied, int(item["revision"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("no item of a state") from error


def _condition(before: Stored | None) -> dict[str, Any]:
    """Return the arguments of PutItem that make it fail if another writer was first."""
    if before is None:
        return {"ConditionExpression": f"attribute_not_exists({STATE_KEY})"}
    if before.former is not None:
        sequence_number, sub_sequence_number = before.former
        values = {":sequence": sequence_number, ":sub": sub_sequence_number}
        condition = "attribute_not_exists(revision) AND sequence_number = :sequence AND sub_sequence_number = :sub"
    else:
        values, condition = {":revision": before.revision}, "revision = :revision"
    return {"ConditionExpression": condition, "ExpressionAttributeValues": to_attributes(values)}


def create_state_table(table: str, wait_s: int = WAIT_S) -> bool:
    """Create a table for `STATE_TABLE`, paid by the request, and wait until it is active.

    Returns:
        False when the table existed.

    Raises:
        CloudError: It does not become active in time, or cannot be created, or exists with another key.
    """
    from app import aws  # noqa: PLC0415 - as above

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
