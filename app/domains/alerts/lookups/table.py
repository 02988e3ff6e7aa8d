"""The lookup table: the techniques that analysts assigned to alert texts and to rules.

It caches what it reads from the store (DynamoDB or a CSV file), whether a key has a correction or not. A correction
made by another process is seen within `REFRESH_S`; one made by this process at once.
"""

from __future__ import annotations

import io
import re
from array import array
from typing import TYPE_CHECKING, Protocol

import msgspec

from app.cache import RecentCache
from app.domains.alerts.attack import AttackTable, attack_table
from app.domains.alerts.lookups.corrections import Correction, CorrectionFault, RejectedRow, Report, beyond, checked
from app.domains.alerts.lookups.csv_file import read_corrections
from app.domains.alerts.tenancy import TENANT_MISMATCH
from app.errors import LocationError, SettingsError
from app.storage.files import open_regular, path_of
from app.stream.deadline import SYSTEM_CLOCK, Clock
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

REFRESH_S = 30.0  # short enough for an analyst to see the correction take effect; costs one small read
OLDEST_S = 600.0  # the cache is cleared even without a new version, in case an update crashed before setting it
CACHED_KEYS = 16_384  # a large site has a few thousand distinct texts a day
LONGEST_CACHED = 1_024  # characters of a key; longer ones are not cached, so the cache has at most 33 MB
REPORTED_ROWS = 1_000  # refused rows in a report: it is for people, and a faulty file repeats a few reasons
FILE_SUFFIX = ".csv"

_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's rule


class CorrectionStore(Protocol):
    """Store of the newest correction of each key, at most `most` of them.

    Attributes:
        most: How many corrections it keeps.
    """

    most: int

    @property
    def rejected(self) -> Sequence[RejectedRow]:
        """Return the rows that were ignored when it was last read."""

    def version(self) -> str:
        """Return a text that changes whenever a correction does."""

    def tenants(self) -> frozenset[str]:
        """Return the tenants that have corrections of their own, at the version that was last asked for."""

    def load(self, keys: Iterable[str]) -> Mapping[str, Correction]:
        """Return the corrections of those keys that have one."""

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        """Write checked corrections, each key once; return the keys that have a newer correction."""

    def remove(self, key: str) -> bool:
        """Remove the correction of a key; return whether there was one."""


class LookupTable:
    """Corrections by key, `Correction.key`, cached."""

    def __init__(self, store: CorrectionStore, clock: Clock = SYSTEM_CLOCK, cached: int = CACHED_KEYS) -> None:
        """Cache up to about twice `cached` keys of a store; nothing is read yet."""
        self._store = store
        self._clock = clock
        self._keys: RecentCache[str, Correction | str] = RecentCache(cached)
        self._version: str | None = None
        self._tenants: frozenset[str] = frozenset()
        self._asked = self._cleared = 0.0

    def refresh(self) -> None:
        """Check for new corrections, at most every `REFRESH_S`.

        Raises:
            CloudError: The table does not answer. It is not ignored: alerts would get labels that were corrected.
            LocationError: The file cannot be read.
        """
        now = self._clock.monotonic()
        if self._version is None or now - self._asked >= REFRESH_S:
            version = self._store.version()
            if version != self._version or now - self._cleared >= OLDEST_S:
                self._forget(now)
            self._version, self._asked, self._tenants = version, now, self._store.tenants()

    @property
    def tenants(self) -> frozenset[str]:
        """Return the tenants that had corrections of their own at the last `refresh`."""
        return self._tenants

    def find(self, keys: Iterable[str]) -> dict[str, Correction]:
        """Return the corrections of those keys that have one.

        Raises:
            CloudError: The table does not answer.
            LocationError: The file cannot be read.
        """
        self.refresh()
        found: dict[str, Correction] = {}
        missing = []
        for key in keys:
            known = self._keys.get(key)
            if known is None:
                missing.append(key)
            elif isinstance(known, Correction):
                found[key] = known
        if missing:
            loaded = self._store.load(missing)
            for key in missing:
                if len(key) <= LONGEST_CACHED:
                    self._keys.put(key, loaded.get(key, _NOTHING))
            found.update(loaded)
        return found

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        """Write checked corrections, each key once; return the keys that have a newer correction.

        Raises:
            CloudError: Some or all cannot be written; the same call may be repeated.
            LocationError: The file cannot be read.
        """
        try:
            return self._store.store(corrections)
        finally:  # even after an error some may be written
            self._version = None

    def remove(self, key: str) -> bool:
        """Remove the correction of a key; return whether there was one.

        Raises:
            CloudError: It cannot be removed.
            LocationError: The file cannot be read.
        """
        try:
            return self._store.remove(key)
        finally:
            self._version = None

    @property
    def rejected(self) -> Sequence[RejectedRow]:
        """Return the rows that were ignored when the store was last read."""
        return self._store.rejected

    @property
    def most(self) -> int:
        """Return the number of corrections that the store keeps."""
        return self._store.most

    def now(self) -> float:
        """Return seconds since 1970."""
        return self._clock.time()

    def _forget(self, now: float) -> None:
        self._keys.clear()
        self._cleared = now


_NOTHING = ""
"""Cached for a key without a correction."""


