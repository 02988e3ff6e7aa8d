"""State as bytes, whoever wrote it."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from app.domains.alerts.state_bytes import pack_state, unpack_state
from app.errors import UnreadableStateError


class Shelf(msgspec.Struct, array_like=True):
    version: int
    books: list[str]
    lamp: bool


class OlderShelf(msgspec.Struct, array_like=True):
    version: int
    books: int


SHELF = Shelf(2, ["a", "b"], lamp=True)


def test_what_was_packed_comes_back() -> None:
    assert unpack_state(pack_state(SHELF), Shelf, 2, "shelf") == SHELF
    assert pack_state(SHELF) == pack_state(Shelf(2, ["a", "b"], lamp=True))


@pytest.mark.parametrize("other", [OlderShelf(1, 7), Shelf(3, [], lamp=False)], ids=["other fields", "the same"])
def test_another_version_is_told_as_such_whatever_its_fields_are(other: OlderShelf | Shelf) -> None:
    with pytest.raises(
        UnreadableStateError, match=rf"shelf: has version {other.version}, not 2; run the release that wrote it"
    ):
        unpack_state(pack_state(other), Shelf, 2, "shelf")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zlib",
        pack_state(SHELF)[:-1],
        pack_state(SHELF) + b"x",
        zlib.compress(b""),
        zlib.compress(msgspec.msgpack.encode([2, ["a"]])),
        zlib.compress(msgspec.msgpack.encode(SHELF).replace(b"\xa1a", b"\xa1\xff")),
    ],
)
def test_what_was_not_packed_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UnreadableStateError, match=r"^shelf: is .*; restore or delete it$"):
        unpack_state(data, Shelf, 2, "shelf")
