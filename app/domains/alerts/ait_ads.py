"""Read AIT-ADS, a public data set of labelled alerts.

Its files are tables with the columns `time, name, ip, host, short, time_label, event_label`. The address of a row
becomes the alert's source, the host its target and an entity. The data set is not shipped; it is CC-BY 4.0, by
Landauer, Skopik and Wurzenberger (https://zenodo.org/records/8263181).
"""

from __future__ import annotations

import csv
import gzip
from typing import TYPE_CHECKING, Any

from app.domains.alerts.alert import HOST, Alert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

COLUMNS = ("time", "name", "ip", "host", "short", "time_label", "event_label")
SHORT = "short"
"""Key of `other_attributes` with the data set's short form of the name."""
NOISE = "-"
"""Value of the column `event_label` for an alert that belongs to no attack."""


def seed_alert(row: Mapping[str, str], number: int) -> dict[str, Any]:
    """Return a row as an alert in the seed system's JSON; without a label if it belongs to no attack.

    Args:
        row: Values by column.
        number: The row's index in the file, which becomes the alert's id.
    """
    alert: dict[str, Any] = {
        "id": number,
        "time": float(row["time"]),
        "src": row["ip"],
        "dst": row["host"],
        "name": row["name"],
        "tech": [],
        "other_attributes_dict": {HOST: row["host"], SHORT: row["short"]},
    }
    if row["event_label"] != NOISE:
        alert["label"] = row["event_label"]
    return alert


def alert_of_line(line: bytes, number: int) -> dict[str, Any]:
    """Return a line of a file as `seed_alert` does.

    Raises:
        ValueError: It is no row of seven columns with a time in seconds.
    """
    try:
        [row] = csv.reader([line.decode("utf-8", "replace")])
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return seed_alert(dict(zip(COLUMNS, row, strict=True)), number)


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a scenario's file, `.csv` or `.csv.gz`.

    Raises:
        OSError: The file cannot be read.
    """
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def read_scenario(path: Path) -> Iterator[Alert]:
    """Yield the alerts of a scenario's file; ids count from 0.

    Raises:
        OSError: The file cannot be read.
    """
    for number, row in enumerate(read_rows(path)):
        seed = seed_alert(row, number)
        seed["other_attributes"] = seed.pop("other_attributes_dict")
        yield Alert(**seed)
