"""Refuse requests to the local cloud that no AWS client sends: those of web pages, and those with two readings.

The local cloud checks no signature, so whatever reaches its port is obeyed. A browser lets any page send to loopback: a
simple POST at once, and anything at all under a name of the page's own that suddenly means 127.0.0.1 (DNS rebinding).
A page's request has an `Origin` or a `Sec-Fetch-Site`, asks first with OPTIONS, or has a foreign `Host`. No request of
an AWS client has any of these.

Syntax: RFC 9112, without what it deprecates (folded fields, a bare line feed, several lengths), since two programs that
read a request differently take one's body for the other's next request.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from io import BufferedIOBase

MOST_HEAD_BYTES = 65_536  # AWS's own limits on headers are a quarter of it at most
MOST_BODY_BYTES = 5 * 1024**3  # S3's largest put
PIECE_BYTES = 1024 * 1024  # of a body that is read: memory grows with what comes, not with what is announced
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""Begins an HTTP/2 connection. No page can send it: browsers speak HTTP/2 over TLS alone, and never ask for `*`."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIRST_LINE = re.compile(rb"(" + _TOKEN + rb") (/[\x21-\x7e\x80-\xff]*) HTTP/1\.[01]\r\n")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)\r\n")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_LONGEST_CHUNK_LINE = 18  # bytes: sixteen digits
_HOST = re.compile(
    rb"(?:127(?:\.[0-9]{1,3}){3}|\[::1\]|host\.docker\.internal|(?:[a-z0-9_-][a-z0-9_.-]*\.)?localhost)(?::[0-9]{1,5})?"
)
"""Loopback addresses, and names that no server elsewhere can have: `localhost` (RFC 6761), and the one by which Docker
Desktop's containers reach this machine's loopback. With any port, since a forwarded one may be another."""
_ASKS_FIRST = b"OPTIONS"
_OF_BROWSERS = (b"origin", b"sec-fetch-site")  # the second is in a link's request too, also one opened from a mail
_ONCE = (b"content-length", b"transfer-encoding", b"host")


class Fault(NamedTuple):
    """The reason why a request is refused, and the status of the answer."""

    status: HTTPStatus
    message: str


class BodyError(Exception):
    """A body that is not of its form, or too large."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Take the status of the answer, and the reason."""
        super().__init__(message)
        self.fault = Fault(status, message)


def read_head(stream: BufferedIOBase, first_line: bytes) -> bytes:
    """Return a request's head, up to and with its empty line, or what came of it within `MOST_HEAD_BYTES`."""
    lines, size = [first_line], len(first_line)
    while lines[-1].strip(b"\r\n") and size <= MOST_HEAD_BYTES:
        lines.append(stream.readline(MOST_HEAD_BYTES + 1 - size))
        size += len(lines[-1])
    return b"".join(lines)


def fault_of(head: bytes) -> Fault | None:
    """Return why a request with this head is refused, or None.

    Args:
        head: The request line and the fields, up to and with the empty line.
    """
    if len(head) > MOST_HEAD_BYTES:
        return Fault(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a request's head has at most {MOST_HEAD_BYTES} bytes"
        )
    first, *lines = head.splitlines(keepends=True) or [b""]  # at a bare CR or LF too, where no line may end
    found = _FIRST_LINE.fullmatch(first)
    if found is None:
        return _bad("the first line is no METHOD /path HTTP/1.1")
    if not lines or lines.pop() != b"\r\n":
        return _bad("the head does not end with an empty line")
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return _bad("a line of the head is no `Name: value`")
        fields.setdefault(field[1].lower(), []).append(field[2].strip(b" \t"))
    return _repeated(fields) or fault_of_page(found[1], fields) or _of_a_body(fields)


def fault_of_page(method: bytes, fields: Mapping[bytes, Sequence[bytes]]) -> Fault | None:
    """Return why a request is refused as a web page's, or None.

    Args:
        method: The method.
        fields: The values of each field, by its name in lower case.
    """
    if method == _ASKS_FIRST:
        return Fault(HTTPStatus.FORBIDDEN, "the local cloud answers no web page: OPTIONS is refused")
    if any(name in fields for name in _OF_BROWSERS):
        return Fault(HTTPStatus.FORBIDDEN, "the local cloud answers no browser and no page: send it by an AWS client")
    [host] = fields.get(b"host", [b""])
    if not _HOST.fullmatch(host.lower()):
        return Fault(
            HTTPStatus.FORBIDDEN,
            "the local cloud answers by the names of this machine alone: use 127.0.0.1 or localhost",
        )
    return None


def read_chunked(stream: BufferedIOBase) -> bytes:
    """Return the body of a request in chunks; extensions and trailers, which no client here sends, are refused.

    Raises:
        BodyError: A chunk is not of its form, or the body is over `MOST_BODY_BYTES`.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        found = _CHUNK_SIZE.fullmatch(stream.readline(_LONGEST_CHUNK_LINE))
        if found is None:
            raise BodyError(HTTPStatus.BAD_REQUEST, "the size of a chunk is not of its form")
        length = int(found[1], 16)
        size += length
        pieces.append(read_length(stream, length, size))
        if stream.read(2) != b"\r\n":
            raise BodyError(HTTPStatus.BAD_REQUEST, "a chunk does not end where it says")
        if not length:
            return b"".join(pieces)


def read_length(stream: BufferedIOBase, length: int, total: int | None = None) -> bytes:
    """Return the next `length` bytes of a body.

    Args:
        stream: The connection.
        length: The number of bytes.
        total: The number with what came before.

    Raises:
        BodyError: It ends before, or the body is over `MOST_BODY_BYTES`.
    """
    if (length if total is None else total) > MOST_BODY_BYTES:
        raise BodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {MOST_BODY_BYTES} bytes")
    pieces = []
    while length:
        piece = stream.read(min(length, PIECE_BYTES))
        if not piece:
            raise BodyError(HTTPStatus.BAD_REQUEST, "the body ends before its length")
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def is_own_page(target: str) -> bool:
    """Return whether a path is a page of an emulator's own, where no service is: no bucket's name begins with `_`."""
    path = unquote(target.partition("?")[0]).lstrip("/")
    return path.startswith(("_", "moto-api"))


def _repeated(fields: dict[bytes, list[bytes]]) -> Fault | None:
    for name in _ONCE:
        if len(fields.get(name, ())) > 1:
            return _bad(f"{name.decode()} stands there twice")
    return None


def _of_a_body(fields: dict[bytes, list[bytes]]) -> Fault | None:
    lengths, encodings = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if lengths and encodings:
        return _bad("it has both Content-Length and Transfer-Encoding")
    if encodings and encodings[0].lower() != b"chunked":
        return _bad("Transfer-Encoding is something else than chunked")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        return _bad("Content-Length is no number")
    return None


def _bad(message: str) -> Fault:
    return Fault(HTTPStatus.BAD_REQUEST, f"malformed request: {message}")
