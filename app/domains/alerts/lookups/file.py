"""Corrections in a CSV file: for one machine, and for a person who wants to read and edit them."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

from app.domains.alerts.attack import AttackTable, attack_table
from app.domains.alerts.lookups.corrections import LOOKUP_ROWS, Correction, CorrectionFault, RejectedRow, checked
from app.domains.alerts.lookups.csv_rows import read_corrections, write_corrections
from app.errors import LocationError
from app.storage.objects import FolderObjects
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_ANY_TIME = 253_402_300_800.0  # the year 10000: the times of a file were held against the clock when they were taken


class FileCorrections:
    """Corrections in a CSV file, at most `most` of them; all are in memory.

    A file of the short form has no times: its rows are older than any correction, and of two about one text the later
    line counts. A row that cannot be taken is passed over with a warning, but the file is not written again over it.
    """

    def __init__(self, path: Path, most: int = LOOKUP_ROWS, table: AttackTable | None = None) -> None:
        """Opens a file; nothing is read yet."""
        self.most = most
        self._path = path
        self._table = table or attack_table()
        self._version = ""
        self._rows: dict[str, Correction] = {}
        self._rejected: RejectedRow | None = None

    def version(self) -> str:
        """When the file was written, and its size.

        Raises:
            LocationError: There is no such file.
        """
        try:
            found = self._path.stat()
        except OSError as error:
            raise LocationError(
                f"lookup table {self._path}: {error.strerror}; make it with the line alerts,techniques"
            ) from None
        return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"

    def load(self, texts: Iterable[str]) -> Mapping[str, Correction]:
        """The corrections of those folded texts that have one.

        Raises:
            LocationError: The file cannot be read, or its header is wrong.
        """
        rows = self._read()
        return {text: rows[text] for text in texts if text in rows}

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        """Writes the file anew, whole or not at all; it is made if it is not there.

        Args:
            corrections: Checked ones, each text once.

        Returns:
            The texts of which the file holds something newer.

        Raises:
            LocationError: The file cannot be read, or it has a row that would be lost.
            CloudError: The file cannot be written.
        """
        with self._locked():
            rows = dict(self._read()) if self._path.exists() else {}
            if self._rejected is not None:
                about = f"line {self._rejected.line}: {self._rejected.message}"
                raise LocationError(f"lookup table {self._path}: {about}; mend or remove it")
            outdated = set()
            for each in corrections:
                held = rows.get(each.text)
                if held is not None and held.outranks(each):
                    outdated.add(each.text)
                else:
                    rows[each.text] = each
            kept = sorted(rows.values(), key=lambda row: (row.time, row.text))[-self.most :]
            FolderObjects(self._path.parent).put(self._path.name, write_corrections(kept))
        return frozenset(outdated)

    def _read(self) -> Mapping[str, Correction]:
        version = self.version()
        if version != self._version:
            rows: dict[str, Correction] = {}
            rejected: list[RejectedRow] = []
            try:
                with self._path.open("rb") as file:
                    for line, row in read_corrections(file, now=0.0):
                        try:
                            taken = row if isinstance(row, RejectedRow) else checked(row, self._table, _ANY_TIME)
                        except CorrectionFault as fault:
                            taken = RejectedRow(line, fault.reason, fault.message)
                        if isinstance(taken, RejectedRow):
                            rejected.append(taken)
                        elif taken.text not in rows or taken.time >= rows[taken.text].time:
                            rows[taken.text] = taken
            except CorrectionFault as fault:
                raise LocationError(f"lookup table {self._path}: {fault.message}") from None
            except OSError as error:
                raise LocationError(f"lookup table {self._path}: {error.strerror}") from None
            self._rows, self._version, self._rejected = rows, version, rejected[0] if rejected else None
            if rejected:
                about = {"rows": len(rejected), "line": rejected[0].line, "reason": rejected[0].reason}
                logger.warning("rows of the lookup table are passed over", extra=about)
        return self._rows

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds other processes off: reading, changing and writing a file is three steps."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_name(f".{self._path.name}.lock").open("w")
        except OSError as error:
            raise LocationError(f"lookup table {self._path}: cannot be written: {error.strerror}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
