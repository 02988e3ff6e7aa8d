"""Budgets for input from outside: elements of a JSON text, bytes after inflation, faults kept.

A text of JSON is parsed into objects of Python that take up to a hundred times its size: `[[],[],…]` has three bytes an
element, and an empty list has 64. The size of a text is no bound on memory; its elements are.
"""

from __future__ import annotations

import math

MOST_ELEMENTS = 512 * 1024
"""Elements (values and fields) of a JSON text that is parsed as a whole.

Measured: an object with one field, in an object with one field, takes 252 bytes an element, so that objects take 132 MB
at the most; empty lists take 60, fields of a large object 134, short texts 67 to 110. With the text of a record, of at
most 16 MB, which takes four times as much as one string of wide characters, this fits a function of 512 MB. Real
formats have 20 to 60 bytes an element: a record of 10 MiB, the largest that Kinesis takes, has 100,000 to 500,000.
Numbers in lists, such as the features of a model, count as a quarter (`elements_of`).
"""
MOST_REQUEST_BYTES = 64 * 1024 * 1024
"""Bytes of a request or an event, read as a whole: ten times Lambda's largest event, for the requests of batch jobs."""
MOST_SETTINGS_BYTES = 4 * 1024 * 1024  # of a file of settings; CloudFormation takes templates of 1 MB
MOST_FAULTS_KEPT = 1_000  # of an input, in memory; all are counted, and written where a file or a stream takes them
SCANNED_BYTES = 1024 * 1024  # of a text that is scanned at a time, which takes eight times as much memory
_QUOTE = ord('"')
_ONE_DIGIT = bytes.maketrans(b"123456789-", b"0000000000")  # what a number begins with


def is_over_elements(text: bytes, most: int = MOST_ELEMENTS) -> bool:
    """Return whether a JSON text may have more than `most` elements; time is linear in its length, without parsing.

    An element has two bytes at the least, itself and a comma or a bracket: a text twice as long as the budget is not
    looked at.

    Args:
        text: JSON in UTF-8; what is no JSON is counted all the same.
        most: The budget.
    """
    if len(text) <= 2 * most or _separators(text) <= most:
        return False
    return elements_of(text) > most


def elements_of(text: bytes) -> int:
    """Return an upper bound of a JSON text's elements, by its commas and brackets outside strings.

    A number in a list counts as a quarter: it takes 32 bytes, and a record of 10 MiB may be one list of them.
    """
    outside = outside_strings(text).translate(_ONE_DIGIT, b" \t\r\n")
    numbers = outside.count(b",0") + outside.count(b"[0")
    return _separators(outside) - numbers + math.ceil(numbers / 4)


def is_over_elements_at(text: bytes, depth: int, most: int) -> bool:
    """Return whether the lists and objects at a depth of a JSON text have more than `most` elements together.

    Args:
        text: JSON in UTF-8; what is no JSON is counted all the same.
        depth: 1 for the elements of the outermost list or object.
        most: The budget.
    """
    if text.count(b",") < most:  # of all depths, so that the usual text is looked at no further
        return False
    import numpy as np  # noqa: PLC0415 - as below

    outside, level, commas = outside_strings(text), 0, 0
    for start in range(0, len(outside), SCANNED_BYTES):
        letters = np.frombuffer(outside, np.uint8, min(SCANNED_BYTES, len(outside) - start), start)
        opens, closes = (letters == ord("[")) | (letters == ord("{")), (letters == ord("]")) | (letters == ord("}"))
        levels = level + np.cumsum(opens.astype(np.int8) - closes.astype(np.int8), dtype=np.int32)
        commas += int(np.count_nonzero((letters == ord(",")) & (levels == depth)))
        level = int(levels[-1])
    return commas >= most


def _separators(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def without_escapes(text: bytes) -> bytes:
    """Return a JSON text without escaped backslashes and quotes: every quote left begins or ends a string."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text


def outside_strings(text: bytes) -> bytes:
    """Return the parts of a JSON text outside its strings; time and memory are linear in its length."""
    import numpy as np  # noqa: PLC0415 - the API and most commands start without it

    text, inside = without_escapes(text), np.False_
    parts: list[bytes] = []
    for start in range(0, len(text), SCANNED_BYTES):
        letters = np.frombuffer(text, np.uint8, min(SCANNED_BYTES, len(text) - start), start)
        quotes = letters == _QUOTE
        within = np.logical_xor.accumulate(quotes) ^ inside
        parts.append(letters[~(within | quotes)].tobytes())
        inside = within[-1]
    return b"".join(parts)
