"""Read single values of an alert in a common form, or refuse them with a reason."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from typing import TYPE_CHECKING

from app.domains.alerts.alert import LONGEST_ENTITY, LONGEST_ID, LONGEST_NAME, AlertFault
from app.domains.alerts.entities import PLACEHOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_TENANT = 256  # characters: Kinesis takes so many in a partition key
MAX_TECHNIQUES = 64  # of an alert; the longest lists of real rules have about 20
LONGEST_TECHNIQUE = 128  # characters: an id and the technique's name
LARGEST_PORT = 65535
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1  # the range of every JSON reader and table
MOST_DIGITS = 64  # of a whole number that is kept as text; Python refuses to print very long ones
TOO_MANY_DIGITS = 10**MOST_DIGITS

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_TECHNIQUE = re.compile(r"(?<![A-Za-z0-9])[Tt]\d{4}(?:\.\d{3})?(?!\d)")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")
_SEPARATORS = re.compile(r"[,;|\n]")
_AROUND = " \t\r\"'[](){}"  # a list in a text may be written as JSON or Python write it
_TECHNIQUE_DEPTH = 6  # of lists and objects: `{"technique": [{"subtechnique": [{"id": …}]}]}`
_TECHNIQUE_KEYS = frozenset(
    (
        *("id", "uid", "external_id", "technique_id", "techniqueid", "mitre_id", "mitre_technique_id"),
        *("technique", "techniques", "sub_technique", "subtechnique", "subtechniques", "sub_techniques"),
    )
)
"""Keys of objects that stand for techniques, in small letters."""
_DIGEST_BYTES = 12  # a collision among a billion alerts has a probability of about 10**-11
_DIGEST_DEPTH = 64  # as deep as JSON is read
_TAIL = 17  # characters: a mark and 16 hexadecimal digits of a digest, at the end of a shortened entity
_LONGEST_NOTHING = max(map(len, PLACEHOLDERS))


def clean(text: str) -> str:
    """Return a text that can be encoded: halves of surrogate pairs become U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def identifier(value: object, where: str) -> int | str:
    """Return an id as it came; `17.0` is 17, and a whole number of more than 64 bits or a fraction becomes text.

    Raises:
        AlertFault: `missing_id` or `bad_id`.
    """
    if type(value) is float and math.isfinite(value):
        if value != int(value):
            return repr(value)
        value = int(value)
    if type(value) is int:
        if SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            return value
        if abs(value) >= TOO_MANY_DIGITS:
            raise AlertFault("bad_id", f"{where} has more than {MOST_DIGITS} digits; send a shorter id")
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise AlertFault("missing_id", f"{where} is missing or empty; give every alert an id")
    if not isinstance(value, str):
        raise AlertFault("bad_id", f"{where} is a {_kind(value)}; send a whole number or text")
    if len(value) > LONGEST_ID:
        raise AlertFault("bad_id", f"{where} has {len(value)} characters; send at most {LONGEST_ID}")
    return clean(value)


def entity(text: str) -> str:
    """Return a host, user, address or hash without surrounding blanks.

    A digest of the whole replaces the end of one that is too long. It is not refused, since the alert would be lost,
    and not just cut, since two long names would become equal.
    """
    text = clean(text.strip())
    if len(text) <= LONGEST_ENTITY:
        return text
    return f"{text[: LONGEST_ENTITY - _TAIL]}~{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def entity_or_none(value: object) -> str | None:
    """Return an entity; None for other types and for placeholders."""
    if isinstance(value, str):
        found = entity(value)
        return None if len(found) <= _LONGEST_NOTHING and found.lower() in PLACEHOLDERS else found
    return None


def required_entity(value: object, field: str, where: str) -> str:
    """Return a required entity.

    Raises:
        AlertFault: `missing_src` or `missing_dst`, by `field`, or `bad_field`.
    """
    if isinstance(value, str):
        found = entity(value)
        if found:
            return found
    elif value is not None:
        raise AlertFault("bad_field", f"{where} is a {_kind(value)}; send an address or a host's name as text")
    raise AlertFault(f"missing_{field}", f"{where} is missing or empty; an alert of one host has it in src and dst")


