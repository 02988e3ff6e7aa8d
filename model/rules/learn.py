"""Learn techniques from one's own detection rules: a catalogue and, if wanted, a technique model on top of ours.

Both are bundles for one's own use. The rules stay under the licences of their owners, which the bundle's card lists.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.attack import attack_table
from app.domains.alerts.techniques.catalogue import OWN_RULES, RULES_FILE, Source
from app.errors import SettingsError
from app.inference.bundle import find_bundle, find_bundle_if_any, write_bundle
from app.storage.objects import open_objects
from app.text import one_line
from model.catalogue.derive import Row, derive
from model.rules.bundle import NOTICE, write
from model.rules.folders import read_folders
from model.rules.rule import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from app.inference.bundle import Bundle
    from model.rules.folders import Rules
    from model.rules.rule import Rule

NEEDED = ("technique", "cluster")
"""Bundles that the alerts' commands and pipelines read from the same location."""
_PROGRESS_EVERY_S = 2.0
_MOST_UNKNOWN = 10  # ids that ATT&CK lacks, in the line that names them


class Kind(msgspec.Struct, frozen=True):
    """The rules of one kind.

    Attributes:
        kind: One of `KINDS`; empty for files whose kind is unknown.
        read: The number of rules that were read.
        with_techniques: The number of those with a technique that ATT&CK knows.
        without: The number of those without.
        unreadable: The number of rules and files that could not be read.
    """

    kind: str
    read: int
    with_techniques: int
    without: int
    unreadable: int


class Learned(msgspec.Struct, frozen=True):
    """The result of learning.

    Attributes:
        kinds: Counts by kind, for kinds of which something was found.
        others: The number of files without rules of a known kind.
        unreadable: Each rule or file that could not be read: place and reason.
        unknown: Techniques that ATT&CK's enterprise matrix lacks, with the number of rules that name each.
        bundles: The run id of each bundle that was written, by its name.
        location: Where they are.
    """

    kinds: list[Kind]
    others: int
    unreadable: list[str]
    unknown: dict[str, int]
    bundles: dict[str, str]
    location: str


def learn(folders: Sequence[Path], output: str, say: Callable[[str], None], *, train: bool = False) -> Learned:
    """Read rules and write what was learned from them as bundles.

    Args:
        folders: Folders of rules, or files.
        output: A folder or `s3://…` of bundles.
        say: Called with each line about the progress.
        train: Whether to train a technique model, too.

    Raises:
        LocationError: A folder is not there.
        SettingsError: No rule names a technique.
        ModuleNotFoundError: A package that training needs is missing.
        CloudError: A bundle cannot be written.
    """
    found = read_folders(folders, _progress(say))
    for each in found.unreadable:
        say(f"not readable: {each}")
    table = attack_table()
    unknown = Counter(name for rule in found.rules for name in rule.techniques if table.current(name) is None)
    kinds = _kinds(found)
    if not any(kind.with_techniques for kind in kinds):
        raise SettingsError(
            f"{', '.join(map(str, folders))}: none of {len(found.rules):,} rules names a technique of ATT&CK, "
            f"in {found.files:,} files with rules and {found.others:,} others: give folders of {', '.join(KINDS)} rules"
        )
    catalogue = derive(_rows(found.rules), table, _sources(found), NOTICE)
    files = {RULES_FILE: msgspec.json.encode(catalogue)}
    files["card.md"] = _card(found, kinds, unknown).encode()
    bundles = {OWN_RULES: write(OWN_RULES, "attack_rules", files, output, say)}
    for name in NEEDED:
        _bring(name, output, say)
    if train:
        from model.rules.train import train_on  # noqa: PLC0415 - needs the packages of training

        trained = train_on(found.rules, output, say)
        bundles |= {"technique": trained} if trained else {}
    return Learned(kinds, found.others, list(map(str, found.unreadable)), dict(unknown.most_common()), bundles, output)


