"""The engine behind the tables: dotted paths with fallbacks, through lists, into an alert.

A path is `network.src.ip`. A list on its way is gone through, so that `attacks.technique.uid` finds the ids of all
attacks. Of several paths the first stands for the strongest: it wins where one value is wanted, and comes first where
all are.

A table has a hundred paths and more, of which a record has some twenty. So the paths of a table are one tree, and a
record is gone through once beside it: what neither has costs nothing.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import LONGEST_NAME, Alert, AlertFault
from app.domains.alerts.formats import times, values
from app.domains.alerts.formats.attributes import (
    ENTITIES,
    MAX_LIST,
    RESERVED,
    attributes_read,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Paths = tuple[str, ...]
Found = dict[str, list[Any]]
"""Of each path that a record has, the values there that are neither null nor empty."""

MOST_SHOWN = 6  # paths in a message
MAX_FOUND = 64  # values of one path; lists of evidence may be long


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Where a format keeps what an alert is made of. Every field holds paths, the strongest first.

    Attributes:
        id: The sender's id; none where an id is made from the record, see `digest`.
        digest: What the id of a record without one is made of; none where it must carry one.
        time: The time; the first that can be read.
        src: Where from.
        dst: Where to.
        either: A host that stands for both where there is neither.
        name: What the detector says.
        tech: Technique ids: all that are found.
        tags: Texts that may hold technique ids among other things.
        tenant: Whose it is.
        attributes: The reserved keys.
        keep: Kept under their own path, or under a key of ours (`sensor=host`).
        joined: Lists whose parts are one text, such as the arguments of a command.
        dotted: Whether keys themselves may hold dots (`{"kibana.alert.uuid": …}`).
    """

    time: Paths
    src: Paths
    dst: Paths
    name: Paths
    id: Paths = ()
    digest: Paths = ()
    either: Paths = ()
    tech: Paths = ()
    tags: Paths = ()
    tenant: Paths = ()
    attributes: dict[str, Paths] = {}
    keep: Paths = ()
    joined: Paths = ()
    dotted: bool = False


