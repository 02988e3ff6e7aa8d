"""Generate endless alerts in three shapes: a day's mix, one scanner, and alerts that share no entity.

They are invented, the same in every run, and ordered by time. With a folder of AIT-ADS files, the mix is its alerts,
one scenario after the other.
"""

from __future__ import annotations

import random
from itertools import accumulate, islice
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import PORT, USER, Alert
from app.stream.testing import event_of
from benchmarks.alerts_contract import DIFFERENT, MIX, SCANNER, TENANT
from benchmarks.alerts_texts import titles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STREAM = "alerts"
_START_S = 1_767_225_600.0  # midnight of 1 January 2026, UTC
_HOSTS, _USERS, _NAMES = 2000, 400, 300  # of the mix: a company of that size
_GAP_S = 5.0  # between alerts of the mix: 17,000 a day
_SCAN_S, _APART_S = 0.05, 1.0  # of the scanner, and of the alerts that share nothing
_ATTACK_EVERY = 2000  # alerts of the mix
_ATTACK_STEPS = 24
_encode = msgspec.json.Encoder().encode


def made(shape: str, data: Path | None = None) -> Iterator[Alert]:
    """Return the alerts of a shape; for the mix, those of the AIT-ADS files in `data` if it is given."""
    if shape == MIX and data is not None:
        return _recorded(data)
    return {MIX: _mix, SCANNER: _scanner, DIFFERENT: _different}[shape]()


def event(alerts: Iterator[Alert], count: int, start: int) -> tuple[bytes, int]:
    """Return a Kinesis event with the next alerts, all of one tenant, and how many it holds."""
    payloads = [_encode(alert) for alert in islice(alerts, count)]
    return event_of(payloads, [TENANT] * len(payloads), stream=STREAM, start=start), len(payloads)


def _mix() -> Iterator[Alert]:
    """Yield noise of a few frequent and many rare rules on a few busy and many quiet hosts, with attacks in between."""
    chance = random.Random(0)  # noqa: S311 - invented alerts need no secret randomness
    names = [title for title, _ in random.Random(1).sample(titles(), _NAMES)]  # noqa: S311 - invented alerts need no secret randomness
    loud, busy = _falling(_NAMES), _falling(_HOSTS)
    ranks, numbers = range(_NAMES), range(_HOSTS)
    attack: Iterator[Alert] = iter(())
    number, now = 0, _START_S
    while True:
        now += chance.expovariate(1 / _GAP_S)
        number += 1
        if number % _ATTACK_EVERY == 0:
            attack = _attack(chance, number)
        step = next(attack, None) if chance.random() < 0.1 else None  # noqa: PLR2004 - an attack's steps are spread out
        if step is not None:
            step.id, step.time = number, round(now, 3)
            yield step
            continue
        [name], [host] = chance.choices(ranks, cum_weights=loud), chance.choices(numbers, cum_weights=busy)
        source = _address(10, host) if name % 3 else _address(198, chance.randrange(50_000))
        attributes = {USER: f"user{chance.randrange(_USERS)}"} if name % 5 == 0 else {PORT: 443}
        yield Alert(
            id=number,
            time=round(now, 3),
            src=source,
            dst=f"host{host}",
            name=names[name],
            other_attributes=attributes,
        )


def _attack(chance: random.Random, seed: int) -> Iterator[Alert]:
    """Yield one attack, from outside onto a host and from there to others."""
    source, host = _address(203, seed), chance.randrange(_HOSTS)
    rules = [title for title, _ in chance.sample(titles(), _ATTACK_STEPS)]
    for rule in rules:
        yield Alert(id=0, time=0.0, src=source, dst=f"host{host}", name=rule)
        if chance.random() < 0.3:  # noqa: PLR2004 - it moves on every third step
            source, host = f"host{host}", chance.randrange(_HOSTS)


def _scanner() -> Iterator[Alert]:
    """Yield alerts of one source with very many targets and names."""
    names = [title for title, _ in titles()[:_NAMES]]
    number = 0
    while True:
        number += 1
        name, target = names[number * 7 % _NAMES], _address(10, number * 31)
        yield Alert(id=number, time=_START_S + number * _SCAN_S, src="203.0.113.7", dst=target, name=name)


def _different() -> Iterator[Alert]:
    """Yield alerts of which no two share a source or a target."""
    names = [title for title, _ in titles()[:_NAMES]]
    number = 0
    while True:
        number += 1
        name = names[number * 7 % _NAMES]
        yield Alert(
            id=number, time=_START_S + number * _APART_S, src=_address(10, number), dst=_address(11, number), name=name
        )


def _recorded(data: Path) -> Iterator[Alert]:
    from app.domains.alerts.ait_ads import read_scenario  # noqa: PLC0415 - only with the data set

    number, now = 0, _START_S
    while True:
        for path in sorted(data.glob("ait_ads_*.csv.gz")):
            first: float | None = None
            began = now
            for alert in read_scenario(path):
                first = alert.time if first is None else first
                number += 1
                now = max(now, began + alert.time - first)
                alert.id, alert.time = number, now
                yield alert


def _falling(count: int) -> list[float]:
    """Return the cumulative sums of 1/n for n up to `count`: a few ranks are frequent, most are rare."""
    return list(accumulate(1 / (rank + 1) for rank in range(count)))


def _address(first: int, number: int) -> str:
    return f"{first}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
