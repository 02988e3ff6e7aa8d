"""Derive the catalogue of known rules that Millrace ships.

`python -m model.catalogue.derive detection_rules.jsonl.gz`

Each rule's id, title, author and techniques are copied, not its description or detection. Ids of techniques are those
of ATT&CK's current version; a technique is left out if one of its sub-techniques is there, which implies it.

Rules of one title may disagree. Such a title gives the techniques that at least half of its rules name (a technique
agrees with its sub-techniques), each with that share as a factor of its confidence; if no technique has half of the
rules, the title gives none, and the model decides. A title of one word ("firefox") is not used, and the name of a red
team's test needs three words, since shorter ones describe ordinary actions ("find files"); such rules are found by
their ids only.
"""

from __future__ import annotations

import gzip
import itertools
import sys
from collections import defaultdict
from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from app.domains.alerts.attack import AttackTable, attack_table, parent_of
from app.domains.alerts.techniques.catalogue import TABLE, Answer, Rule, Rules, Source, key_of_title
from app.errors import LocationError, MillraceError
from app.storage.location import read_location, write_location

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_APACHE = ("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")
SOURCES = {
    "sigma": Source(
        "SigmaHQ", "https://github.com/SigmaHQ/sigma",
        "DRL-1.1", "https://github.com/SigmaHQ/Detection-Rule-License", "the authors named with each rule",
    ),
    "splunk": Source("Splunk Security Content", "https://github.com/splunk/security_content", *_APACHE, "Splunk Inc."),
    "chronicle": Source(
        "Chronicle Detection Rules", "https://github.com/chronicle/detection-rules", *_APACHE, "Google LLC",
    ),
    "panther": Source(
        "Panther Analysis", "https://github.com/panther-labs/panther-analysis", *_APACHE, "Panther Labs Inc.",
    ),
    "falco": Source("Falco Rules", "https://github.com/falcosecurity/rules", *_APACHE, "The Falco Authors"),
    "stockpile": Source("CALDERA Stockpile", "https://github.com/mitre/stockpile", *_APACHE, "The MITRE Corporation"),
    "atomicfull": Source(
        "Atomic Red Team", "https://github.com/redcanaryco/atomic-red-team",
        "MIT", "https://github.com/redcanaryco/atomic-red-team/blob/master/LICENSE.txt", "Red Canary, Inc.",
    ),
    "mdec": Source(
        "SIGMA detection rules of M. Decrevoisier", "https://github.com/mdecrevoisier/SIGMA-detection-rules",
        "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/", "Michel de Crevoisier",
    ),
}  # fmt: skip
"""By the short name that the rows have; their order is the order in which rules of one title are read."""
TESTS = {"atomicfull", "stockpile"}
"""Sources of tests and abilities, not of detections."""
RULE_WORDS, TEST_WORDS = 2, 3  # fewer words are no usable title
AGREED_SHARE = 0.5  # of a title's rules: below it, most authors disagree with a technique
NOTICE = (
    "Ids, titles, authors and techniques of detection rules; each rule names its source, and `sources` their licences. "
    "Rules of SigmaHQ: Detection Rule License 1.1, their authors and ids are kept with them."
)


class Row(msgspec.Struct):
    """The fields of a row of the rules' file that are needed."""

    src: str
    title: str
    techs: list[str]
    id: str = ""
    author: str = ""


