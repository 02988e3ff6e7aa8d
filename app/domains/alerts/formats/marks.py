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
        return (
            all(value_at(record, path) is not None for path in self.keys)
            and (not self.any or any(value_at(record, path) is not None for path in self.any))
            and not any(value_at(record, path) for path in self.without)
            and all(_is_one_of(value_at(record, path), texts) for path, texts in self.values.items())
        )

    def in_words(self) -> str:
        """Return the features as a phrase for the documentation: "`rule`, and `priority` or `output_fields`"."""
        parts = [_joined(self.keys, "and")] if self.keys else []
        parts += [f"`{path}` is {_joined(texts, 'or')}" for path, texts in self.values.items()]
        parts += [_joined(self.any, "or")] if self.any else []
        parts += [f"no {_joined(self.without, 'or')}"] if self.without else []
        return ", with ".join(parts)


def matches_any(marks: tuple[Marks, ...], record: dict[str, Any]) -> bool:
    """Return whether a record has the features of at least one of several sets."""
    return any(each.match(record) for each in marks)


def in_words(marks: tuple[Marks, ...]) -> str:
    """Return sets of features as a phrase for the documentation."""
    return "; or ".join(each.in_words() for each in marks)


def value_at(record: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a path through objects, or under the path as one key; None if there is none."""
    found = record.get(path)
    if found is not None or "." not in path:
        return found
    inner: Any = record
    for part in path.split("."):
        inner = inner.get(part) if type(inner) is dict else None
        if inner is None:
            return None
    return inner


def _is_one_of(value: object, texts: tuple[str, ...]) -> bool:
    if type(value) is str:
        lower = value.lower()
        return any(lower == text.lower() for text in texts)
    return type(value) is int and abs(value) < TOO_MANY_DIGITS and str(value) in texts


def _joined(texts: tuple[str, ...], word: str) -> str:
    quoted = [f"`{text}`" for text in texts]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"
