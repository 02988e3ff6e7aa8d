"""Items of a DynamoDB table as plain Python values, read many at a time.

Numbers are `int` or `Decimal` to DynamoDB, never `float`; boto3's own types do the conversion.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from app.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_BATCH_GET_ITEMS = 100  # BatchGetItem's own limit
_THROTTLED_CALLS = 6  # with the pauses between them about three seconds: the batch comes again anyway
_PAUSE_BASE_S = 0.05  # a throttled table frees up within a second


def get_items(table: str, keys: Iterable[Mapping[str, Any]], what: str) -> Iterator[dict[str, Any]]:
    """Read items consistently, in calls of 100, and again those that DynamoDB leaves unprocessed.

    It leaves items because an answer has at most 16 MB, or because the table is throttled: then nothing comes, and the
    next call is made after a pause.

    Args:
        table: The table's name.
        keys: The items' keys, each once.
        what: What is read, for messages: `state table bikes`, say.

    Yields:
        The items that exist, in no order.

    Raises:
        CloudError: DynamoDB does not answer, refuses, or is throttled for longer than a few seconds.
    """
    from app import aws  # noqa: PLC0415 - a test kit has services of its own, and needs nothing of AWS

    wanted = [to_attributes(key) for key in keys]
    throttled = 0
    while wanted:
        now, wanted = wanted[:_BATCH_GET_ITEMS], wanted[_BATCH_GET_ITEMS:]
        with aws.explaining(what):
            answer = aws.client("dynamodb").batch_get_item(RequestItems={table: {"Keys": now, "ConsistentRead": True}})
        left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        found = answer.get("Responses", {})
        if table not in found and len(left) < len(now):  # else existing items would look absent
            raise CloudError(f"{what}: DynamoDB answers without the table: is AWS_ENDPOINT_URL its address?")
        for item in found.get(table, []):
            yield from_attributes(item)
        throttled = throttled + 1 if len(left) == len(now) else 0
        if throttled > _THROTTLED_CALLS:
            raise CloudError(f"{what}: throttled; give it more read capacity")
        if throttled:
            pause(throttled)
        wanted += left


def to_attributes(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return values as DynamoDB takes them: `{"rows": 5}` as `{"rows": {"N": "5"}}`.

    Raises:
        TypeError: A value is a float, or of another type that DynamoDB does not have.
    """
    from boto3.dynamodb.types import TypeSerializer  # noqa: PLC0415 - boto3 comes with the first client, not before

    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in values.items()}


def from_attributes(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an item's values: numbers as `Decimal`, binary ones as `bytes`."""
    from boto3.dynamodb.types import Binary, TypeDeserializer  # noqa: PLC0415 - as above

    deserialize = TypeDeserializer().deserialize
    values = {name: deserialize(value) for name, value in item.items()}
    return {name: bytes(value) if isinstance(value, Binary) else value for name, value in values.items()}


def pause(throttled: int) -> None:
    """Wait a random time, longer with each call that was throttled before."""
    time.sleep(random.uniform(0, _PAUSE_BASE_S * 2**throttled))  # noqa: S311 - no secret
