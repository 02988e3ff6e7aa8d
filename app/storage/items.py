"""Items of a DynamoDB table by their keys, many at a time."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_BATCH_GET_ITEMS = 100  # BatchGetItem's own limit
_THROTTLED_CALLS = 6  # with the pauses between them about three seconds: the batch comes again anyway
_PAUSE_BASE_S = 0.05  # a throttled table frees up within a second


def get_items(table: str, keys: Iterable[Mapping[str, Any]], what: str) -> Iterator[dict[str, Any]]:
    """Reads items consistently, in calls of 100, and again those that DynamoDB leaves unprocessed.

    It leaves items since an answer has at most 16 MB, or since the table is throttled: then nothing comes, and the next
    call is made after a pause.

    Args:
        table: The table's name.
        keys: The items' keys, in DynamoDB's own form, each once.
        what: What is read, for messages: `state table bikes`, say.

    Yields:
        The items that there are, in no order.

    Raises:
        CloudError: DynamoDB does not answer, refuses, or is throttled for longer than a few seconds.
    """
    wanted = list(keys)
    throttled = 0
    while wanted:
        now, wanted = wanted[:_BATCH_GET_ITEMS], wanted[_BATCH_GET_ITEMS:]
        try:
            answer = aws.client("dynamodb").batch_get_item(RequestItems={table: {"Keys": now, "ConsistentRead": True}})
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, what) from error
        yield from answer["Responses"].get(table, [])
        left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        throttled = throttled + 1 if len(left) == len(now) else 0
        if throttled > _THROTTLED_CALLS:
            raise CloudError(f"{what}: throttled; give it more read capacity")
        if throttled:
            pause(throttled)
        wanted += left


def pause(throttled: int) -> None:
    """Waits a random while, longer with each call that was throttled before."""
    time.sleep(random.uniform(0, _PAUSE_BASE_S * 2**throttled))  # noqa: S311 - no secret
