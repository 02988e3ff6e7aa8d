"""State as bytes, whoever wrote it."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from app.domains.alerts.state_bytes import pack_state, unpack_state
from app.errors import UnreadableStateError


class Stock(msgspec.Struct, array_like=True):
    version: int
    books: list[str]
    lamp: bool


class OlderShelf(msgspec.Struct, array_like=True):
    version: int
    books: int


STOCK = Stock(2, ["a", "b"], lamp=True)


def test_what_was_packed_comes_back() -> None:
    assert unpack_state(pack_state(STOCK), Stock, 2, "stock") == STOCK
    assert pack_state(STOCK) == pack_state(Stock(2, ["a", "b"], lamp=True))


@pytest.mark.parametrize("other", [OlderShelf(1, 7), Stock(3, [], lamp=False)], ids=["other fields", "the same"])
def test_another_version_is_told_as_such_whatever_its_fields_are(other: OlderShelf | Stock) -> None:
    with pytest.raises(
        UnreadableStateError, match=rf"stock: has version {other.version}, not 2; run the release that wrote it"
    ):
        unpack_state(pack_state(other), Stock, 2, "stock")


def test_a_state_of_an_earlier_version_may_begin_anew_and_that_of_a_later_one_is_refused() -> None:
    assert unpack_state(pack_state(OlderShelf(1, 7)), Stock, 2, "stock", anew=STOCK) == STOCK
    with pytest.raises(UnreadableStateError, match="stock: has version 3"):
        unpack_state(pack_state(Stock(3, [], lamp=False)), Stock, 2, "stock", anew=STOCK)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zlib",
        pack_state(STOCK)[:-1],
        pack_state(STOCK) + b"x",
        zlib.compress(b""),
        zlib.compress(msgspec.msgpack.encode([2, ["a"]])),
        zlib.compress(msgspec.msgpack.encode(STOCK).replace(b"\xa1a", b"\xa1\xff")),
    ],
)
def test_what_was_not_packed_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UnreadableStateError, match=r"^stock: is .*; restore or delete it$"):
        unpack_state(data, Stock, 2, "stock")
