"""Routes, and a typed request from a path, a query and a body.

With a `msgspec.Struct` as request type, the three are one JSON object: the body's fields, and those of path and query
put in. A field is found by the name that JSON has for it; one given twice must have the same value both times. Text
becomes a field's type where it says so (`limit=10` is the number 10, `limit=ten` is an error; where the type takes
text, text it stays), and is then decoded with the body, as strictly as the body is. With any other type, also a Struct
in a list, a union or brackets, the body alone is the request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import msgspec
from msgspec import inspect

from app.errors import MillraceError, RequestError
from app.handlers.base import LambdaHandler, Request, Response
from app.handlers.request import UNREADABLE, check_elements, refused
from app.text import decode_json, short_name, without_bom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.handlers.api.handler import ApiLambdaHandler

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")  # what a handler may answer; the API answers HEAD and OPTIONS
BODILESS = frozenset({"GET", "DELETE"})  # their bodies have no meaning (RFC 9110, 9.3), and are not read

_SEGMENT = re.compile(r"<([A-Za-z]\w*)>|[\w.~-]+", re.ASCII)  # a field, or what a URL holds without escapes
_LISTS = {inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType, inspect.TupleType}
_NULLS: set[type] = {inspect.NoneType, inspect.AnyType}


class RoutePath(NamedTuple):
    """A path with fields in it: its text `/rides/<ride_id>`, its fields, and its segments, empty for each field."""

    text: str
    fields: tuple[str, ...]
    shape: tuple[str, ...]

    @property
    def template(self) -> str:
        """The path as Starlette and OpenAPI write it, `/rides/{ride_id}`."""
        return self.text.replace("<", "{").replace(">", "}")


def parse_route(text: str, owner: str) -> RoutePath:
    """Return a route from its text, or raise MillraceError with the owner's name."""
    text = text.rstrip("/")
    if text and not text.startswith("/"):
        raise MillraceError(f"{owner}: route {text!r} does not start with a slash")
    fields, shape = [], []
    for segment in text.split("/")[1:]:
        found = _SEGMENT.fullmatch(segment)
        if not found:
            raise MillraceError(f"{owner}: route {text!r} has {segment!r}: write a word, or a field as <name>")
        fields += [found[1]] if found[1] else []
        shape.append("" if found[1] else segment)
    if len(set(fields)) < len(fields):
        raise MillraceError(f"{owner}: route {text!r} has a field twice")
    return RoutePath(text or "/", tuple(fields), tuple(shape))


def check_routes(planned: Iterable[tuple[str, str, RoutePath]]) -> None:
    """Raise MillraceError where two (name, method, route) exclude each other, or a method is unknown."""
    found: dict[tuple[str, tuple[str, ...]], tuple[str, RoutePath]] = {}
    names: set[str] = set()
    for name, method, route in planned:
        if method not in METHODS:
            raise MillraceError(f"{name}: method {method!r} is none of {', '.join(METHODS)}")
        other, taken = found.setdefault((method, route.shape), (name, route))
        if taken is not route:
            paths = f"{method} {route.text} of {name} and {taken.text} of {other}"
            raise MillraceError(f"{paths} are one route: give one of them another")
        if name in names:
            raise MillraceError(f"two handlers are named {name}: give one of them another `name`")
        names.add(name)


class Field(NamedTuple):
    """A field that path or query may give: its name in JSON, and whether it takes several values, and only a list."""

    name: str
    type: Any
    repeats: bool
    is_list: bool


