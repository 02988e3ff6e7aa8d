"""Read the technique model's training texts: detection rules, ATT&CK's own texts and TRAM's reports."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domains.alerts.attack import attack_table, parent_of
from app.errors import SettingsError

RULES = "detection_rules.jsonl.gz"
EXAMPLES = "attack_v18.1_procedure_examples.jsonl.gz"
DETECTIONS = "attack_v18.1_detection_texts.jsonl.gz"
REPORTS = "tram2_sok_train.json.gz"
TITLES = Path(__file__).parent / "titles.toml"
SIGMA, EXAMPLES_SOURCE, DETECTIONS_SOURCE = "sigma", "examples", "detections"
NAMES_SOURCE = "names"


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with its techniques.

    Attributes:
        views: The text in three lengths: a rule's title, the title with the description, and in full.
        labels: Ids of ATT&CK's current version.
        source: The text's origin: a rule's source, `examples`, `detections` or `names`.
        year: The year a rule was written; 0 if unknown.
        about: A procedure example's software or group; otherwise empty.
    """

    views: tuple[str, ...]
    labels: tuple[str, ...]
    source: str
    year: int = 0
    about: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a report with its techniques, possibly none."""

    text: str
    labels: tuple[str, ...]
    report: str


def read_samples(folder: Path) -> list[Sample]:
    """Return all samples that name a technique of ATT&CK's current version.

    Raises:
        SettingsError: A file is missing or has another format.
    """
    texts = [*_texts(folder, EXAMPLES, EXAMPLES_SOURCE), *_texts(folder, DETECTIONS, DETECTIONS_SOURCE)]
    return [*_rules(folder), *texts, *_names()]


def read_reports(folder: Path) -> list[Sentence]:
    """TRAM's sentences in their order, with the ids that TRAM gave them.

    Raises:
        SettingsError: The file is missing or has another format.
    """
    try:
        table = json.loads(_unpacked(folder / REPORTS))
        return [
            Sentence(table["sentence"][key], tuple(table["labels"][key]), table["doc_title"][key])
            for key in table["sentence"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{folder / REPORTS}: not TRAM's sentences: {type(error).__name__}: {error}") from None


def read_titles() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return our own titles in the style of other detectors, with their techniques, by detector."""
    tables = tomllib.loads(TITLES.read_text("utf-8"))
    return {name: {title: tuple(ids) for title, ids in table.items()} for name, table in tables.items()}


def digest(folder: Path) -> str:
    """Return one SHA-256 over the training files."""
    found = hashlib.sha256()
    for name in (RULES, EXAMPLES, DETECTIONS):
        found.update(hashlib.sha256(_unpacked(folder / name)).digest())
    return found.hexdigest()


def _rules(folder: Path) -> list[Sample]:
    found = []
    for row in _rows(folder / RULES):
        labels = _current(row["techs"])
        if not labels:
            continue
        # Title; with the description; with the log source and the detection as well.
        texts = [row["title"], row.get("desc", ""), f"{row.get('logsource', '')} {row.get('det', '')}"]
        texts = [" ".join(text.split()) for text in texts]
        views = tuple(itertools.accumulate(texts, lambda one, other: f"{one}\n{other}"))
        year = int(row.get("date", "")[:4] or 0) if row["src"] == SIGMA else 0
        found.append(Sample(views, labels, row["src"], year))
    return found


def _texts(folder: Path, name: str, source: str) -> list[Sample]:
    found = [(row, _current([row["label"]])) for row in _rows(folder / name)]
    return [Sample((row["text"],), labels, source, about=row.get("src", "")) for row, labels in found if labels]


def _names() -> list[Sample]:
    """Return the techniques' own names, a sub-technique's behind its parent's."""
    table = attack_table().techniques
    return [
        Sample((" ".join(table[each].name for each in dict.fromkeys([parent_of(id_), id_])),), (id_,), NAMES_SOURCE)
        for id_ in table
    ]


def _current(ids: list[str]) -> tuple[str, ...]:
    current = (attack_table().current(each) for each in ids)
    return tuple(dict.fromkeys(each for each in current if each is not None))


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in _unpacked(path).splitlines()]
    except ValueError as error:
        raise SettingsError(f"{path}: not JSON lines: {error}") from None


def _unpacked(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise SettingsError(
            f"{path}: cannot be read: {error}; give the folder of the training data with --data"
        ) from None
