r"""Read network rules of Suricata and Snort: `alert tcp … (msg:"…"; metadata:mitre_technique_id T1071; sid:2000001;)`.

https://docs.suricata.io/en/latest/rules/intro.html; a rule may go on over several lines. Rules that are
commented out are read too: a sensor may enable them by its own configuration.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from model.rules.rule import LONGEST_TITLE, SURICATA, Fault, Rule, line_of, techniques_in

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_RULE = 65_536  # characters; the longest rules of Emerging Threats have about 8,000
_ACTIONS = "alert|drop|sdrop|reject(?:src|dst|both)?|pass|log|block|react|rewrite"
_START = re.compile(rf"[ \t]*(?P<comment>#[# \t]*)?(?:{_ACTIONS})[ \t]+[^\s(#][^(\n]{{0,2000}}\(")
_HEAD = re.compile(rf"[ \t]*(?:{_ACTIONS})[ \t]+[^\s(#:=]+(?:[ \t]|$)")
SIGNATURE = re.compile(
    rf"^{_START.pattern}[^\n]*?(?:msg|sid)[ \t]*:|^{_HEAD.pattern}[^(\n]*+(?:\n[ \t]*+)?\([ \t]*+(?:\\[ \t]*+)?$",
    re.MULTILINE,
)
"""A line that begins a rule, with its first options or with those on the next lines."""
_OPTION = re.compile(r'\s*(?P<name>[\w.-]+)\s*(?::(?P<value>(?:"(?:\\.|[^"\\])*+"|\\.|[^;"\\])*+))?;', re.DOTALL)
_ESCAPED = re.compile(r'\\([;:"\\])')


def read_signatures(text: str) -> Iterator[Rule | Fault]:
    """Yield the rules of a file."""
    for number, line in _joined(text):
        start = _START.match(line)
        if start is None:
            continue
        found = _read(line[start.end() : LONGEST_RULE])
        if isinstance(found, Rule):
            yield found
        elif start["comment"] is None:
            yield Fault(found, number, SURICATA)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, a rule over several lines as one.

    A line goes on after a backslash and, as in Snort 3, until its bracket is closed.
    """
    begin, length = 0, 0
    parts: list[str] = []
    goes_on = is_open = False
    for number, line in enumerate(text.splitlines(), start=1):
        starts = _HEAD.match(line) is not None
        if parts and not goes_on and (starts or not line.strip() or length > LONGEST_RULE):
            yield begin, " ".join(parts)
            parts, length = [], 0
        if not parts:
            begin, is_open = number, starts
        bare = line.rstrip()
        goes_on = bare.endswith("\\") and length < LONGEST_RULE
        parts.append(bare.removesuffix("\\"))
        length += len(line)
        if not goes_on and not (is_open and not bare.endswith(")")):
            yield begin, " ".join(parts)
            parts, length = [], 0
    if parts:
        yield begin, " ".join(parts)


def _read(options: str) -> Rule | str:
    """Return the rule with these options, or what is wrong with them."""
    found: dict[str, list[str]] = {}
    end = 0
    while (option := _OPTION.match(options, end)) is not None:
        found.setdefault(option["name"].lower(), []).append((option["value"] or "").strip())
        end = option.end()
    if not options[end:].lstrip().startswith(")"):
        return "an option is not closed by a semicolon, or the rule not by a bracket"
    title = line_of(_ESCAPED.sub(r"\1", found.get("msg", [""])[0].strip('"')), LONGEST_TITLE)
    if not title:
        return "it has no msg"
    metadata = found.get("metadata", [])
    links = [each for each in found.get("reference", []) if "attack.mitre.org/" in each]
    contents = [each.partition('"')[2].partition('"')[0] for each in found.get("content", [])]
    return Rule(
        kind=SURICATA,
        titles=(title,),
        ids=tuple(each for each in found.get("sid", [])[:1] if each.isdecimal()),
        techniques=techniques_in([*metadata, *links]),
        detection=line_of(" ".join([*found.get("classtype", [])[:1], *contents])),
    )
