"""What the technique model reads of a text, the same in training and in serving.

A text is a set of tokens: its words and its pairs of neighbouring words, each counted once. A word is told by itself,
by its parts where dots or dashes join them (`rundll32.exe`), and by its runs of 3 to 5 characters, so that a word that
nobody has seen still says something by what it resembles. What a token stands for depends on the token alone: a text's
scores are sums over its tokens, which is why they can be worked out once a token and not once a text.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from app.domains.alerts.alert import COMMAND_LINE, DESCRIPTION, LONGEST_NAME, PRODUCT, texts_of

if TYPE_CHECKING:
    from app.domains.alerts.alert import Alert

LONGEST_TEXT = 8192  # characters that are read: a name at its longest, and as much again of what goes with it
LONGEST_WORD = 40  # characters; longer ones are encoded data, whose beginning tells what it is
MOST_WORDS = 384  # of a text; the longest rule has about as many, and a text's cost ends here
SHORTEST_RUN, LONGEST_RUN = 3, 5  # characters

_WORD = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_JOINT = re.compile(r"[._-]")


def text_of(alert: Alert) -> str:
    """What the model reads of an alert, a line each: name; description; product and command line."""
    name = _line(alert.name[:LONGEST_NAME])
    attributes = alert.other_attributes
    if not attributes:
        return name
    texts = {key: texts_of(attributes, key) for key in (DESCRIPTION, PRODUCT, COMMAND_LINE)}
    description = _line(" ".join(texts[DESCRIPTION])[:LONGEST_TEXT])
    rest = _line(" ".join([*texts[PRODUCT], *texts[COMMAND_LINE]])[:LONGEST_TEXT])
    return "\n".join(filter(None, (name, description, rest)))[:LONGEST_TEXT]


def views_of(text: str) -> tuple[str, ...]:
    """What is told one by one: a text's first line, its second and the rest, then the first two together and the whole.

    The same in training, where a text is the mean of them. A name is told better from alone than among the many words
    of a detection, and so is a description; all together are told better from than any of them.
    """
    lines = [line for line in text.split("\n", 2) if line.strip()]
    if len(lines) <= 1:
        return (text,)
    return (*lines, *("\n".join(lines[:count]) for count in range(2, len(lines) + 1)))


def _line(text: str) -> str:
    return " ".join(text.split()) if "\n" in text or "\r" in text else text


def words_of(text: str) -> list[str]:
    """A text's words in their order: lower case, cut to `LONGEST_WORD`, the first `MOST_WORDS` of them."""
    words = _WORD.findall(text[:LONGEST_TEXT].lower())
    if not words:
        return []
    words = words[:MOST_WORDS]
    return [word[:LONGEST_WORD] for word in words] if max(map(len, words)) > LONGEST_WORD else words


def pairs_of(words: list[str]) -> list[str]:
    """Each two neighbouring words with a blank between them, which no word has."""
    return list(map(" ".join, itertools.pairwise(words)))


def parts_of(word: str) -> list[str]:
    """A word, and the distinct parts that dots and dashes join in it."""
    parts = _JOINT.split(word)
    return [word] if len(parts) == 1 else [word, *dict.fromkeys(part for part in parts if len(part) > 1)]


def runs_of(word: str) -> list[str]:
    """The distinct runs of characters of a word between blanks."""
    bounded = f" {word} "
    size = len(bounded)
    runs = [
        bounded[start : start + length]
        for length in range(SHORTEST_RUN, LONGEST_RUN + 1)
        for start in range(size - length + 1)
    ]
    return list(dict.fromkeys(runs))
