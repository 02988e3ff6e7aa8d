"""A typed request from a path, a query and a body.

With a `msgspec.Struct` as request type, the three are one JSON object: the body's fields, and those of path and query
put in. A field is found by the name that JSON has for it; one given twice must have the same value both times. Text
becomes a field's type where it says so (`limit=10` is the number 10, `limit=ten` is an error; where the type takes
text, text it stays), and is then decoded with the body, as strictly as the body is.

With any other type, also a Struct in a list, a union or brackets, the body alone is the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import msgspec

from app.errors import MillraceError, RequestError
from app.handlers.api.routes import BODILESS
from app.handlers.base import LambdaHandler, Request, Response
from app.handlers.request import UNREADABLE, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.api.routes import Route

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_LISTS = (
    msgspec.inspect.ListType,
    msgspec.inspect.SetType,
    msgspec.inspect.FrozenSetType,
    msgspec.inspect.VarTupleType,
    msgspec.inspect.TupleType,
)


@dataclass(frozen=True)
class Field:
    """A field of a request that path or query may give.

    Attributes:
        name: The name that JSON has for it.
        type: Its type.
        repeated: Whether the type is a list or the like and nothing else, so that one value is a list of one.
        many: Whether it may be given several times.
    """

    name: str
    type: Any
    repeated: bool
    many: bool


class Binder(Generic[Request, Response]):
    """Makes the requests of one handler."""

    def __init__(self, handler: type[ApiLambdaHandler[Request, Response]], route: Route, method: str) -> None:
        """Looks at the request type once.

        Raises:
            MillraceError: The route has a field that the request has not, or a request cannot come without a body.
        """
        self._decode = _decoder(handler)
        self._bodiless = method in BODILESS
        self._limit_bytes = handler.max_body_bytes
        self._fields: dict[str, Field] | None = None
        self._forbids_unknown = False
        kind = fields_of(handler.request_type)
        if kind is not None:
            self._forbids_unknown = kind.forbid_unknown_fields
            self._fields = {
                each.encode_name: _field(each, shape)
                for each, shape in zip(msgspec.structs.fields(kind.cls), kind.fields, strict=True)
            }
            names = {each.name: self._fields[each.encode_name] for each in msgspec.structs.fields(kind.cls)}
            self._path = {name: self._fields.get(name) or names.get(name) for name in route.fields}
        else:
            self._path = dict.fromkeys(route.fields)
            if self._bodiless and not _takes_null(handler):
                raise MillraceError(f"{handler.name}: a {method} has no body, so its request is to be a Struct or None")
        for name, field in self._path.items():
            if field is None:
                raise MillraceError(f"{handler.name}: route {route.text} has <{name}>, which its request has not")

    def bind(self, body: bytes, path: Mapping[str, str], query: Callable[[], Mapping[str, list[str]]]) -> Request:
        """One request.

        Args:
            body: As it was sent, or nothing.
            path: The path's fields.
            query: Gives the query's values, by name.

        Raises:
            RequestError: They are not what the handler takes; `field` says where.
        """
        if self._fields is None:
            if not body and not self._bodiless:
                raise RequestError("body: missing: send JSON", "body")
            return self._decode(body or b"null")
        given = self._given(path, query())
        if not given:
            return self._decode(body or b"{}")
        merged = _object(body) if body else {}
        for place, field, value in given:
            text = msgspec.Raw(msgspec.json.encode(value))
            if field.name in merged and not _same(merged[field.name], text, field):
                raise RequestError(f"{place}: given twice, with two values", place)
            merged[field.name] = text
        return self._decode(msgspec.json.encode(merged))

    def takes_body(self) -> bool:
        """Whether the body is read."""
        return not self._bodiless

    @property
    def limit_bytes(self) -> int:
        """The largest body that is taken."""
        return self._limit_bytes

    def _given(self, path: Mapping[str, str], query: Mapping[str, list[str]]) -> list[tuple[str, Field, Any]]:
        """What path and query give: the place that an error would name, the field, and its value."""
        found = []
        for name, field in self._path.items():
            if field is not None:
                found.append((f"path.{name}", field, _converted([path[name]], field, f"path.{name}")))
        for name, texts in query.items():
            known = (self._fields or {}).get(name)
            if known is not None:
                found.append((f"query.{name}", known, _converted(texts, known, f"query.{name}")))
            elif self._forbids_unknown:
                raise RequestError(f"query.{_short(name)}: no such field", f"query.{_short(name)}", "query")
        return found


def _decoder(handler: type[ApiLambdaHandler[Request, Response]]) -> Callable[[bytes], Request]:
    """What decodes a handler's requests: its own `decode`, or what the base's does, with the type looked at once."""
    if getattr(handler.decode, "__func__", None) is not LambdaHandler.decode.__func__:  # type: ignore[attr-defined]
        return handler.decode
    found = msgspec.json.Decoder(handler.request_type)

    def decode(body: bytes) -> Request:
        try:
            request: Request = found.decode(body)
        except UNREADABLE as error:
            raise refused(error) from None
        return request

    return decode


def fields_of(request_type: Any) -> msgspec.inspect.StructType | None:  # noqa: ANN401 - a type
    """A request type whose fields path and query may give; None where the body alone is the request."""
    if not (isinstance(request_type, type) and issubclass(request_type, msgspec.Struct)):
        return None
    kind = msgspec.inspect.type_info(request_type)
    return kind if isinstance(kind, msgspec.inspect.StructType) and not kind.array_like else None


def _field(field: msgspec.structs.FieldInfo, shape: msgspec.inspect.Field) -> Field:
    kinds = [
        _bare(kind)
        for kind in (shape.type.types if isinstance(shape.type, msgspec.inspect.UnionType) else (shape.type,))
    ]
    many = any(isinstance(kind, _LISTS) for kind in kinds)
    alone = all(isinstance(kind, (*_LISTS, msgspec.inspect.NoneType)) for kind in kinds)
    return Field(field.encode_name, field.type, repeated=many and alone, many=many)


def _bare(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """A type without what is said of it besides."""
    while isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    return kind


def _converted(texts: list[str], field: Field, place: str) -> Any:  # noqa: ANN401 - the field says what it is
    """Texts as a value of the field's type."""
    if not field.many and len(set(texts)) > 1:
        raise RequestError(f"{place}: given {len(texts)} times, with different values", place)
    given: Any = texts if field.repeated or (field.many and len(texts) > 1) else "".join(texts[:1])
    try:
        return msgspec.convert(given, field.type, strict=False)
    except UNREADABLE as error:
        raise _at(place, error) from None


def _object(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_object(body)
    except UNREADABLE as error:
        raise refused(error) from None


def _same(body: msgspec.Raw, text: msgspec.Raw, field: Field) -> bool:
    """Whether the body has the same value."""
    try:
        found: bool = msgspec.json.decode(body, type=field.type) == msgspec.json.decode(text, type=field.type)
    except UNREADABLE as error:
        raise _at(f"$.{field.name}", error) from None
    return found


def _at(place: str, error: Exception) -> RequestError:
    """What msgspec says of a value, with the place where it was sent."""
    fault = refused(error)
    where = place + fault.field.removeprefix("$")
    return RequestError(f"{where}: {str(fault).partition(': ')[2]}", where, place)


def _takes_null(handler: type[ApiLambdaHandler[Any, Any]]) -> bool:
    try:
        handler.decode(b"null")
    except RequestError:
        return False
    return True


def _short(name: str) -> str:
    """A name that somebody has sent, as one short word."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:60])
