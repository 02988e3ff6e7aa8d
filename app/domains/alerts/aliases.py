"""Learn which names and addresses are one machine, and when.

An address is like a lease: a name has it from its first alert with both until another name takes it. So the past of an
address is a list of runs, each with its names, and an alert's address belongs to the name whose run its time is in.
Names of one sort compete for an address: host names, ids of instances, other ids, and MAC addresses are
four sorts. Names
that one alert states together with an address are one machine's.

An address with many names in a short time is a NAT, a proxy, a load balancer or a sensor's own, and a name with many
addresses is a collector's: neither is an alias of anything. A full host name and its short form are aliases while no
other full name has that short form.
"""

from __future__ import annotations

import bisect
import math
import re
from typing import TYPE_CHECKING, Annotated, Self

import msgspec
from msgspec import Meta

from app.domains.alerts.entities import canonical, is_address, kind, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DAY_S = 86_400.0
_MOST_RUNS = 8  # of an address that are remembered, the latest ones
_MOST_TOGETHER = 8  # names of one machine, and addresses of one answer
_MOST_SWITCHES = 6  # in a window: names that take turns so often have no leases
_NETBIOS = 15  # characters to which Windows cuts names
_EVERYWHERE = re.compile(
    r"172\.(?:1[789]|2\d|3[01])\.0\.1|10\.88\.0\.1|192\.168\.(?:122|56|99)\.1|192\.168\.65\.\d+|10\.0\.2\.(?:2|3|15)"
)
"""Addresses that every machine with Docker, Podman, libvirt or VirtualBox has for itself."""
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


class AliasConfig(msgspec.Struct, frozen=True):
    """Settings of the aliases of a tenant.

    Attributes:
        expiry_s: Time after the latest alert with both for which a name and an address stay aliases.
        window_s: Time in which the limits below count, and for which an alias holds before its first alert.
        most_names: Names in turn that an address may have within the window; with more it is no alias of any.
        most_addresses: Addresses that a name may have within the window; with more it is no alias of any.
        most: Addresses that are remembered, and full names; the ones without news for longest are forgotten first.
    """

    expiry_s: Annotated[float, Meta(ge=60, le=365 * _DAY_S)] = 7 * _DAY_S
    window_s: Annotated[float, Meta(ge=60, le=30 * _DAY_S)] = _DAY_S
    most_names: Annotated[int, Meta(ge=1, le=_MOST_RUNS - 1)] = 3
    most_addresses: Annotated[int, Meta(ge=1, le=256)] = 16
    most: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000


class _Run(msgspec.Struct, array_like=True):
    """A time in which an address had one machine's names.

    Attributes:
        names: Names in order of the alphabet.
        start: Time of the first alert with one of them and the address.
        end: Time of the last one.
    """

    names: tuple[str, ...]
    start: float
    end: float


class _Address(msgspec.Struct, array_like=True):
    """The past of an address, for one sort of names.

    Attributes:
        runs: In order of time; one reaches to the start of the next.
        shared: Latest time at which it had too many names; minus infinity if it never had.
    """

    runs: list[_Run] = []
    shared: float = float("-inf")


_Key = tuple[str, str]
"""An address and a sort of names."""