class Binder(Generic[Request, Response]):
    """Makes the requests of one handler."""

    def __init__(self, handler: type[ApiLambdaHandler[Request, Response]], route: RoutePath, method: str) -> None:
        """Look at the request type once, or raise MillraceError where route or method cannot give its fields."""
        self._decode, self._bodiless, struct = _decoder(handler), method in BODILESS, struct_of(handler.request_type)
        self._is_struct, self._is_exact = struct is not None, struct is not None and struct.forbid_unknown_fields
        if self._bodiless and not struct and not _kinds(inspect.type_info(handler.request_type)) & _NULLS:
            raise MillraceError(f"{handler.name}: a {method} has no body, so its request is to be a Struct or None")
        infos = zip(msgspec.structs.fields(struct.cls), struct.fields, strict=True) if struct else ()
        fields = {info.name: _field(info, shape.type) for info, shape in infos}
        self._fields = {each.name: each for each in fields.values()}
        fields |= self._fields
        for name in route.fields:
            if name not in fields:
                raise MillraceError(f"{handler.name}: route {route.text} has <{name}>, which its request has not")
        self._path = {name: fields[name] for name in route.fields}

    def bind(self, body: bytes, path: Mapping[str, str], query: Callable[[], Mapping[str, list[str]]]) -> Request:
        """Return a request, or raise RequestError with its field in the body, the path or the query."""
        body = without_bom(body)
        check_elements(body)
        if not self._is_struct:
            if not body and not self._bodiless:
                raise RequestError("body: missing: send JSON", "body")
            return self._decode(body or b"null")
        given = self._given(path, query())
        if not given:
            return self._decode(body or b"{}")
        merged = _read("", msgspec.json.decode, body or b"{}", type=dict[str, msgspec.Raw])
        for name, field, texts in given:
            value = msgspec.Raw(msgspec.json.encode(_converted(texts, field, name)))
            sent = merged.setdefault(field.name, value)
            if sent is not value and _strict(sent, field) != _strict(value, field):
                raise RequestError(f"{name}: given twice, with two values", name)
            merged[field.name] = value
        return self._decode(msgspec.json.encode(merged))

    def _given(self, path: Mapping[str, str], query: Mapping[str, list[str]]) -> list[tuple[str, Field, list[str]]]:
        """Return the values of path and query as text, with the name for error messages and the field."""
        found = [(f"path.{name}", field, [path[name]]) for name, field in self._path.items()]
        for name, texts in query.items():
            if name in self._fields:
                found.append((f"query.{name}", self._fields[name], texts))
            elif self._is_exact:
                short = short_name(name)
                raise RequestError(f"query.{short}: no such field", f"query.{short}", "query")
        return found


def struct_of(request_type: Any) -> inspect.StructType | None:  # noqa: ANN401 - a type
    """Return a request type with fields that path and query may set; None if the body alone is the request."""
    found = inspect.type_info(request_type) if isinstance(request_type, type) else None
    return found if isinstance(found, inspect.StructType) and not found.array_like else None


def _decoder(handler: type[ApiLambdaHandler[Request, Response]]) -> Callable[[bytes], Request]:
    """Return the handler's own `decode`, or what the base's does with the type looked at once."""
    if getattr(handler.decode, "__func__", None) is not LambdaHandler.decode.__func__:  # type: ignore[attr-defined]
        return handler.decode
    decode = msgspec.json.Decoder(handler.request_type).decode
    return lambda body: _read("", lambda text: decode_json(text, decode), body)


def _read(name: str, read: Callable[..., Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever is read
    """Return what msgspec reads, or raise its error as RequestError that names the value."""
    try:
        return read(*arguments, **options)
    except UNREADABLE as error:
        fault = refused(error, arguments[0])  # a body that is no JSON gets a hint at what it is
        if not name:
            raise fault from None
        where = name + fault.field.removeprefix("$")
        raise RequestError(f"{where}: {str(fault).partition(': ')[2]}", where, name) from None


def _strict(value: msgspec.Raw, field: Field) -> Any:  # noqa: ANN401 - the field has its type
    return _read(
        f"$.{field.name}",
        lambda text: decode_json(text, lambda given: msgspec.json.decode(given, type=field.type)),
        value,
    )


def _converted(texts: list[str], field: Field, name: str) -> Any:  # noqa: ANN401 - the field has its type
    if not field.repeats and len(set(texts)) > 1:
        raise RequestError(f"{name}: given {len(texts)} times, with different values", name)
    given = texts if field.is_list or (field.repeats and len(texts) > 1) else texts[0]
    return _read(name, msgspec.convert, given, field.type, strict=False)


def _field(info: msgspec.structs.FieldInfo, shape: inspect.Type) -> Field:
    kinds = _kinds(shape)
    repeats = bool(kinds & _LISTS)
    return Field(info.encode_name, info.type, repeats, is_list=repeats and kinds <= {*_LISTS, inspect.NoneType})


def _kinds(shape: inspect.Type) -> set[type]:
    """Return the kinds of values that a type takes."""
    if isinstance(shape, inspect.Metadata):
        return _kinds(shape.type)
    return set().union(*map(_kinds, shape.types)) if isinstance(shape, inspect.UnionType) else {type(shape)}
