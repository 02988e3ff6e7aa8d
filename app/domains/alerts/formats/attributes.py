"""Other attributes of an alert as a flat table of limited size, with fixed types for reserved keys."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import (
    CERTIFICATE,
    COMMAND_LINE,
    DESCRIPTION,
    HASH,
    HOST,
    PORT,
    PRIORITY,
    PRODUCT,
    RULE_ID,
    URL,
    USER,
    USER_AGENT,
)
from app.domains.alerts.formats.values import (
    LARGEST_INTEGER,
    SMALLEST_INTEGER,
    TOO_MANY_DIGITS,
    clean,
    entity_or_none,
    number,
    port,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MAX_ATTRIBUTES = 256  # the widest supported format, mapped CEF, has about 245 fields
MAX_BYTES = 512 * 1024  # of JSON, so that an emitted alert is never too large to be read again
MAX_LIST = 64  # values of a list
MAX_ENTITIES = 32  # of one kind in one alert: clustering looks each one up
MAX_FEATURES = 64  # of one node; the seed's mapping has 48
LONGEST_VALUE = 8192  # characters of a text: a command line of Windows has at most 8,191
LONGEST_KEY = 256  # characters
LONGEST_FEATURE = 256  # characters of a text among a node's features: each alert of the node gets a copy
MAX_DEPTH = 16  # of objects within an attribute; deeper values are left out
NODE = "node"
"""Key of the features of an alert's source and target: `{"src": {...}, "dst": {...}}`."""

_TEXTS = (URL, USER_AGENT, CERTIFICATE, DESCRIPTION, COMMAND_LINE, RULE_ID, PRODUCT)
ENTITIES = (HOST, USER, HASH)
_USER_KEYS = frozenset(("user", "userid", "username"))
_ENDS = frozenset(("src", "dst"))
_HASHES = frozenset(("MD5", "SHA1", "SHA256", "SHA512"))  # not IMPHASH, a hash of imports that many programs share


def text(value: object) -> str | None:
    """Return a text of limited length from a text, a number, or the first of a list; None if it is empty."""
    if isinstance(value, str):
        return clean(value[:LONGEST_VALUE]) if value.strip() else None
    if type(value) is list:
        return next((found for each in value[:MAX_LIST] if not isinstance(each, list) and (found := text(each))), None)
    other = None if isinstance(value, bool) else _scalar(value)
    return None if other is None else str(other)


def entities(value: object) -> str | list[str] | None:
    """Return entities, each once: one as text, several as a list; None if there is none."""
    found: dict[str, None] = {}
    for each in value if type(value) is list else (value,):
        if len(found) == MAX_ENTITIES:
            break
        named = entity_or_none(str(each) if _is_small_integer(each) else each)
        if named is not None:
            found[named] = None
    names = list(found)
    return names if len(names) > 1 else (names[0] if names else None)


def hashes(value: object) -> str | list[str] | None:
    """Return hashes of files; from Sysmon's `SHA256=…,IMPHASH=…` only those of a file's content."""
    found: list[object] = []
    for each in value if type(value) is list else (value,):
        if isinstance(each, str) and "=" in each:
            labelled = (part.partition("=") for part in each[:LONGEST_VALUE].split(","))
            found += [digest for label, _, digest in labelled if label.strip().upper() in _HASHES]
        else:
            found.append(each)
    return entities(found)


RESERVED: Mapping[str, Callable[[object], Any]] = {
    PORT: port,
    PRIORITY: number,
    **dict.fromkeys(_TEXTS, text),
    HOST: entities,
    USER: entities,
    HASH: hashes,
}
"""Reader of each reserved key's value; unreadable values are left out."""

ALIASES: Mapping[str, str] = {
    "host.name": HOST,
    "host.hostname": HOST,
    "agent.name": HOST,
    "user.name": USER,
    "process.hash.sha256": HASH,
    "process.hash.md5": HASH,
    "file.hash.sha256": HASH,
    "file.hash.md5": HASH,
    "dll.hash.sha256": HASH,
    "dll.hash.md5": HASH,
    "process.command_line": COMMAND_LINE,
    "rule.id": RULE_ID,
    "url.full": URL,
    "url.original": URL,
    "user_agent.original": USER_AGENT,
    "destination.port": PORT,
    "event.severity": PRIORITY,
    "rule.description": DESCRIPTION,
    "event.module": PRODUCT,
}
"""Keys in the seed's format that mean the same as a reserved key; both are kept."""


def attributes(given: Mapping[str, Any], *, aliases: bool = False) -> dict[str, Any]:
    """Return a flat table of attributes with dotted keys; null, empty and non-finite values are left out.

    Args:
        given: The sender's attributes; objects become dotted keys, except `node`.
        aliases: Whether to fill missing reserved keys from `ALIASES`.
    """
    found: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in given.items():
        read = RESERVED.get(key)
        if read is not None and type(value) is not dict:
            if (kept := read(value)) is not None:
                found[key] = kept
        elif key == NODE and _is_node(value):
            if ends := {end: kept for end, features in value.items() if (kept := _flat(features))}:
                found[NODE] = ends
        else:
            _put(rest, key, value, 0)
    if aliases:
        _fill(found, rest)
    return _together(found, rest)


