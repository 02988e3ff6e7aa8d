"""Rows of AIT-ADS, a public set of labelled alerts, as alerts.

Its files are tables with the columns `time, name, ip, host, short, time_label, event_label`. A row names one address
and one host: they become the alert's two ends, and the host is an entity too. The set is not shipped; it is CC-BY 4.0,
by Landauer, Skopik and Wurzenberger (https://zenodo.org/records/8263181).
"""

from __future__ import annotations

import csv
import gzip
from typing import TYPE_CHECKING, Any

from app.domains.alerts.alert import HOST, Alert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SHORT = "short"
"""The key of `other_attributes` that has the set's own short form of the name."""
NOISE = "-"
"""What the column `event_label` has where an alert belongs to no attack."""


def seed_alert(row: Mapping[str, str], number: int) -> dict[str, Any]:
    """A row as an alert in the seed system's JSON; one of no attack has no label.

    Args:
        row: By column.
        number: Its place in the file, which becomes its id.
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


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a scenario's file, `.csv` or `.csv.gz`, in its order.

    Raises:
        OSError: It cannot be read.
    """
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def read_scenario(path: Path) -> Iterator[Alert]:
    """The alerts of a scenario's file in its order; ids count from 0.

    Raises:
        OSError: It cannot be read.
    """
    for number, row in enumerate(read_rows(path)):
        seed = seed_alert(row, number)
        seed["other_attributes"] = seed.pop("other_attributes_dict")
        yield Alert(**seed)