class AliasTable:
    """The aliases of one tenant."""

    def __init__(self, config: AliasConfig = AliasConfig()) -> None:  # noqa: B008 - frozen
        """Start without an alias."""
        self._config = config
        self._addresses: dict[_Key, _Address] = {}
        self._keys: dict[str, dict[_Key, None]] = {}  # of a name: where it stands in a run; derived
        self._full: dict[str, dict[str, float]] = {}  # of a short name: its full names, and the latest time of each

    def learn(self, pairs: Iterable[tuple[str, str]], time: float) -> set[str]:
        """Learn from the aliases of one alert.

        Args:
            pairs: (name, address) of machines, as they stand in the alert or in canonical form. Names that share an
                address here are one machine's.
            time: The alert's time, seconds since 1970.

        Returns:
            Entities in canonical form that have other names than before: of earlier alerts with them, more may be one
            machine's.
        """
        together: dict[_Key, list[str]] = {}
        for each_name, each_address in pairs:
            if is_alias(each_name, each_address):
                name, address = canonical(each_name), canonical(each_address)
                self.see(name, time)
                names = together.setdefault((address, _sort(name)), [])
                if name not in names:
                    names.append(name)
        return {each for key, names in together.items() for each in self._observe(key, names[:_MOST_TOGETHER], time)}

    def see(self, name: str, time: float) -> None:
        """Learn that a machine has a name (in canonical form): a full one becomes an alias of its short form."""
        short = short_name(name)
        if short == name or kind(name) != "name":
            return
        full = self._full.get(short)
        if full is None:
            full = self._full[short] = {}
            if len(self._full) > self._config.most:
                del self._full[next(iter(self._full))]
        full[name] = max(full.get(name, time), time)
        while len(full) > _MOST_TOGETHER:
            del full[min(full, key=lambda each: (full[each], each))]

    def knows(self, names: Iterable[str], pairs: Iterable[tuple[str, str]], time: float) -> bool:
        """Return whether `learn` and `see` would leave the names of all machines at a time as they are.

        Args:
            names: All names and addresses in canonical form.
            pairs: As for `learn`.
            time: The time.
        """
        return all(self._knows_full(each, time) for each in names) and all(
            self._knows_pair(canonical(name), canonical(address), time)
            for name, address in pairs
            if is_alias(name, address)
        )

    def names_of(self, entity: str, time: float) -> tuple[str, ...]:
        """Return the other names and addresses that a machine has at a time, in canonical form.

        Args:
            entity: One of its names or addresses in canonical form.
            time: The time, seconds since 1970: of the alert that has the entity.
        """
        if entity not in self._keys and short_name(entity) not in self._full:
            return ()
        found: dict[str, None] = {entity: None}
        for each in (entity, *self._beside(entity, time)):  # two steps: from a name by an address to further names
            if len(found) > _MOST_TOGETHER:
                break
            found[each] = None
            found.update(dict.fromkeys(self._beside(each, time)))
        del found[entity]
        return tuple(found)[:_MOST_TOGETHER]

    def key_of(self, entity: str, time: float) -> str:
        """Return one of a machine's names for all of them: the shortest host name, else another name, else itself."""
        names = [each for each in self.names_of(entity, time) if not is_address(each)]
        if not names:
            return entity
        if not is_address(entity):
            names.append(entity)
        return min(names, key=lambda each: (kind(each) != "name", len(each), each))

    def reason(self, one: str, other: str, time: float) -> str:
        """Return why two entities in canonical form are one machine at a time: "10.20.0.31 was wks-31".

        Empty if they are not.
        """
        for first, second in ((one, other), (other, one)):
            beside = self._beside(first, time)
            if second in beside:
                name, address = (first, second) if is_address(second) else (second, first)
                if is_address(address):
                    return f"{address} was {name}"
                return f"{min(one, other, key=len)} is short for {max(one, other, key=len)}"
            for each in beside:
                if second in self._beside(each, time):
                    return (
                        f"{first} and {second} had {each}" if is_address(each) else f"{first} and {second} are {each}"
                    )
        return ""

    def dump(self) -> StoredAliases:
        """Return the aliases for a state; equal for equal aliases."""
        addresses = [(*key, each.shared, each.runs) for key, each in self._addresses.items()]
        return StoredAliases(addresses, [(short, list(full.items())) for short, full in self._full.items()])

    @classmethod
    def load(cls, stored: StoredAliases, config: AliasConfig = AliasConfig()) -> Self:  # noqa: B008 - frozen
        """Return aliases as they were dumped.

        Raises:
            ValueError: They were not.
        """
        self = cls(config)
        for address, sort, shared, runs in stored.addresses:
            if not runs or not all(math.isfinite(time) for run in runs for time in (run.start, run.end)):
                raise ValueError(f"the names of {address!r}")
            key = (address, sort)
            self._addresses[key] = _Address([msgspec.structs.replace(run) for run in runs], shared)
            for name in {address, *(name for run in runs for name in run.names)}:
                self._keys.setdefault(name, {})[key] = None
        self._full = {short: dict(full) for short, full in stored.full}
        return self

    def _knows_full(self, name: str, time: float) -> bool:
        """Return whether a name is no full one, or a known one."""
        short = short_name(name)
        if short == name or kind(name) != "name":
            return True
        latest = self._full.get(short, {}).get(name)
        return latest is not None and time - latest <= self._config.expiry_s

    def _knows_pair(self, name: str, address: str, time: float) -> bool:
        """Return whether an address has a name now and has had news so lately that more changes no answer."""
        held = self._addresses.get((address, _sort(name)))
        if held is None:
            return False
        run = held.runs[-1]
        lately = min(self._config.window_s, self._config.expiry_s)
        return run.start <= time <= run.end + lately and name in run.names and self._knows_full(name, time)

    def _observe(self, key: _Key, names: list[str], time: float) -> tuple[str, ...]:
        """Put names into the past of an address; return the entities that have other names than before."""
        held = self._addresses.pop(key, None)
        if held is None:
            held = _Address()
            self._keys.setdefault(key[0], {})[key] = None
        self._addresses[key] = held  # at the end: it has news
        run = _run_of(held.runs, names, time)
        before = run.names
        if not set(names) <= set(before):
            run.names = tuple(sorted({*before, *names})[:_MOST_TOGETHER])
            for name in run.names:
                self._keys.setdefault(name, {})[key] = None
            self._limit(key, held)
        return () if run.names == before else (key[0], *run.names)

    def _limit(self, key: _Key, held: _Address) -> None:
        """Note whether an address has too many names, and forget what exceeds a limit."""
        runs = held.runs
        latest = runs[-1].end
        recent = [run for run in runs if latest - run.end <= self._config.window_s]
        if len(recent) > self._config.most_names:
            machines: list[tuple[str, ...]] = []
            for run in recent:
                if not any(_is_one(each, run.names) for each in machines):
                    machines.append(run.names)
            if len(machines) > self._config.most_names or len(recent) > _MOST_SWITCHES:
                held.shared = max(held.shared, latest)
        if len(runs) > _MOST_RUNS:
            self._forget(key, held, runs.pop(0).names)
        while len(self._addresses) > self._config.most:
            oldest = next(iter(self._addresses))
            forgotten = self._addresses.pop(oldest)
            self._forget(oldest, None, (oldest[0], *(name for run in forgotten.runs for name in run.names)))

    def _forget(self, key: _Key, held: _Address | None, names: Iterable[str]) -> None:
        """Remove names from the index that no run of an address has any more."""
        kept = {name for run in held.runs for name in run.names} if held is not None else set()
        for name in names:
            keys = self._keys.get(name)
            if keys is not None and name not in kept:
                keys.pop(key, None)
                if not keys:
                    del self._keys[name]

    def _beside(self, entity: str, time: float) -> tuple[str, ...]:
        """Return the names of an address, or the addresses and the full or short form of a name, at a time."""
        keys = self._keys.get(entity, ())
        if is_address(entity):
            held = (self._at(key, time) for key in keys)
            names = (name for run in held if run is not None for name in run.names)
            return tuple(sorted(name for name in names if not self._is_collector(name, time)))
        if self._is_collector(entity, time):
            return tuple(self._forms(entity, time))
        addresses = [key[0] for key in keys if (run := self._at(key, time)) is not None and entity in run.names]
        return (*self._forms(entity, time), *sorted(addresses)[:_MOST_TOGETHER])

    def _at(self, key: _Key, time: float) -> _Run | None:
        """Return the run of an address that a time is in; None if there is none, or many share the address."""
        held = self._addresses.get(key)
        if held is None or not held.runs or abs(time - held.shared) <= self._config.expiry_s:
            return None
        index = bisect.bisect_right(held.runs, time, key=lambda run: run.start) - 1
        if index < 0:
            first = held.runs[0]
            return first if first.start - time <= self._config.window_s else None
        run = held.runs[index]
        return run if time - run.end <= self._config.expiry_s else None

    def _is_collector(self, name: str, time: float) -> bool:
        """Return whether a name has too many addresses."""
        keys = self._keys.get(name, {})
        if len(keys) <= self._config.most_addresses:
            return False
        near = sum(
            any(name in run.names and abs(time - run.end) <= self._config.window_s for run in self._addresses[key].runs)
            for key in keys
        )
        return near > self._config.most_addresses

    def _forms(self, name: str, time: float) -> Iterator[str]:
        """Yield the full form of a short name or the short form of a full one, if there is only one such machine."""
        short = short_name(name)
        full = self._full.get(short)
        if full is not None:
            known = [each for each, latest in full.items() if time - latest <= self._config.expiry_s]
            if len(known) == 1 and name in (short, known[0]):
                yield known[0] if name == short else short


