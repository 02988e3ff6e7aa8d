"""Single values of an alert, brought into the one form that everything here relies on, or refused with a reason."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import TYPE_CHECKING

from app.domains.alerts.alert import LONGEST_ENTITY, LONGEST_ID, LONGEST_NAME, AlertFault

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TECHNIQUES = 64  # an alert that names more says nothing; the longest lists of real rules have about 20
LONGEST_TECHNIQUE = 128  # characters: an id and the technique's name
LARGEST_PORT = 65535
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1  # what every reader of JSON, and every table, can hold
MOST_DIGITS = 64  # of a whole number that is kept as text; Python itself refuses to write out very long ones
TOO_MANY_DIGITS = 10**MOST_DIGITS

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_TECHNIQUE = re.compile(r"(?<![A-Za-z0-9])[Tt]\d{4}(?:\.\d{3})?(?!\d)")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")
_SEPARATORS = re.compile(r"[,;\n]")
_DIGEST_BYTES = 12  # two of a billion alerts meet by chance once in 10**11 such sets
_DIGEST_DEPTH = 64  # as deep as JSON is read
_TAIL = 17  # characters: the mark and 16 hexadecimal digits that stand for the rest of a long name of an entity
_NOTHING = frozenset(("", "-", "n/a", "none", "null", "(null)", "unknown"))
"""What log formats write where they know no host or user."""
OWN_ADDRESSES = frozenset(("127.0.0.1", "::1", "localhost", "0.0.0.0", "::"))  # noqa: S104 - nothing is bound
"""What every host calls itself: as an end it would tie all hosts together."""
_LONGEST_NOTHING = max(map(len, _NOTHING))


def clean(text: str) -> str:
    """A text that can be encoded: half characters (lone surrogates) become U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def identifier(value: object, where: str) -> int | str:
    """An id as it came; a whole number of more than 64 bits as text.

    Raises:
        AlertFault: `missing_id` or `bad_id`.
    """
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
    """A host, user, address or hash without blanks around it.

    One that is too long is neither refused, since an alert must not be lost for it, nor just cut, since two long
    names would become one: its end gives way to a digest of the whole.
    """
    text = clean(text.strip())
    if len(text) <= LONGEST_ENTITY:
        return text
    return f"{text[: LONGEST_ENTITY - _TAIL]}~{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def entity_or_none(value: object) -> str | None:
    """An entity, or None for what is none: other types, and the words that logs write for nothing."""
    if isinstance(value, str):
        found = entity(value)
        return None if len(found) <= _LONGEST_NOTHING and found.lower() in _NOTHING else found
    return None


def required_entity(value: object, field: str, where: str) -> str:
    """An entity that must be there.

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
    """An alert's name, cut at what is read of it.

    Raises:
        AlertFault: `missing_name` or `bad_field`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise AlertFault("missing_name", f"{where} is missing or empty; send what the detector says")
    if not isinstance(value, str):
        raise AlertFault("bad_field", f"{where} is a {_kind(value)}; send text")
    return clean(value[:LONGEST_NAME])


def number(value: object) -> float | None:
    """A finite number, also from text; a whole one stays whole. None for anything else."""
    if type(value) is int:
        return value if SMALLEST_INTEGER <= value <= LARGEST_INTEGER else None
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value) if "." in value else int(value)
    return None


def port(value: object) -> int | None:
    """A port's number, also from text, or None."""
    found = number(value)
    return int(found) if found is not None and found == int(found) and 0 <= found <= LARGEST_PORT else None


def techniques(values: Iterable[object]) -> list[str]:
    """What an alert says its techniques are, as it says it: texts, each once; anything else is passed over."""
    found: dict[str, None] = {}
    for value in values:
        if isinstance(value, str) and len(found) < MAX_TECHNIQUES:
            text = clean(value[:LONGEST_TECHNIQUE].strip())
            if text:
                found[text] = None
    return list(found)


def listed_techniques(value: object) -> list[str]:
    """The same for a field that holds a list, or one text with commas between them."""
    if type(value) is list:
        return techniques(value) if value else []
    return techniques(_SEPARATORS.split(value[: MAX_TECHNIQUES * LONGEST_TECHNIQUE])) if isinstance(value, str) else []


def technique_ids(values: Iterable[object]) -> list[str]:
    """Technique ids within texts that may hold anything, such as a rule's tags: `attack.t1059.001`."""
    ids = (each.upper() for value in values if isinstance(value, str) for each in _TECHNIQUE.findall(value[:4096]))
    return techniques(ids)


def label(value: object) -> int | str | None:
    """The truth of a data set; -1 stands for none, as do other types."""
    if type(value) is int:
        return value if value != -1 and SMALLEST_INTEGER <= value <= LARGEST_INTEGER else None
    return clean(value[:LONGEST_ID]) or None if isinstance(value, str) else None


def stable_id(prefix: str, parts: Iterable[object]) -> str:
    """An id for a record that carries none, made of what it says: the same record has the same id, always."""
    content = json.dumps([each if type(each) is str else _written(each, 0) for each in parts])
    return f"{prefix}-{hashlib.blake2b(content.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"


def _written(value: object, depth: int) -> object:
    """A value as JSON can write it whatever it holds; an object's keys in their order."""
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
