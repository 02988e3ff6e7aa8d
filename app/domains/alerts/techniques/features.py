"""Features of a text for the technique model, shared by training and serving.

A text is a set of tokens: its words and its pairs of neighbouring words, each counted once. The features of a word are
the word itself, its parts joined by dots or dashes (`rundll32.exe`), and its character n-grams of 3 to 5, so that an
unseen word still resembles known ones. They depend on the token alone: a text's scores are sums over its tokens, and
can be computed once per token instead of once per text.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from app.domains.alerts.alert import COMMAND_LINE, DESCRIPTION, LONGEST_NAME, PRODUCT, texts_of

if TYPE_CHECKING:
    from app.domains.alerts.alert import Alert

LONGEST_TEXT = 8192  # characters that are read: the longest name, and as much again for the other texts
LONGEST_WORD = 40  # characters; longer words are encoded data, recognizable by the beginning
MOST_WORDS = 384  # of a text: about as many as the longest rule has; bounds the cost of a text
SHORTEST_RUN, LONGEST_RUN = 3, 5  # characters

FORMS = ("title", "long", "described", "full")
"""Forms of text: a line; a long line; a title with one more text (a description, or a product and a command line); a
title with both."""
KINDS = ("host", "cloud", "signature")
"""Kinds of source: a cloud service, the name of a network signature, all others."""
LONG_WORDS = 20  # of one line: the longest titles of rules have about as many

_SIGNATURE = re.compile(r"(?:ET|ETPRO|GPL|SURICATA) [A-Z0-9_]+ |[A-Z]{2,}-[A-Z]{2,}(?:-[A-Z]+)* [A-Z]")
_CLOUD = (
    "aws", "amazon", "s3", "ec2", "iam", "cloudtrail", "guardduty", "azure", "entra", "microsoft 365", "m365", "o365",
    "office 365", "office365", "exchange online", "gcp", "google cloud", "google workspace", "gworkspace", "okta",
    "onelogin", "auth0", "github", "gitlab", "bitbucket", "snowflake", "kubernetes",
)  # fmt: skip
_CLOUD_WORD = re.compile(rf"\b(?:{'|'.join(_CLOUD)})\b")
_WORD = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_JOINT = re.compile(r"[._-]")
_SENTENCE_END = re.compile(r"[.!?] (?=[^\W\d_])")
_ABBREVIATIONS = frozenset(("e.g.", "i.e.", "vs.", "etc.", "inc.", "ltd.", "corp.", "no.", "u.s."))
_TITLE_WORDS, _REST_WORDS = range(2, 21), 4  # of a title before its description, and the fewest of that
_LONGEST_TITLE = 256  # characters
_LONGEST_HEAD = 512  # characters that are searched for a cloud service: a title and a description


def text_of(alert: Alert) -> str:
    """Return the text of an alert for the model, in up to three lines: name; description; product and command line."""
    name, attributes = alert.name[:LONGEST_NAME], alert.other_attributes
    texts = {key: texts_of(attributes, key) for key in (DESCRIPTION, PRODUCT, COMMAND_LINE)}
    description = _line(" ".join(texts[DESCRIPTION])[:LONGEST_TEXT])
    if not description:
        name, description = title_and_rest(name)
    name = _line(name)
    rest = _line(" ".join([*texts[PRODUCT], *texts[COMMAND_LINE]])[:LONGEST_TEXT])
    return "\n".join(filter(None, (name, description, rest)))[:LONGEST_TEXT]


def title_and_rest(text: str) -> tuple[str, str]:
    """Return a text's title and its description: its first line, or its first sentence, and what follows.

    The model scores both apart, as it learned them: a title has fewer words and each tells more. A text that is a title
    alone, or one sentence, has an empty description.
    """
    lines = text.strip().split("\n", 1)
    if len(lines) > 1:
        return lines[0], _line(lines[1])
    for end in _SENTENCE_END.finditer(text, 0, _LONGEST_TITLE):
        title, rest = text[: end.start() + 1], text[end.end() :]
        words = title.split()
        if len(words) in _TITLE_WORDS and words[-1].lower() not in _ABBREVIATIONS and rest[0].isupper():
            return (title, rest) if len(rest.split(None, _REST_WORDS - 1)) == _REST_WORDS else (text, "")
    return text, ""


def views_of(text: str) -> tuple[str, ...]:
    """Return the parts of a text that are scored one by one: each line, the first two lines, and the whole.

    A text's score is the mean over them, in training too. A name alone is more telling than among the many words of a
    detection, and so is a description; the mean is better than any single view.
    """
    lines = [line for line in text.split("\n", 2) if line.strip()]
    if len(lines) <= 1:
        return (text,)
    return (*lines, *("\n".join(lines[:count]) for count in range(2, len(lines) + 1)))


class Form(NamedTuple):
    """What a text looks like, as far as equal scores of the model mean different things for it.

    Attributes:
        form: Its index in `FORMS`.
        kind: Its index in `KINDS`.
    """

    form: int
    kind: int


def form_of(text: str) -> Form:
    """Return the form of a text of `text_of`."""
    lines = min(text.count("\n"), 2)
    form = lines + 1 if lines else int(text.count(" ") >= LONG_WORDS)
    if _SIGNATURE.match(text):
        return Form(form, KINDS.index("signature"))
    head = text[:_LONGEST_HEAD].lower()
    # Most texts have none of these even within a word, and the pattern alone would cost as much as their scores.
    is_cloud = any(each in head for each in _CLOUD) and _CLOUD_WORD.search(head) is not None
    return Form(form, KINDS.index("cloud") if is_cloud else 0)


def _line(text: str) -> str:
    return " ".join(text.split()) if "\n" in text or "\r" in text else text


def words_of(text: str) -> list[str]:
    """Return the first `MOST_WORDS` words of a text in lower case, each cut to `LONGEST_WORD`."""
    words = _WORD.findall(text[:LONGEST_TEXT].lower())
    if not words:
        return []
    words = words[:MOST_WORDS]
    return [word[:LONGEST_WORD] for word in words] if max(map(len, words)) > LONGEST_WORD else words


def pairs_of(words: list[str]) -> list[str]:
    """Return the pairs of neighbouring words, joined by a blank, which no word contains."""
    return list(map(" ".join, itertools.pairwise(words)))


def parts_of(word: str) -> list[str]:
    """Return a word and its distinct parts between dots, underscores and dashes."""
    parts = _JOINT.split(word)
    return [word] if len(parts) == 1 else [word, *dict.fromkeys(part for part in parts if len(part) > 1)]


def runs_of(word: str) -> list[str]:
    """Return the distinct character n-grams of a word with a blank at both ends."""
    bounded = f" {word} "
    size = len(bounded)
    runs = [
        bounded[start : start + length]
        for length in range(SHORTEST_RUN, LONGEST_RUN + 1)
        for start in range(size - length + 1)
    ]
    return list(dict.fromkeys(runs))
