"""State as bytes: a struct, whose first field is the version of its format, as MessagePack compressed with zlib."""

from __future__ import annotations

import zlib
from typing import Protocol, TypeVar

import msgspec

from app.errors import UnreadableStateError
from app.telemetry import logger

_LEVEL = 1  # of zlib: a third of the time of its default, for 3 to 9 % more bytes
_LARGEST_BYTES = 256 * 1024 * 1024  # uncompressed: above what the default limits can come to; stops zip bombs


class Versioned(Protocol):
    """A format of state."""

    version: int


Format = TypeVar("Format", bound=Versioned)


class _Any(msgspec.Struct, array_like=True):
    """The common beginning of all versions of a format."""

    version: int


def pack_state(state: Versioned) -> bytes:
    """Return a state as bytes; equal states give equal bytes."""
    return zlib.compress(msgspec.msgpack.encode(state), _LEVEL)


def unpack_state(
    data: bytes, form: type[Format], version: int, what: str, oldest: int | None = None, *, anew: Format | None = None
) -> Format:
    """Return the state in bytes.

    Args:
        data: Bytes that `pack_state` gave.
        form: Type of the state.
        version: Version that this release writes; any other is refused, since its fields may mean something else.
        what: Name of the state for error messages, such as "state of clusters".
        oldest: The oldest version that can be read, if it is not `version`: the fields of later ones have defaults.
        anew: The state that stands in for one of an earlier version; without it that is refused.

    Raises:
        UnreadableStateError: The bytes were not written by this version.
    """
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(data, _LARGEST_BYTES)
    except zlib.error as error:
        raise UnreadableStateError(f"{what}: is not what was written ({error}); restore or delete it") from None
    if not unpacker.eof or unpacker.unused_data:
        raise UnreadableStateError(f"{what}: is cut off or too large; restore or delete it")
    return decode_state(plain, form, version, what, oldest, anew=anew)


def decode_state(
    plain: bytes, form: type[Format], version: int, what: str, oldest: int | None = None, *, anew: Format | None = None
) -> Format:
    """Return the state in uncompressed bytes; see `unpack_state`."""
    try:
        found = msgspec.msgpack.decode(plain, type=_Any).version  # first, since another version has other fields
        if anew is not None and found < version:
            logger.warning(f"{what}: has version {found}, of an earlier release; it begins anew")
            return anew
        if not (version if oldest is None else oldest) <= found <= version:
            raise UnreadableStateError(f"{what}: has version {found}, not {version}; run the release that wrote it")
        return msgspec.msgpack.decode(plain, type=form)
    except (msgspec.MsgspecError, ValueError) as error:  # ValueError: a text that is not UTF-8
        raise UnreadableStateError(f"{what}: is not what was written ({error}); restore or delete it") from None
