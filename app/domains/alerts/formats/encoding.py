"""Read text in UTF-8 or UTF-16, with or without a byte order mark."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

UTF8 = "utf-8-sig"
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LOOKED_AT = 4  # bytes: two characters


def encoding_of(head: bytes) -> str:
    """Return the encoding of a text by its first bytes: UTF-16 has a mark, or zeros beside its first two characters.

    Any other text is taken as UTF-8. Alerts begin with ASCII in every format.
    """
    if head.startswith(_MARKS) and len(head) >= _LOOKED_AT:
        return "utf-16"
    if len(head) < _LOOKED_AT or 0 not in head[:_LOOKED_AT]:
        return UTF8
    first, second = head[:_LOOKED_AT:2], head[1:_LOOKED_AT:2]
    if all(first) and not any(second):
        return "utf-16-le"
    return "utf-16-be" if all(second) and not any(first) else UTF8


def as_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the blocks of a text in UTF-8; a text in UTF-8 passes as it is.

    What is no UTF-16 after all becomes U+FFFD, as does half a character at the end.
    """
    head = b""
    while len(head) < _LOOKED_AT and (block := next(blocks, b"")):
        head += block
    encoding = encoding_of(head)
    if encoding == UTF8:
        if head:
            yield head
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    if text := decoder.decode(head):
        yield text.encode("utf-8", "replace")
    for block in blocks:
        if text := decoder.decode(block):
            yield text.encode("utf-8", "replace")
    if text := decoder.decode(b"", final=True):
        yield text.encode("utf-8", "replace")
