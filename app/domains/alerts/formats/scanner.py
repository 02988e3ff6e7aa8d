"""Read JSON in pieces, or lines: one value after the other out of a file that need not fit into memory.

The scanner looks at quotes and brackets alone, in bytes; whoever takes a value decodes it. So a value that is broken
inside harms no other, as long as its own quotes and brackets are whole.
"""

from __future__ import annotations

import itertools
import re
import sys
from typing import TYPE_CHECKING

from app.text import without_bom

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024

_SPACES = b" \t\r\n"  # and, as a part of it, the empty text at the end of a buffer
_SPACE = re.compile(rb"[ \t\r\n]*+")
_BLANK = re.compile(rb"[ \t\r]*+")
_INSIDE = re.compile(rb'(?:[^"{}\[\]]++|(")(?:[^"\\]++|\\.)*+(?:"|(\\?\Z)))*+([{}\[\]])?', re.DOTALL)
"""Up to the next bracket, over whole strings; or to the end, with group 2 set, if the string at group 1 goes on behind.

No part of the repeated group fails once it has taken a byte: Python before 3.11.5 would not give the byte back.
"""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^,}\]\s]*+")
_OPENING = b"{["


class BrokenJsonError(Exception):
    """The text is no JSON: the fault, and its byte."""


def is_open(line: bytes) -> bool:
    """Return whether JSON begins in a line that goes on behind it: brackets are open at its end, and no quotes."""
    depth = 0
    for found in _INSIDE.finditer(line):
        token = found[3]
        if found[2] is not None:
            return False
        if token is None:
            break
        depth += 1 if token in _OPENING else -1
    return depth > 0