class FieldReader:
    """Reads records by one table, whose paths are made a tree once."""

    def __init__(self, title: str, prefix: str, table: Table) -> None:
        """Takes the format's title for messages, the prefix of the ids that are made, and the table."""
        self.title, self.prefix, self.table = title, prefix, table
        self._where_id = self._where("id")
        self._keep = [kept(entry) for entry in table.keep]
        self._first = [(key, RESERVED[key], paths) for key, paths in table.attributes.items() if key not in ENTITIES]
        self._entities = [(key, RESERVED[key], paths) for key, paths in table.attributes.items() if key in ENTITIES]
        fields = (table.id, table.digest, table.time, table.src, table.dst, table.either, table.name, table.tech)
        more = (table.tags, table.tenant, *table.attributes.values(), [path for _, path in self._keep])
        self._tree = _tree(itertools.chain.from_iterable((*fields, *more)), table.dotted)

    def read(self, record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
        """A record as an alert.

        Args:
            record: As JSON gives it.
            tenant: Whose it is, where the record does not say.
            received: When it came, for times without a year.

        Raises:
            AlertFault: It cannot be one.
        """
        table = self.table
        found: Found = {}
        _gather(record, self._tree, table.dotted, found)
        for path in table.joined:
            if path in found:
                found[path] = [" ".join(map(str, found[path]))]
        id_ = self._id(found)
        time = self._time(found, received)
        src, dst = self._ends(found)
        name = _text(found, table.name)
        if name is None:
            raise AlertFault("missing_name", self._missing("name"))
        return Alert(
            id=id_,
            time=time,
            src=src,
            dst=dst,
            name=name[:LONGEST_NAME],
            tech=self._techniques(found),
            other_attributes=self._attributes(found),
            tenant=_text(found, table.tenant) or tenant,
        )

    def _id(self, found: Found) -> int | str:
        for value in _values(found, self.table.id):
            return values.identifier(value, self._where_id)
        if not self.table.digest:
            raise AlertFault("missing_id", self._missing("id"))
        return values.stable_id(self.prefix, [found[path][0] if path in found else None for path in self.table.digest])

    def _time(self, found: Found, received: float | None) -> float:
        seen: Any = None
        for value in _values(found, self.table.time):
            if (seconds := times.seconds_or_none(value, received)) is not None:
                return seconds
            seen = seen or value
        return times.seconds(seen, self._where("time"), received)

    def _ends(self, found: Found) -> tuple[str, str]:
        src, dst = _entity(found, self.table.src), _entity(found, self.table.dst)
        if src is None and dst is None:
            src = _entity(found, self.table.either)
        one = src or dst
        if one is None:
            raise AlertFault("missing_src", self._missing("src", "dst", "either"))
        return src or one, dst or one

    def _techniques(self, found: Found) -> list[str]:
        carried, tags = _values(found, self.table.tech), _values(found, self.table.tags)
        return values.techniques([*carried, *values.technique_ids(tags)] if tags else carried)

    def _attributes(self, found: Found) -> dict[str, Any]:
        reserved: dict[str, Any] = {}
        for key, read, paths in self._first:
            for path in paths:
                if path in found and (said := _first(read, found[path])) is not None:
                    reserved[key] = said
                    break
        for key, read, paths in self._entities:
            if (there := _values(found, paths)) and (named := read(there)) is not None:
                reserved[key] = named
        rest: dict[str, Any] = {}
        for key, path in self._keep:
            if path in found:
                rest[key] = found[path] if len(found[path]) > 1 else found[path][0]
        return attributes_read(reserved, rest)

    def _where(self, field: str) -> str:
        return f"{self.title}: {field} ({_some(getattr(self.table, field))})"

    def _missing(self, *fields: str) -> str:
        paths = [path for field in fields for path in getattr(self.table, field)]
        return f"{self.title}: {fields[0]} is missing or empty; it is read from {_some(list(dict.fromkeys(paths)))}"


def kept(entry: str) -> tuple[str, str]:
    """The key and the path of an entry of `Table.keep`."""
    key, _, path = entry.rpartition("=")
    return key or path, path


def _values(found: Found, paths: Paths) -> list[Any]:
    """All values of some paths, those of the strongest first."""
    return [value for path in paths if path in found for value in found[path]]


def _first(read: Callable[[object], Any], there: list[Any]) -> object:
    """The first value that can be read."""
    for value in there:
        if (said := read(value)) is not None:
            return said
    return None


def _entity(found: Found, paths: Paths) -> str | None:
    """The first that is an entity; what every host calls itself only where there is no other."""
    own = None
    for value in _values(found, paths):
        if (named := values.entity_or_none(value)) is not None:
            if named not in values.OWN_ADDRESSES:
                return named
            own = own or named
    return own


def _text(found: Found, paths: Paths) -> str | None:
    for value in _values(found, paths):
        if (said := text(value)) is not None:
            return said
    return None


class _Branch(msgspec.Struct):
    """A place in the tree of a table's paths.

    Attributes:
        path: The path that ends here, if one does.
        branches: By the key that leads on; where keys may hold dots, each run of a path's parts is such a key.
    """

    path: str = ""
    branches: dict[str, _Branch] = {}


def _tree(paths: Iterable[str], dotted: bool) -> dict[str, _Branch]:
    root = _Branch()
    for path in dict.fromkeys(paths):
        parts = path.split(".")
        way = [root]  # the places behind each part
        for part in parts:
            way.append(way[-1].branches.setdefault(part, _Branch()))
        way[-1].path = path
        if dotted:
            for start, end in itertools.combinations(range(len(way)), 2):
                way[start].branches[".".join(parts[start:end])] = way[end]
    return root.branches


def _gather(record: dict[str, Any], branches: dict[str, _Branch], dotted: bool, found: Found) -> None:
    """Puts what an object holds under its paths; lists on the way, and at its end, are gone through."""
    keys: Iterable[str] = record
    if dotted and "." in "".join(record):  # of `{"a": {"b": …}, "a.b": …}` the longest key comes first
        keys = sorted(record, key=len, reverse=True)
    for key in keys:
        branch = branches.get(key)
        if branch is None:
            continue
        value, path, inner = record[key], branch.path, branch.branches
        for each in value[:MAX_LIST] if type(value) is list else (value,):
            kind = type(each)
            if each is None or each == "" or kind is list:
                continue
            if path:
                there = found.get(path)
                if there is None:
                    found[path] = [each]
                elif len(there) < MAX_FOUND:
                    there.append(each)
            if inner and kind is dict:
                _gather(each, inner, dotted, found)


def _some(paths: Sequence[str]) -> str:
    """Paths for a message: those that are sent most often stand first."""
    return f"{', '.join(paths[:MOST_SHOWN])}{' and others' if len(paths) > MOST_SHOWN else ''}"
