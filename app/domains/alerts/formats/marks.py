"""Recognize records by the keys and values that they must have."""

from __future__ import annotations

from typing import Any

import msgspec

from app.domains.alerts.formats.values import TOO_MANY_DIGITS


class Marks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Features of a record that together distinguish its format.

    A path is a key, or keys with dots between them: `metadata.eventType` is found nested or as one dotted key.

    Attributes:
        keys: Paths, all of which a record has.
        any: Paths of which it has one or more.
        values: By path, the texts of which the record has one, in any case.
        without: Paths, none of which a record has, or has with more than an empty list.
    """

    keys: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = {}
    without: tuple[str, ...] = ()

    def match(self, record: dict[str, Any]) -> bool:
        """Return whether a record has these features."""
        # Plain loops: a record that no earlier format takes is held against the marks of all others.
        for path in self.keys:
            if value_at(record, path) is None:
                return False
        for path, texts in self.values.items():
            if not _is_one_of(value_at(record, path), texts):
                return False
        for path in self.without:
            if value_at(record, path):
                return False
        for path in self.any:
            if value_at(record, path) is not None:
                return True
        return not self.any

    def first_keys(self) -> frozenset[str]:
        """Return keys of which a record with these features has one at least."""
        paths = self.keys[:1] or tuple(self.values)[:1] or self.any
        return frozenset(key for path in paths for key in (path, path.partition(".")[0]))

    def in_words(self) -> str:
        """Return the features as a phrase for the documentation: "`rule`, and `priority` or `output_fields`"."""
        parts = [_joined(self.keys, "and")] if self.keys else []
        parts += [f"`{path}` is {_joined(texts, 'or')}" for path, texts in self.values.items()]
        parts += [_joined(self.any, "or")] if self.any else []
        parts += [f"no {_joined(self.without, 'or')}"] if self.without else []
        return ", with ".join(parts)


class AnyOf:
    """Several sets of features, one of which a record has."""

    def __init__(self, marks: tuple[Marks, ...]) -> None:
        """Take the sets."""
        self._marks = [(each.first_keys(), each) for each in marks]
        self._first_keys = frozenset[str]().union(*(keys for keys, _ in self._marks))

    def match(self, record: dict[str, Any]) -> bool:
        """Return whether a record has the features of at least one set."""
        if self._first_keys.isdisjoint(record):
            return False
        for keys, each in self._marks:  # noqa: SIM110 - see Marks.match
            if not keys.isdisjoint(record) and each.match(record):
                return True
        return False


def in_words(marks: tuple[Marks, ...]) -> str:
    """Return sets of features as a phrase for the documentation."""
    return "; or ".join(each.in_words() for each in marks)


def value_at(record: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a path through objects, or under the path as one key; None if there is none."""
    found = record.get(path)
    if found is not None or "." not in path:
        return found
    head, _, rest = path.partition(".")
    inner = record.get(head)
    return value_at(inner, rest) if type(inner) is dict else None


def _is_one_of(value: object, texts: tuple[str, ...]) -> bool:
    if type(value) is str:
        lower = value.lower()
        return any(lower == text.lower() for text in texts)
    return type(value) is int and abs(value) < TOO_MANY_DIGITS and str(value) in texts


def _joined(texts: tuple[str, ...], word: str) -> str:
    quoted = [f"`{text}`" for text in texts]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"