def has_technique(rule: Rule) -> bool:
    """Return whether a rule names a technique that ATT&CK knows."""
    return any(attack_table().current(each) is not None for each in rule.techniques)


def unknown_line(unknown: Mapping[str, int]) -> str:
    """Name the techniques that ATT&CK lacks, the most frequent first."""
    named = ", ".join(f"{name} ({count})" for name, count in [*unknown.items()][:_MOST_UNKNOWN])
    more = f" and {len(unknown) - _MOST_UNKNOWN} more" if len(unknown) > _MOST_UNKNOWN else ""
    return f"not in ATT&CK {attack_table().version} (enterprise), left out: {named}{more}"


def _progress(say: Callable[[str], None]) -> Callable[[int, int], None]:
    last = time.monotonic()

    def progress(files: int, rules: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_EVERY_S:
            last = time.monotonic()
            say(f"{rules:,} rules in {files:,} files so far")

    return progress


def _kinds(found: Rules) -> list[Kind]:
    read = Counter(rule.kind for rule in found.rules)
    labelled = Counter(rule.kind for rule in found.rules if has_technique(rule))
    unreadable = Counter(each.kind for each in found.unreadable)
    return [
        Kind(kind, read[kind], labelled[kind], read[kind] - labelled[kind], unreadable[kind])
        for kind in (*KINDS, "")
        if read[kind] or unreadable[kind]
    ]


def _rows(rules: Sequence[Rule]) -> list[Row]:
    """Return a row for each name and each id of a rule."""
    rows = []
    for rule in rules:
        for index in range(max(len(rule.titles), len(rule.ids))):
            title = rule.titles[min(index, len(rule.titles) - 1)] if rule.titles else ""
            rule_id = rule.ids[index] if index < len(rule.ids) else ""
            rows.append(Row(rule.kind, title, list(rule.techniques), rule_id, rule.author))
    return rows


def _sources(found: Rules) -> dict[str, Source]:
    sources = {}
    for kind in KINDS:
        licences = "; ".join(f"{name}: {count}" for name, count in found.licences.get(kind, Counter()).most_common(16))
        sources[kind] = Source(f"own rules, {kind}", "", licences, "", "the owners of the rules")
    return sources


def _bring(name: str, output: str, say: Callable[[str], None]) -> None:
    """Copy a bundle that Millrace ships, unless the location has one: MODEL_LOCATION names one location for all."""
    if find_bundle_if_any(name, location=output) is not None:
        return
    shipped: Bundle = find_bundle(name)
    objects = open_objects(f"{output.rstrip('/')}/{name}/{shipped.manifest.run_id}")
    write_bundle(objects, shipped.manifest, {file: shipped.read(file) for file in shipped.manifest.files})
    say(f"bundle: {objects.root}: a copy of the shipped one, which alerts need beside the rules")


def _card(found: Rules, kinds: Sequence[Kind], unknown: Mapping[str, int]) -> str:
    rows = "\n".join(
        f"| {each.kind or 'unknown'} | {each.read:,} | {each.with_techniques:,} | {each.without:,} "
        f"| {each.unreadable:,} |"
        for each in kinds
    )
    licences = "\n".join(
        f"| {kind} | {one_line(name, 120).replace('|', '/')} | {count:,} |"
        for kind in KINDS
        for name, count in found.licences.get(kind, Counter()).most_common()
    )
    return f"""# One's own detection rules

{NOTICE}.

| kind | read | with techniques | without | not readable |
|---|---|---|---|---|
{rows}

{unknown_line(unknown) if unknown else f"All techniques are in ATT&CK {attack_table().version}."}

An alert is a rule's by the rule's id, else by its title. Rules of one title that disagree give the techniques that at
least half of them name.

## Licences found
By the rule's own words, else the first line of the nearest licence in its folder.

| kind | licence | rules |
|---|---|---|
{licences}
"""
