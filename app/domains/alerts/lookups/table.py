"""The lookup table: which techniques analysts gave to an alert text.

It stands between a process and where corrections are kept (a DynamoDB table, or a CSV file), and remembers what it
asked for, found or not. A correction made elsewhere is seen within `REFRESH_S`; its own process sees it at once.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.cache import RecentCache
from app.domains.alerts.attack import AttackTable, attack_table
from app.domains.alerts.lookups.corrections import Correction, CorrectionFault, RejectedRow, Report, checked
from app.domains.alerts.lookups.csv_rows import read_corrections
from app.errors import LocationError, SettingsError
from app.stream.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REFRESH_S = 30.0  # an analyst sees the correction at work in the time it takes to look; one small read each
OLDEST_S = 600.0  # what is remembered is asked for again even if nothing says that it changed: an update that broke off
REMEMBERED_TEXTS = 16_384  # a large site has a few thousand distinct texts a day
LONGEST_REMEMBERED = 1_024  # characters of a text; a longer one is asked for each time: at worst 33 MB are remembered
REPORTED_ROWS = 1_000  # a report is read by a person; a file that is all wrong has the same few reasons
FILE_SUFFIX = ".csv"

_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's own rule


class Corrections(Protocol):
    """Where corrections are kept: by folded text, the newest of each, the newest `most`."""

    most: int

    def version(self) -> str:
        """Something that changes whenever a correction does."""

    def load(self, texts: Iterable[str]) -> Mapping[str, Correction]:
        """The corrections of those folded texts that have one."""

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        """Writes checked corrections, each text once; returns the texts of which there is something newer."""


class LookupTable:
    """Corrections by folded text, remembered for a while.

    Attributes:
        generation: Changes whenever what was found before may no longer hold.
    """

    def __init__(self, kept: Corrections, clock: Clock = SYSTEM_CLOCK, remembered: int = REMEMBERED_TEXTS) -> None:
        """Takes the place where corrections are kept; nothing is read yet."""
        self.generation = 0
        self._kept = kept
        self._clock = clock
        self._texts: RecentCache[str, Correction | str] = RecentCache(remembered)
        self._version: str | None = None
        self._asked = self._cleared = 0.0

    def refresh(self) -> int:
        """Asks, at most every `REFRESH_S`, whether there are new corrections, and returns the generation.

        Raises:
            CloudError: The table does not answer: without it alerts would get labels that were corrected.
            LocationError: The file cannot be read.
        """
        now = self._clock.monotonic()
        if self._version is None or now - self._asked >= REFRESH_S:
            version = self._kept.version()
            if version != self._version or now - self._cleared >= OLDEST_S:
                self._forget(now)
            self._version, self._asked = version, now
        return self.generation

    def find(self, texts: Iterable[str]) -> dict[str, Correction]:
        """The corrections of those folded texts that have one.

        Raises:
            CloudError: The table does not answer.
            LocationError: The file cannot be read.
        """
        self.refresh()
        found: dict[str, Correction] = {}
        missing = []
        for text in texts:
            known = self._texts.get(text)
            if known is None:
                missing.append(text)
            elif isinstance(known, Correction):
                found[text] = known
        if missing:
            loaded = self._kept.load(missing)
            for text in missing:
                if len(text) <= LONGEST_REMEMBERED:
                    self._texts.put(text, loaded.get(text, _NOTHING))
            found.update(loaded)
        return found

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        """Writes checked corrections, each text once; returns the texts of which there is something newer.

        Raises:
            CloudError: They cannot all be written; the same ones may come again.
            LocationError: The file cannot be read.
        """
        try:
            return self._kept.store(corrections)
        finally:  # some may be written
            self._version = None

    @property
    def most(self) -> int:
        """How many corrections are kept."""
        return self._kept.most

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.time()

    def _forget(self, now: float) -> None:
        self._texts.clear()
        self._cleared = now
        self.generation += 1


_NOTHING = ""
"""Remembered of a text that has no correction."""


def open_lookup(name: str) -> LookupTable | None:
    """The lookup table that `LOOKUP_TABLE` names.

    Args:
        name: A DynamoDB table, or a file that ends in `.csv`; empty for none.

    Raises:
        SettingsError: It is neither.
    """
    if not name:
        return None
    if name.endswith(FILE_SUFFIX) and "://" not in name:
        from app.domains.alerts.lookups.file import FileCorrections  # noqa: PLC0415 - one of the two is needed

        return LookupTable(FileCorrections(Path(name).expanduser()))
    if not _TABLE_NAME.fullmatch(name):
        raise SettingsError(
            f"LOOKUP_TABLE is {name!r}: give a DynamoDB table's name, or a local file that ends in .csv"
        )
    from app.domains.alerts.lookups.dynamodb import DynamoDbCorrections  # noqa: PLC0415 - a file needs no botocore

    return LookupTable(DynamoDbCorrections(name))


def update(table: LookupTable, corrections: Iterable[Correction], attack: AttackTable | None = None) -> Report:
    """Takes corrections into the table; what cannot be taken is reported by its place, from 1, and harms nothing else.

    The same corrections again change nothing.

    Raises:
        CloudError: The table does not answer; some may be written, and all may come again.
        LocationError: The file cannot be read.
    """
    return _take(table, enumerate(corrections, 1), table.now(), attack or attack_table())


def update_from_csv(
    table: LookupTable, data: bytes | Path, now: float, author: str = "", attack: AttackTable | None = None
) -> Report:
    """Takes the rows of a CSV into the table, however large it is.

    Rows of the short form (`alerts,techniques`) are of the moment `now`, and of two that differ about one text the
    later line counts. Nothing is written when the header is wrong: the report has `bad_header` on line 1.

    Args:
        table: The lookup table.
        data: The file's bytes, or where it is.
        now: Seconds since 1970: when the corrections were made. The same file with the same `now` changes nothing.
        author: Who made them.
        attack: What ATT&CK knows.

    Raises:
        CloudError: The table does not answer; some may be written, and all may come again.
        LocationError: A file cannot be read.
    """
    try:
        with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
            return _take(table, read_corrections(file, now, author), now, attack or attack_table())
    except CorrectionFault as fault:
        return Report(0, (RejectedRow(1, fault.reason, fault.message),))
    except OSError as error:
        raise LocationError(f"{data!s}: cannot be read: {error.strerror}") from None


class _Taking:
    """The corrections of one update: the newest of each text with the lines that say it, and what was not taken."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._newest: dict[str, tuple[Correction, list[int]]] = {}
        self.rejected: list[RejectedRow] = []
        self.unreported = 0

    def add(self, line: int, correction: Correction) -> None:
        held, lines = self._newest.get(correction.text, (correction, []))
        if held.techniques == correction.techniques:
            lines.append(line)
            self._newest[correction.text] = (max(held, correction, key=lambda each: each.time), lines)
        elif held.time <= correction.time:
            self._newest[correction.text] = (correction, [line])
            self._conflict(lines, line)
        else:
            self._conflict([line], lines[0])
        if len(self._newest) > 2 * self._most:
            self._make_room()

    def reject(self, row: RejectedRow) -> None:
        if len(self.rejected) < REPORTED_ROWS:
            self.rejected.append(row)
        else:
            self.unreported += 1

    def store(self, table: LookupTable) -> Report:
        self._make_room()
        outdated = table.store([correction for correction, _ in self._newest.values()])
        late = sum(len(self._newest[text][1]) for text in outdated)
        taken = sum(len(lines) for _, lines in self._newest.values()) - late
        return Report(taken, tuple(sorted(self.rejected, key=lambda row: row.line)), self.unreported, late)

    def _conflict(self, lines: list[int], other: int) -> None:
        for line in lines:
            self.reject(RejectedRow(line, "conflict", f"line {other} says otherwise of the same text, and counts"))

    def _make_room(self) -> None:
        """Leaves the newest; what the table has no room for needs no writing."""
        ages = sorted(self._newest, key=lambda text: (self._newest[text][0].time, self._newest[text][1][-1]))
        for text in ages[: max(0, len(ages) - self._most)]:
            for line in self._newest.pop(text)[1]:
                self.reject(RejectedRow(line, "no_room", f"the table keeps the newest {self._most}; this one is older"))


def _take(
    table: LookupTable, rows: Iterable[tuple[int, Correction | RejectedRow]], now: float, attack: AttackTable
) -> Report:
    taking = _Taking(table.most)
    for line, row in rows:
        if isinstance(row, RejectedRow):
            taking.reject(row)
            continue
        try:
            taking.add(line, checked(row, attack, now))
        except CorrectionFault as fault:
            taking.reject(RejectedRow(line, fault.reason, fault.message))
    return taking.store(table)
