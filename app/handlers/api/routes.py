"""Routes as handlers write them: what Powertools is told to match, and what it leaves open.

A route is words and fields between slashes. Powertools puts a route into a regular expression as it is, where a dot
stands for any character, and answers a wrong method like a wrong path; so routes are escaped here, and compared with a
path once more where the answer is 404 or 405.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from app.errors import MillraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.handlers.api.event import HttpEvent
    from app.handlers.invocation import Invocation

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""What a handler may answer; HEAD and OPTIONS are answered for it."""

BODILESS = frozenset({"GET", "DELETE", "HEAD"})
"""Methods whose body has no meaning of its own (RFC 9110, 9.3), and is not read."""

_FIELD = re.compile(r"^<([A-Za-z]\w*)>$", re.ASCII)
_WORD = re.compile(r"^[\w.~-]+$", re.ASCII)  # what a URL holds without escapes


class Answer(NamedTuple):
    """What is answered, before it is put into the form of the event's source."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Route:
    """A path with fields in it.

    Attributes:
        text: As it was written, `/rides/<ride_id>`, without a slash at its end.
        fields: The names of its fields, in order.
        shape: Its segments, with an empty string for each field: two routes of one shape match the same paths.
    """

    text: str
    fields: tuple[str, ...]
    shape: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, owner: str) -> Route:
        """Reads a route.

        Args:
            text: `/rides/<ride_id>`.
            owner: Whose it is, for the error.

        Raises:
            MillraceError: It is not a route.
        """
        text = text.rstrip("/")
        fields, shape = [], []
        for segment in text.split("/")[1:]:
            field = _FIELD.match(segment)
            if field:
                fields.append(field[1])
            elif not _WORD.match(segment):
                raise MillraceError(f"{owner}: route {text!r} has {segment!r}: write a word, or a field as <name>")
            shape.append("" if field else segment)
        if text and not text.startswith("/"):
            raise MillraceError(f"{owner}: route {text!r} does not start with a slash")
        if len(set(fields)) < len(fields):
            raise MillraceError(f"{owner}: route {text!r} has a field twice")
        return cls(text or "/", tuple(fields), tuple(shape))

    @cached_property
    def rule(self) -> str:
        """What Powertools matches."""
        return "/".join(segment if _FIELD.match(segment) else re.escape(segment) for segment in self.text.split("/"))

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it, `/rides/{ride_id}`."""
        return self.text.replace("<", "{").replace(">", "}")

    @property
    def rank(self) -> tuple[bool, ...]:
        """Where it stands among all routes: one with a word comes before one with a field in the same place."""
        return tuple(not segment for segment in self.shape)

    def matches(self, path: str) -> bool:
        """Whether an escaped path is of this route."""
        segments = [unquote(segment) for segment in path.rstrip("/").split("/")[1:]]
        return len(segments) == len(self.shape) and all(
            found and word in {"", found} for word, found in zip(self.shape, segments, strict=True)
        )


@dataclass(frozen=True)
class Endpoint:
    """A route with what answers it.

    Attributes:
        name: The handler's, for metrics, logs and OpenAPI.
        method: Upper case.
        route: Its path.
        scope: What the caller must be allowed; None for what is open to everybody.
        answer: Does the work: the request, the path's fields, and the invocation.
    """

    name: str
    method: str
    route: Route
    scope: str | None
    answer: Callable[[HttpEvent, dict[str, str], Invocation], Answer]


def check_routes(planned: Iterable[tuple[str, str, Route]]) -> None:
    """Refuses names, methods and routes that cannot stand beside each other.

    Args:
        planned: Name, method and route of each endpoint.

    Raises:
        MillraceError: A method is none, or two endpoints would answer the same requests or have the same name.
    """
    found: dict[tuple[str, tuple[str, ...]], tuple[str, Route]] = {}
    names: set[str] = set()
    for name, method, route in planned:
        if method not in METHODS:
            raise MillraceError(f"{name}: method {method!r} is none of {', '.join(METHODS)}")
        if (method, route.shape) in found:
            other, taken = found[method, route.shape]
            raise MillraceError(
                f"{method} {route.text} of {name} and {taken.text} of {other} are one route: give one of them another"
            )
        if name in names:
            raise MillraceError(f"two handlers are named {name}: give one of them another `name`")
        found[method, route.shape] = name, route
        names.add(name)


def in_order(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """The endpoints in the order in which they are to be tried: what is said in words comes before any field."""
    return sorted(endpoints, key=lambda each: each.route.rank)


def allowed_methods(endpoints: Sequence[Endpoint], path: str) -> tuple[str, list[str]]:
    """What may be asked of a path.

    Returns:
        The route that it is of, and the methods; empty where no route has it.
    """
    of_path = [each for each in endpoints if each.route.matches(path)]
    if not of_path:
        return "", []
    methods = {each.method for each in of_path}
    return of_path[0].route.text, sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))
