"""Make the page `docs/alert-formats.md` from the tables that the readers use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.budgets import MOST_ELEMENTS
from app.domains.alerts.alert import LARGEST_ALERT_BYTES, LONGEST_ENTITY, LONGEST_ID, LONGEST_NAME
from app.domains.alerts.formats.attributes import (
    LONGEST_VALUE,
    MAX_ATTRIBUTES,
    MAX_BYTES,
    MAX_ENTITIES,
    MAX_FEATURES,
    MAX_LIST,
)
from app.domains.alerts.formats.cef_line import LONG_NAMES
from app.domains.alerts.formats.envelopes import MAX_DEPTH, MOST_PIECES
from app.domains.alerts.formats.mapping import kept
from app.domains.alerts.formats.recognise import FORMATS
from app.domains.alerts.formats.values import MAX_TECHNIQUES
from devtools.docs.schema_tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.domains.alerts.formats.format import Format
    from app.domains.alerts.formats.mapping import Table

INTRODUCTION = """\
# Alert formats

This page is made by `python -m devtools.docs` from the tables that the readers use; a test compares the two. A record
is an alert in any of these formats, as JSON or as a line of text. The format is recognized by a few of its keys.
"""

RULES = f"""\
## Rules for all formats

- **Envelopes.** A record may be a list, several JSON values with or without line breaks, several lines, or an
  envelope: search hits, SNS, SQS, EventBridge, CloudWatch Logs, events of Kinesis and Firehose, Splunk's results, an
  answer of an API, a shipper's `message`, and these in one another, with JSON, lines, base64 or gzip in their texts. An
  envelope is a record of no known format under whose usual keys alerts show. On a stream a record with an alert that
  cannot be read is set aside as a whole. Text is UTF-8 or UTF-16.
- **Paths.** `attacks.technique.uid` goes into objects and through lists. Of several paths the first with a value is
  used; `tech`, `host`, `user` and `hash` use the values of all of them, each once.
- **Ids.** A whole number, or text of at most {LONGEST_ID} characters; a number of more than 64 bits becomes text.
  A longer one is refused, not cut, since two alerts could get the same id. In a format without ids the id is derived
  from the record's content, so the same record always has the same id.
- **Times.** A number or its text, in seconds, milliseconds, microseconds, nanoseconds or Windows' FILETIME, by its
  size; `YYYYMMDD`, perhaps with `hhmm` or `hhmmss`; ISO 8601; or a date and time in words or numbers with any usual
  separators and zones. Without a zone it is UTC. `05/06/2024` is 6 May, `05.06.2024` is 5 June; a first number above
  12 is a day. A time without a year is the latest one before the record was received. Where none between 1970 and 2200
  can be read, the time is that of the syslog head, else of the arrival, and `time_from` says `transport` or `arrival`.
- **Source and target.** If only one of `src` and `dst` is known, it is used for both; the seed's JSON must have both.
  A host's own name for itself (`127.0.0.1`, `localhost`) is used only if no other path has a value.
- **Hosts, users and hashes** have at most {LONGEST_ENTITY} characters. A digest replaces the end of a longer one:
  if cut, two of them could become equal, and if refused, the alert would be lost. Of labelled hashes
  (`SHA256=…,IMPHASH=…`) those of a file's content are used.
- **Names** are cut to {LONGEST_NAME} characters; further ones change no technique.
- **Techniques** are kept as they came (`T1059.001`, `attack.t1059.001`, `T1059.001 - PowerShell`), each once, at most
  {MAX_TECHNIQUES}; values that are no text are ignored.
- **Attributes** are flat, with dotted keys, except `node`. At most {MAX_ATTRIBUTES} and {MAX_BYTES} bytes of JSON are
  kept, reserved ones first; a text is cut to {LONGEST_VALUE} characters, a list to {MAX_LIST} values, a kind of
  entity to {MAX_ENTITIES}, a node's features to {MAX_FEATURES}. Null, empty and non-finite values are left out, and
  reserved keys with values of another type: `port` is 0 to 65535, `priority` a number, the others are text. `priority`
  is the sender's number on the sender's scale.