class StoredAliases(msgspec.Struct, array_like=True):
    """The stored aliases of a tenant.

    Attributes:
        addresses: (address, sort of names, latest time at which it was shared, runs), the one with news at the end.
        full: (short name, its full names with the latest time of each).
    """

    addresses: list[tuple[str, str, float, list[_Run]]] = []
    full: list[tuple[str, list[tuple[str, float]]]] = []


def is_alias(name: str, address: str) -> bool:
    """Return whether a name and an address that an alert states as one machine's say which machine it is.

    A full name with an address outside does not: it is a domain, and a host of it serves many.
    """
    name, address = canonical(name), canonical(address)
    where, what = kind(address), kind(name)
    if where not in ("inside", "outside") or what not in ("name", "resource") or " " in name:  # a person's name
        return False
    if _EVERYWHERE.fullmatch(address):
        return False
    return where == "inside" or what == "resource" or "." not in name


_NAME, _INSTANCE, _HARDWARE, _ID = ("name", "instance", "mac", "id")


def _sort(name: str) -> str:
    """Return the sort of a name: those of one sort compete for an address."""
    if _MAC.fullmatch(name):
        return _HARDWARE
    if kind(name) == "resource":
        return _INSTANCE if name.startswith("i-") else _ID
    return _NAME


def _run_of(runs: list[_Run], names: list[str], time: float) -> _Run:
    """Return the run that a time and names belong to, made longer or new; a new one has no names yet."""
    index = len(runs) - 1
    if runs and time < runs[-1].start:
        index = bisect.bisect_right(runs, time, key=lambda run: run.start) - 1
    before = runs[index] if index >= 0 else None
    after = runs[index + 1] if index + 1 < len(runs) else None
    if before is not None and _is_one(before.names, names):
        before.end = max(before.end, time)
        return before
    if after is not None and (before is None or before.end < time) and _is_one(after.names, names):
        after.start = time
        return after
    run = _Run((), time, time)
    runs.insert(index + 1, run)
    if before is not None and time < before.end:  # it had the address before and after
        runs.insert(index + 2, _Run(before.names, before.end, before.end))
        before.end = time
    return run


def _is_one(some: Iterable[str], others: Iterable[str]) -> bool:
    """Return whether two lists of names have a machine in common."""
    return any(one == other or _are_forms(one, other) for one in some for other in others)


def _are_forms(one: str, other: str) -> bool:
    """Return whether one name is the other's short form, also as Windows cuts it."""
    first, second = short_name(one), short_name(other)
    if first != second:
        short, long = sorted((first, second), key=len)
        return len(short) == _NETBIOS and long.startswith(short)
    return one == first or other == second
