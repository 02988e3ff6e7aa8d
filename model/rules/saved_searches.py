"""Read Splunk's `savedsearches.conf`: a stanza a search, its techniques in the annotations of Enterprise Security."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from model.rules.mappings import ANNOTATIONS, rules_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.rules.rule import Fault, Rule

STANZA = re.compile(r"^\[(?P<name>[^\]\n]{1,512})\][ \t]*$", re.MULTILINE)
SEARCH = re.compile(rf"^(?:search|{re.escape(ANNOTATIONS)})[ \t]*=", re.MULTILINE)
"""A setting that makes a file of stanzas one of saved searches."""
_SETTING = re.compile(r"^(?P<key>[\w.]+)[ \t]*=[ \t]*(?P<value>(?:[^\n\\]|\\\r?\n|\\)*+)", re.MULTILINE)


def read_saved_searches(text: str) -> Iterator[Rule | Fault]:
    """Yield the searches of a file; a stanza without a search, such as `[default]`, is none."""
    stanzas = [*STANZA.finditer(text)]
    ends = [*(each.start() for each in stanzas[1:]), len(text)]
    for stanza, end in zip(stanzas, ends, strict=True):
        settings = {each["key"]: each["value"] for each in _SETTING.finditer(text, stanza.end(), end)}
        if "search" in settings:
            yield from rules_in({**settings, "name": stanza["name"], "title": None, "id": None})
