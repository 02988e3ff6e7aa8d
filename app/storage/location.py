"""One file or object by its name: a path, `file://…`, `s3://bucket/key`, or `-` for standard input and output."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from app.budgets import MOST_REQUEST_BYTES
from app.errors import BudgetError, DiskError, LocationError, RequestError
from app.storage.files import over_bytes, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

STANDARD = "-"
S3 = "s3://"
LONGEST = 1100  # characters: S3's keys have up to 1,024 bytes, its buckets' names up to 63


def read_location(location: str, most_bytes: int = MOST_REQUEST_BYTES, *, named: bool = False) -> bytes:
    """Return all bytes of a file, an S3 object or standard input.

    Args:
        location: Its name.
        most_bytes: The budget.
        named: Whether a person names it at a command: see `open_named`.

    Raises:
        LocationError: It does not exist, is a device or a pipe, or cannot be read.
        BudgetError: It has more than `most_bytes`.
        CloudError: S3 does not answer, or refuses.
    """
    if location == STANDARD:
        return read_standard_input(most_bytes)
    if location.startswith(S3):
        from app.storage.objects import open_objects  # noqa: PLC0415 - a file needs no botocore

        bucket, key = _bucket_and_key(location)
        found = _within(location, most_bytes, partial(open_objects(f"s3://{bucket}").get, key, most_bytes))
        if found is None:
            raise LocationError(f"{_shown(location)}: there is no such object")
        return found
    path = _path(location)
    try:
        return _within(location, most_bytes, partial(read_regular, path, most_bytes, named=named))
    except (OSError, ValueError) as error:
        raise LocationError(f"{_shown(location)}: cannot be read: {_why(error)}") from None


def read_standard_input(most_bytes: int = MOST_REQUEST_BYTES, mend: str = "give less in one") -> bytes:
    """Return all bytes of standard input; where they are too many, an error says how to `mend` it.

    Raises:
        BudgetError: It has more than `most_bytes`.
    """
    data = sys.stdin.buffer.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise over_bytes("standard input", most_bytes, mend)
    return data


def _within(location: str, most_bytes: int, read: Callable[[], T]) -> T:
    """Return what is read at a location; an error over its bytes names it on one line."""
    try:
        return read()
    except BudgetError:
        raise over_bytes(_shown(location), most_bytes) from None


def write_location(location: str, data: bytes) -> None:
    """Write a file or an object whole or not at all, or write to standard output.

    Raises:
        LocationError: It cannot be written.
        CloudError: S3 does not answer, or refuses.
    """
    if location == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from app.storage.objects import FolderObjects, open_objects  # noqa: PLC0415 - reading a file needs no botocore

    if location.startswith(S3):
        bucket, key = _bucket_and_key(location)
        open_objects(f"s3://{bucket}").put(key, data)
        return
    path = _path(location)
    try:
        if location.endswith("/") or path.is_dir() or not path.name:
            raise LocationError(f"{_shown(location)}: cannot be written: it is a folder")
        FolderObjects(path.parent).put(path.name, data)
    except DiskError as error:
        why = _why(error.__cause__) if isinstance(error.__cause__, OSError) else str(error)
        raise LocationError(f"{_shown(location)}: cannot be written: {why}") from None
    except (OSError, ValueError) as error:
        raise LocationError(f"{_shown(location)}: cannot be written: {_why(error)}") from None


def check_location(location: str) -> None:
    """Refuse a malformed location before the work whose result it should take.

    Raises:
        LocationError: The scheme is unknown, or a part is missing.
    """
    if location.startswith(S3):
        _bucket_and_key(location)
    elif location != STANDARD:
        _path(location)


def check_allowed(location: str, allowed: Sequence[str], field: str = "request") -> None:
    """Refuse a location in a request or an event that is not below one of the locations allowed.

    `s3://bucket/a` allows `s3://bucket/a/…`, and not `s3://bucket/ab`. Links and `..` of a path are followed first; `.`
    and `..` within a key, which some programs follow, are refused.

    Args:
        location: A file or an object, or the prefix before the names of several.
        allowed: `ALLOWED_LOCATIONS`; without any, each location is allowed.
        field: The path of the request's field that has it, such as `$.location`.

    Raises:
        RequestError: It is below none of them.
    """
    if allowed and not any(_is_below(location, each) for each in allowed):
        raise RequestError(f"{field}: {_shown(location)} is below none of ALLOWED_LOCATIONS", field)


def _is_below(location: str, root: str) -> bool:
    if location.startswith(S3) != root.startswith(S3) or STANDARD in {location, root}:
        return False
    if location.startswith(S3):
        name, prefix = location.removeprefix(S3), root.removeprefix(S3).rstrip("/")
        return f"{name}/".startswith(f"{prefix}/") and not {".", ".."} & set(name.split("/"))
    try:
        return _path(location).resolve().is_relative_to(_path(root).resolve())
    except (LocationError, OSError, RuntimeError, ValueError):  # a loop of links, a name that no path can have
        return False


def _bucket_and_key(location: str) -> tuple[str, str]:
    bucket, _, key = location.removeprefix(S3).partition("/")
    if not bucket or not key or key.endswith("/"):
        raise LocationError(f"{_shown(location)}: give s3://bucket/key")
    if not _is_text(key):
        raise LocationError(f"{_shown(location)}: a key is text in UTF-8")
    return bucket, key


def _path(location: str) -> Path:
    """Return the path of a local location."""
    scheme, separator, _ = location.partition("://")
    if separator and scheme != "file":
        raise LocationError(f"{_shown(location)}: give a path, file://… or s3://bucket/key")
    if separator:
        host, slash, path = location.removeprefix("file://").partition("/")
        if host not in {"", "localhost"}:
            raise LocationError(f"{_shown(location)}: a file of another host; give file:///path")
        location = unquote(slash + path)
    if not location:
        raise LocationError("an empty location: give a path, file://… or s3://bucket/key")
    try:
        return Path(location).expanduser()
    except RuntimeError:
        raise LocationError(f"{_shown(location)}: there is no such user's home") from None


def _is_text(key: str) -> bool:
    try:
        return bool(key.encode())
    except UnicodeEncodeError:
        return False


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "no path can have such characters"


def _shown(location: str) -> str:
    """Return a location on one line, cut if it is longer than any location: an event may name anything."""
    if location.isprintable() and len(location) <= LONGEST:
        return location
    return repr(location[:100])
