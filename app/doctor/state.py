"""Checks of the state of pipelines: its table, its items, and the location for what an item cannot hold."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.doctor.finding import Finding, Severity
from app.doctor.locations import bucket_for, examine_location
from app.errors import MillraceError, UnreadableStateError
from app.storage.spilling import object_of
from app.storage.state import LARGEST_VALUE_BYTES
from app.storage.state_table import STATE_KEY, DynamoDbState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.doctor.setup import Setup
    from app.storage.objects import Objects
    from app.storage.state import Parked, Stored

NEAR = 0.75  # of the largest value: what grew that far grows further
LOOKED_AT_BYTES = 10_000_000  # a large table is looked at, not read, since DynamoDB charges for each byte
_SHOWN = 3  # keys that a finding names


@dataclass
class Items:
    """What was found among a table's items.

    Attributes:
        count: The number of items looked at.
        bytes: The size of their values.
        whole: Whether these were all.
        largest: The bytes of the largest value in an item, and its key.
        near: The keys of values that hardly fit an item.
        parked: The keys whose records are set aside, with their marks.
        unreadable: By key, why its state cannot be read.
        forms: The number of items in each form.
    """

    count: int = 0
    bytes: int = 0
    whole: bool = True
    largest: tuple[int, str] = (0, "")
    near: list[str] = field(default_factory=list)
    parked: dict[str, Parked] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    forms: dict[str, int] = field(default_factory=dict)

    def take(self, key: str, stored: Stored, objects: Objects | None) -> None:
        """Look at one state; `objects` is the location for what an item cannot hold."""
        self.count += 1
        self.bytes += len(stored.value or b"")
        if stored.parked is not None:
            self.parked[key] = stored.parked
            return
        try:
            if stored.fault is not None:
                raise stored.fault
            name = object_of(key, stored.value or b"")
        except UnreadableStateError as error:
            self.unreadable[key] = str(error)
            return
        form = "this release" if stored.former is None else "an earlier release"
        self.forms[form] = self.forms.get(form, 0) + 1
        size = len(stored.value or b"")
        self.largest = max(self.largest, (size, key))
        if size >= NEAR * LARGEST_VALUE_BYTES:
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
        why = "a state that is too large for an item cannot be committed, and its key is parked"
        objects = yield from examine_location(setup, "STATE_LOCATION", why)
    items = None
    if settings.state_table:
        where = f"state table {settings.state_table}"
        problem = _problem_of(settings.state_table)
        if problem is not None:
            yield problem
        else:
            try:
                items = look_at(DynamoDbState(settings.state_table).all(), objects)
            except MillraceError as error:
                why = "whether its states can be read, and fit their items, was not checked"
                mend = "allow dynamodb:Scan on it, and s3:GetObject on STATE_LOCATION, for whoever runs the doctor"
                yield Finding(Severity.INFO, where, str(error), why, mend)
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
            f"a key whose state outgrows {LARGEST_VALUE_BYTES} bytes is parked: its records wait{largest}",
            setup.change(STATE_LOCATION=bucket_for("STATE_LOCATION")),
        )


def examine_items(items: Items, where: str, *, has_location: bool) -> Iterator[Finding]:
    """Find states that cannot be read or written, or soon will not be."""
    if items.unreadable:
        reason = next(iter(items.unreadable.values()))
        yield Finding(
            Severity.ERROR,
            where,
            f"{len(items.unreadable)} state(s) cannot be read: {_named(items.unreadable)}: {reason}",
            "such a key is parked with its next record, or holds up its shard where there is no quarantine",
            "restore the item or its object; what a key has waiting by then: millrace state resume KEY, with --anew "
            "to begin without its state",
        )
    if items.parked:
        key, mark = next(iter(items.parked.items()))
        yield Finding(
            Severity.WARNING,
            where,
            f"{len(items.parked)} key(s) are parked: {_named(items.parked)}: {mark.fault}",
            f"{sum(each.records for each in items.parked.values())} record(s) wait in the quarantine, and do not last "
            "longer than that",
            f"mend the fault, then: millrace state resume {shlex.quote(key)}",
        )
    if items.near and not has_location:
        yield Finding(
            Severity.WARNING,
            where,
            f"{len(items.near)} state(s) are close to the limit of {LARGEST_VALUE_BYTES} bytes: {_named(items.near)}",
            "a key whose state outgrows it is parked: its records wait",
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


def look_at(states: Iterable[tuple[str, Stored]], objects: Objects | None) -> Items:
    """Look at states with their keys until there are `LOOKED_AT_BYTES`."""
    items = Items()
    for key, stored in states:
        if items.bytes >= LOOKED_AT_BYTES:
            items.whole = False
            break
        items.take(key, stored, objects)
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
