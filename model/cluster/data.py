"""Read AIT-ADS as columns, and lay out the combined-attack runs of AIT-ADS-A.

A run is some days of one scenario's noise with its attacks inserted at given times, several at once on purpose. The
layout is read from a file; every attack in it is a separate instance, even if its label repeats. Days, the parts of
`dnsteal` and the alerts that count as noise follow the description of AIT-ADS-A
(https://github.com/ait-aecid/AlertBERT, `aitads_augmented/README.md`), whose numbers of alerts they reproduce.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from app.domains.alerts.ait_ads import NOISE, SHORT, read_rows
from app.domains.alerts.alert import HOST, Alert, EnrichedAlert, Techniques

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

LAYOUT = "combined_attacks.json"
TRAINING = ("shaw", "wardbeck", "wheeler", "wilson")
VALIDATION = ("harrison", "santos")
NO_ATTACK = -1
DNSTEAL = "dnsteal"
DNSTEAL_PARTS = {"A-Dns-Val1": "dnsteal_start", "A-Dns-Frq": "dnsteal_active", "A-Aud-Com4": "dnsteal_end"}
"""The part of `dnsteal` that an alert type shows, by its short name; other alerts with that label, which are single DNS
queries over days, are noise."""
_SINGLE = "dnsteal_active"  # each of its alerts is an attack of its own
_DAY_S = 86_400
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Columns:
    """Alerts of one scenario or run, in order of time.

    Attributes:
        time: Whole seconds since 1970.
        type: Each alert's row in `types`.
        attack: Each alert's row in `attacks`, `NO_ATTACK` for noise.
        types: Distinct alert contents: name, address, host, the set's short name.
        attacks: Labels of attacks.
    """

    time: Ints
    type: Ints
    attack: Ints
    types: list[tuple[str, str, str, str]]
    attacks: list[str]

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.time)


def read_scenario(path: Path) -> Columns:
    """Read a scenario's file; alerts of one second stay in the file's order.

    Raises:
        OSError: The file cannot be read.
    """
    types: dict[tuple[str, str, str, str], int] = {}
    labels: dict[str, int] = {NOISE: NO_ATTACK}
    rows = [
        (
            int(row["time"]),
            types.setdefault((row["name"], row["ip"], row["host"], row["short"]), len(types)),
            labels.setdefault(_label(row), len(labels) - 1),
        )
        for row in read_rows(path)
    ]
    time, kind, attack = np.array(rows, np.int64).reshape(-1, 3).T
    order = np.argsort(time, kind="stable")
    return Columns(time[order], kind[order], attack[order], list(types), [each for each in labels if each != NOISE])


def _label(row: dict[str, str]) -> str:
    label = row["event_label"]
    return DNSTEAL_PARTS.get(row["short"], NOISE) if label == DNSTEAL else label


def read_runs(folder: Path, part: str) -> Iterator[tuple[str, Columns]]:
    """Read the combined-attack runs of a part of the layout, `train` or `val`, each with its scenario's name.

    Args:
        folder: The folder of the layout and the scenarios' files.
        part: The key in the layout.

    Raises:
        OSError: A file cannot be read.
        KeyError: There is no such part, or no such attack in a scenario.
    """
    layout = msgspec.json.decode((folder / LAYOUT).read_bytes())
    for days in layout[part]:
        name = days[0]["noise"][0].rpartition("-")[0]
        scenario = read_scenario(folder / f"ait_ads_{name}.csv.gz")
        yield name, combine(scenario, days, datetime.fromisoformat(layout["start_time"]))


def combine(scenario: Columns, days: Sequence[dict[str, Any]], start: datetime) -> Columns:
    """Return a run: a scenario's noise and attacks on the days of a layout.

    Raises:
        KeyError: The scenario has no such attack.
    """
    pieces: list[tuple[Ints, Ints, int]] = []
    attacks: list[str] = []
    for number, day in enumerate(days):
        midnight = start + number * _DAY
        for each in day["noise"]:
            rows, began = _noise(scenario, int(each.rpartition("-")[2]))
            shift = int(midnight.timestamp()) - began
            pieces.append((scenario.time[rows] + shift, scenario.type[rows], NO_ATTACK))
        for each, clock in day["attacks"]:
            label = each.rpartition("-")[2]
            rows = _attack(scenario, label)
            hour, minute, second = map(int, clock.split(":"))
            first = int((midnight + timedelta(hours=hour, minutes=minute, seconds=second)).timestamp())
            pieces.append((scenario.time[rows] - scenario.time[rows[0]] + first, scenario.type[rows], len(attacks)))
            attacks.append(label)
    time = np.concatenate([piece[0] for piece in pieces])
    order = np.argsort(time, kind="stable")
    return Columns(
        time[order],
        np.concatenate([piece[1] for piece in pieces])[order],
        np.concatenate([np.full(len(piece[0]), piece[2]) for piece in pieces])[order],
        scenario.types,
        attacks,
    )


def _noise(scenario: Columns, day: int) -> tuple[Ints, int]:
    """Return the rows of a day's noise and the start of the day: days are UTC's, and the first alert's day is 0."""
    noise = scenario.attack == NO_ATTACK
    began = int(scenario.time[noise][0]) // _DAY_S * _DAY_S + day * _DAY_S
    return np.flatnonzero(noise & (scenario.time >= began) & (scenario.time < began + _DAY_S)), began


def _attack(scenario: Columns, label: str) -> Ints:
    """Return the rows of an attack."""
    if label not in scenario.attacks:
        raise KeyError(label)
    rows = np.flatnonzero(scenario.attack == scenario.attacks.index(label))
    return rows[:1] if label == _SINGLE else rows


@dataclass(frozen=True, slots=True)
class Units:
    """The alerts of a run, with equal alerts of one second counted as one unit.

    Attributes:
        time: Whole seconds since 1970.
        type: Each unit's row in `types`.
        weight: Each unit's number of alerts.
        inside: Each unit's number of alerts of each attack, shape (attacks, units).
        types: As in `Columns`.
        attacks: As in `Columns`.
    """

    time: Ints
    type: Ints
    weight: Ints
    inside: Ints
    types: list[tuple[str, str, str, str]]
    attacks: list[str]

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.time)


def units_of(run: Columns) -> Units:
    """Return a run's units, in the order of their first alerts."""
    key = (run.time - run.time[0]) * len(run.types) + run.type
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    unit, rows = rank[index], first[order]
    inside = [np.bincount(unit[run.attack == each], minlength=len(rows)) for each in range(len(run.attacks))]
    return Units(
        run.time[rows],
        run.type[rows],
        np.bincount(unit, minlength=len(rows)),
        np.array(inside, np.int64).reshape(len(run.attacks), len(rows)),
        run.types,
        run.attacks,
    )


def alerts_of(rows: Columns | Units) -> Iterator[EnrichedAlert]:
    """Return the rows as alerts without techniques; ids count from 0."""
    for number, (time, kind) in enumerate(zip(rows.time.tolist(), rows.type.tolist(), strict=True)):
        name, address, host, short = rows.types[kind]
        alert = Alert(
            id=number, time=float(time), src=address, dst=host, name=name, other_attributes={HOST: host, SHORT: short}
        )
        yield EnrichedAlert(alert, _NO_TECHNIQUE)


_NO_TECHNIQUE = Techniques((), Techniques.UNKNOWN, 0.0)
