"""Generate alert texts: endless new ones, known ones, and the texts that scikit-learn is fitted on.

A new text is the beginning of one rule's title, the end of another's and a word of a third: its words come from real
titles, and it is in no catalogue and no lookup table. No two new texts are equal, even when folded.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
import json
import random
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.techniques.catalogue import TABLE, Rules, shipped_catalogue, title_key
from app.domains.alerts.text import fold
from benchmarks.alerts_contract import FOLDED, KNOWN, MOSTLY_KNOWN, NEW, STRANGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULES = "detection_rules.jsonl.gz"  # of the data set that --data names
KNOWN_TITLES = 2000  # distinct alert names a day at a large site
LOOKED_UP = 1000  # texts in the lookup table
NEW_SHARE = 0.1  # of the workload "90 % known"
_HALF = 2  # the fewest words from each of two titles
_DETECTORS = ("Failed logons of", "Beacon seen from", "Port sweep by", "Denied connection to", "Large upload from")


@functools.cache
def titles() -> tuple[tuple[str, str], ...]:
    """Return the catalogue's titles that find a rule, each with its first technique."""
    rules = msgspec.json.decode(TABLE.read_bytes(), type=Rules)
    known = shipped_catalogue()
    return tuple(
        (rule.title, rules.answers[rule.answer].ids[0]) for rule in rules.rules if known.by_title(fold(rule.title))
    )


def new_texts(chance: random.Random) -> Iterator[str]:
    """Yield texts that are in no catalogue and no lookup table."""
    known = shipped_catalogue()
    words = [each for each in (title.split() for title, _ in titles()) if len(each) >= 2 * _HALF]
    seen: set[str] = set()
    while True:
        first, second, third = chance.choice(words), chance.choice(words), chance.choice(words)
        cut, rest = chance.randint(_HALF, len(first) - 1), chance.randint(1, len(second) - _HALF)
        text = " ".join([*first[:cut], *second[rest:], "of", chance.choice(third)])
        key = title_key(fold(text))
        if key not in seen and known.by_title(key) is None:
            seen.add(key)
            yield text


def strange_texts(chance: random.Random) -> Iterator[str]:
    """Yield new texts, each with an invented host's name."""
    for text in new_texts(chance):
        yield f"{text} on {_word(chance)}"


def known_texts(chance: random.Random) -> Iterator[str]:
    """Yield titles of the catalogue, unchanged."""
    pool = random.Random(0).sample(titles(), KNOWN_TITLES)  # noqa: S311 - invented texts need no secret randomness
    while True:
        yield chance.choice(pool)[0]


def folded_texts(chance: random.Random) -> Iterator[str]:
    """Yield texts of the lookup table, each with another address and number, so that no two are equal."""
    pool = looked_up()
    while True:
        address = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
        yield chance.choice(pool).format(address=address, number=chance.randrange(1, 1_000_000))


@functools.cache
def looked_up() -> tuple[str, ...]:
    """Return the texts of the lookup table, with placeholders for an address and a number."""
    chance = random.Random(1)  # noqa: S311 - invented texts need no secret randomness
    names = dict.fromkeys(_word(chance) for _ in range(2 * LOOKED_UP))
    forms = [f"{chance.choice(_DETECTORS)} {name} at {{address}} ({{number}} times)" for name in names]
    return tuple(forms[:LOOKED_UP])


def lookup_csv() -> bytes:
    """Return the lookup table as CSV with the columns that an analyst uploads: `alerts,techniques`."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(("alerts", "techniques"))
    for number, form in enumerate(looked_up()):
        technique = titles()[number][1]
        rows.writerow((form.format(address="10.0.0.1", number=number + 1), json.dumps([technique])))
    return text.getvalue().encode()


def texts(workload: str, count: int, seed: int) -> list[str]:
    """Return the texts of a pass; new texts differ between seeds."""
    chance = random.Random(seed)  # noqa: S311 - invented texts need no secret randomness
    kinds = {NEW: new_texts, STRANGE: strange_texts, KNOWN: known_texts, FOLDED: folded_texts}
    if workload != MOSTLY_KNOWN:
        return list(islice(kinds[workload](chance), count))
    new, known = new_texts(chance), known_texts(chance)
    return [next(new if chance.random() < NEW_SHARE else known) for _ in range(count)]


def corpus(data: Path | None, most: int | None = None) -> tuple[list[str], list[str]]:
    """Return the texts that scikit-learn is fitted on, and each one's first technique.

    Args:
        data: A folder with the rules' file; None for the catalogue's titles alone.
        most: The most rows to return.
    """
    rows: list[tuple[str, str]] = list(titles())
    if data is not None:
        with gzip.open(data / RULES, "rt", encoding="utf-8") as file:
            rules = [json.loads(line) for line in file]
        rows = [(f"{rule['title']} {rule.get('desc', '')}", rule["techs"][0]) for rule in rules if rule["techs"]]
    rows = rows[:: max(1, len(rows) // most)] if most else rows
    return [text for text, _ in rows], [technique for _, technique in rows]


def _word(chance: random.Random) -> str:
    """Return an invented name of four syllables."""
    return "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(4))
