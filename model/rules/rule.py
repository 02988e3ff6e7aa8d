"""A detection rule as its file states it, and the values that readers take from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.attack import TECHNIQUE_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_TITLE = 512  # characters; the longest titles of public rules have about 200
LONGEST_TEXT = 8192  # characters of a description or a detection: as many as the technique model reads
MOST_TECHNIQUES = 64  # of one rule
_MOST_VALUES = 2000  # that are visited in a detection: with aliases a small file can stand for billions

SIGMA, ELASTIC, SPLUNK, SURICATA, WAZUH, FALCO, SENTINEL = (
    "Sigma", "Elastic", "Splunk", "Suricata/Snort", "Wazuh", "Falco", "Sentinel",
)  # fmt: skip
KINDS = (SIGMA, ELASTIC, SPLUNK, SURICATA, WAZUH, FALCO, SENTINEL)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A detection rule.

    Attributes:
        kind: One of `KINDS`.
        titles: The names by which alerts may know it, the rule's own first.
        ids: The ids by which alerts may know it.
        techniques: Ids of ATT&CK techniques, as written.
        description: Its description.
        detection: Text of the condition that it looks for.
        author: Its author.
        licence: The licence that it names itself.
    """

    kind: str
    titles: tuple[str, ...]
    ids: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    description: str = ""
    detection: str = ""
    author: str = ""
    licence: str = ""


class Fault(msgspec.Struct, frozen=True):
    """A rule, or a file of rules, that cannot be read.

    Attributes:
        reason: What is wrong with it.
        line: Its line, counted from 1; 0 stands for the whole file.
        kind: The kind of rule; empty if that is unknown.
    """

    reason: str
    line: int = 0
    kind: str = ""


def line_of(value: object, longest: int = LONGEST_TEXT) -> str:
    """Return a text, a number, or the texts of a list as one line; anything else as an empty text."""
    if isinstance(value, str):
        return " ".join(value[: 2 * longest].split())[:longest]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return ", ".join(filter(None, (line_of(each, longest) for each in value[:16] if not isinstance(each, list))))
    return ""


def texts_of(*values: object) -> tuple[str, ...]:
    """Return each distinct text among some values, in order."""
    return tuple(dict.fromkeys(filter(None, (line_of(each, LONGEST_TITLE) for each in values))))


def techniques_in(values: Iterable[object]) -> tuple[str, ...]:
    """Return the ids of ATT&CK techniques that stand in some texts, each once, as `T1059.001`."""
    found: dict[str, None] = {}
    for value in values:
        for each in leaves(value):
            for name in TECHNIQUE_ID.findall(each[:LONGEST_TEXT].upper()):
                found[name.replace("/", ".")] = None
    return tuple(found)[:MOST_TECHNIQUES]


def leaves(value: object, *, names: bool = False) -> Iterator[str]:
    """Yield the texts within a value, with the names of fields if wanted; only its first values are visited."""
    pending, visited = [value], 0
    while pending and visited < _MOST_VALUES:
        visited += 1
        each = pending.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, (int, float)):
            yield str(each)
        elif isinstance(each, list):
            pending += reversed(each[:_MOST_VALUES])
        elif isinstance(each, dict):
            for key, inner in reversed(list(each.items())[:_MOST_VALUES]):
                pending += [inner, str(key)] if names else [inner]


def line_numbers(text: str, positions: Iterable[int]) -> Iterator[int]:
    """Yield the line, counted from 1, of each of some rising positions in a text."""
    line, last = 1, 0
    for position in positions:
        line += text.count("\n", last, position)
        last = position
        yield line
