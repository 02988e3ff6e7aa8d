"""Routes as handlers write them: `/rides/<ride_id>`, words and fields between slashes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from app.errors import MillraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""The methods that a handler may answer; the API answers HEAD and OPTIONS for it."""

BODILESS = frozenset({"GET", "DELETE"})
"""Methods whose body has no meaning (RFC 9110, 9.3), and is not read."""

_SEGMENT = re.compile(r"<([A-Za-z]\w*)>|[\w.~-]+", re.ASCII)  # a field, or what a URL holds without escapes


class Route(NamedTuple):
    """A path with fields in it.

    Attributes:
        text: The path as it was written, without a slash at its end.
        fields: The names of its fields, in order.
        shape: Its segments, with an empty string for each field: two routes of one shape match the same paths.
    """

    text: str
    fields: tuple[str, ...]
    shape: tuple[str, ...]

    @property
    def template(self) -> str:
        """The path as Starlette and OpenAPI write it, `/rides/{ride_id}`."""
        return self.text.replace("<", "{").replace(">", "}")


def parse_route(text: str, owner: str) -> Route:
    """Return a route from its text, or raise MillraceError with the owner's name."""
    text = text.rstrip("/")
    if text and not text.startswith("/"):
        raise MillraceError(f"{owner}: route {text!r} does not start with a slash")
    segments = text.split("/")[1:]
    matches = [_SEGMENT.fullmatch(segment) for segment in segments]
    for segment, match in zip(segments, matches, strict=True):
        if not match:
            raise MillraceError(f"{owner}: route {text!r} has {segment!r}: write a word, or a field as <name>")
    shape = tuple("" if match and match[1] else segment for segment, match in zip(segments, matches, strict=True))
    fields = tuple(match[1] for match in matches if match and match[1])
    if len(set(fields)) < len(fields):
        raise MillraceError(f"{owner}: route {text!r} has a field twice")
    return Route(text or "/", fields, shape)


def check_routes(planned: Iterable[tuple[str, str, Route]]) -> None:
    """Raise MillraceError where two (name, method, route) exclude each other, or a method is unknown."""
    found: dict[tuple[str, tuple[str, ...]], tuple[str, Route]] = {}
    names: set[str] = set()
    for name, method, route in planned:
        if method not in METHODS:
            raise MillraceError(f"{name}: method {method!r} is none of {', '.join(METHODS)}")
        other, taken = found.setdefault((method, route.shape), (name, route))
        if taken is not route:
            raise MillraceError(
                f"{method} {route.text} of {name} and {taken.text} of {other} are one route: give one of them another"
            )
        if name in names:
            raise MillraceError(f"two handlers are named {name}: give one of them another `name`")
        names.add(name)
