"""State as bytes: a struct whose first field is the version of its form, packed with zlib."""

from __future__ import annotations

import zlib
from typing import Protocol, TypeVar

import msgspec

from app.errors import CloudError

_LEVEL = 1  # of zlib: a third of the time of its default, for 3 to 9 % more bytes
_LARGEST_BYTES = 256 * 1024 * 1024  # unpacked: above what the default bounds can come to, and no bomb beyond


class Versioned(Protocol):
    """A form of state; `VERSION` of its module is what this release writes."""

    version: int


Form = TypeVar("Form", bound=Versioned)


class _Any(msgspec.Struct, array_like=True):
    """The beginning of a state of any version."""

    version: int


def packed(state: Versioned) -> bytes:
    """A state as bytes: the same for the same state."""
    return zlib.compress(msgspec.msgpack.encode(state), _LEVEL)


def unpacked(data: bytes, form: type[Form], version: int, what: str) -> Form:
    """The state in bytes.

    Args:
        data: What `packed` gave.
        form: The state's type.
        version: The one that this release writes; another is refused, never guessed at.
        what: Whose state it is, for the message.

    Raises:
        CloudError: The bytes are not what this version wrote.
    """
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(data, _LARGEST_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise CloudError(f"{what}: is cut off or too large; restore or delete it")
        found = msgspec.msgpack.decode(plain, type=_Any).version  # first, since another version has other fields
        if found != version:
            raise CloudError(f"{what}: has version {found}, not {version}; run the release that wrote it")
        return msgspec.msgpack.decode(plain, type=form)
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:  # the last: a text that is not UTF-8
        raise CloudError(f"{what}: is not what was written ({error}); restore or delete it") from None
