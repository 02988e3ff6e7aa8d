"""Unpack a file of gzip block by block; a file that is packed otherwise is named, and any other passes as it is."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from app.stream.hints import hint_of_packed

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x1f\x8b"  # no JSON and no log line begins so
PIECE_BYTES = 1024 * 1024  # inflated at once: gzip packs a thousandfold, and all of it would not fit into memory
LARGEST_BYTES = 16 * 1024**3  # inflated: a hundred times the largest day that was seen; anything larger is a bomb
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
        BrokenGzipError: It is damaged, breaks off, or is too large when inflated.
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
    size = 0
    for piece in _members(head, blocks):
        size += len(piece)
        if size > LARGEST_BYTES:
            raise BrokenGzipError(f"gzip: more than {LARGEST_BYTES} bytes when inflated; put it in parts")
        yield piece


def _members(block: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the members of a gzip file, one after the other; zeros may fill it up behind them."""
    member = zlib.decompressobj(_GZIP)
    began = False
    while block or (block := next(blocks, b"")):
        if not began and not (block := block.lstrip(b"\0")):
            continue
        try:
            piece = member.decompress(block, PIECE_BYTES)
        except zlib.error:
            raise BrokenGzipError("gzip: damaged") from None
        if piece:
            yield piece
        began, block = True, member.unconsumed_tail
        if member.eof:
            began, block, member = False, member.unused_data, zlib.decompressobj(_GZIP)
    if began:
        raise BrokenGzipError("gzip: it breaks off")