def derive(
    rows: Iterable[Row], table: AttackTable, sources: Mapping[str, Source] = SOURCES, notice: str = NOTICE
) -> Rules:
    """Return the catalogue of all rules with an id or a usable title and a technique of ATT&CK's current version.

    Args:
        rows: The rules.
        table: ATT&CK.
        sources: The sources by the names in the rows, in the order in which rules of one title are read.
        notice: The notice of the catalogue.

    Raises:
        KeyError: A row has a source that is not among the sources.
    """
    order = {name: index for index, name in enumerate(sources)}
    answers: dict[Answer, int] = {}
    authors: dict[str, int] = {}
    rules: list[Rule] = []
    for row in sorted(rows, key=lambda row: order[row.src]):
        ids = specific(current for each in row.techs if (current := table.current(each)) is not None)
        key = _key(row)
        if not ids or (key is None and not row.id):
            continue
        answer = answers.setdefault(Answer(ids, (1.0,) * len(ids)), len(answers))
        author = authors.setdefault(row.author, len(authors))
        rules.append(Rule(row.title.strip(), row.id.lower(), order[row.src], author, answer, key))
    of_answer = list(answers)
    titles = {}
    for key, alike in _by_key(rules).items():
        sets = [of_answer[rule.answer].ids for rule in alike]
        if len({frozenset(ids) for ids in sets}) > 1:
            shared = agreement(sets)
            titles[key] = answers.setdefault(shared, len(answers)) if shared is not None else -1
    return Rules(notice, table.version, tuple(sources.values()), tuple(authors), tuple(answers), tuple(rules), titles)


def specific(techniques: Iterable[str]) -> tuple[str, ...]:
    """Return each technique once, in order, without those whose sub-technique is among them."""
    each = dict.fromkeys(techniques)
    parents = {parent_of(technique) for technique in each if "." in technique}
    return tuple(technique for technique in each if technique not in parents)


def agreement(sets: Sequence[tuple[str, ...]]) -> Answer | None:
    """Return the techniques that at least half of a title's rules name, the most frequent first."""
    shares = {
        technique: sum(any(alike(technique, other) for other in ids) for ids in sets) / len(sets)
        for technique in specific(itertools.chain(*sets))
    }
    kept = sorted((each for each in shares if shares[each] >= AGREED_SHARE), key=lambda each: -shares[each])
    return Answer(tuple(kept), tuple(round(shares[each], 3) for each in kept)) if kept else None


def alike(one: str, other: str) -> bool:
    """Return whether two techniques are the same, or one is the other's parent."""
    return one == other or parent_of(one) == other or one == parent_of(other)


def agreement_of_sources(rules: Rules) -> float:
    """Return how often a rule's first technique agrees with a rule of the same title from another source."""
    found = [
        any(alike(rules.answers[one.answer].ids[0], each) for each in rules.answers[other.answer].ids)
        for rules_alike in _by_key(rules.rules).values()
        for one, other in itertools.permutations(rules_alike, 2)
        if one.source != other.source
    ]
    return sum(found) / len(found) if found else 1.0


def main(
    source: Annotated[Path, typer.Argument(help="the rules, JSON lines in gzip")],
    out: Annotated[Path, typer.Option(help="the file to write the catalogue to")] = TABLE,
) -> None:
    """Derive the catalogue and write it."""
    try:
        rows = msgspec.json.Decoder(Row).decode_lines(gzip.decompress(read_location(str(source))))
        rules = derive(rows, attack_table())
    except (msgspec.DecodeError, gzip.BadGzipFile, EOFError, KeyError) as error:
        raise LocationError(f"{source}: is no file of rules: {type(error).__name__}: {error}") from None
    lines = msgspec.json.encode(rules)
    write_location(str(out), lines.replace(b"],[", b"],\n[") + b"\n")  # a line a rule: a change can be seen in a diff
    nothing = sum(answer < 0 for answer in rules.titles.values())
    print(f"{out.name}: {len(rules.rules)} rules, {len(_by_key(rules.rules))} titles, {len(rules.authors)} authors")
    print(f"titles whose rules disagree: {len(rules.titles)}, of which {nothing} give no technique")
    print(f"first technique agrees with another source's rule of the same title: {agreement_of_sources(rules):.3f}")


def _key(row: Row) -> str | None:
    key = key_of_title(row.title)
    if len(key.split()) < (TEST_WORDS if row.src in TESTS else RULE_WORDS):
        return None
    return "" if key == row.title.strip().lower() else key


def _by_key(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    found: defaultdict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        if rule.key is not None:
            found[rule.key or rule.title.lower()].append(rule)
    return found


if __name__ == "__main__":
    try:
        typer.run(main)
    except MillraceError as fault:
        print(f"derive: {fault}", file=sys.stderr)
        sys.exit(fault.exit_code)
