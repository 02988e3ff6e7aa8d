"""A typed request from a path, a query and a body.

With a `msgspec.Struct` as request type, the three are one JSON object: the body's fields, and those of path and query
put in. A field is found by the name that JSON has for it; one given twice must have the same value both times. Text
becomes a field's type where it says so (`limit=10` is the number 10, `limit=ten` is an error; where the type takes
text, text it stays), and is then decoded with the body, as strictly as the body is.

With any other type, also a Struct in a list, a union or brackets, the body alone is the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import msgspec
from msgspec import inspect

from app.errors import MillraceError, RequestError
from app.handlers.api.routes import BODILESS
from app.handlers.base import LambdaHandler, Request, Response
from app.handlers.request import UNREADABLE, refused
from app.text import short_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.api.routes import Route

_LISTS = {inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType, inspect.TupleType}


class Field(NamedTuple):
    """A field of a request that path or query may give.

    Attributes:
        name: The name that JSON has for it.
        type: Its type.
        repeats: Whether it may be given several times.
        is_list: Whether one value is a list of one, since the type takes nothing else.
    """

    name: str
    type: Any
    repeats: bool
    is_list: bool


class Binder(Generic[Request, Response]):
    """Makes the requests of one handler."""

    def __init__(self, handler: type[ApiLambdaHandler[Request, Response]], route: Route, method: str) -> None:
        """Look at the request type once, or raise MillraceError where route or method cannot give its fields."""
        self._decode = _decoder(handler)
        self._bodiless = method in BODILESS
        struct = struct_of(handler.request_type)
        self._is_struct, self._is_exact = struct is not None, struct is not None and struct.forbid_unknown_fields
        infos = msgspec.structs.fields(struct.cls) if struct else ()
        fields = [_field(info, shape.type) for info, shape in zip(infos, struct.fields if struct else (), strict=True)]
        self._fields = {each.name: each for each in fields}
        by_any_name = {info.name: field for info, field in zip(infos, fields, strict=True)} | self._fields
        if struct is None and self._bodiless and not _takes_null(handler):
            raise MillraceError(f"{handler.name}: a {method} has no body, so its request is to be a Struct or None")
        for name in route.fields:
            if name not in by_any_name:
                raise MillraceError(f"{handler.name}: route {route.text} has <{name}>, which its request has not")
        self._path = {name: by_any_name[name] for name in route.fields}

    def bind(self, body: bytes, path: Mapping[str, str], query: Callable[[], Mapping[str, list[str]]]) -> Request:
        """Return one request.

        Args:
            body: As it was sent, or empty.
            path: The path's fields.
            query: Returns the query's values by name.

        Raises:
            RequestError: They are not what the handler takes; `field` has the place at fault.
        """
        if not self._is_struct:
            if not body and not self._bodiless:
                raise RequestError("body: missing: send JSON", "body")
            return self._decode(body or b"null")
        given = self._given(path, query())
        if not given:
            return self._decode(body or b"{}")
        merged = _object(body) if body else {}
        for place, field, texts in given:
            value = msgspec.Raw(msgspec.json.encode(_converted(texts, field, place)))
            if field.name in merged and not _same(merged[field.name], value, field):
                raise RequestError(f"{place}: given twice, with two values", place)
            merged[field.name] = value
        return self._decode(msgspec.json.encode(merged))

    def _given(self, path: Mapping[str, str], query: Mapping[str, list[str]]) -> list[tuple[str, Field, list[str]]]:
        """Return what path and query give: the place that an error names, the field, and its values as text."""
        found = [(f"path.{name}", field, [path[name]]) for name, field in self._path.items()]
        for name, texts in query.items():
            if name in self._fields:
                found.append((f"query.{name}", self._fields[name], texts))
            elif self._is_exact:
                short = short_name(name)
                raise RequestError(f"query.{short}: no such field", f"query.{short}", "query")
        return found


def struct_of(request_type: Any) -> inspect.StructType | None:  # noqa: ANN401 - a type
    """Return a request type whose fields path and query may give; None where the body alone is the request."""
    if not (isinstance(request_type, type) and issubclass(request_type, msgspec.Struct)):
        return None
    found = inspect.type_info(request_type)
    return found if isinstance(found, inspect.StructType) and not found.array_like else None


def _decoder(handler: type[ApiLambdaHandler[Request, Response]]) -> Callable[[bytes], Request]:
    """Return the handler's own `decode`, or what the base's does with the type looked at once."""
    if getattr(handler.decode, "__func__", None) is not LambdaHandler.decode.__func__:  # type: ignore[attr-defined]
        return handler.decode
    decode = msgspec.json.Decoder(handler.request_type).decode
    return lambda body: _readable("", decode, body)


def _readable(place: str, read: Callable[..., Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever is read
    """Return what msgspec reads, or raise its error as RequestError with the place where the value was sent."""
    try:
        return read(*arguments, **options)
    except UNREADABLE as error:
        fault = refused(error)
        if not place:
            raise fault from None
        where = place + fault.field.removeprefix("$")
        raise RequestError(f"{where}: {str(fault).partition(': ')[2]}", where, place) from None


def _field(info: msgspec.structs.FieldInfo, shape: inspect.Type) -> Field:
    kinds = _kinds(shape)
    repeats = bool(kinds & _LISTS)
    return Field(info.encode_name, info.type, repeats, is_list=repeats and kinds <= {*_LISTS, inspect.NoneType})


def _kinds(shape: inspect.Type) -> set[type]:
    """Return the kinds of values that a type takes."""
    if isinstance(shape, inspect.Metadata):
        return _kinds(shape.type)
    return set().union(*map(_kinds, shape.types)) if isinstance(shape, inspect.UnionType) else {type(shape)}


def _converted(texts: list[str], field: Field, place: str) -> Any:  # noqa: ANN401 - the field has its type
    if not field.repeats and len(set(texts)) > 1:
        raise RequestError(f"{place}: given {len(texts)} times, with different values", place)
    given = texts if field.is_list or (field.repeats and len(texts) > 1) else texts[0]
    return _readable(place, msgspec.convert, given, field.type, strict=False)


def _object(body: bytes) -> dict[str, msgspec.Raw]:
    found: dict[str, msgspec.Raw] = _readable("", msgspec.json.decode, body, type=dict[str, msgspec.Raw])
    return found


def _same(body: msgspec.Raw, value: msgspec.Raw, field: Field) -> bool:
    """Return whether the body has the same value, read as strictly as the body is."""
    sent, given = (_readable(f"$.{field.name}", msgspec.json.decode, each, type=field.type) for each in (body, value))
    return bool(sent == given)


def _takes_null(handler: type[ApiLambdaHandler[Any, Any]]) -> bool:
    try:
        handler.decode(b"null")
    except RequestError:
        return False
    return True
