"""The seed system's own JSON: `id, time, src, dst, name`, `tech` and `other_attributes_dict`."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import TIME_FROM, Alert, AlertFault
from app.domains.alerts.aliases import is_alias
from app.domains.alerts.formats.attributes import attributes
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.machines import MAX_ALIASES
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.severity import STATED
from app.domains.alerts.formats.times import first_seconds
from app.domains.alerts.formats.values import (
    clean,
    entity_or_none,
    identifier,
    label,
    required_entity,
    required_name,
    techniques,
    tenant_name,
)

REQUIRED = frozenset(("id", "time", "src", "dst", "name"))
ATTRIBUTES = "other_attributes_dict"
LONGEST_REASON = 256  # characters of the words for a severity or a closed alert
_ENOUGH = 3  # required fields: with fewer, a record has another format; with one or two missing, it is faulty

TABLE = Table(
    id=("id",),
    time=("time",),
    src=("src",),
    dst=("dst",),
    name=("name",),
    tech=("tech",),
    tenant=("tenant",),
    severity={"severity": STATED},
    keep=(f"{ATTRIBUTES}.*",),
)


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record has the fields of an alert, or most of them."""
    return ATTRIBUTES in record or len(REQUIRED & record.keys()) >= _ENOUGH


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a record as an alert."""
    return read_plain(record, ATTRIBUTES, tenant, received, aliases=True)


def read_plain(
    record: dict[str, Any], key: str, tenant: str = "", received: float | None = None, *, aliases: bool = False
) -> Alert:
    """Return a record with the field names of `Alert` as an alert: the fast way.

    Args:
        record: The record as parsed JSON.
        key: Key of its attributes.
        tenant: The tenant of a record that names none.
        received: Arrival, seconds since 1970, for times without a year.
        aliases: Whether to fill missing reserved attributes from other systems' names.

    Raises:
        AlertFault: A field is missing or invalid; the message names it.
    """
    get = record.get
    given = get(key)
    if given is not None and type(given) is not dict:
        raise AlertFault("bad_field", f"{key} is not an object; send one, or leave it out")
    time, time_from = first_seconds((get("time"),), (), "time", received)
    other_attributes = attributes(given, aliases=aliases) if given else {}
    if time_from:
        other_attributes[TIME_FROM] = time_from
    severity, severity_from = STATED.read(get("severity")) or (None, "")
    return Alert(
        id=identifier(get("id"), "id"),
        time=time,
        src=required_entity(get("src"), "src", "src"),
        dst=required_entity(get("dst"), "dst", "dst"),
        name=required_name(get("name"), "name"),
        tech=techniques(get("tech")),
        other_attributes=other_attributes,
        tenant=tenant_name(get("tenant"), "tenant") or tenant,
        label=label(get("label")),
        severity=severity,
        severity_from=_reason(get("severity_from")) or severity_from,
        aliases=_aliases(get("aliases")),
        closed=_reason(get("closed")),
    )


def _reason(value: object) -> str:
    return clean(value[:LONGEST_REASON]) if isinstance(value, str) else ""


def _aliases(value: object) -> list[tuple[str, str]]:
    """Return the pairs of entities in a list; anything else is left out."""
    pairs: list[tuple[str, str]] = []
    for each in value[:MAX_ALIASES] if type(value) is list else ():
        if type(each) is list and len(each) == 2:  # noqa: PLR2004 - a name and an address
            name, address = map(entity_or_none, each)
            if name and address and is_alias(name, address):
                pairs.append((name, address))
    return pairs


FORMAT = Format(
    name="seed",
    title="The seed system's JSON",
    known_by="`other_attributes_dict`, or three of `id`, `time`, `src`, `dst` and `name`",
    matches=matches,
    read=read,
    tables=(("", TABLE),),
    notes=(
        "All five of `id`, `time`, `src`, `dst` and `name` must be there; an alert of one host has it in both ends.",
        (
            'A file is `{"input": [alerts], "node_feature": {node: features}, "cluster_config": {}, "config": {}}`. '
            "Features of `src` and `dst` come under `node`; one called user, user id or user name also under `user`."
        ),
        "Attributes by Elastic's names (`user.name`, `process.command_line`) also fill the reserved keys.",
        "`label` is kept, but for -1, which stands for none.",
        "`severity` is 0 to 100, or a word. `priority` states no severity: its scale differs by the detector.",
    ),
)
