"""Read alerts by tables of dotted paths with fallbacks.

A path is `network.src.ip`. It goes through lists, so `attacks.technique.uid` finds the ids of all attacks. Of several
paths the first has precedence: its value is used where one is needed, and comes first where all are.

A table has more than a hundred paths, of which a record has some twenty. So the paths of a table form a tree, and a
record is traversed once along it: paths that the record does not have cost nothing.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import LONGEST_NAME, PRODUCT, TIME_FROM, Alert, AlertFault
from app.domains.alerts.entities import is_own
from app.domains.alerts.formats import times, values
from app.domains.alerts.formats.attributes import (
    ENTITIES,
    MAX_LIST,
    RESERVED,
    attributes_read,
    text,
)
from app.domains.alerts.formats.machines import Machine, MachinePaths, aliases_of
from app.domains.alerts.formats.severity import Scale  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Paths = tuple[str, ...]
Found = dict[str, list[Any]]
"""Values of a record by path, without null and empty ones."""

MOST_SHOWN = 6  # paths in a message
MAX_FOUND = 64  # values of one path; lists of evidence may be long


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of an alert's fields in a format, those with precedence first.

    Attributes:
        id: The sender's id; empty if an id is derived from the record, see `digest`.
        digest: Content to derive the id from if a record has none; empty for all of it.
        time: The time; the first readable one is used.
        transport_time: Times that a transport gave it, such as a syslog head, for an alert without one of its own.
        src: The source.
        dst: The target.
        either: A host that stands for source and target if both are missing.
        name: The detector's text.
        tech: Technique ids, all of them.
        tags: Texts that may contain technique ids among others.
        tenant: The tenant.
        severity: Paths of severities, those with precedence first, each with its scale; the first readable one is used.
        closed: Paths of states, each with the values (in small letters; `true` for a boolean, `4` for a number) that
            close an alert, and the words for `Alert.closed`.
        aliases: Paths of names and of addresses that stand for one machine (`machines.py`).
        attributes: Reserved keys.
        keep: Attributes kept under their own path, or under another key (`sensor=host`).
        product: The product's name for records that do not name it.
        joined: Lists of the parts of one text, such as the arguments of a command.
        dotted: Whether keys may contain dots (`{"kibana.alert.uuid": …}`).
    """

    time: Paths
    src: Paths
    dst: Paths
    name: Paths
    transport_time: Paths = ()
    id: Paths = ()
    digest: Paths = ()
    either: Paths = ()
    tech: Paths = ()
    tags: Paths = ()
    tenant: Paths = ()
    severity: dict[str, Scale] = {}
    closed: dict[str, dict[str, str]] = {}
    aliases: tuple[MachinePaths, ...] = ()
    attributes: dict[str, Paths] = {}
    keep: Paths = ()
    product: str = ""
    joined: Paths = ()
    dotted: bool = False


