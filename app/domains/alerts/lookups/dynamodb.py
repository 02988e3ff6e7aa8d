"""Corrections in a DynamoDB table, shared by every process that labels alerts.

The table's partition key is the string `alert`: the SHA-256 of the correction's key, since a text may be longer than
DynamoDB's keys. One more item counts updates (`version`, by which processes learn that their caches are old) and rows,
and names the tenants that have corrections of their own.

An update has these steps. A crash after any of them loses nothing:

1. Add the number of corrections to `rows`: an estimate that is never too small; and their tenants to `tenants`.
2. Put each correction, on condition that the table has none newer. After a crash, the next try puts the rest.
3. If the estimate exceeds the limit, read all times, delete the oldest rows and set `rows` to the true count. After a
   crash, the next update that exceeds the limit does so.
4. Add 1 to `version`. After a crash before it, processes see the new rows once their caches expire.
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
from app.domains.alerts.lookups.corrections import LOOKUP_ROWS, Correction, beyond
from app.errors import CloudError
from app.storage.items import from_attributes, get_items, pause, to_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

PARTITION_KEY = "alert"
COUNTERS = "#counters"
"""Key of the item with the counters; no digest contains a `#`."""

_CONCURRENT_PUTS = 10  # botocore pools ten connections; more puts would wait for one
_MOST_THROTTLED_TRIES = 6  # about three seconds with the pauses between them; then the update fails and can be retried
_NEWER = "attribute_not_exists(alert) OR #time < :time OR (#time = :time AND techniques <= :techniques)"
_TECHNIQUES = msgspec.json.Decoder(tuple[str, ...])


def digest(key: str) -> str:
    """Return the item's key for a correction's."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class DynamoDbCorrections:
    """Corrections in a DynamoDB table, at most `most` of them."""

    rejected = ()  # an item that is no correction is an error

    def __init__(self, table: str, most: int = LOOKUP_ROWS) -> None:
        """Use a table, which is called when it is needed."""
        self.most = most
        self._table = table
        self._what = f"lookup table {table}"
        self._tenants: frozenset[str] = frozenset()

    def version(self) -> str:
        """Return the number of updates.

        Raises:
            CloudError: DynamoDB does not answer, or the table does not exist.
        """
        for item in get_items(self._table, [{PARTITION_KEY: COUNTERS}], self._what):
            self._tenants = frozenset(item.get("tenants", ()))
            return str(item.get("version", 0))
        self._tenants = frozenset()
        return "0"

    def tenants(self) -> frozenset[str]:
        """Return the tenants that had corrections of their own when the version was last asked for."""
        return self._tenants

    def load(self, keys: Iterable[str]) -> Mapping[str, Correction]:
        """Return the corrections of those keys that have one.

        Raises:
            CloudError: DynamoDB does not answer, or an item is no correction.
        """
        items = [{PARTITION_KEY: digest(key)} for key in dict.fromkeys(keys)]
        found = [_correction(item, self._what) for item in get_items(self._table, items, self._what)]
        return {each.key: each for each in found}

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        """Write corrections, and delete the oldest ones beyond `most`.

        Concurrent updates may leave a few more rows than that until the next one.

        Args:
            corrections: Checked ones, each key once.

        Returns:
            The keys for which the table has a newer correction; nothing was written for these.

        Raises:
            CloudError: DynamoDB does not answer or refuses; some may be written. The same call may be repeated.
        """
        if not corrections:
            return frozenset()
        tenants = {each.tenant for each in corrections if each.tenant}
        rows = int(self._count("ADD #rows :some", len(corrections), tenants)["rows"])
        with ThreadPoolExecutor(_CONCURRENT_PUTS) as pool:
            written = list(pool.map(self._put, corrections))
        if rows > self.most:
            self._forget_oldest(rows)
        self._count("ADD version :some", 1)
        return frozenset(each.key for each, is_written in zip(corrections, written, strict=True) if not is_written)

    def remove(self, key: str) -> bool:
        """Remove the correction of a key; return whether there was one.

        Raises:
            CloudError: DynamoDB does not answer or refuses. The same call may be repeated.
        """
        is_removed = self._under_condition(
            "delete_item", "#time >= :earliest", {":earliest": 0}, Key=to_attributes({PARTITION_KEY: digest(key)})
        )
        self._count("ADD version :some", 1)  # also where a try before has removed it and did not come to say so
        return is_removed

    def _put(self, correction: Correction) -> bool:
        time, techniques = Decimal(repr(correction.time)), correction.techniques_json()
        item = {
            PARTITION_KEY: digest(correction.key),
            "text": correction.text,
            "techniques": techniques,
            "time": time,
            "author": correction.author,
            "confidence": Decimal(repr(correction.confidence)),
            "rule": correction.rule,
            "override": correction.override,
        }
        if correction.tenant:
            item["tenant"] = correction.tenant
        return self._under_condition(
            "put_item", _NEWER, {":time": time, ":techniques": techniques}, Item=to_attributes(item)
        )

    def _forget_oldest(self, rows: int) -> None:
        ages = [(item.get("tenant", ""), (item["time"], item[PARTITION_KEY])) for item in self._scan()]
        surplus = beyond(ages, self.most)
        with ThreadPoolExecutor(_CONCURRENT_PUTS) as pool:
            list(pool.map(self._delete, surplus))
        # If another update has added to the estimate meanwhile, it stays too large and that update counts again.
        self._under_condition(
            "update_item",
            "#rows = :then",
            {":now": len(ages) - len(surplus), ":then": rows},
            Key=to_attributes({PARTITION_KEY: COUNTERS}),
            UpdateExpression="SET #rows = :now",
        )

    def _delete(self, age: tuple[Decimal, str]) -> None:
        """Delete a row, unless it was replaced since its time was read."""
        time, key = age
        self._under_condition("delete_item", "#time = :time", {":time": time}, Key=to_attributes({PARTITION_KEY: key}))

    def _scan(self) -> Iterator[dict[str, Any]]:
        names = {"#time": "time", "#alert": PARTITION_KEY, "#tenant": "tenant"}
        with aws.explaining(self._what):
            pages = aws.client("dynamodb").get_paginator("scan")
            for page in pages.paginate(
                TableName=self._table,
                ProjectionExpression="#alert, #time, #tenant",
                FilterExpression="attribute_type(#time, :number)",
                ExpressionAttributeValues=to_attributes({":number": "N"}),
                ExpressionAttributeNames=names,
                ConsistentRead=True,
            ):
                yield from map(from_attributes, page["Items"])

    def _count(self, expression: str, some: int, tenants: AbstractSet[str] = frozenset()) -> dict[str, Any]:
        """Add to a counter, and to the tenants with corrections of their own."""
        values = to_attributes({":some": some})
        if tenants:
            expression += ", tenants :tenants"
            values |= to_attributes({":tenants": tenants})
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
        """Call DynamoDB, again after a pause while throttled; return whether the condition held."""
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
                if code not in aws.PASSING or throttled > _MOST_THROTTLED_TRIES:
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
            item.get("rule", ""),  # items from before corrections of rules have neither
            bool(item.get("override", False)),
            item.get("tenant", ""),
        )
    except (KeyError, TypeError, ValueError, msgspec.DecodeError, RecursionError) as error:
        key = item.get(PARTITION_KEY)
        raise CloudError(f"{what}: item {key} is no correction ({type(error).__name__}): delete it") from None