class Scanner:
    """Takes values or lines, one after the other, out of blocks of bytes.

    Attributes:
        blank_lines: The line ends that were passed over between values.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        """Read the first block."""
        self._blocks = blocks
        self._buffer = b""
        self._at = 0  # the position in the buffer
        self._passed = 0  # bytes before the buffer
        self.blank_lines = 0
        self._fill()
        self._at = len(self._buffer) - len(without_bom(self._buffer))

    @property
    def position(self) -> int:
        """Return the offset of the scanner in bytes."""
        return self._passed + self._at

    def peek(self) -> bytes:
        """Return the next byte that is no space; empty at the end."""
        if (first := self._buffer[self._at : self._at + 1]) not in _SPACES:  # the usual case
            return first
        while True:
            began, self._at = self._at, _end(_SPACE, self._buffer, self._at)
            self.blank_lines += self._buffer.count(b"\n", began, self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            self._drop()  # much space must not be held
            if not self._fill():
                return b""

    def take(self, expected: bytes) -> bool:
        """Skip one byte, if it is the next."""
        if self.peek() != expected:
            return False
        self._at += 1
        return True

    def need(self, expected: bytes) -> None:
        """Skip one byte.

        Raises:
            BrokenJsonError: It is not the next.
        """
        if not self.take(expected):
            raise BrokenJsonError(f"'{expected.decode()}' is missing at byte {self.position}")

    def elements(self, limit: int) -> Iterator[tuple[bytes | None, int]]:
        """Yield the elements of the array that begins here, each with its size; those above `limit` bytes as None.

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
        """Yield the keys of the object that begins here, as JSON; whoever gets one takes its value before the next.

        Raises:
            BrokenJsonError: The object does not end, or a comma or a colon is missing.
        """
        self.need(b"{")
        if self.take(b"}"):
            return
        while True:
            if self.peek() != b'"':
                raise BrokenJsonError(f"a key is missing at byte {self.position}")
            key, _ = self.value(MIB)
            self.need(b":")
            yield key or b""
            if self.take(b"}"):
                return
            self.need(b",")

    def value(self, limit: int) -> tuple[bytes | None, int]:
        """Return the value that begins here and its size in bytes; None where it has more than `limit`.

        Raises:
            BrokenJsonError: There is none, or it does not end.
        """
        first = self.peek()
        began = self.position
        self._drop()
        whole = self._enclosed(limit) if first in {b'"', b"{", b"["} else self._scalar(limit)
        size = self.position - began
        if not size:
            raise BrokenJsonError(f"a value is missing at byte {began}")
        if not whole or size > limit:
            return None, size
        return self._buffer[self._at - size : self._at], size

    def whole_value(self) -> bytes:
        """Return the value that begins here, however large.

        Raises:
            BrokenJsonError: There is none, or it does not end.
        """
        value, _ = self.value(sys.maxsize)
        return value or b""

    def first_line(self, limit: int) -> tuple[bytes, bytes]:
        """Return the next line that is not blank and the bytes read behind it; neither is passed over.

        Args:
            limit: Bytes. Of a longer line at least so many are returned, and nothing behind it.
        """
        self.peek()
        self._drop()
        began = self._at
        while (end := self._buffer.find(b"\n", began)) < 0 and len(self._buffer) - self._at <= limit:
            began = len(self._buffer)
            if not self._fill():
                break
        if end < 0:
            return self._buffer[self._at :], b""
        return self._buffer[self._at : end], self._buffer[end + 1 :]

    def line_goes_on(self) -> bool:
        """Return whether something but blanks follows on this line; blanks are passed over."""
        while True:
            self._at = _end(_BLANK, self._buffer, self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1] != b"\n"
            self._drop()  # many blanks must not be held
            if not self._fill():
                return False

    def lines(self, limit: int) -> Iterator[list[bytes | None]]:
        """Yield the whole lines of each block up to the end; one of more than `limit` bytes is None and is not held."""
        rest, dropped = bytearray(), False  # a line's beginning grows without a copy, however small the blocks are
        blocks = itertools.chain([self._buffer[self._at :]], self._blocks)
        self._buffer, self._at = b"", 0
        for block in blocks:
            *lines, last = block.split(b"\n")
            if lines:
                lines[0] = bytes(rest) + lines[0]
                rest.clear()
            found: list[bytes | None] = []
            for line in lines:
                found.append(None if dropped or len(line) > limit else line)
                dropped = False
            rest += last
            if len(rest) > limit:
                rest.clear()
                dropped = True
            yield found
        if rest or dropped:
            yield [None if dropped else bytes(rest)]

    def _scalar(self, limit: int) -> bool:
        """Go to the end of a value without quotes or brackets; False where its begin was not kept."""
        began, whole = self.position, True
        while True:
            self._at = _end(_SCALAR, self._buffer, self._at)
            if self._at < len(self._buffer):
                return whole
            if self.position - began > min(limit, MIB):
                whole = False
                self._forget()
            if not self._fill():
                return whole

    def _enclosed(self, limit: int) -> bool:
        """Go to the end of a string or of a bracket; False where its begin was not kept."""
        began, depth, whole = self.position, 0, True
        if self._buffer[self._at : self._at + 1] == b'"':
            while (found := _STRING.match(self._buffer, self._at)) is None:
                whole = self._more(began, limit) and whole
            self._at = found.end()
            return whole
        while True:
            for found in _INSIDE.finditer(self._buffer, self._at):
                token = found[3]
                if token is None:
                    self._at = found.end() if found[2] is None else found.start(1)
                    break
                self._at = found.end()
                depth += 1 if token in _OPENING else -1
                if depth == 0:
                    return whole
            whole = self._more(began, limit) and whole

    def _more(self, began: int, limit: int) -> bool:
        """Read on within a value; False where its begin was not kept, since it has more than `limit` bytes.

        Raises:
            BrokenJsonError: There is nothing more to read.
        """
        whole = True
        if self._passed + len(self._buffer) - began > limit:
            whole = False
            self._forget()
        if not self._fill(len(self._buffer)):
            raise BrokenJsonError(f"the value at byte {began} does not end")
        return whole

    def _forget(self) -> None:
        """Drop the bytes before the position, and of a string that goes on all but its quote."""
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
        """Let go of the bytes before the position, once it is worth the copy."""
        if self._at > len(self._buffer) // 2:
            self._passed += self._at
            self._buffer, self._at = self._buffer[self._at :], 0

    def _fill(self, wanted: int = 0) -> bool:
        """Add as much as a value has already, so that it is looked through and copied twice at the most."""
        wanted, got = max(wanted, len(self._buffer) - self._at), []
        while block := next(self._blocks, b""):
            got.append(block)
            wanted -= len(block)
            if wanted <= 0:
                break
        self._buffer += b"".join(got)
        return bool(got)


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    """Return the end of the match that begins at a position."""
    found = pattern.match(text, at)
    return found.end() if found else at