def attributes_read(reserved: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of reserved keys with values that were read already, and of a format's own keys."""
    rest: dict[str, Any] = {}
    for key, value in others.items():
        if type(value) is list or type(value) is dict:
            _put(rest, key, value, 0)
        elif (kept := _scalar(value)) is not None:
            rest.setdefault(key, kept)
    return _together(reserved, rest)


def _together(found: dict[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reserved attributes with as many of the others as the limits allow."""
    for key, value in rest.items():
        if len(found) >= MAX_ATTRIBUTES:
            break
        found[key] = value
    _trim(found)
    return found


def with_nodes(found: dict[str, Any], ends: Mapping[str, object]) -> int:
    """Add the features of an alert's source and target, and their users to the alert's users.

    Args:
        found: The alert's attributes.
        ends: Features by `src` and `dst`; values that are no objects are ignored.

    Returns:
        The attributes' bytes as JSON; 0 where nothing was added.
    """
    nodes = {end: kept for end, features in ends.items() if (kept := _flat(features))}
    if not nodes:
        return 0
    there = found.get(NODE)
    found[NODE] = {**there, **nodes} if isinstance(there, dict) else nodes
    users = [
        value
        for features in nodes.values()
        for key, value in features.items()
        if key.lower().replace("_", "") in _USER_KEYS
    ]
    if users:
        merge(found, USER, users)
    return _trim(found)


def _trim(found: dict[str, Any]) -> int:
    """Remove the last attributes until the alert is within its limits when written and read again.

    Returns:
        The bytes of what is left, as JSON.
    """
    excess = len(msgspec.json.encode(found)) - MAX_BYTES
    surplus = len(found) - MAX_ATTRIBUTES
    if excess <= 0 and surplus <= 0:
        return excess + MAX_BYTES
    for key in reversed([key for key in found if key not in RESERVED]):
        if excess > 0 or (surplus > 0 and key != NODE):
            excess -= len(msgspec.json.encode({key: found.pop(key)}))
            surplus -= 1
    return excess + MAX_BYTES


def merge(found: dict[str, Any], key: str, values: Iterable[object]) -> None:
    """Add entities to the present ones."""
    there = found.get(key, [])
    merged = RESERVED[key]([*(there if isinstance(there, list) else [there]), *_plain(values)])
    if merged is not None:
        found[key] = merged


def _plain(values: Iterable[object]) -> Iterable[object]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _fill(found: dict[str, Any], rest: Mapping[str, Any]) -> None:
    """Fill missing reserved keys from the first readable key of the same meaning."""
    if rest.keys().isdisjoint(ALIASES):
        return
    given = frozenset(found)
    for alias, reserved in ALIASES.items():
        if alias not in rest or reserved in given:
            continue
        if reserved in ENTITIES:
            merge(found, reserved, [rest[alias]])
        elif reserved not in found and (value := RESERVED[reserved](rest[alias])) is not None:
            found[reserved] = value


def _is_node(value: object) -> bool:
    """Return whether `with_nodes` made a value; a sender's attribute of this name may be anything."""
    return type(value) is dict and value.keys() <= _ENDS and all(type(features) is dict for features in value.values())


def _flat(value: object) -> dict[str, Any]:
    """Return one node's features as a flat table of limited size: numbers and short texts, as each alert gets them."""
    found: dict[str, Any] = {}
    if type(value) is dict:
        for key, each in value.items():
            _put(found, key, each, 0)
    kept = itertools.islice(found.items(), MAX_FEATURES)
    return {key: each[:LONGEST_FEATURE] if isinstance(each, str) else each for key, each in kept}


def _put(found: dict[str, Any], key: str, value: object, depth: int) -> None:
    """Add a value under its key, an object's fields under dotted keys; the first value of a key stays."""
    if type(value) is dict:
        # A key that is too long is not extended: longer keys would be dropped as well.
        if depth < MAX_DEPTH and len(found) < MAX_ATTRIBUTES and len(key) <= LONGEST_KEY:
            for inner, each in value.items():
                _put(found, f"{key}.{inner}", each, depth + 1)
        return
    if not key or len(key) > LONGEST_KEY or len(found) > MAX_ATTRIBUTES:
        return
    if type(value) is list:
        kept: Any = []
        for item in value[:MAX_LIST]:
            if type(item) is dict:
                _put(found, key, item, depth + 1)
            elif (each := _scalar(item)) is not None:
                kept.append(each)
        kept = kept or None
    else:
        kept = _scalar(value)
    if kept is not None:
        found.setdefault(clean(key), kept)


def _scalar(value: object) -> str | float | bool | None:
    """Return a text, number or boolean within limits; None for other or empty values."""
    if isinstance(value, str):
        return clean(value[:LONGEST_VALUE]) or None
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            return value
        return str(value) if abs(value) < TOO_MANY_DIGITS else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _is_small_integer(value: object) -> bool:
    return type(value) is int and SMALLEST_INTEGER <= value <= LARGEST_INTEGER