class FieldReader:
    """Reads records by one table."""

    def __init__(self, title: str, prefix: str, table: Table) -> None:
        """Use a format's title for messages, a prefix for derived ids, and a table, which becomes a tree."""
        self.title, self.prefix, self.table = title, prefix, table
        self._where_id, self._where_time = self._where("id"), self._where("time")
        self._keep = [kept(entry) for entry in table.keep]
        self._first = [(key, RESERVED[key], paths) for key, paths in table.attributes.items() if key not in ENTITIES]
        self._entities = [(key, RESERVED[key], paths) for key, paths in table.attributes.items() if key in ENTITIES]
        fields = (table.id, table.digest, table.time, table.src, table.dst, table.either, table.name, table.tech)
        more = (
            table.transport_time,
            table.tags,
            table.tenant,
            table.severity,
            table.closed,
            *table.attributes.values(),
        )
        self._machines = [Machine(*pair) for pair in table.aliases]
        more = (*more, *itertools.chain(*table.aliases), [each.at for each in self._machines if each.at])
        self._tree = _tree(itertools.chain(*fields, *more, (path for _, path in self._keep)), table.dotted)

    def read(self, record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
        """Return a record as an alert.

        Args:
            record: The record as parsed JSON.
            tenant: The tenant of a record that names none.
            received: Arrival, seconds since 1970, for times without a year.

        Raises:
            AlertFault: The record cannot be read.
        """
        found = self.found(record)
        id_ = self._id(found, record)
        time, time_from = times.first_seconds(
            _values(found, self.table.time), _values(found, self.table.transport_time), self._where_time, received
        )
        src, dst = self._ends(found)
        name = _text(found, self.table.name)
        if name is None:
            raise AlertFault("missing_name", self._missing("name"))
        severity, severity_from = self._severity(found)
        return Alert(
            id=id_,
            time=time,
            src=src,
            dst=dst,
            name=name[:LONGEST_NAME],
            tech=self._techniques(found),
            other_attributes=self._attributes(found) | ({TIME_FROM: time_from} if time_from else {}),
            tenant=self._tenant(found) or tenant,
            severity=severity,
            severity_from=severity_from,
            aliases=aliases_of(self._machines, found) if self._machines else [],
            closed=self._closed(found),
        )

    def found(self, record: dict[str, Any]) -> Found:
        """Return the values of a record by the table's paths; paths without a value are left out."""
        found: Found = {}
        _gather(record, self._tree, self.table.dotted, found)
        for path in self.table.joined:
            if path in found:
                found[path] = [" ".join(map(str, found[path]))]
        return found

    def _id(self, found: Found, record: dict[str, Any]) -> int | str:
        for value in _values(found, self.table.id):
            return values.identifier(value, self._where_id)
        if not self.table.digest:
            return values.stable_id(self.prefix, [record])
        return values.stable_id(self.prefix, [found[path][0] if path in found else None for path in self.table.digest])

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
        return values.techniques([*carried, *values.technique_ids(tags)]) if carried or tags else []

    def _tenant(self, found: Found) -> str:
        """Return the tenant at the first path that has one.

        Raises:
            AlertFault: `bad_tenant`; also where several are named.
        """
        for path in self.table.tenant:
            there = {values.tenant_name(each, path) for each in found.get(path, ())} - {""}
            if len(there) > 1:
                raise AlertFault("bad_tenant", f"{path} names {len(there)} tenants; send one")
            if there:
                return there.pop()
        return ""

    def _severity(self, found: Found) -> tuple[int | None, str]:
        for path, scale in self.table.severity.items():
            for value in found.get(path, ()):
                if (read := scale.read(value)) is not None:
                    return read
        return None, ""

    def _closed(self, found: Found) -> str:
        for path, states in self.table.closed.items():
            for value in found.get(path, ()):
                if words := states.get(_state(value)):
                    return words
        return ""

    def _attributes(self, found: Found) -> dict[str, Any]:
        reserved: dict[str, Any] = {}
        for key, read, paths in self._first:
            for path in paths:
                if path in found and (value := _first(read, found[path])) is not None:
                    reserved[key] = value
                    break
        if self.table.product:
            reserved.setdefault(PRODUCT, self.table.product)
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
    """Return the key and the path of an entry of `Table.keep`."""
    key, _, path = entry.rpartition("=")
    return key or path, path


def _values(found: Found, paths: Paths) -> list[Any]:
    """Return all values of paths in their order."""
    return [value for path in paths if path in found for value in found[path]]


def _first(read: Callable[[object], Any], there: list[Any]) -> object:
    """Return the first readable value."""
    for value in there:
        if (result := read(value)) is not None:
            return result
    return None


def _entity(found: Found, paths: Paths) -> str | None:
    """Return the first entity; one that every host calls itself, such as localhost, only if there is no other."""
    own = None
    for value in _values(found, paths):
        if (named := values.entity_or_none(value)) is not None:
            if not is_own(named):
                return named
            own = own or named
    return own


def _text(found: Found, paths: Paths) -> str | None:
    for value in _values(found, paths):
        if (result := text(value)) is not None:
            return result
    return None


def _state(value: object) -> str:
    """Return a state in small letters, for `Table.closed`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    whole = values.number(value)
    if whole is not None and whole == int(whole):
        return str(int(whole))
    return (text(value) or "").strip().lower()


class _Branch(msgspec.Struct):
    """A node in the tree of a table's paths.

    Attributes:
        path: The path that ends here, if any.
        branches: Child nodes by key; where keys may contain dots, each run of a path's parts is a key.
    """

    path: str = ""
    branches: dict[str, _Branch] = {}


def _tree(paths: Iterable[str], dotted: bool) -> dict[str, _Branch]:
    root = _Branch()
    for path in dict.fromkeys(paths):
        parts = path.split(".")
        way = [root]  # the node after each part
        for part in parts:
            way.append(way[-1].branches.setdefault(part, _Branch()))
        way[-1].path = path
        if dotted:
            for start, end in itertools.combinations(range(len(way)), 2):
                way[start].branches[".".join(parts[start:end])] = way[end]
    return root.branches


def _gather(record: dict[str, Any], branches: dict[str, _Branch], dotted: bool, found: Found) -> None:
    """Collect an object's values under their paths, through lists on the way and at the end."""
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
    """Return paths for a message, the most usual first."""
    return f"{', '.join(paths[:MOST_SHOWN])}{' and others' if len(paths) > MOST_SHOWN else ''}"
