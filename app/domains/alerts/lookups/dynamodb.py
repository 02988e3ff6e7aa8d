"""Corrections in a DynamoDB table, shared by every process that labels alerts.

The table's partition key is the string `alert`: the SHA-256 of the folded text, which itself may be longer than a key
may be. One more item counts updates (`version`, by which a process learns that what it remembers is old) and rows.

What an update does, and what a crash after each step leaves:

1. It adds the number of its corrections to `rows`: an estimate that is never too small.
2. It puts each correction under the condition that the table has nothing newer: the rest comes with the next try.
3. If the estimate is over the bound, it reads all times, deletes the oldest rows and sets `rows` to what there is: the
   next update that finds the estimate over the bound does it.
4. It adds 1 to `version`. Without it, processes see the new rows when what they remember is too old in any case.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.domains.alerts.lookups.corrections import LOOKUP_ROWS, Correction
from app.errors import CloudError
from app.storage.items import from_attributes, get_items, pause, to_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

PARTITION_KEY = "alert"
COUNTERS = "#counters"
"""The key of the item that counts; no digest has a `#`."""

_PUTS_SIDE_BY_SIDE = 10  # botocore keeps ten connections; more would wait for one
_THROTTLED_PUTS = 6  # with the pauses between them about three seconds, then the update fails and may come again
_NEWER = "attribute_not_exists(alert) OR #time < :time OR (#time = :time AND techniques <= :techniques)"
_TECHNIQUES = msgspec.json.Decoder(tuple[str, ...])


def digest(text: str) -> str:
    """The key of a folded text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class DynamoDbCorrections:
    """Corrections in a DynamoDB table, at most `most` of them."""

    def __init__(self, table: str, most: int = LOOKUP_ROWS) -> None:
        """Opens a table; nothing is called yet."""
        self.most = most
        self._table = table
        self._what = f"lookup table {table}"

    def version(self) -> str:
        """How many updates there were.

        Raises:
            CloudError: DynamoDB does not answer, or there is no such table.
        """
        for item in get_items(self._table, [{PARTITION_KEY: COUNTERS}], self._what):
            return str(item.get("version", 0))
        return "0"

    def load(self, texts: Iterable[str]) -> Mapping[str, Correction]:
        """The corrections of those folded texts that have one.

        Raises:
            CloudError: DynamoDB does not answer, or an item is not one of these.
        """
        keys = [{PARTITION_KEY: digest(text)} for text in dict.fromkeys(texts)]
        found = [_correction(item, self._what) for item in get_items(self._table, keys, self._what)]
        return {each.text: each for each in found}

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        """Writes corrections, and forgets the oldest beyond the bound.

        Several updates at once may leave a few rows more than the bound, until the next one.

        Args:
            corrections: Checked ones, each text once.

        Returns:
            The texts of which the table holds something newer; of those nothing was written.

        Raises:
            CloudError: DynamoDB does not answer or refuses; some may be written. The same corrections may come again.
        """
        if not corrections:
            return frozenset()
        rows = int(self._count("ADD #rows :some", len(corrections))["rows"])
        with ThreadPoolExecutor(_PUTS_SIDE_BY_SIDE) as pool:
            written = list(pool.map(self._put, corrections))
        if rows > self.most:
            self._forget_oldest(rows)
        self._count("ADD version :some", 1)
        return frozenset(each.text for each, is_written in zip(corrections, written, strict=True) if not is_written)

    def _put(self, correction: Correction) -> bool:
        time, techniques = Decimal(repr(correction.time)), correction.written()
        item = {
            PARTITION_KEY: digest(correction.text),
            "text": correction.text,
            "techniques": techniques,
            "time": time,
            "author": correction.author,
            "confidence": Decimal(repr(correction.confidence)),
        }
        return self._under_condition(
            "put_item", _NEWER, {":time": time, ":techniques": techniques}, Item=to_attributes(item)
        )

    def _forget_oldest(self, rows: int) -> None:
        ages = sorted((item["time"], item[PARTITION_KEY]) for item in self._scan())
        surplus = ages[: max(0, len(ages) - self.most)]
        with ThreadPoolExecutor(_PUTS_SIDE_BY_SIDE) as pool:
            list(pool.map(self._delete, surplus))
        # Another update may have added to the estimate meanwhile: then it stays too large, and that one looks again.
        self._under_condition(
            "update_item",
            "#rows = :then",
            {":now": len(ages) - len(surplus), ":then": rows},
            Key=to_attributes({PARTITION_KEY: COUNTERS}),
            UpdateExpression="SET #rows = :now",
        )

    def _delete(self, age: tuple[Decimal, str]) -> None:
        """Deletes a row, unless it was corrected since its time was read."""
        time, key = age
        self._under_condition("delete_item", "#time = :time", {":time": time}, Key=to_attributes({PARTITION_KEY: key}))

    def _scan(self) -> Iterator[dict[str, Any]]:
        names = {"#time": "time", "#alert": PARTITION_KEY}
        with aws.explaining(self._what):
            pages = aws.client("dynamodb").get_paginator("scan")
            for page in pages.paginate(
                TableName=self._table,
                ProjectionExpression="#alert, #time",
                FilterExpression="attribute_type(#time, :number)",
                ExpressionAttributeValues=to_attributes({":number": "N"}),
                ExpressionAttributeNames=names,
                ConsistentRead=True,
            ):
                yield from map(from_attributes, page["Items"])

    def _count(self, expression: str, some: int) -> dict[str, Any]:
        values = to_attributes({":some": some})
        request: dict[str, Any] = {"UpdateExpression": expression, "ExpressionAttributeValues": values}
        if "#rows" in expression:
            request["ExpressionAttributeNames"] = {"#rows": "rows"}
        key = to_attributes({PARTITION_KEY: COUNTERS})
        with aws.explaining(self._what):
            answer = aws.client("dynamodb").update_item(
                TableName=self._table, Key=key, ReturnValues="UPDATED_NEW", **request
            )
        return from_attributes(answer["Attributes"])

    def _under_condition(
        self,
        call: str,
        condition: str,
        values: Mapping[str, Any],
        **request: Any,  # noqa: ANN401 - botocore's own request
    ) -> bool:
        """Calls, again after a pause while it is throttled, and says whether the condition held."""
        expressions = condition + request.get("UpdateExpression", "")
        request |= {
            "ConditionExpression": condition,
            "ExpressionAttributeValues": to_attributes(values),
            "ExpressionAttributeNames": {f"#{name}": name for name in ("time", "rows") if f"#{name}" in expressions},
        }
        for throttled in count(1):
            try:
                getattr(aws.client("dynamodb"), call)(TableName=self._table, **request)
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                if code == "ConditionalCheckFailedException":
                    return False
                if code not in aws.PASSING or throttled > _THROTTLED_PUTS:
                    raise aws.explained(error, self._what) from error
            except BotoCoreError as error:
                raise aws.explained(error, self._what) from error
            else:
                return True
            pause(throttled)
        raise AssertionError  # the loop has no end of its own


def _correction(item: dict[str, Any], what: str) -> Correction:
    try:
        return Correction(
            item["text"],
            _TECHNIQUES.decode(item["techniques"]),
            float(item["time"]),
            item["author"],
            float(item["confidence"]),
        )
    except (KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
        key = item.get(PARTITION_KEY)
        raise CloudError(f"{what}: item {key} is no correction ({type(error).__name__}): delete it") from None
