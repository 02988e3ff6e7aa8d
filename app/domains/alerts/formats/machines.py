"""Read which names and addresses an alert states to be one machine.

`Table.aliases` has pairs of names' paths and addresses' paths. The parts that all paths of a pair begin with lead to
objects that stand for one machine each: `evidences.device`, for `evidences.device.hostname` and `evidences.device.ip`.
So the name of one machine is never put beside the address of the next in a list.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from app.domains.alerts.aliases import is_alias
from app.domains.alerts.formats.attributes import MAX_LIST
from app.domains.alerts.formats.values import entity_or_none

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Paths = tuple[str, ...]

MAX_ALIASES = 32  # pairs of one alert


class Machine:
    """Objects of a record that stand for one machine each.

    Attributes:
        at: Path of the objects; empty for the record itself.
    """

    def __init__(self, names: Paths, addresses: Paths) -> None:
        """Use the paths of one pair of `Table.aliases`."""
        self._flat = (names, addresses)
        parents = [path.split(".")[:-1] for path in (*names, *addresses)]
        equal = (set(parts) for parts in zip(*parents, strict=False))
        shared = [part for (part,) in itertools.takewhile(lambda parts: len(parts) == 1, equal)]
        self.at = ".".join(shared)
        self._within = tuple(
            tuple(tuple(path.split(".")[len(shared) :]) for path in paths) for paths in (names, addresses)
        )

    def pairs(self, found: Mapping[str, list[Any]]) -> Iterable[tuple[str, str]]:
        """Yield the (name, address) of a record, as they stand in it.

        Args:
            found: Values of the record by path, with the objects by theirs.
        """
        objects = [each for each in found.get(self.at, ()) if type(each) is dict] if self.at else []
        some = False
        for each in objects:
            names, addresses = ([value for path in paths for value in _values(each, path)] for paths in self._within)
            for pair in _paired(names, addresses):
                some = True
                yield pair
        if not some and len(objects) <= 1:  # the record has dotted keys
            names, addresses = ([value for path in paths for value in found.get(path, ())] for paths in self._flat)
            yield from _paired(names, addresses)


def aliases_of(machines: Sequence[Machine], found: Mapping[str, list[Any]]) -> list[tuple[str, str]]:
    """Return the aliases of an alert, each once."""
    pairs = itertools.chain.from_iterable(each.pairs(found) for each in machines)
    return list(itertools.islice(dict.fromkeys(pairs), MAX_ALIASES))


def _paired(names: list[Any], addresses: list[Any]) -> Iterable[tuple[str, str]]:
    for each_name, each_address in itertools.product(names, addresses) if names and addresses else ():
        name, address = entity_or_none(each_name), entity_or_none(each_address)
        if name and address and is_alias(name, address):
            yield name, address


def _values(value: object, path: Sequence[str]) -> Iterable[object]:
    """Yield the values at a path below an object, through lists."""
    if type(value) is list:
        for each in value[:MAX_LIST]:
            yield from _values(each, path)
    elif not path:
        yield value
    elif type(value) is dict:
        yield from _values(value.get(path[0]), path[1:])
