"""Unpack a file of gzip block by block; a file that is packed otherwise is named, and any other passes as it is."""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING

from app.errors import BudgetError
from app.stream.hints import hint_of_packed

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x1f\x8b"  # no JSON and no log line begins so
PIECE_BYTES = 1024 * 1024  # inflated at once: gzip packs a thousandfold, and all of it would not fit into memory
_FED_BYTES = 64 * 1024  # packed, at a time: each of many small members copies what is left of them
LARGEST_BYTES = 16 * 1024**3  # inflated: a hundred times the largest day that was seen; anything larger is a bomb
LARGEST_RATIO = 400  # of inflated to packed bytes: real days of alerts have up to 100, and a bomb a thousand
RATIO_FREE_BYTES = 256 * 1024**2  # inflated: below it any ratio is a matter of seconds
_LONGEST_MAGIC = 6  # bytes: of xz and 7z
_GZIP = zlib.MAX_WBITS | 16  # zlib: a gzip header and no other


class BrokenGzipError(Exception):
    """A file begins as gzip does and cannot be inflated: why, in one line."""


class PackedFileError(Exception):
    """A file is packed in a form that is not read here: which, and how to unpack it, in one line."""


def inflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a file, some at a time, none of them empty.

    Args:
        blocks: The blocks of the file, none of them empty.

    Raises:
        BrokenGzipError: It is damaged, or breaks off.
        BudgetError: It is too large when inflated, as such or for its packed size.
        PackedFileError: It is packed otherwise.
    """
    head = b""
    while len(head) < _LONGEST_MAGIC and (block := next(blocks, b"")):
        head += block
    if not head.startswith(MAGIC):
        if hint := hint_of_packed(head):
            raise PackedFileError(hint)
        if head:
            yield head
        yield from blocks
        return
    yield from _within_budget(itertools.chain((head,), blocks))


def _within_budget(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a gzip file.

    Raises:
        BudgetError: They are too many.
    """
    packed = size = 0

    def fed() -> Iterator[bytes]:
        nonlocal packed
        for block in blocks:
            for start in range(0, len(block), _FED_BYTES):
                part = block[start : start + _FED_BYTES]
                packed += len(part)
                yield part

    for piece in _members(fed()):
        size += len(piece)
        if size > LARGEST_BYTES:
            raise BudgetError(f"gzip: more than {LARGEST_BYTES} bytes when inflated; put it in parts")
        if size > RATIO_FREE_BYTES and size > LARGEST_RATIO * packed:
            raise BudgetError(
                f"gzip: {packed} bytes become more than {size}, over {LARGEST_RATIO} times as many; send it unpacked, "
                "or in parts"
            )
        yield piece


def _members(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the members of a gzip file, one after the other; zeros may fill it up behind them."""
    member = zlib.decompressobj(_GZIP)
    began = False
    for block in blocks:
        rest, got = block, bytearray()  # members of a few bytes are handed on together
        while rest and (began or (rest := rest.lstrip(b"\0"))):
            try:
                got += member.decompress(rest, PIECE_BYTES)
            except zlib.error:
                raise BrokenGzipError("gzip: damaged") from None
            began, rest = True, member.unconsumed_tail
            if member.eof:
                began, rest, member = False, member.unused_data, zlib.decompressobj(_GZIP)
            if len(got) >= PIECE_BYTES:
                yield bytes(got)
                got.clear()
        if got:
            yield bytes(got)
    if began:
        raise BrokenGzipError("gzip: it breaks off")
