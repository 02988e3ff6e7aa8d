"""Checks of the state of pipelines: its table, its items, and the location for what an item cannot hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.doctor.finding import Finding, Severity, aws_command
from app.doctor.locations import bucket_for, examine_location
from app.errors import UnreadableStateError
from app.storage.items import from_attributes
from app.storage.spilling import object_of
from app.storage.state import LARGEST_VALUE_BYTES
from app.storage.state_table import STATE_KEY, stored_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from app.doctor.setup import Setup
    from app.storage.objects import Objects

NEAR = 0.75  # of the largest value: what grew that far grows further
SCANNED_PAGES = 10  # of 1 MB: a large table is looked at, not read, since DynamoDB charges for each byte
_SHOWN = 3  # keys that a finding names


@dataclass
class Items:
    """What was found among a table's items.

    Attributes:
        count: The number of items looked at.
        whole: Whether these were all.
        largest: The bytes of the largest value in an item, and its key.
        near: The keys of values that hardly fit an item.
        parked: By key whose records are set aside, why.
        unreadable: By key, why its state cannot be read.
        forms: The number of items in each form.
    """

    count: int = 0
    whole: bool = True
    largest: tuple[int, str] = (0, "")
    near: list[str] = field(default_factory=list)
    parked: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    forms: dict[str, int] = field(default_factory=dict)

    def take(self, item: Mapping[str, Any], objects: Objects | None) -> None:
        """Look at one item; `objects` is the location for what an item cannot hold."""
        key = str(item[STATE_KEY])
        self.count += 1
        if "parked" in item:
            mark = item["parked"]
            self.parked[key] = str(mark.get("fault", "")) if isinstance(mark, dict) else ""
            return
        try:
            stored = stored_of(item)
            value = stored.value or b""
            name = object_of(key, value)
        except (UnreadableStateError, ValueError) as error:
            self.unreadable[key] = str(error)
            return
        form = "this release" if stored.former is None else "an earlier release"
        self.forms[form] = self.forms.get(form, 0) + 1
        self.largest = max(self.largest, (len(value), key))
        if len(value) >= NEAR * LARGEST_VALUE_BYTES:
            self.near.append(key)
        if name is not None and objects is None:
            self.unreadable[key] = "is an object, and STATE_LOCATION is not set or cannot be used"
        elif name is not None and objects is not None and not objects.exists(name):
            self.unreadable[key] = f"{objects.root}/{name} is not there"


def examine_state(setup: Setup) -> Iterator[str | Finding]:
    """Check the table and the location that a process keeps state in, as they are now."""
    settings = setup.settings
    objects = None
    if settings.state_location:
        why = "a state that is too large for an item cannot be committed, and holds up its key"
        objects = yield from examine_location(setup, "STATE_LOCATION", why)
    items = None
    if settings.state_table:
        where = f"state table {settings.state_table}"
        problem = _problem_of(settings.state_table)
        if problem is not None:
            yield problem
        else:
            try:
                items = scan(settings.state_table, objects)
            except (BotoCoreError, ClientError) as error:
                why = "whether its states fit their items was not checked"
                said = str(aws.explained(error, where))
                yield Finding(Severity.INFO, where, said, why, "allow dynamodb:Scan on it, for whoever runs the doctor")
    if items is not None:
        some = "" if items.whole else " (a part of them)"
        yield f"{where}: ACTIVE, {items.count} item(s) looked at{some}, the largest has {items.largest[0]} bytes"
        yield from examine_items(items, where, has_location=bool(settings.state_location))
    yield from examine_growth(setup, items)


def examine_growth(setup: Setup, items: Items | None = None) -> Iterator[Finding]:
    """Find pipelines whose state may outgrow an item, as they are set up; `items` if the table was looked at."""
    settings = setup.settings
    if setup.stateful and settings.state_table and not settings.state_location:
        size, key = items.largest if items is not None else (0, "")
        largest = f"; the largest now, of {key!r}, has {size}" if key else ""
        yield Finding(
            Severity.WARNING,
            setup.where,
            f"STATE_LOCATION is not set, and {', '.join(setup.stateful)} keeps state",
            f"a state that outgrows {LARGEST_VALUE_BYTES} bytes cannot be committed, and its key waits{largest}",
            setup.change(STATE_LOCATION=bucket_for("STATE_LOCATION")),
        )


def examine_items(items: Items, where: str, *, has_location: bool) -> Iterator[Finding]:
    """Find states that cannot be read or written, or soon will not be."""
    table = where.rpartition(" ")[2]
    if items.unreadable:
        key, reason = next(iter(items.unreadable.items()))
        yield Finding(
            Severity.ERROR,
            where,
            f"{len(items.unreadable)} state(s) cannot be read: {_named(items.unreadable)}: {reason}",
            "the records of such a key are held up",
            "restore the item or its object; to begin the key anew: "
            + aws_command("dynamodb", "DeleteItem", TableName=table, Key={STATE_KEY: {"S": key}}),
        )
    if items.parked:
        reason = "".join(f": {each}" for each in list(items.parked.values())[:1] if each)
        yield Finding(
            Severity.WARNING,
            where,
            f"{len(items.parked)} key(s) are parked: {_named(items.parked)}{reason}",
            "their records are set aside in order, and wait until the key is mended",
            "mend the state (the log says what is wrong with it), then replay what was set aside: "
            "millrace quarantine list",
        )
    if items.near and not has_location:
        yield Finding(
            Severity.WARNING,
            where,
            f"{len(items.near)} state(s) are close to the limit of {LARGEST_VALUE_BYTES} bytes: {_named(items.near)}",
            "what outgrows it cannot be committed, and holds up its key",
            "set STATE_LOCATION to s3://BUCKET/PREFIX",
        )
    if len(items.forms) > 1:
        counts = ", ".join(f"{count} of {form}" for form, count in items.forms.items())
        yield Finding(
            Severity.WARNING,
            where,
            f"has states in two forms: {counts}",
            "this release reads both, and writes a key's state anew with its next record; an earlier one cannot read "
            "what this one wrote",
            "bring each function with this table to the same release",
        )


def scan(table: str, objects: Objects | None) -> Items:
    """Look at the first items of a table.

    Raises:
        BotoCoreError: DynamoDB does not answer.
        ClientError: It refuses.
    """
    items = Items()
    pages = aws.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    for number, page in enumerate(pages, 1):
        for item in page["Items"]:
            items.take(from_attributes(item), objects)
        if number == SCANNED_PAGES and "LastEvaluatedKey" in page:
            items.whole = False
            break
    return items


def _problem_of(table: str) -> Finding | None:
    """Return what keeps a table from being used, if anything does."""
    where = f"state table {table}"
    try:
        found = aws.client("dynamodb").describe_table(TableName=table)["Table"]
    except (BotoCoreError, ClientError) as error:
        create = f"millrace create --state-table {table}"
        return Finding(Severity.ERROR, where, str(aws.explained(error, where)), "no batch can be committed", create)
    keys = [key["AttributeName"] for key in found["KeySchema"]]
    if keys != [STATE_KEY]:
        return Finding(
            Severity.ERROR,
            where,
            f"has the key {', '.join(keys)}, and not {STATE_KEY} alone",
            "no batch can be committed",
            "millrace create --state-table NAME, and set STATE_TABLE to that one",
        )
    return None


def _named(keys: Iterable[str]) -> str:
    every = list(keys)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(map(repr, every[:_SHOWN])) + more