- **Severity** is 0 to 100: the product's own bands are mapped onto those of AWS Security Hub (0 is informational,
  1 to 39 low, 40 to 69 medium, 70 to 89 high, 90 to 100 critical), and within a band in proportion. A word alone
  stands for the middle of its band. A value beyond the ends of its scale is taken as the end. `severity_from` says
  what was read.
- **Aliases** are pairs of a name and an address that an alert states to be one machine, as they stand in it. Addresses
  that every machine has for itself (loopback, link-local, container bridges), and full names with an address outside,
  are no pair. Flows learn from them which alerts are of one machine.
- **Closed** alerts say so in `closed`, in the words of their format.
- **Sizes.** An alert has at most {LARGEST_ALERT_BYTES} bytes and {MAX_DEPTH} levels of JSON. A record, or an
  object of a file that has no `input`, has at most {MOST_ELEMENTS} values and {MOST_PIECES} alerts; a list, or lines
  of an alert each, may have any number.
- **Lone surrogates** become U+FFFD, so that every alert can be written again.

A record that cannot be read has a reason: `missing_id`, `missing_time`, `missing_src`, `missing_dst`, `missing_name`,
`bad_id`, `bad_time`, `bad_field`, `alert_too_large`, `document_too_large`, `too_many_elements`,
`not_one_alert`, `unknown_format`, `not_json` or `not_utf8`, and a message with the path of the
faulty field and how to mend it.
"""

_FIELDS = ("id", "time", "src", "dst", "name", "tech", "tenant")


def alert_formats() -> str:
    """Make the page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield INTRODUCTION
    rows = [[f"[{each.title}](#{_anchor(each)})", f"`{each.name}`", each.known_by] for each in FORMATS]
    yield table(["format", "name", "known by"], rows)
    yield RULES
    for each in FORMATS:
        yield from _format(each)


def _format(which: Format) -> Iterator[str]:
    yield f"## {which.title}\n"
    yield f"Known by {which.known_by}.\n"
    for case, paths in which.tables:
        if case:
            yield f"Where {case}:\n"
        yield table(["field", "where from, the strongest first"], list(_rows(paths)))
    if which.notes:
        yield "\n".join(f"- {note}" for note in which.notes) + "\n"
    if which.name == "cef_line":
        short = ", ".join(f"`{key}` `{name}`" for key, name in sorted(LONG_NAMES.items()))
        yield f"Short keys and the names that they are read by: {short}.\n"


def _rows(table: Table) -> Iterator[list[str]]:
    for field in _FIELDS:
        paths = getattr(table, field)
        parts = [_paths(paths)] if paths else []
        if field == "id" and table.digest:
            parts.append(f"made of {_paths(table.digest)}")
        if field in {"src", "dst"} and table.either:
            parts.append(f"where neither is there: {_paths(table.either)}")
        if field == "tech" and table.tags:
            parts.append(f"ids within {_paths(table.tags)}")
        if parts:
            yield [f"`{field}`", "; ".join(parts)]
    if scales := [f"`{path}` ({scale.title})" for path, scale in table.severity.items()]:
        yield ["`severity`", ", ".join(scales)]
    if states := [f"`{path}` is {_paths(values)}" for path, values in table.closed.items()]:
        yield ["`closed` where", "; ".join(states)]
    if machines := [_machine(*each) for each in table.aliases]:
        yield ["`aliases`", "; ".join(machines)]
    yield from _attributes(table)


def _machine(names: tuple[str, ...], addresses: tuple[str, ...], others: tuple[str, ...] = ()) -> str:
    beside = f"{_paths(names)} with {_paths(addresses)}"
    return f"{beside}, unless the name is that in {_paths(others)}" if others else beside


def _attributes(table: Table) -> Iterator[list[str]]:
    for key, paths in table.attributes.items():
        yield [f"`other_attributes.{key}`", _paths(paths)]
    renamed = [(key, path) for key, path in map(kept, table.keep) if key != path]
    for key in dict.fromkeys(key for key, _ in renamed):
        yield [f"`other_attributes.{key}`", _paths(path for named, path in renamed if named == key)]
    if same := [path for key, path in map(kept, table.keep) if key == path]:
        yield ["kept by their paths", _paths(same)]


def _paths(paths: Iterable[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _anchor(which: Format) -> str:
    return "".join(letter for letter in which.title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")