def required_name(value: object, where: str) -> str:
    """Return an alert's name, cut to the length that is read.

    Raises:
        AlertFault: `missing_name` or `bad_field`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise AlertFault("missing_name", f"{where} is missing or empty; send the detector's text")
    if not isinstance(value, str):
        raise AlertFault("bad_field", f"{where} is a {_kind(value)}; send text")
    return clean(value[:LONGEST_NAME])


def number(value: object) -> float | None:
    """Return a finite number, also from text; whole numbers stay whole. None for other values."""
    if type(value) is int:
        return value if SMALLEST_INTEGER <= value <= LARGEST_INTEGER else None
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value) if "." in value else int(value)
    return None


def port(value: object) -> int | None:
    """Return a port's number, also from text, or None."""
    found = number(value)
    return int(found) if found is not None and found == int(found) and 0 <= found <= LARGEST_PORT else None


def techniques(value: object) -> list[str]:
    """Return the sender's technique ids as they are written, each once.

    Args:
        value: A text with one or several (`T1110;T1078`, `T1059, T1003`), an object that has them under a key such as
            `id` or `technique`, or a list of these, nested as it may be. Other types are ignored.
    """
    found: dict[str, None] = {}
    waiting = [(value, 0)]
    while waiting and len(found) < MAX_TECHNIQUES:
        each, depth = waiting.pop(0)
        if isinstance(each, str):
            found |= dict.fromkeys(_separated(clean(each[: MAX_TECHNIQUES * LONGEST_TECHNIQUE])))
        elif depth < _TECHNIQUE_DEPTH and type(each) is list:
            waiting[:0] = [(inner, depth + 1) for inner in each[:MAX_TECHNIQUES]]
        elif depth < _TECHNIQUE_DEPTH and type(each) is dict:
            named = (each[key] for key in each if isinstance(key, str) and key.lower() in _TECHNIQUE_KEYS)
            waiting[:0] = [(inner, depth + 1) for inner in itertools.islice(named, MAX_TECHNIQUES)]
    return list(found)[:MAX_TECHNIQUES]


def _separated(text: str) -> Iterator[str]:
    """Yield the parts of a list in a text; blanks separate ids too, but not an id and its name."""
    for part in _SEPARATORS.split(text):
        ids = _TECHNIQUE.findall(part)
        for each in ids if len(ids) > 1 else (part,):
            if kept := each[:LONGEST_TECHNIQUE].strip(_AROUND):
                yield kept


def technique_ids(values: Iterable[object]) -> list[str]:
    """Return the technique ids within arbitrary texts, such as a rule's tags: `attack.t1059.001`."""
    ids = (each.upper() for value in values if isinstance(value, str) for each in _TECHNIQUE.findall(value[:4096]))
    return list(dict.fromkeys(itertools.islice(ids, MAX_TECHNIQUES)))


def tenant_name(value: object, where: str) -> str:
    """Return the tenant that an alert names, as it is written; empty where it names none.

    What cannot be used is refused and not cut or passed over: the alert would be counted to another tenant.

    Raises:
        AlertFault: `bad_tenant`.
    """
    if type(value) is int and abs(value) < TOO_MANY_DIGITS:
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return ""
    if not isinstance(value, str):
        raise AlertFault("bad_tenant", f"{where} is a {_kind(value)}; send the tenant's name as text, or none")
    if len(value) > LONGEST_TENANT:
        raise AlertFault("bad_tenant", f"{where} has {len(value)} characters; send at most {LONGEST_TENANT}")
    if not value.isascii() and _LONE_SURROGATE.search(value):
        raise AlertFault("bad_tenant", f"{where} holds half of a surrogate pair; send text in UTF-8")
    return value


def label(value: object) -> int | str | None:
    """Return the ground truth of a data set; None for -1 and for other types."""
    if type(value) is int:
        return value if value != -1 and SMALLEST_INTEGER <= value <= LARGEST_INTEGER else None
    return clean(value[:LONGEST_ID]) or None if isinstance(value, str) else None


def stable_id(prefix: str, parts: Iterable[object]) -> str:
    """Return an id derived from a record's content: the same record always has the same id."""
    content = json.dumps([each if type(each) is str else _written(each, 0) for each in parts])
    return f"{prefix}-{hashlib.blake2b(content.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"


def _written(value: object, depth: int) -> object:
    """Return a value in a form that JSON can always write, with sorted keys."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) < TOO_MANY_DIGITS else value.bit_length()
    if depth < _DIGEST_DEPTH and type(value) is list:
        return [_written(each, depth + 1) for each in value]
    if depth < _DIGEST_DEPTH and type(value) is dict:
        return [[key, _written(value[key], depth + 1)] for key in sorted(value)]
    return value if value is None or isinstance(value, float) else type(value).__name__


def _kind(value: object) -> str:
    names = {bool: "boolean", float: "number with a fraction", int: "number", str: "text", list: "list", dict: "object"}
    return names.get(type(value), type(value).__name__)
