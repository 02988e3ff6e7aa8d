"""The engine behind the tables: dotted paths with fallbacks, through lists, into an alert.

A path is `network.src.ip`. A list on its way is gone through, so that `attacks.technique.uid` finds the ids of all
attacks. Of several paths the first stands for the strongest: it wins where one value is wanted, and comes first where
all are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.pipelines.alerts.alert import LONGEST_NAME, Alert, AlertFault
from app.pipelines.alerts.formats import times, values
from app.pipelines.alerts.formats.attributes import ENTITIES, MAX_LIST, RESERVED, attributes, text

if TYPE_CHECKING:
    from collections.abc import Sequence

Paths = tuple[str, ...]
_Step = tuple[tuple[str, int], ...]
"""The keys to try at one place of a path, the longest first, and where the path goes on behind each."""

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
    dotted: bool = False


class FieldReader:
    """Reads records by one table, whose paths are taken apart once."""

    def __init__(self, title: str, prefix: str, table: Table) -> None:
        """Takes the format's title for messages, the prefix of the ids that are made, and the table."""
        self.title, self.prefix, self.table = title, prefix, table
        fields = msgspec.structs.asdict(table)
        self._paths: dict[str, list[tuple[_Step, ...]]] = {
            field: [_steps(path, table.dotted) for path in paths]
            for field, paths in fields.items()
            if isinstance(paths, tuple) and field != "keep"
        }
        self._reserved = {
            key: [_steps(path, table.dotted) for path in paths] for key, paths in table.attributes.items()
        }
        self._keep = [(key, _steps(path, table.dotted)) for key, path in map(kept, table.keep)]

    def read(self, record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
        """A record as an alert.

        Args:
            record: As JSON gives it.
            tenant: Whose it is, where the record does not say.
            received: When it came, for times without a year.

        Raises:
            AlertFault: It cannot be one.
        """
        id_ = self._id(record)
        time = self._time(record, received)
        src, dst = self._ends(record)
        return Alert(
            id=id_,
            time=time,
            src=src,
            dst=dst,
            name=self._name(record),
            tech=self._techniques(record),
            other_attributes=self._attributes(record),
            tenant=self._text("tenant", record) or tenant,
        )

    def _id(self, record: dict[str, Any]) -> int | str:
        for path in self._paths["id"]:
            for value in found(record, path):
                if value is not None and value != "":
                    return values.identifier(value, self._where("id"))
        if not self.table.digest:
            raise AlertFault("missing_id", self._missing("id"))
        parts = (found(record, path) for path in self._paths["digest"])
        return values.stable_id(self.prefix, (each[0] if each else None for each in parts))

    def _time(self, record: dict[str, Any], received: float | None) -> float:
        seen: Any = None
        for path in self._paths["time"]:
            for value in found(record, path):
                if (seconds := times.seconds_or_none(value, received)) is not None:
                    return seconds
                seen = seen or value
        return times.seconds(seen, self._where("time"), received)

    def _ends(self, record: dict[str, Any]) -> tuple[str, str]:
        src, dst = self._entity("src", record), self._entity("dst", record)
        if src is None and dst is None:
            src = self._entity("either", record)
        one = src or dst
        if one is None:
            raise AlertFault("missing_src", self._missing("src", "dst", "either"))
        return src or one, dst or one

    def _entity(self, field: str, record: dict[str, Any]) -> str | None:
        for path in self._paths[field]:
            for value in found(record, path):
                if (named := values.entity_or_none(value)) is not None:
                    return named
        return None

    def _name(self, record: dict[str, Any]) -> str:
        name = self._text("name", record)
        if name is None:
            raise AlertFault("missing_name", self._missing("name"))
        return name[:LONGEST_NAME]

    def _text(self, field: str, record: dict[str, Any]) -> str | None:
        for path in self._paths[field]:
            for value in found(record, path):
                if (said := text(value)) is not None:
                    return said
        return None

    def _techniques(self, record: dict[str, Any]) -> list[str]:
        carried = [value for path in self._paths["tech"] for value in found(record, path)]
        tags = [value for path in self._paths["tags"] for value in found(record, path)]
        return values.techniques([*carried, *values.technique_ids(tags)]) if carried or tags else []

    def _attributes(self, record: dict[str, Any]) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for key, paths in self._reserved.items():
            if key in ENTITIES:
                said[key] = [value for path in paths for value in found(record, path)]
                continue
            read = RESERVED[key]
            for value in (each for path in paths for each in found(record, path)):
                if (said_here := read(value)) is not None:
                    said[key] = said_here
                    break
        for key, steps in self._keep:
            if there := found(record, steps):
                said[key] = there if len(there) > 1 else there[0]
        return attributes(said)

    def _where(self, field: str) -> str:
        return f"{self.title}: {field} ({_some(getattr(self.table, field))})"

    def _missing(self, *fields: str) -> str:
        paths = [path for field in fields for path in getattr(self.table, field)]
        return f"{self.title}: {fields[0]} is missing or empty; it is read from {_some(list(dict.fromkeys(paths)))}"


def kept(entry: str) -> tuple[str, str]:
    """The key and the path of an entry of `Table.keep`."""
    key, _, path = entry.rpartition("=")
    return key or path, path


def found(record: dict[str, Any], path: tuple[_Step, ...]) -> list[Any]:
    """The values at a path that are neither null nor empty; lists on the way, and at its end, are gone through."""
    there: list[Any] = []
    _collect(record, path, 0, there)
    return there


def _collect(value: object, path: tuple[_Step, ...], place: int, there: list[Any]) -> None:
    if type(value) is list:
        for each in value[:MAX_LIST]:
            if type(each) is not list and len(there) < MAX_FOUND:
                _collect(each, path, place, there)
    elif place == len(path):
        if value is not None and value != "":
            there.append(value)
    elif type(value) is dict:
        for key, behind in path[place]:
            if key in value:
                _collect(value[key], path, behind, there)


def _some(paths: Sequence[str]) -> str:
    """Paths for a message: those that are sent most often stand first."""
    return f"{', '.join(paths[:MOST_SHOWN])}{' and others' if len(paths) > MOST_SHOWN else ''}"


def _steps(path: str, dotted: bool) -> tuple[_Step, ...]:
    """A path taken apart; where keys may hold dots, each run of its parts may be one key."""
    parts = path.split(".")
    ends = range(len(parts), 0, -1)
    return tuple(
        tuple((".".join(parts[start:end]), end) for end in ends if start < end and (dotted or end == start + 1))
        for start in range(len(parts))
    )
