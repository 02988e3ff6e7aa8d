"""Read the table of London's bike hire: one row an hour, in the format of Kaggle's `london_merged.csv`."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from app.domains.bike.features import WEATHER, Columns
from app.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FIELDS = ("timestamp", "cnt", *WEATHER)
LEAST_ROWS = 24 * 28  # four weeks: with fewer hours than levels the model would be meaningless


@dataclass(frozen=True, slots=True)
class Table:
    """The table, ordered by time.

    Attributes:
        columns: The model's input.
        count: Bikes hired in the hour, shape (rows,).
        sha256: The digest of the file.
    """

    columns: Columns
    count: NDArray[np.float64]
    sha256: str

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.count)


def read_table(path: Path) -> Table:
    """Read and check the table.

    Raises:
        SettingsError: The file is not such a table; the message names the line and the field.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}: give london_merged.csv with --data") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file: give london_merged.csv with --data") from None
    if "\0" in text:
        raise SettingsError(f"{path}: not a text file: give london_merged.csv with --data")
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in FIELDS if name not in (reader.fieldnames or [])]
    if missing:
        what = f"lacks {', '.join(missing)}" if reader.fieldnames else "empty"
        raise SettingsError(f"{path}: {what}: its first line must name {', '.join(FIELDS)}")
    times: list[datetime] = []
    numbers: list[list[float]] = []
    for row in reader:
        where = f"{path}: line {reader.line_num}"
        times.append(_time(row["timestamp"], where))
        numbers.append([_number(row[name], name, where) for name in FIELDS[1:]])
    if len(times) < LEAST_ROWS:
        raise SettingsError(f"{path}: {len(times)} rows: training needs {LEAST_ROWS} at least (four weeks of hours)")
    timestamp = np.array(times, "datetime64[m]")
    order = np.argsort(timestamp, kind="stable")
    count, *fields = np.array(numbers).T[:, order]
    columns = Columns(**dict(zip(WEATHER, fields, strict=True)), timestamp=timestamp[order])
    return Table(columns, count, hashlib.sha256(data).hexdigest())


def _time(text: str | None, where: str) -> datetime:
    """Parse `04/01/2015 13:00`, or ISO 8601 as in Kaggle's original."""
    try:
        return datetime.strptime(text or "", "%d/%m/%Y %H:%M")  # noqa: DTZ007 - London's clock, as the table has it
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        raise SettingsError(f"{where}: timestamp is {text!r}: write 2015-01-04 13:00:00 or 04/01/2015 13:00") from None
    if found.tzinfo is not None:
        raise SettingsError(f"{where}: timestamp {text!r} has an offset: write London's local time without one")
    return found


def _number(text: str | None, name: str, where: str) -> float:
    try:
        found = float(text or "")
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise SettingsError(f"{where}: {name} is {text!r}, not a number")
    return found
