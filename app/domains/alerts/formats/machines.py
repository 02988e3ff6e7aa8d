"""Read which names and addresses an alert states to be one machine.

`Table.aliases` has paths of names and of addresses. The parts that all of them begin with lead to objects that stand
for one machine each: `evidences.device`, for `evidences.device.hostname` and `evidences.device.ip`. So the name of one
machine is never put beside the address of the next in a list.

Windows writes the name of the machine that somebody logs on to as the workstation of a remote desktop's logon, beside
the client's address. So an entry may have a third part: paths of names that are another machine's.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, TypeAlias

from app.domains.alerts.aliases import is_alias
from app.domains.alerts.entities import canonical, short_name
from app.domains.alerts.formats.attributes import MAX_LIST
from app.domains.alerts.formats.values import entity_or_none

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Paths: TypeAlias = tuple[str, ...]
MachinePaths: TypeAlias = tuple[Paths, Paths] | tuple[Paths, Paths, Paths]
"""Paths of a machine's names, of its addresses, and of names that are not its own."""

MAX_ALIASES = 32  # pairs of one alert
MAX_PAIRS = 1024  # of one alert that are looked at: lists of names and of addresses have the product of their lengths


class Machine:
    """Paths of the names and addresses of one machine.

    Attributes:
        at: Path of the objects that stand for a machine each; empty for the record itself.
    """

    def __init__(self, names: Paths, addresses: Paths, others: Paths = ()) -> None:
        """Use an entry of `Table.aliases`."""
        self._names, self._addresses, self._others = names, addresses, others
        equal = (set(parts) for parts in zip(*(path.split(".")[:-1] for path in (*names, *addresses)), strict=False))
        shared = [part for (part,) in itertools.takewhile(lambda parts: len(parts) == 1, equal)]
        self.at = ".".join(shared)
        self._names_within, self._addresses_within = (
            [path.split(".")[len(shared) :] for path in paths] for paths in (names, addresses)
        )

    def pairs(self, found: Mapping[str, list[Any]]) -> Iterator[tuple[str, str] | None]:
        """Yield the (name, address) of a record, as they stand in it; None for a pair that is no alias.

        Args:
            found: Values of the record by path, with the objects by theirs.
        """
        names = [value for path in self._names if path in found for value in found[path]]
        addresses = [value for path in self._addresses if path in found for value in found[path]]
        if not names or not addresses:
            return
        others = {_short(value) for path in self._others if path in found for value in found[path]}
        objects = [each for each in found.get(self.at, ()) if type(each) is dict]
        if len(objects) <= 1:
            yield from _paired(names, addresses, others)
            return
        for each in objects:
            names, addresses = (
                [value for path in paths for value in _values(each, path)]
                for paths in (self._names_within, self._addresses_within)
            )
            yield from _paired(names, addresses, others)


def aliases_of(machines: Sequence[Machine], found: Mapping[str, list[Any]]) -> list[tuple[str, str]]:
    """Return the aliases of an alert, each once."""
    pairs = itertools.islice(itertools.chain.from_iterable(each.pairs(found) for each in machines), MAX_PAIRS)
    return list(itertools.islice(dict.fromkeys(filter(None, pairs)), MAX_ALIASES))


def _paired(names: list[Any], addresses: list[Any], others: set[str]) -> Iterator[tuple[str, str] | None]:
    for each_name, each_address in itertools.product(names, addresses):
        name, address = entity_or_none(each_name), entity_or_none(each_address)
        is_one = name and address and is_alias(name, address) and not (others and _short(name) in others)
        yield (name, address) if name and address and is_one else None


def _short(value: object) -> str:
    return short_name(canonical(value)) if isinstance(value, str) else ""


def _values(value: object, path: Sequence[str]) -> Iterable[object]:
    """Yield the values at a path below an object, through lists."""
    if type(value) is list:
        for each in value[:MAX_LIST]:
            yield from _values(each, path)
    elif not path:
        yield value
    elif type(value) is dict:
        yield from _values(value.get(path[0]), path[1:])