def open_lookup(name: str) -> LookupTable | None:
    """Open the lookup table that `LOOKUP_TABLE` names.

    Args:
        name: A DynamoDB table, or a file that ends in `.csv`; empty for none.

    Raises:
        SettingsError: The name is neither.
    """
    if not name:
        return None
    if name.endswith(FILE_SUFFIX) and "://" not in name:
        from app.domains.alerts.lookups.csv_file import FileCorrections  # noqa: PLC0415 - only one of the two is needed

        return LookupTable(FileCorrections(path_of(name)))
    if not _TABLE_NAME.fullmatch(name):
        raise SettingsError(
            f"LOOKUP_TABLE is {name!r}: give a DynamoDB table's name, or a local file that ends in .csv"
        )
    from app.domains.alerts.lookups.dynamodb import DynamoDbCorrections  # noqa: PLC0415 - a file needs no botocore

    return LookupTable(DynamoDbCorrections(name))


def update(
    table: LookupTable, corrections: Iterable[Correction], attack: AttackTable | None = None, *, only: str = ""
) -> Report:
    """Add corrections to the table; refused ones are reported by their position, from 1, and affect no others.

    Repeating an update changes nothing.

    Args:
        table: The lookup table.
        corrections: The corrections.
        attack: ATT&CK; by default the table that Millrace ships.
        only: The tenant that all are for: those that name none become its own, those that name another are refused.
            Empty takes those of any tenant, and for all.

    Raises:
        CloudError: The table does not answer; some may be written, and the call may be repeated.
        LocationError: The file cannot be read.
    """
    return _update(table, enumerate(corrections, 1), table.now(), attack or attack_table(), only)


def update_from_csv(
    table: LookupTable,
    data: bytes | Path,
    now: float,
    author: str = "",
    attack: AttackTable | None = None,
    *,
    only: str = "",
) -> Report:
    """Add the rows of a CSV file of any size to the table.

    Rows of the short form (`alerts,techniques`) have the time `now`; of two that differ for one text the later line
    applies. Nothing is written when the header is wrong: the report has `bad_header` on line 1.

    Args:
        table: The lookup table.
        data: The file's bytes or its path.
        now: When the corrections were made, seconds since 1970. Repeating the file with the same `now` changes nothing.
        author: The analyst.
        attack: ATT&CK; by default the table that Millrace ships.
        only: As of `update`.

    Raises:
        CloudError: The table does not answer; some may be written, and the call may be repeated.
        LocationError: A file cannot be read.
    """
    try:
        with io.BytesIO(data) if isinstance(data, bytes) else open_regular(data) as file:
            return _update(table, read_corrections(file, now, author), now, attack or attack_table(), only)
    except CorrectionFault as fault:
        return Report(0, (RejectedRow(1, fault.reason, fault.message),))
    except OSError as error:
        raise LocationError(f"{data!s}: cannot be read: {error.strerror}") from None


class _Update:
    """Corrections of one update: the newest of each key with its lines, and the refused rows."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._newest: dict[str, tuple[Correction, array[int]]] = {}  # an array, since a row may come by the million
        self.rejected: list[RejectedRow] = []
        self.unreported = 0

    def add(self, line: int, correction: Correction) -> None:
        held, lines = self._newest.get(correction.key, (correction, array("q")))
        if (held.techniques, held.override) == (correction.techniques, correction.override):
            lines.append(line)
            self._newest[correction.key] = (max(held, correction, key=lambda each: each.time), lines)
        elif held.time <= correction.time:
            self._newest[correction.key] = (correction, array("q", [line]))
            self._conflict(lines, line)
        else:
            self._conflict([line], lines[0])
        if len(self._newest) > 2 * self._most:
            self._drop_oldest()

    def reject(self, row: RejectedRow) -> None:
        if len(self.rejected) < REPORTED_ROWS:
            self.rejected.append(row)
        else:
            self.unreported += 1

    def store(self, table: LookupTable) -> Report:
        self._drop_oldest()
        outdated = table.store([correction for correction, _ in self._newest.values()])
        late = sum(len(self._newest[key][1]) for key in outdated)
        taken = sum(len(lines) for _, lines in self._newest.values()) - late
        return Report(taken, tuple(sorted(self.rejected, key=lambda row: row.line)), self.unreported, late)

    def _conflict(self, lines: Iterable[int], other: int) -> None:
        for line in lines:
            self.reject(RejectedRow(line, "conflict", f"line {other} applies: it has other techniques for this text"))

    def _drop_oldest(self) -> None:
        """Keep only the newest corrections: the store would drop the others at once."""
        ages = [(each.tenant, (each.time, lines[-1], key)) for key, (each, lines) in self._newest.items()]
        for _, _, key in sorted(beyond(ages, self._most)):
            for line in self._newest.pop(key)[1]:
                self.reject(RejectedRow(line, "no_room", f"the table keeps the newest {self._most}; this one is older"))


def _update(
    table: LookupTable, rows: Iterable[tuple[int, Correction | RejectedRow]], now: float, attack: AttackTable, only: str
) -> Report:
    taken = _Update(table.most)
    for line, row in rows:
        if isinstance(row, RejectedRow):
            taken.reject(row)
            continue
        if only and row.tenant not in {"", only}:
            message = f"it is for the tenant {quoted(row.tenant)}, and only those for {quoted(only)} are taken"
            taken.reject(RejectedRow(line, TENANT_MISMATCH, message))
            continue
        try:
            taken.add(line, checked(msgspec.structs.replace(row, tenant=only or row.tenant), attack, now))
        except CorrectionFault as fault:
            taken.reject(RejectedRow(line, fault.reason, fault.message))
    return taken.store(table)
