"""Encode values as numbers for a job elsewhere: the same value has the same code in every file.

A code is made of the value alone, so no table has to be shared, and none is written again for each chunk. No code is
0, which stands for a feature that a node does not have.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import CERTIFICATE, PORT, PRIORITY, URL, USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CODE_BITS = (
    52  # every JSON reader keeps a whole number of 53 bits; of a million values, two share a code 1 time in 9,000
)
PLAIN = frozenset({PRIORITY, PORT, URL, USER_AGENT, CERTIFICATE, "user_feedback"})
"""Attributes that a job reads as they are."""


def code_of(value: Any) -> int:  # noqa: ANN401 - any JSON
    """Return a value's code, from 1."""
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode()
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - CODE_BITS)) or 1


class Encoder:
    """Encodes the attributes of a chunk's alerts; the code of a text is computed once."""

    def __init__(self) -> None:
        """Start without a value."""
        self._known: dict[str, int] = {}

    def attributes(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return attributes with codes in lists of one, but for those that a job reads as they are."""
        encoded: dict[str, Any] = {"empty": not attributes}
        for name, value in attributes.items():
            encoded[name] = value if name in PLAIN else [self._code(value)]
        return encoded

    def _code(self, value: Any) -> int:  # noqa: ANN401 - any JSON
        if not isinstance(value, str):
            return code_of(value)
        found = self._known.get(value)
        if found is None:
            found = self._known[value] = code_of(value)
        return found


def node_columns(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return the column of each feature that any node has, in alphabetical order."""
    return {name: column for column, name in enumerate(sorted({name for each in nodes.values() for name in each}))}


def node_rows(
    nodes: Mapping[str, Mapping[str, Any]], columns: Mapping[str, int], wanted: Iterable[str]
) -> dict[str, list[int]]:
    """Return the codes of those wanted nodes that have features, a column a feature, 0 where a node has none."""
    rows: dict[str, list[int]] = {}
    for node in sorted(set(wanted) & set(nodes)):
        row = [0] * len(columns)
        for name, value in nodes[node].items():
            if value is not None and value != "":
                row[columns[name]] = code_of(value)
        rows[node] = row
    return rows
