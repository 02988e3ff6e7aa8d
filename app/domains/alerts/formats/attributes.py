"""What else an alert says, as one flat and bounded table whose reserved keys have the types that they promise."""

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

MAX_ATTRIBUTES = 256  # the widest format read here, mapped CEF, has about 245 fields
MAX_BYTES = 512 * 1024  # of JSON, so that with all the rest an alert that is passed on is never too large to be read
MAX_LIST = 64  # values of a list that are kept
MAX_ENTITIES = 32  # of one kind in one alert: each is looked up when alerts are linked
MAX_FEATURES = 64  # of one node; the seed's own mapping knows 48
LONGEST_VALUE = 8192  # characters of a text: a command line of Windows has at most 8,191
LONGEST_KEY = 256  # characters
MAX_DEPTH = 16  # of objects within an attribute: what lies deeper is left out
NODE = "node"
"""Key of what is known of an alert's two ends: `{"src": {...}, "dst": {...}}`."""

_TEXTS = (URL, USER_AGENT, CERTIFICATE, DESCRIPTION, COMMAND_LINE, RULE_ID, PRODUCT)
ENTITIES = (HOST, USER, HASH)
_USER_KEYS = frozenset(("user", "userid", "username"))
_ENDS = frozenset(("src", "dst"))
_HASHES = frozenset(("MD5", "SHA1", "SHA256", "SHA512"))  # IMPHASH is of what a program imports: many have the same


def text(value: object) -> str | None:
    """A text within bounds, of a text, a number, or the first of a list; None where there is nothing in it."""
    if isinstance(value, str):
        return clean(value[:LONGEST_VALUE]) if value.strip() else None
    if type(value) is list:
        return next((found for each in value[:MAX_LIST] if not isinstance(each, list) and (found := text(each))), None)
    other = None if isinstance(value, bool) else _scalar(value)
    return None if other is None else str(other)


def entities(value: object) -> str | list[str] | None:
    """Entities: one as text, several as a list, each once; None where there is none."""
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
    """Hashes of files; of `SHA256=…,IMPHASH=…`, as Sysmon writes them, those that are of one file's content."""
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
"""How the value of each reserved key is read; one that cannot be is left out."""

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
"""Keys that senders of the seed's format use for what has a reserved key here; both are kept."""


def attributes(given: Mapping[str, Any], *, aliases: bool = False) -> dict[str, Any]:
    """A table of attributes: flat, with dotted keys; what is null, empty or not finite is left out.

    Args:
        given: As the sender has it; objects in it become dotted keys, but for `node`.
        aliases: Whether reserved keys that are missing are filled from the keys that mean the same.
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
    """The same of reserved keys whose values were read already, and of others, whose keys are a format's own."""
    rest: dict[str, Any] = {}
    for key, value in others.items():
        if type(value) is list or type(value) is dict:
            _put(rest, key, value, 0)
        elif (kept := _scalar(value)) is not None:
            rest.setdefault(key, kept)
    return _together(reserved, rest)


def _together(found: dict[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """What is reserved with as much of the rest as there is room for."""
    for key, value in rest.items():
        if len(found) >= MAX_ATTRIBUTES:
            break
        found[key] = value
    _trim(found)
    return found


def with_nodes(found: dict[str, Any], ends: Mapping[str, object]) -> None:
    """Adds what is known of an alert's two ends, and their users to the alert's.

    Args:
        found: The alert's attributes.
        ends: By `src` and `dst`; what is no object is passed over.
    """
    nodes = {end: kept for end, features in ends.items() if (kept := _flat(features))}
    if not nodes:
        return
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
    _trim(found)


def _trim(found: dict[str, Any]) -> None:
    """Leaves out what came last, so that the alert stays within its bounds when it is written and read again."""
    excess = len(msgspec.json.encode(found)) - MAX_BYTES
    surplus = len(found) - MAX_ATTRIBUTES
    if excess <= 0 and surplus <= 0:
        return
    for key in reversed([key for key in found if key not in RESERVED]):
        if excess > 0 or (surplus > 0 and key != NODE):
            excess -= len(msgspec.json.encode({key: found.pop(key)}))
            surplus -= 1


def merge(found: dict[str, Any], key: str, values: Iterable[object]) -> None:
    """Adds entities to those that are there."""
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
    """Fills reserved keys that are missing from the keys that mean the same, the first that can be read."""
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
    """Whether a value is what `with_nodes` makes; a sender's own attribute of this name may be anything."""
    return type(value) is dict and value.keys() <= _ENDS and all(type(features) is dict for features in value.values())


def _flat(value: object) -> dict[str, Any]:
    """One node's features, flat and bounded."""
    found: dict[str, Any] = {}
    if type(value) is dict:
        for key, each in value.items():
            _put(found, key, each, 0)
    return dict(itertools.islice(found.items(), MAX_FEATURES))


def _put(found: dict[str, Any], key: str, value: object, depth: int) -> None:
    """Puts a value under its key, an object's fields under dotted keys; the first of a key stays."""
    if type(value) is dict:
        # A key that is too long already goes no further: longer ones would be made of it for nothing.
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
    """A text, number or boolean within bounds; None for anything else, and for what says nothing."""
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
