"""Alert texts in the form in which they are compared: what differs from one sighting to the next is folded away.

Corrections of analysts are kept under folded texts: who changes what is folded has to give them to the table again.
"""

from __future__ import annotations

import re

_FOLDED = re.compile(
    r"""
      (?P<kept>\bcve-[0-9]{4}-[0-9]{4,}(?!\w)|\bms[0-9]{2}-[0-9]{3}(?!\w))
    | (?P<url>\b[a-z][a-z0-9+.-]{1,15}://[^\s"'<>]+)
    | (?P<guid>\b(?=[a-f-]*[0-9])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)
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
"""What is folded; a name is what stands for it, but that `kept` stays: a vulnerability's number tells what happened.

Two rules keep a folded text as it is when it is folded again: what looks behind or ahead knows `<` and `>`, which may
stand for a piece that was folded; and no piece ends where a word goes on. No part repeats over a part that can begin
at every place, so that the time grows with the length alone.
"""
_MARK = re.compile(r"[0-9/\\@]|:.")
"""One of these is in every word that is folded: most words have none, and are done with sooner."""


def fold(text: str) -> str:
    """A text in lower case, on one line, with URLs, addresses, paths, hashes, times and numbers as `<url>` and so on.

    A text that was folded is not changed by folding it again. Any text can be folded, in a time that grows with its
    length and no faster.
    """
    words = text.lower().split()
    marked = _MARK.search
    return " ".join([_FOLDED.sub(_placeholder, word) if marked(word) else word for word in words])


def _placeholder(found: re.Match[str]) -> str:
    return found[0] if found.lastgroup == "kept" else f"<{found.lastgroup}>"
