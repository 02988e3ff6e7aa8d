"""Formats of the user's own, each from a small TOML file of paths, see `docs/own-formats.md`.

The setting `ALERTS_FORMATS` names the files, or folders of them. They are read and checked at the start, and tried
before the formats that Millrace knows, so that one's own table decides where both would take a record.
"""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domains.alerts.formats.attributes import RESERVED
from app.domains.alerts.formats.declared import declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.recognise import FORMATS, use_own_formats
from app.domains.alerts.formats.severity import WORDS, Scale
from app.errors import SettingsError
from app.storage.files import is_directory, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domains.alerts.formats.format import Format

LARGEST_FILE_BYTES = 256 * 1024  # a table has some two kilobytes
MOST_PATHS = 64  # of a field
LONGEST_PATH = 256  # characters
WORST = 100  # the most severe of our scale

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_TABLES = ("recognise", "fields", "severity", "closed", "aliases")
_TEXTS = ("name", "title", "product", "prefix")
_PLAIN = ("id", "time", "src", "dst", "either", "name", "tech", "tags", "tenant", "severity", "keep")
FIELDS = (*_PLAIN, *RESERVED)
"""Keys of `[fields]`."""


class _Reader:
    """Reads one file, and gathers its faults."""

    def __init__(self) -> None:
        self.faults = list[str]()

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def unknown(self, given: Iterable[str], known: Sequence[str], table: str) -> None:
        """Name the keys that mean nothing, each with the nearest that does."""
        inside = f"[{table}] " if table else ""
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                mend = f"did you mean {near[0]}?" if near else f"give one of {', '.join(known)}"
                self.fault(f"{inside}{key!r} is no key: {mend}")

    def text(self, given: Mapping[str, Any], key: str) -> str:
        value = given.get(key, "")
        if not isinstance(value, str):
            self.fault(f'{key} is no text; write {key} = "…"')
            return ""
        return value

    def table(self, given: Mapping[str, Any], key: str) -> dict[str, Any]:
        value = given.get(key, {})
        if not isinstance(value, dict):
            self.fault(f"{key} is no table; write [{key}] on a line of its own, and its keys below")
            return {}
        return value

    def texts(self, value: object, where: str) -> tuple[str, ...]:
        """Return one text or a list of texts."""
        texts = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(each, str) and each for each in texts):
            self.fault(f'{where} is neither a text nor a list of texts; write "…" or ["…", "…"]')
            return ()
        return tuple(texts)

    def paths(self, value: object, where: str) -> tuple[str, ...]:
        """Return one path or a list of paths, those with precedence first."""
        found = self.texts(value, where)
        for path in found[:MOST_PATHS]:
            if len(path) > LONGEST_PATH or not all(part and part == part.strip() for part in path.split(".")):
                self.fault(f"{where}: {path!r} is no path; write keys with dots between them: network.src.ip")
                return ()
        if len(found) > MOST_PATHS:
            self.fault(f"{where} has {len(found)} paths; at most {MOST_PATHS} are looked for")
        return found[:MOST_PATHS]


def read_own_format(path: Path) -> Format:
    """Return the format that a file describes.

    Raises:
        SettingsError: It cannot be read, or is faulty; all faults are named.
    """
    reader = _Reader()
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST_FILE_BYTES + 1)
        if len(data) > LARGEST_FILE_BYTES:
            raise SettingsError(f"{path}: more than {LARGEST_FILE_BYTES} bytes; a format has some two kilobytes")
        given = tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))  # Notepad writes a mark
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}; name a file of a format, or a folder") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: it is no TOML: {error}; docs/own-formats.md has an example") from None
    found = _format(reader, given)
    if reader.faults:
        raise SettingsError(f"{path}: {'; '.join(reader.faults)}")
    return found


def load_own_formats(locations: str) -> None:
    """Read the formats that `ALERTS_FORMATS` names, and try them before all others in this process.

    Raises:
        SettingsError: A file is missing or faulty, or two have one name; all faults are named.
    """
    use_own_formats(read_own_formats(locations))


def read_own_formats(locations: str) -> tuple[Format, ...]:
    """Return the formats in files and folders.

    Args:
        locations: Files, or folders with files `….toml`, with colons between them.

    Raises:
        SettingsError: A file is missing or faulty, or two have one name; all faults are named.
    """
    files: list[Path] = []
    faults: list[str] = []
    for each in filter(None, locations.split(":")):
        path = Path(each)
        there = sorted(path.glob("*.toml")) if is_directory(path) else [path]
        if not there:
            faults.append(f"{path}: the folder has no file ….toml; name another, or put a format there")
        files += there
    found: dict[str, Format] = {}
    for file in files:
        try:
            each_format = read_own_format(file)
        except SettingsError as error:
            faults.append(str(error))
            continue
        if each_format.name in found:
            faults.append(f"{file}: another file has the name {each_format.name!r}, too; give each a name of its own")
        found[each_format.name] = each_format
    if faults:
        raise SettingsError(f"ALERTS_FORMATS: {'; '.join(faults)}")
    return tuple(found.values())


