"""Make docs/alert-formats.md from the tables that the readers use; a test compares the two.

Run `python -m app.domains.alerts.formats.page > docs/alert-formats.md`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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
from app.domains.alerts.formats.mapping import kept
from app.domains.alerts.formats.reading import MAX_DEPTH
from app.domains.alerts.formats.recognise import FORMATS
from app.domains.alerts.formats.values import MAX_TECHNIQUES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.domains.alerts.formats.format import Format
    from app.domains.alerts.formats.mapping import Table

INTRODUCTION = """\
# Alert formats

Made by `python -m app.domains.alerts.formats.page` from the tables that the readers read by; a test holds the two
together. A record is an alert in any of these formats, as JSON or as a line of text. Nobody says which: it is told
from a few of its keys.
"""

RULES = f"""\
## What holds for all of them

- **Paths.** `attacks.technique.uid` goes into objects, and through every list on its way. Of several paths the first
  that holds something wins; `tech`, `host`, `user` and `hash` take all that they find, each once.
- **Ids.** A whole number, or text of at most {LONGEST_ID} characters; a number of more than 64 bits becomes text.
  A longer one is refused, not cut: two alerts must not come to have one id. A format without ids gets one that is
  made of what the record says, so that the same record has the same id, always.
- **Times.** A number, or text with one, in seconds, milliseconds, microseconds or nanoseconds, told by its size; or
  ISO 8601, UTC where it names no zone; or `May 23 2024 12:00:00`. A time without a year is the latest one before the
  record was received. Before 1970 and after 2200 there are no alerts.
- **Ends.** Where only one of `src` and `dst` is known, it stands for both. The seed's JSON must have both. What every
  host calls itself (`127.0.0.1`, `localhost`) is an end only where no other path has one.
- **Hosts, users and hashes** have at most {LONGEST_ENTITY} characters. The end of a longer one gives way to a digest
  of the whole: cut alone, two of them could become one, and refusing would lose the alert. Of hashes with labels
  (`SHA256=…,IMPHASH=…`) those of a file's content are taken.
- **Names** are cut at {LONGEST_NAME} characters: what stands behind them changes no technique.
- **Techniques** are kept as they came (`T1059.001`, `attack.t1059.001`, `T1059.001 - PowerShell`), each once, at most
  {MAX_TECHNIQUES}; what is no text is passed over.
- **Attributes** are flat, with dotted keys, but for `node`. At most {MAX_ATTRIBUTES} and {MAX_BYTES} bytes of JSON are
  kept, the reserved ones first; a text is cut at {LONGEST_VALUE} characters, a list at {MAX_LIST} values, a kind of
  entity at {MAX_ENTITIES}, a node's features at {MAX_FEATURES}. What is null, empty or not finite is left out, and so
  is a reserved key whose value is not of its type: `port` 0 to 65535, `priority` a number, the others text.
  `priority` is the sender's own number on the sender's own scale.
- **Sizes.** An alert has at most {LARGEST_ALERT_BYTES} bytes and {MAX_DEPTH} levels of JSON.
- **Half characters** (lone surrogates) become U+FFFD, so that every alert can be written again.

A record that cannot be read has a reason: `missing_id`, `missing_time`, `missing_src`, `missing_dst`, `missing_name`,
`bad_id`, `bad_time`, `bad_field`, `alert_too_large`, `not_one_alert`, `unknown_format`, `not_json` or `not_utf8`, and
a message that says where and how to mend it.
"""

_FIELDS = ("id", "time", "src", "dst", "name", "tech", "tenant")


def markdown() -> str:
    """Return the page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield INTRODUCTION
    rows = [[f"[{each.title}](#{_anchor(each)})", f"`{each.name}`", each.known_by] for each in FORMATS]
    yield _table(["format", "name", "known by"], rows)
    yield RULES
    for each in FORMATS:
        yield from _format(each)


def _format(which: Format) -> Iterator[str]:
    yield f"## {which.title}\n"
    yield f"Known by {which.known_by}.\n"
    for case, table in which.tables:
        if case:
            yield f"Where {case}:\n"
        yield _table(["field", "where from, the strongest first"], _rows(table))
    if which.notes:
        yield "\n".join(f"- {note}" for note in which.notes) + "\n"
    if which.name == "cef_line":
        short = ", ".join(f"`{key}` `{name}`" for key, name in sorted(LONG_NAMES.items()))
        yield f"Short keys and the names that they are read by: {short}.\n"


def _rows(table: Table) -> Iterator[list[str]]:
    for field in _FIELDS:
        paths = getattr(table, field)
        said = [_paths(paths)] if paths else []
        if field == "id" and table.digest:
            said.append(f"made of {_paths(table.digest)}")
        if field in {"src", "dst"} and table.either:
            said.append(f"where neither is there: {_paths(table.either)}")
        if field == "tech" and table.tags:
            said.append(f"ids within {_paths(table.tags)}")
        if said:
            yield [f"`{field}`", "; ".join(said)]
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


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
