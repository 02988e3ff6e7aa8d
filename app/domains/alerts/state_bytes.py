"""State as bytes: a struct, whose first field is the version of its format, as MessagePack compressed with zlib.

Who may write to a state's table may write any bytes. So a state is bounded before it is inflated, its lists and numbers
are bounded by their types (`Time`, `Count` …), and `load_state` makes one error of whatever does not fit together.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta

from app.errors import MillraceError, UnreadableStateError
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable

_LEVEL = 1  # of zlib: a third of the time of its default, for 3 to 9 % more bytes
_LARGEST_BYTES = 256 * 1024 * 1024  # uncompressed: above what the default limits can come to
_ANY_RATIO_BYTES = 4 * 1024 * 1024  # uncompressed: up to here, a state may be nothing but repetition
_LARGEST_RATIO = 64  # of zlib beyond that: real states are compressed to a third, zeros to a thousandth

_FAR = 2**62  # a second that no clock reaches; sums with it are 64-bit integers still
Index = Annotated[int, Meta(ge=0, le=_FAR)]
"""An index of a text: a negative one would count from the end."""
Indexes = Annotated[list[Index], Meta(max_length=10_000)]
"""Those of one alert or step, which may list hosts and users by the thousand."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
Number = Annotated[int, Meta(ge=-_FAR, le=_FAR)]
Time = Annotated[float, Meta(ge=-_FAR, le=_FAR)]
"""Seconds since 1970, finite."""
Severity = Annotated[int, Meta(ge=0, le=100)] | None


class Versioned(Protocol):
    """A format of state."""

    version: int


T = TypeVar("T")
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
    largest = min(_LARGEST_BYTES, max(_ANY_RATIO_BYTES, _LARGEST_RATIO * len(data)))
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(data, largest)
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
        if anew is not None and 0 < found < version:
            logger.warning(f"{what}: has version {found}, of an earlier release; it begins anew")
            return anew
        if not (version if oldest is None else oldest) <= found <= version:
            raise UnreadableStateError(f"{what}: has version {found}, not {version}; run the release that wrote it")
        return msgspec.msgpack.decode(plain, type=form)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: a text that is not UTF-8
        raise UnreadableStateError(f"{what}: is not what was written ({error}); restore or delete it") from None


def load_state(what: str, load: Callable[[], T]) -> T:
    """Return what is made of a stored state.

    Args:
        what: Name of the state for error messages.
        load: Reads and checks it.

    Raises:
        UnreadableStateError: It is damaged: `load` raised anything but an error of Millrace's own.
    """
    try:
        return load()
    except MillraceError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise UnreadableStateError(f"{what}: is not what was written ({why}); restore or delete it") from error


def check_clock(*times: float) -> None:
    """Raise a ValueError unless each is a `Time`, or an infinite one that stands for none."""
    for time in times:
        if not (math.isinf(time) or -_FAR <= time <= _FAR):
            raise ValueError(f"{time} is no time")
