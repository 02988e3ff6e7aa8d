"""Read the rules of one file, whatever kind they are: the content decides, not the name or the folder.

YAML is read without its tags, numbers and dates (PyYAML's base loader): every value is a text, a reference to an anchor
costs nothing, and a broken date is no error. pySigma would read Sigma alone, refuse rules over modifiers that do not
matter here, and fetch ATT&CK from the network.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import orjson
import yaml

from model.rules.mappings import rules_in
from model.rules.rule import ELASTIC, FALCO, SENTINEL, SIGMA, SPLUNK, Fault, line_numbers
from model.rules.saved_searches import SEARCH, STANZA, read_saved_searches
from model.rules.signatures import SIGNATURE, read_signatures
from model.rules.wazuh import RULES, read_wazuh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.rules.rule import Rule

LARGEST_FILE_BYTES = 128 * 1024 * 1024  # the largest collections of signatures in one file have about 40 MB
LARGEST_YAML = 4 * 1024 * 1024  # characters; Falco's largest file of rules has about 0.2 million
LARGEST_TOML = 256 * 1024  # characters of one rule; tomllib's time grows with the square of a hostile one
LARGEST_XML = 16 * 1024 * 1024  # characters
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml, ten times as fast, where PyYAML was built with it
_FIELD = r"^(?:- +| {2,4})?"  # a rule may be an item of a list
_YAML_KINDS = (
    (SIGMA, re.compile(_FIELD + r"(?:detection|correlation|logsource)[ \t]*:", re.MULTILINE)),
    (FALCO, re.compile(r"^-[ \t]+(?:rule|macro|list)[ \t]*:", re.MULTILINE)),
    (SENTINEL, re.compile(_FIELD + r"(?:relevantTechniques|queryFrequency)[ \t]*:", re.MULTILINE)),
    (SPLUNK, re.compile(_FIELD + r"search[ \t]*:", re.MULTILINE)),
)
"""Fields that tell a kind of rule in YAML, also in a file that is broken."""
_DOCUMENT = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_TOML_RULE = re.compile(r"^\[rule\][ \t]*(?:#.*)?$", re.MULTILINE)
_TOML_MANY_DOTS = re.compile(r"(?:[\w\"'-]{1,64}[ \t]*\.[ \t]*){32}")
_TOML_LINE = re.compile(r"\(at line (\d+)")


def read_text(text: str) -> Iterator[Rule | Fault]:
    """Yield the rules in a file's text, and what cannot be read of it; nothing if it is no file of rules."""
    begin = text.lstrip()[:1]
    if begin == "<" and RULES.search(text, 0, 65_536):
        yield from _bounded(text, LARGEST_XML) or read_wazuh(text)
    elif _TOML_RULE.search(text) and re.search(r"^[\w.]+[ \t]*=", text, re.MULTILINE):
        yield from _bounded(text, LARGEST_TOML) or _read_toml(text)
    elif begin in ("{", "["):
        yield from _read_json(text) if not STANZA.search(text) else read_saved_searches(text)
    elif SIGNATURE.search(text):
        yield from read_signatures(text)
    elif STANZA.search(text) and SEARCH.search(text):
        yield from read_saved_searches(text)
    else:
        kind = next((kind for kind, telling in _YAML_KINDS if telling.search(text)), "")
        if kind:
            yield from _bounded(text, LARGEST_YAML) or _read_yaml(text, kind)


def decode(data: bytes) -> str | None:
    """Return the text of a file with line ends of one kind; None if it is no text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace").removeprefix("\ufeff")
    elif b"\0" in data[:8192]:
        return None
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")  # old files of signatures; what is read of them is ASCII
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _bounded(text: str, most: int) -> list[Fault]:
    return [Fault(f"{len(text):,} characters, of which {most:,} are read: split the file")] if len(text) > most else []


def _read_yaml(text: str, kind: str) -> Iterator[Rule | Fault]:
    """Yield the rules of each document; a broken one does not hide the others."""
    starts = [0, *(each.start() for each in _DOCUMENT.finditer(text))]
    common: dict[object, object] = {}  # Sigma's older form: a document `action: global` has fields of those behind it
    ends = [*starts[1:], len(text)]
    for start, end, line in zip(starts, ends, line_numbers(text, starts), strict=True):
        try:
            document = yaml.load(text[start:end], Loader=_LOADER)  # noqa: S506 - the base loader makes texts alone
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            yield _yaml_fault(error, line, kind)
            continue
        if isinstance(document, dict):
            action = document.pop("action", None)
            if action == "global":
                common = document
                continue
            common = {} if action == "reset" else common
            document = {**common, **document}
        for found in rules_in(document):
            yield Fault(found.reason, line, found.kind) if isinstance(found, Fault) else found


def _yaml_fault(error: Exception, line: int, kind: str) -> Fault:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:200]
        return Fault(f"no YAML: {reason}", line, kind)
    return Fault(f"no YAML: {getattr(error, 'problem', None) or 'broken'}", line + mark.line, kind)


def _read_toml(text: str) -> Iterator[Rule | Fault]:
    dotted = _TOML_MANY_DOTS.search(text)
    if dotted is not None:
        yield Fault("a key has too many parts", text.count("\n", 0, dotted.start()) + 1, ELASTIC)
        return
    try:
        yield from rules_in(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        line = _TOML_LINE.search(str(error))
        yield Fault(f"no TOML: {str(error).partition(' (at ')[0]}", int(line[1]) if line else 0, ELASTIC)
    except (RecursionError, ValueError):
        yield Fault("no TOML: nested too deeply, or a number is too long", 0, ELASTIC)


def _read_json(text: str) -> Iterator[Rule | Fault]:
    """Yield the rules of a JSON document, or of each line."""
    lines = text.splitlines()
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    try:
        by_line = isinstance(orjson.loads(lines[first]), dict) and any(map(str.strip, lines[first + 1 :]))
    except orjson.JSONDecodeError:
        by_line = False
    if not by_line:
        try:
            yield from rules_in(orjson.loads(text))
        except orjson.JSONDecodeError as error:
            if '"rule_id"' in text or '"threat"' in text:  # other JSON is none of ours
                yield Fault(f"no JSON: {error.msg}", error.lineno, ELASTIC)
        return
    is_ours = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            for found in rules_in(orjson.loads(line)):
                is_ours = True
                yield Fault(found.reason, number, found.kind) if isinstance(found, Fault) else found
        except orjson.JSONDecodeError as error:
            if is_ours or '"rule_id"' in line:
                yield Fault(f"no JSON: {error.msg}", number, ELASTIC)
