"""JSON in pieces: one value after the other out of a file that need not fit into memory.

Only quotes and brackets are looked at, in bytes; what a value holds is decoded by whoever takes it. So a value whose
inside is broken harms no other, as long as its quotes and brackets are whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024

_SPACE = re.compile(rb"[ \t\r\n]*+")
_INSIDE = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+([{}\[\]"])?', re.DOTALL)
"""Up to the next bracket, over whole strings; or up to the quote of a string that goes on behind the buffer."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^,}\]\s]*+")
_BOM = b"\xef\xbb\xbf"
_OPENING = b"{["


class BrokenJsonError(Exception):
    """The text is no JSON: what is wrong, and at which byte."""


class Scanner:
    """Takes values, one after the other, out of blocks of bytes."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        """Takes the blocks; none is read yet."""
        self._blocks = blocks
        self._buffer = b""
        self._at = 0  # the place in the buffer
        self._passed = 0  # bytes before the buffer
        self._fill()
        if self._buffer.startswith(_BOM):
            self._at = len(_BOM)

    @property
    def place(self) -> int:
        """The byte at which the scanner stands."""
        return self._passed + self._at

    def peek(self) -> bytes:
        """The next byte that is no space; empty at the end."""
        while True:
            self._at = _end(_SPACE, self._buffer, self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            self._drop()  # much space must not be held
            if not self._fill():
                return b""

    def take(self, expected: bytes) -> bool:
        """Passes over one byte, if it is the next."""
        if self.peek() != expected:
            return False
        self._at += 1
        return True

    def need(self, expected: bytes) -> None:
        """Passes over one byte.

        Raises:
            BrokenJsonError: It is not the next.
        """
        if not self.take(expected):
            raise BrokenJsonError(f"{expected.decode()} is missing at byte {self.place}")

    def elements(self, limit: int) -> Iterator[tuple[bytes | None, int]]:
        """The elements of the array that begins here, each with its size; those above `limit` bytes come as None.

        Raises:
            BrokenJsonError: The array does not end, or a comma is missing.
        """
        self.need(b"[")
        if self.take(b"]"):
            return
        while True:
            yield self.value(limit)
            if self.take(b"]"):
                return
            self.need(b",")

    def members(self) -> Iterator[bytes]:
        """The keys of the object that begins here, as JSON; whoever gets one takes its value before the next.

        Raises:
            BrokenJsonError: The object does not end, or a comma or a colon is missing.
        """
        self.need(b"{")
        if self.take(b"}"):
            return
        while True:
            if self.peek() != b'"':
                raise BrokenJsonError(f"a key is missing at byte {self.place}")
            key, _ = self.value(MIB)
            self.need(b":")
            yield key or b""
            if self.take(b"}"):
                return
            self.need(b",")

    def value(self, limit: int) -> tuple[bytes | None, int]:
        """The value that begins here and its size in bytes; None where it has more than `limit`.

        Raises:
            BrokenJsonError: There is none, or it does not end.
        """
        first = self.peek()
        began = self.place
        self._drop()
        if first in {b'"', b"{", b"["}:
            whole = self._enclosed(limit)
        else:
            while (end := _end(_SCALAR, self._buffer, self._at)) == len(self._buffer) and self._fill():
                pass
            whole, self._at = True, end
        size = self.place - began
        if not size:
            raise BrokenJsonError(f"a value is missing at byte {began}")
        if not whole or size > limit:
            return None, size
        return self._buffer[self._at - size : self._at], size

    def line(self, limit: int) -> tuple[bytes | None, int]:
        """The rest of this line without its end, and its size; None where it has more than `limit` bytes."""
        began, dropped = self.place, False
        self._drop()
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if len(self._buffer) > limit:
                dropped = True
                self._at = len(self._buffer)
                self._drop()
            if not self._fill():
                end = len(self._buffer)
                break
        text = self._buffer[0 if dropped else self._at : end]
        self._at = end
        size = self.place - began
        self._at = min(end + 1, len(self._buffer))
        return (None if dropped or size > limit else text.rstrip(b"\r")), size

    def _enclosed(self, limit: int) -> bool:
        """Goes to the end of a string or of what is in brackets; False where its begin was not kept."""
        began, depth, whole = self.place, 0, True
        if self._buffer[self._at : self._at + 1] == b'"':
            while (found := _STRING.match(self._buffer, self._at)) is None:
                whole = self._more(began, limit) and whole
            self._at = found.end()
            return whole
        while True:
            for found in _INSIDE.finditer(self._buffer, self._at):
                token = found[1]
                if token is None or token == b'"':
                    self._at = found.end() - (token is not None)
                    break
                self._at = found.end()
                depth += 1 if token in _OPENING else -1
                if depth == 0:
                    return whole
            whole = self._more(began, limit) and whole

    def _more(self, began: int, limit: int) -> bool:
        """Reads on within a value; False where its begin was not kept, since it has more than `limit` bytes.

        Raises:
            BrokenJsonError: There is nothing more to read.
        """
        whole = True
        if self._passed + len(self._buffer) - began > limit:
            whole = False
            self._forget()
        if not self._fill():
            raise BrokenJsonError(f"what begins at byte {began} does not end")
        return whole

    def _forget(self) -> None:
        """Drops what was passed, and of a string that goes on all but its quote."""
        rest = self._buffer[self._at :]
        if rest[:1] == b'"':
            escaped = (len(rest) - len(rest.rstrip(b"\\"))) % 2
            kept = b'"' + b"\\" * escaped
            self._passed += len(self._buffer) - len(kept)
            self._buffer, self._at = kept, 0
        else:
            self._passed += self._at
            self._buffer, self._at = rest, 0

    def _drop(self) -> None:
        """Lets go of what was passed, once it is worth the copy."""
        if self._at > len(self._buffer) // 2:
            self._passed += self._at
            self._buffer, self._at = self._buffer[self._at :], 0

    def _fill(self) -> bool:
        """Adds as much as is kept already, so that a long value is looked through twice at the most."""
        wanted, got = len(self._buffer) - self._at, []
        while block := next(self._blocks, b""):
            got.append(block)
            wanted -= len(block)
            if wanted <= 0:
                break
        self._buffer += b"".join(got)
        return bool(got)


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    """Where what matches at a place ends."""
    found = pattern.match(text, at)
    return found.end() if found else at
