"""Blocks of a file as they were before they were packed with gzip; any other file's as they are."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x1f\x8b"  # no JSON, and no line of a log, begins like this
PIECE_BYTES = 1024 * 1024  # inflated at once: a thousandfold of what it is made of would not fit into memory
LARGEST_BYTES = 16 * 1024**3  # inflated: hundred times the largest day that was seen, and no bomb beyond it
_GZIP = zlib.MAX_WBITS | 16  # zlib's word for a gzip header and no other


class BrokenGzipError(Exception):
    """The file begins as gzip does, and cannot be inflated: why, in one line."""


def inflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a file, some at a time, none of them empty.

    Args:
        blocks: The file's, none of them empty.

    Raises:
        BrokenGzipError: It is damaged, breaks off, or is too large when inflated.
    """
    head = b""
    while len(head) < len(MAGIC) and (block := next(blocks, b"")):
        head += block
    if not head.startswith(MAGIC):
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
    """What the members of a gzip file hold, one after the other; zeros may fill it up behind them."""
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