def _format(reader: _Reader, given: Mapping[str, Any]) -> Format:
    reader.unknown(given, (*_TEXTS, *_TABLES), "")
    name, title, product, prefix = (reader.text(given, key) for key in _TEXTS)
    if not _NAME.fullmatch(name):
        reader.fault('name is missing or none; write name = "acme": small letters, digits and _, at most 32')
    elif name in {each.name for each in FORMATS}:
        reader.fault(f"name: {name!r} is one of Millrace's own formats; take another")
    fields = reader.table(given, "fields")
    reader.unknown(fields, FIELDS, "fields")
    at = f"{prefix}." if prefix else ""
    paths = {
        key: tuple(
            _prefixed(at, each) if key == "keep" else at + each for each in reader.paths(value, f"[fields] {key}")
        )
        for key, value in fields.items()
        if key in FIELDS
    }
    for key, why in (("time", "when it was"), ("name", "the detector's text")):
        if key not in fields:
            reader.fault(f"[fields] {key} is missing: {why}")
    if not fields.keys() & {"src", "dst", "either", "user"}:
        reader.fault("[fields] has none of src, dst, either and user: an alert is of some host or user")
    table = Table(
        time=paths.get("time", ()),
        src=paths.get("src", ()),
        dst=paths.get("dst", ()),
        either=(*paths.get("either", ()), *paths.get("user", ())),
        name=paths.get("name", ()),
        id=paths.get("id", ()),
        digest=tuple(dict.fromkeys(itertools.chain(*(each for key, each in paths.items() if key != "keep")))),
        tech=paths.get("tech", ()),
        tags=paths.get("tags", ()),
        tenant=paths.get("tenant", ()),
        severity=dict.fromkeys(paths.get("severity", ()), _scale(reader, given, title or name)),
        closed=_closed(reader, reader.table(given, "closed"), at, title or name),
        aliases=_aliases(reader, given.get("aliases", []), at),
        attributes={key: each for key, each in paths.items() if key in RESERVED},
        keep=paths.get("keep", ()),
        product=product,
        dotted=True,
    )
    return declared(name, title or name, (_marks(reader, reader.table(given, "recognise")),), table)


def _prefixed(at: str, entry: str) -> str:
    """Return an entry of `keep` with a prefix before its path."""
    key, mark, path = entry.rpartition("=")
    return f"{key}{mark}{at}{path}" if mark or not at else f"{entry}={at}{entry}"


def _marks(reader: _Reader, given: Mapping[str, Any]) -> Marks:
    reader.unknown(given, ("keys", "any", "values"), "recognise")
    values = reader.table(given, "values")
    marks = Marks(
        keys=reader.paths(given["keys"], "[recognise] keys") if "keys" in given else (),
        any=reader.paths(given["any"], "[recognise] any") if "any" in given else (),
        values={path: reader.texts(texts, f"[recognise] values: {path}") for path, texts in values.items()},
    )
    if not (marks.keys or marks.any or marks.values):
        reader.fault('[recognise] is missing or empty: write the keys that only these records have, keys = ["…"]')
    return marks


def _scale(reader: _Reader, given: Mapping[str, Any], title: str) -> Scale:
    """Return the scale of the field `severity`: two ends, words, or else 0 to 100 and the usual words."""
    table = reader.table(given, "severity")
    reader.unknown(table, ("scale", "words"), "severity")
    if "scale" in table and "words" in table:
        reader.fault("[severity] has scale and words: give one of them")
    words = {str(key).lower(): _severity_of(reader, key, value) for key, value in reader.table(table, "words").items()}
    ends = table.get("scale", [0, WORST])
    if not (isinstance(ends, list) and len(ends) == 2 and all(type(end) in (int, float) for end in ends)):  # noqa: PLR2004 - two ends
        reader.fault("[severity] scale is not two numbers; write the least severe and the most severe: scale = [1, 10]")
        ends = [0, WORST]
    least, most = ends
    if least == most:
        reader.fault("[severity] scale has two equal numbers; write the least severe and the most severe")
        return Scale(f"{title} severity")
    points = ((least, 0.0), (most, float(WORST))) if least < most else ((most, float(WORST)), (least, 0.0))
    return Scale(f"{title} severity", points, f" of {most:g}" if least < most else "", words)


def _severity_of(reader: _Reader, key: str, value: object) -> int:
    if type(value) is int and 0 <= value <= WORST:
        return value
    if isinstance(value, str) and value.lower() in WORDS:
        return WORDS[value.lower()]
    reader.fault(f"[severity] words: {key}: write 0 to {WORST}, or informational, low, medium, high or critical")
    return 0


def _aliases(reader: _Reader, given: object, at: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Return pairs of paths, of names and of addresses, that stand for one machine."""
    found: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for each in given if isinstance(given, list) else [given]:
        if not isinstance(each, dict) or each.keys() != {"names", "addresses"}:
            reader.fault('[[aliases]] needs both names and addresses: names = "host.name", addresses = "host.ip"')
            continue
        names, addresses = (
            tuple(at + path for path in reader.paths(each[key], f"[[aliases]] {key}")) for key in ("names", "addresses")
        )
        if names and addresses:
            found.append((names, addresses))
    return tuple(found)


def _closed(reader: _Reader, given: Mapping[str, Any], at: str, title: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for path, states in given.items():
        reader.paths(path, "[closed]")
        values = reader.texts(states, f"[closed] {path}")
        found[at + path] = {state.lower(): f"{title} {path} {state}" for state in values}
    return found
