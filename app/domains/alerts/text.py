"""Fold alert texts for comparison: parts that differ between alerts of one kind become placeholders.

The lookup table stores corrections under folded texts: after a change of the folding they must be loaded again.
"""

from __future__ import annotations

import re

_FOLDED = re.compile(
    r"""
      (?P<kept>\bcve-[0-9]{4}-[0-9]{4,}(?!\w)|\bms[0-9]{2}-[0-9]{3}(?!\w))
    | (?P<url>\b[a-z][a-z0-9+.-]{1,15}://[^\s"'<>]+)
    | (?P<guid>\b(?![a-f]{8}-(?:[a-f]{4}-){3}[a-f]{12}\b)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)
    | (?P<hash>\b(?=[a-f]*[0-9])(?:[0-9a-f]{128}|[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})\b)
    | (?P<email>(?<![\w.+>-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+)
    | (?P<mac>\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b)
    | (?P<time>\b[0-9]{4}-[0-9]{2}-[0-9]{2}
        (?:t[0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:\.[0-9]+)?(?:z|[+-][0-9]{2}:?[0-9]{2})?)?(?!\w))
    | (?P<ip>\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?\b
        | (?<![\w:.>])(?=[0-9a-f:]*[0-9a-f])
          (?: (?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}
            | (?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?)
          (?:/[0-9]{1,3})?(?![\w:<]))
    | (?P<path>\b[a-z]:\\[^\s"'<>|]+
        | (?<![\w\\>])\\[^\s"'<>|\\]*\\[^\s"'<>|]+
        | (?<![\w.<>])/(?:[\w.@%+~-]+/)+[\w.@%+~-]*)
    | (?P<hex>\b0x[0-9a-f]+\b)
    | (?P<number>(?<![\w.])[0-9]+(?:[.,][0-9]+)*(?!\w))
    """,
    re.VERBOSE,
)
"""The folded parts; each becomes a placeholder with the name of its group. `kept` stays: the number of a vulnerability
is telling.

Two rules make folding idempotent: look-behinds and look-aheads treat `<` and `>` as part of a placeholder, and no part
ends within a word. No repetition contains one that can start anywhere, so that the time is linear in the length.
"""
_MARK = re.compile(r"[0-9/\\@]|:.")
"""Every folded word contains one of these; most words have none and are skipped."""


def fold(text: str) -> str:
    """Return a text in lower case on one line, with URLs, addresses, paths, hashes, times and numbers as `<url>` etc.

    Folding is idempotent, accepts any text, and takes time linear in its length.
    """
    words = text.lower().split()
    marked = _MARK.search
    return " ".join([_FOLDED.sub(_placeholder, word) if marked(word) else word for word in words])


def _placeholder(found: re.Match[str]) -> str:
    return found[0] if found.lastgroup == "kept" else f"<{found.lastgroup}>"
