"""Handlers that read JSON from a file or an S3 object, and write it to one.

A path in a request lets its sender read, or write, every file that the function may, unless `ALLOWED_LOCATIONS` names
some: that is their purpose. So no queue, stream or route leads to them. They are called from the command line, by a
function that is deployed with one of them as its handler, and by the router where `ROUTER_HANDLERS` names them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import orjson

from app.budgets import MOST_ELEMENTS, is_over_elements
from app.domains.general.settings import GeneralSettings
from app.errors import LocationError, RequestError, SettingsError, UnprocessableError
from app.handlers.base import LambdaHandler
from app.handlers.request import UNREADABLE, refused
from app.storage.location import STANDARD, check_allowed, check_location, read_location, write_location
from app.text import is_nested_deeper, without_bom

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from app.handlers.invocation import Invocation
    from app.settings import Settings

LEVELS = 500
"""How deeply JSON may be nested: Python reads and writes about twice as many, less what the stack holds already."""

_PATH = "$.path"
_CONTENT = "$.content"

Path = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        description="a local path, `file:///…` or `s3://bucket/key`",
        examples=["s3://bucket/rides.json"],
    ),
]


class GetJSONFromFileRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file or object to read."""

    path: Path


class GetJSONFromFileResponse(msgspec.Struct, frozen=True):
    """The content of the file or object."""

    content: Annotated[Any, msgspec.Meta(description="as it is there")]


class PutJSONToFileRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content to write, and its path."""

    content: Annotated[Any, msgspec.Meta(description="what the file will hold")]
    path: Annotated[
        Path | None,
        msgspec.Meta(description="where to; without it `s3://$DEFAULT_BUCKET_NAME/scratch/<request id>/<SHA-256>`"),
    ] = None


class PutJSONToFileResponse(msgspec.Struct, frozen=True):
    """The path of what was written."""

    path: Annotated[str, msgspec.Meta(description="as it was asked for, or as it was made up")]


class GetJSONFromFileHandler(LambdaHandler[GetJSONFromFileRequest, GetJSONFromFileResponse]):
    """Reads JSON from a file or an S3 object.

    Integers, the order of keys and all text come as they are there; a number with a fraction or an exponent becomes a
    double. Whoever may call this reads any file that the function can, below `ALLOWED_LOCATIONS` where that is set.
    """

    name = "get-json-from-file"

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        """Take the locations that may be read; without any, all."""
        self.allowed = allowed

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Take the locations from the settings."""
        return cls(settings.allowed_locations)

    def handle(self, request: GetJSONFromFileRequest, invocation: Invocation) -> GetJSONFromFileResponse:
        """Read the whole file.

        Raises:
            RequestError: The path is malformed, or below none of `ALLOWED_LOCATIONS`.
            LocationError: It does not exist, is a folder, or may not be read.
            UnprocessableError: It holds no JSON, or JSON that is nested too deeply or has too many values.
            BudgetError: It has too many bytes.
            CloudError: S3 does not answer, or refuses.
        """
        path = _checked(request.path, self.allowed)
        data = read_location(path)
        invocation.metrics.count("bytes", len(data))
        if is_over_elements(data):
            raise UnprocessableError(f"{path}: more than {MOST_ELEMENTS} values and fields; put it in parts", _PATH)
        try:
            content = msgspec.json.decode(without_bom(data))
        except UNREADABLE as error:
            raise UnprocessableError(f"{path}: {_why(error)}", _PATH) from None
        if is_nested_deeper(content, LEVELS):
            raise UnprocessableError(f"{path}: nested more than {LEVELS} levels deep", _PATH)
        return GetJSONFromFileResponse(content)


class PutJSONToFileHandler(LambdaHandler[PutJSONToFileRequest, PutJSONToFileResponse]):
    """Writes JSON to a file or an S3 object, over what is there.

    It is written whole or not at all, in UTF-8, with its keys in the order of the request. Whoever may call this writes
    over any file that the function can, below `ALLOWED_LOCATIONS` where that is set.
    """

    name = "put-json-to-file"

    def __init__(self, default_bucket: str = "", allowed: Sequence[str] = ()) -> None:
        """Take the bucket for requests without a path, which are refused without one, and what may be written."""
        self.default_bucket, self.allowed = default_bucket, allowed

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Take the bucket and the locations from the settings."""
        return cls(settings.read(GeneralSettings).default_bucket_name, settings.allowed_locations)

    def handle(self, request: PutJSONToFileRequest, invocation: Invocation) -> PutJSONToFileResponse:
        """Write the content.

        Raises:
            RequestError: The content cannot be JSON: NaN, an infinity, half a surrogate pair, or nested too deeply. Or
                the path is malformed, or below none of `ALLOWED_LOCATIONS`.
            LocationError: It cannot be written there.
            SettingsError: There is no path, and no default bucket.
            CloudError: S3 does not answer, or refuses.
        """
        if request.path is not None:
            _checked(request.path, self.allowed)
        data = _encoded(request.content)
        path = request.path or self._scratch(data, invocation.request_id)
        write_location(path, data)
        invocation.metrics.count("bytes", len(data))
        return PutJSONToFileResponse(path)

    def _scratch(self, data: bytes, request_id: str) -> str:
        if not self.default_bucket:
            raise SettingsError("DEFAULT_BUCKET_NAME is not set: name a bucket, or give a path in the request")
        folder = request_id or str(uuid.uuid4())
        return f"s3://{self.default_bucket}/scratch/{folder}/{hashlib.sha256(data).hexdigest()}"


def _checked(path: str, allowed: Sequence[str]) -> str:
    """Return a path that a request may name; standard input and output are the function's own."""
    if path == STANDARD:
        raise RequestError(f"{_PATH}: give a path, file:///… or s3://bucket/key", _PATH)
    try:
        check_location(path)
    except LocationError as error:
        raise RequestError(f"{_PATH}: {error}", _PATH) from None
    check_allowed(path, allowed, _PATH)
    return path


def _encoded(content: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Encode content as JSON in UTF-8; refuse values that JSON does not have.

    orjson writes null for NaN, so its JSON counts only if it reads back as the content: still three times faster than
    the standard library, which writes what orjson does not (integers beyond 64 bits) and names what is wrong.
    """
    if is_nested_deeper(content, LEVELS):
        raise RequestError(f"{_CONTENT}: nested more than {LEVELS} levels deep", _CONTENT)
    with contextlib.suppress(orjson.JSONEncodeError):
        data = orjson.dumps(content)
        if orjson.loads(data) == content:
            return data
    try:
        return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        fault = "has half of a surrogate pair, which is no text"
    except ValueError:
        fault = "has NaN, an infinity or a number with thousands of digits, which are no JSON"
    except TypeError:
        fault = "has a value of a type that JSON does not have"
    raise RequestError(f"{_CONTENT}: {fault}", _CONTENT)


def _why(error: Exception) -> str:
    """Return the fault in a file's JSON, without its text."""
    return str(refused(error)).removeprefix("request: ")
