"""Invented sample alerts: a quiet background, and now and then an attack in several stages.

Nothing in it was observed, and no product wrote these texts. Addresses are those reserved for documentation. Some
alerts have techniques, as those of detectors on hosts do; most leave them to be resolved.
"""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 1_715_673_600.0  # 14 May 2024, 08:00 UTC
SAMPLE_ALERTS = 300  # one attack, with quiet before and after it
QUIET_GAP_S = 60.0  # between two alerts of the background, on average
FIRST_ATTACK_S = 10 * 60.0
ATTACK_EVERY_S = 4 * 3600.0  # from the start of an attack to that of the next
LABEL = "attack"
"""Value of `label` in the alerts of an attack; the background has none."""

_WORKPLACES = tuple(f"ws-{number}" for number in range(11, 251))
_LATEST_S = 0.2  # random delay of an alert of an attack, since sensors are not clocks


class _Quiet(NamedTuple):
    """An everyday alert, with its relative frequency and its priority."""

    weight: int
    priority: int
    name: str


_BACKGROUND = (
    _Quiet(6, 3, "Software update fetched over unencrypted HTTP"),
    _Quiet(5, 3, "Failed login of a known user"),
    _Quiet(4, 4, "Virus definitions updated"),
    _Quiet(3, 3, "Name looked up that was registered this month"),
    _Quiet(2, 4, "Certificate expires within two weeks"),
    _Quiet(2, 3, "USB storage attached"),
    _Quiet(1, 2, "Login outside working hours"),
)


class _Stage(NamedTuple):
    """Alerts of one kind in an attack: the first `at_s` after its start, then one every `every_s`."""

    at_s: float
    every_s: float
    alerts: int
    src: str
    dst: str
    name: str
    tech: str = ""
    user: str = ""


_ATTACKER, _COLLECTOR = "203.0.113.{0}", "198.51.100.{0}"  # with a number of the attack's own
_ATTACK = (
    _Stage(0, 0.4, 30, _ATTACKER, "web1", "Port scan from an outside address"),
    _Stage(14, 0.5, 40, _ATTACKER, "web1", "Many requests for pages that do not exist", "T1595.003"),
    _Stage(200, 3, 4, _ATTACKER, "web1", "SQL injection exploit attempt against a public web application"),
    _Stage(260, 1, 2, "web1", "web1", "Web shell written to the folder of a web server", "T1505.003", "www"),
    _Stage(266, 4, 4, "web1", "web1", "Command shell started by a web server", "T1059.004", "www"),
    _Stage(420, 1, 2, "{2}", "{2}", "Macro of a mail attachment started PowerShell", "T1059.001", "{1}"),
    _Stage(424, 9, 8, "{2}", _COLLECTOR, "Regular short connections to a new outside address", "T1071.001"),
    _Stage(600, 11, 2, "web1", "web1", "File with password hashes read by an unknown process", "T1003.008", "{1}"),
    _Stage(606.5, 2, 12, "web1", "db1", "Many failed logins over SSH", "T1110"),
    _Stage(660, 2, 2, "web1", "db1", "Login over SSH with a key that was never seen before", "T1021.004", "{1}"),
    _Stage(780, 3, 3, "{2}", "files1", "Service installed over an administrative share", "T1021.002", "{1}"),
    _Stage(900, 6, 5, "db1", "db1", "Large archive written to a temporary folder", "T1560.001", "{1}"),
    _Stage(960, 1.2, 60, "db1", _COLLECTOR, "Name lookups with long random labels", "T1048.003"),
    _Stage(1200, 1, 2, "files1", "files1", "Shadow copies of a volume deleted", "T1490", "{1}"),
    _Stage(1204, 0.6, 30, "files1", "files1", "Many files renamed within seconds", "T1486", "{1}"),
)
"""`{1}` is the account that is taken over, `{2}` the workplace where it is used."""


def synthetic_alerts(count: int | None = SAMPLE_ALERTS, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield alerts in order of time, in the seed system's JSON; always the same for one seed.

    Args:
        count: Number of alerts; None for no end.
        seed: Seed of the background and of the attackers' addresses.

    Yields:
        `id` (from 1), `time`, `src`, `dst`, `name`, `tech`, `other_attributes_dict`, and in an attack `label`.
    """
    streams = heapq.merge(_background(seed), _attacks(seed), key=lambda alert: alert["time"])
    for number, alert in enumerate(itertools.islice(streams, count), 1):
        yield {"id": number, **alert}


def _background(seed: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(f"background {seed}")  # noqa: S311 - an example needs no secrecy
    weights = [each.weight for each in _BACKGROUND]
    time = START_S
    while True:
        time += chance.expovariate(1 / QUIET_GAP_S)
        [kind] = chance.choices(_BACKGROUND, weights)
        src = chance.choice(_WORKPLACES)
        yield _alert(time, src, src, kind.name, {"priority": kind.priority})


def _attacks(seed: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(f"attacks {seed}")  # noqa: S311 - the same
    begins = itertools.count(START_S + FIRST_ATTACK_S, ATTACK_EVERY_S)
    for begin in begins:
        yield from sorted(_attack(begin, chance), key=lambda alert: alert["time"])


def _attack(begin: float, chance: random.Random) -> Iterator[dict[str, Any]]:
    names = (str(chance.randrange(10, 250)), f"svc-{chance.randrange(10, 99)}", chance.choice(_WORKPLACES))
    for stage in _ATTACK:
        src, dst, user = (text.format(*names) for text in (stage.src, stage.dst, stage.user))
        for turn in range(stage.alerts):
            time = begin + stage.at_s + stage.every_s * turn + chance.uniform(0, _LATEST_S)
            attributes = {"priority": 1, **({"user": user} if user else {})}
            alert = _alert(time, src, dst, stage.name, attributes)
            yield {**alert, "tech": [stage.tech] if stage.tech else [], "label": LABEL}


def _alert(time: float, src: str, dst: str, name: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": round(time, 3),
        "src": src,
        "dst": dst,
        "name": name,
        "tech": [],
        "other_attributes_dict": attributes,
    }
