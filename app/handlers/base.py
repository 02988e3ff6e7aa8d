"""Typed Lambda handlers: one class for each function, with the types of its request and its response.

    class Resize(LambdaHandler[ResizeRequest, ResizeResponse]):
        \"\"\"Makes a picture smaller.\"\"\"

        def handle(self, request: ResizeRequest, invocation: Invocation) -> ResizeResponse: ...

    lambda_handler = Resize.get_handler()

A handler of the response type `Iterator[Response]` yields any number of responses to a request. Behind a Kinesis stream
each of them is an output of its own, and for Firehose a line; elsewhere the response is their list.

The same class answers in Lambda (`get_handler`), on the command line (`millrace invoke`, `handle-lambda-request`),
behind the router, and in a test (`Resize().handle(...)`). As an `ApiLambdaHandler` it answers HTTP too, and
`app.handlers.sources` puts it behind a queue or a stream, a record a request.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args, get_origin

import msgspec

from app.handlers import request as requests
from app.handlers.invocation import Invocation, process_settings, run
from app.storage.location import S3, check_allowed, read_location

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from app.settings import Settings

Request = TypeVar("Request")
Response = TypeVar("Response")
Handler = TypeVar("Handler", bound="LambdaHandler[Any, Any]")


class LambdaHandler(ABC, Generic[Request, Response]):
    """A Lambda function as a class: opened once for a process, called once for each event.

    What an instance holds (a model, a client) lives as long as the process and is shared by its invocations; what
    belongs to one of them is in its `Invocation`. The first line of the docstring is the handler's summary everywhere.

    Attributes:
        name: The handler's name in lists, logs and metrics: the class's in kebab case without `Handler`, unless set.
        request_type: The type that a request is decoded to, as given in the brackets.
        response_type: The type of the response, as given in the brackets; of a handler that yields, `list[…]`.
        yields: Whether it yields responses, as `Iterator` in the brackets says.
    """

    name: ClassVar[str]
    request_type: ClassVar[Any]
    response_type: ClassVar[Any]
    yields: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401 - whatever a subclass declares
        """Read both types from the brackets, and derive the name."""
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", _stem(cls.__name__)).lower()
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            if not isinstance(origin, type) or not issubclass(origin, LambdaHandler):
                continue
            types = get_args(base)
            if origin is not LambdaHandler:  # a generic class between: its variables are filled in
                given = dict(zip(getattr(origin, "__parameters__", ()), types, strict=True))
                types = tuple(_filled(kind, given) for kind in (origin.request_type, origin.response_type))
            cls.request_type, cls.response_type = types
            if get_origin(cls.response_type) is Iterator:
                cls.yields, cls.response_type = True, list[get_args(cls.response_type)[0]]  # type: ignore[misc]  # known at run time

    @classmethod
    def open(cls, settings: Settings) -> Self:  # noqa: ARG003 - for those that need them
        """Open the handler at a cold start; a handler that needs a model loads it here."""
        return cls()

    @abstractmethod
    def handle(self, request: Request, invocation: Invocation) -> Response:
        """Return the response to one request, or yield several.

        Raises:
            MillraceError: The caller can mend it: one line, whose class sets the exit code and the HTTP status.
        """

    @classmethod
    def decode(cls, payload: Any) -> Request:  # noqa: ANN401 - an event may be anything
        """Decode a request from an event: JSON in bytes or a string, parsed JSON, a request, or `s3://bucket/key`.

        Where the request type is `str`, `bytes`, `Any` or `object`, a text that is not JSON is the request itself.

        A local path is taken from a person (`app.handlers.request.read_source`), never from an event: whoever may
        invoke a function need not be allowed to read its files.

        Raises:
            RequestError: It is not of the request type; `field` has the path of the field at fault. Or the object is
                below none of `ALLOWED_LOCATIONS`.
            LocationError: The object cannot be read.
        """
        if isinstance(payload, str) and payload.startswith(S3):
            check_allowed(payload, process_settings().allowed_locations)
            payload = read_location(payload)
        decoded: Request = requests.decode(payload, cls.request_type)
        return decoded

    @classmethod
    def encode(cls, response: Response) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Return a response as dicts, lists, strings, numbers, booleans and None."""
        return msgspec.to_builtins(response)

    @classmethod
    def request_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a request."""
        return msgspec.json.schema(cls.request_type)

    @classmethod
    def response_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a response."""
        return msgspec.json.schema(cls.response_type)

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    @classmethod
    def qualified_name(cls) -> str:
        """Return the dotted name by which the class can be imported."""
        return f"{cls.__module__}.{cls.__qualname__}"

    @classmethod
    def get_handler(cls) -> LambdaFunction[Self]:
        """Return the function for Lambda; the handler is opened at the first event, or before it by `open`."""
        return LambdaFunction(cls)


class LambdaFunction(Generic[Handler]):
    """A handler class as the function that Lambda calls."""

    def __init__(self, handler_class: type[Handler]) -> None:
        """Take the class; open nothing yet."""
        self.handler_class = handler_class
        self._opened: Handler | None = None

    def open(self) -> Handler:
        """Return the handler, opened once with the environment's settings."""
        if self._opened is None:
            self._opened = self.handler_class.open(process_settings())
        return self._opened

    def __call__(self, event: Any, context: Any = None) -> Any:  # noqa: ANN401 - JSON either way
        """Handle one event; see `app.handlers.invocation.run` for logs, metrics and errors."""
        return run(self.handler_class.name, lambda invocation: self._answer(event, invocation), context)

    def _answer(self, event: Any, invocation: Invocation) -> Any:  # noqa: ANN401 - JSON either way
        handler = self.open()
        return handler.encode(call(handler, handler.decode(event), invocation))


def call(handler: LambdaHandler[Request, Any], request: Request, invocation: Invocation) -> Any:  # noqa: ANN401 - the handler's response
    """Return a handler's response to a request; of one that yields, the list of all that it yields."""
    response = handler.handle(request, invocation)
    return list(response) if handler.yields else response


def _filled(kind: Any, given: Mapping[Any, Any]) -> Any:  # noqa: ANN401 - a type, or what typing makes of one
    """Return a type with its variables filled in: `T`, and those within `list[T]`."""
    if isinstance(kind, TypeVar):
        return given.get(kind, kind)
    variables = getattr(kind, "__parameters__", ()) if get_origin(kind) else ()
    return kind[tuple(given.get(variable, variable) for variable in variables)] if variables else kind


def _stem(class_name: str) -> str:
    return class_name.removesuffix("Handler") or class_name
