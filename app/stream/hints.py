"""Guess from its first bytes what a payload is that cannot be read as JSON, and say how to mend it.

A hint is one of a few fixed sentences: it quotes nothing of the payload, so it may be logged.
"""

from __future__ import annotations

import binascii
import re

from app.text import without_bom

LOOKED_AT_BYTES = 512  # a first look is enough, however long the payload is
MAX_NAME_BYTES = 255  # no file's name is longer on the usual file systems
LEAST_BASE64_BYTES = 8  # shorter texts are base64 by chance too often
ZEROS_OF_UTF16 = 0.3  # share of zero bytes: UTF-16 of ASCII text has half of them, every other byte; other text none

UTF16 = "it looks like UTF-16: write it as UTF-8"
BASE64 = "it looks like base64: send the bytes themselves, since an AWS client encodes them"
BASE64_TWICE = "it looks like base64 of base64: send the bytes themselves, since an AWS client encodes them"
JSON_IN_STRING = "it is JSON within a JSON string: encode it once"
PYTHON = "it looks like Python's way to print a dict: write JSON, with double quotes"
FILE_NAME = "it looks like the name of a file: send what is in the file"
MARKUP = "it looks like XML or HTML: send JSON"
_PACKED = {
    b"BZh": "it looks like bzip2: unpack it first (bunzip2), or send it as gzip",
    b"\xfd7zXZ\x00": "it looks like xz: unpack it first (unxz), or send it as gzip",
    b"\x28\xb5\x2f\xfd": "it looks like Zstandard: unpack it first (unzstd), or send it as gzip",
    b"PK\x03\x04": "it looks like a zip archive: unpack it first (unzip), and send what is in it",
    b"7z\xbc\xaf\x27\x1c": "it looks like a 7z archive: unpack it first (7z x), and send what is in it",
    b"PAR1": "it looks like Parquet: send JSON",
}
"""Magic numbers of what is not unpacked here, each from its format's specification."""
_COMPRESSED = {
    b"\x1f\x8b": "it looks like gzip: send it uncompressed",
    b"\x78\x01": "it looks like zlib: send it uncompressed",
    b"\x78\x9c": "it looks like zlib: send it uncompressed",
    b"\x78\xda": "it looks like zlib: send it uncompressed",
    **_PACKED,
}
"""Magic numbers, each from its format's specification."""

OF_WHOLE_FILES = frozenset({UTF16, *_COMPRESSED.values()})
"""The hints after which it makes no sense to look for lines in a file."""

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}\s*")
_FILE_NAME = re.compile(rb"@?[^{}\[\]<>\"\r\n]+\.(json|jsonl|ndjson|csv|txt|log|gz|parquet)|(file|s3|https?)://\S+")


def hint_of(payload: bytes) -> str:
    """Return a sentence on what a payload seems to be instead of JSON in UTF-8, and how to mend it; empty if unsure.

    Args:
        payload: The bytes that could not be read; compressed bytes count as unreadable, where nothing inflates them.
    """
    start = without_bom(payload[:LOOKED_AT_BYTES])
    for magic, hint in _COMPRESSED.items():
        if start.startswith(magic):
            return hint
    zeros = (start[::2].count(0), start[1::2].count(0))
    if start.startswith(_UTF16_MARKS) or (max(zeros) > ZEROS_OF_UTF16 * len(start) and not min(zeros)):
        return UTF16
    return _hint_of_text(start.lstrip(), len(payload))


def hint_of_packed(head: bytes) -> str:
    """Return a sentence on a packed file by its first bytes, and how to unpack it; empty for any other, or gzip."""
    return next((hint for magic, hint in _PACKED.items() if head.startswith(magic)), "")


def _hint_of_text(start: bytes, size: int) -> str:
    """See `hint_of`; for text in UTF-8."""
    if start.startswith((b'"{', b'"[')):
        return JSON_IN_STRING
    if start.startswith((b"{'", b"[{'", b"b'{", b'b"{')):
        return PYTHON
    if start.startswith(b"<"):
        return MARKUP
    if size <= MAX_NAME_BYTES and _FILE_NAME.fullmatch(start.rstrip()):
        return FILE_NAME
    inner = _from_base64(start)
    if inner.lstrip().startswith((b"{", b"[", *_COMPRESSED)):
        return BASE64
    return BASE64_TWICE if _from_base64(inner).lstrip().startswith((b"{", b"[", *_COMPRESSED)) else ""


def _from_base64(start: bytes) -> bytes:
    """Decode the beginning of what may be base64; empty if it is not."""
    if len(start) < LEAST_BASE64_BYTES or not _BASE64.fullmatch(start):
        return b""
    try:
        return binascii.a2b_base64(start[: len(start) // 4 * 4])
    except binascii.Error:
        return b""
