"""Everyday alerts of a company: frequent types, recurring ones, bursts, and a long tail of rare ones."""

from __future__ import annotations

import functools
import math
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from model.stories.attacks import OUTBOUND, is_tagged, level_of, phrased_techniques, tactic_of, titles_of
from model.stories.events import Event, Level
from model.stories.network import DAY_S, Host, Network, chance_of, digest_of, outside_address, outside_domain

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

HOUR_S, MINUTE_S = 3_600.0, 60.0
RARE_SHARE = 0.06  # of all noise comes from rules that hardly ever fire
MISFIRE_SHARE = 0.06  # of all noise comes from the rules that also see attacks
MISFIRING_RULES = 12  # of a company
MOST_OF_BURST = 12  # alerts
STICKY_HOSTS = 3  # machines where a sticky type recurs, for each hundred of the network
NIGHT = 0.15  # activity of people at night, of that at midday
_FILE = Path(__file__).with_name("noise.toml")
_RARE_LEVELS = {Level.LOW: 20, Level.MEDIUM: 14, Level.HIGH: 5, Level.CRITICAL: 1}
"""Severities of rare rules and how many of forty have each: some are high, one is critical, and none means anything."""


class NoiseType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of everyday alert; `noise.toml` explains the fields."""

    title: str
    kind: str
    level: Level
    weight: float
    on: tuple[str, ...]
    peer: str
    shape: str
    inbound: bool = False
    technique: str = ""


class _Tail(msgspec.Struct, frozen=True):
    """Parts of the titles of rare rules."""

    objects: tuple[str, ...]
    verbs: tuple[str, ...]
    techniques: tuple[str, ...]


class _Catalogue(msgspec.Struct, frozen=True):
    fit: tuple[NoiseType, ...]
    test: tuple[NoiseType, ...]
    rare: dict[str, _Tail]


@functools.cache
def _catalogue() -> _Catalogue:
    content: dict[str, Any] = tomllib.loads(_FILE.read_text())
    return msgspec.convert(content, _Catalogue)


def noise_types(split: str) -> tuple[NoiseType, ...]:
    """Return the frequent types for `fit` or `test`."""
    found: tuple[NoiseType, ...] = getattr(_catalogue(), split)
    return found


def make_noise(
    chance: random.Random, network: Network, count: int, *, begin_s: float, span_s: float, split: str
) -> list[Event]:
    """Return everyday alerts, not in order.

    Args:
        chance: Source of random numbers.
        network: Where they happen.
        count: Number of alerts.
        begin_s: Earliest time, seconds since 1970.
        span_s: Seconds over which they are spread.
        split: `fit` or `test`.
    """
    types = noise_types(split)
    weights = [each.weight * chance.lognormvariate(0, 0.5) for each in types]
    events: list[Event] = []
    while len(events) < count:
        which = chance.random()
        if which < RARE_SHARE:
            events += _rare(chance, network, begin_s, span_s, split)
        elif which < RARE_SHARE + MISFIRE_SHARE:
            events += _misfires(chance, network, begin_s, span_s, split)
        else:
            [kind] = chance.choices(types, weights)
            events += _of_type(chance, network, kind, begin_s, span_s)
    return events[:count]


def _of_type(
    chance: random.Random, network: Network, kind: NoiseType, begin_s: float, span_s: float
) -> Iterator[Event]:
    """Yield one alert of a type, or a burst of them."""
    host = _host_of(chance, network, kind)
    time = _time_of(chance, kind, begin_s, span_s, host)
    count = chance.randrange(2, MOST_OF_BURST) if kind.shape == "burst" else 1
    peer = _peer_of(chance, network, kind.peer, host)
    user = _user_of(chance, network, kind, host, peer)
    technique = kind.technique if chance_of(kind.title).random() < 0.6 else ""  # noqa: PLR2004 - of rules carry one
    for _ in range(count):
        yield Event(
            time=min(time, begin_s + span_s),
            title=kind.title,
            level=kind.level,
            host=host,
            kind=kind.kind,
            peer=peer,
            inbound=kind.inbound,
            user=user,
            technique=technique,
            digest=digest_of(chance_of(kind.title, chance.randrange(5))) if kind.kind == "host" else "",
            process=chance.choice(("svchost.exe", "explorer.exe", "setup.exe", "bash", "updater.exe")),
            domain=outside_domain(chance) if isinstance(peer, str) and chance.random() < 0.2 else "",  # noqa: PLR2004
            port=chance.choice((22, 80, 443, 443, 445, 3389, 8080)),
        )
        time += chance.expovariate(1 / 20)


def _rare(chance: random.Random, network: Network, begin_s: float, span_s: float, split: str) -> Iterator[Event]:
    tail = _catalogue().rare[split]
    title = f"{chance.choice(tail.objects)} {chance.choice(tail.verbs)}"
    of_rule = chance_of(title)
    [level] = of_rule.choices(list(_RARE_LEVELS), list(_RARE_LEVELS.values()))
    technique = of_rule.choice(tail.techniques)
    host = chance.choice(network.hosts)
    for _ in range(chance.randrange(1, 4)):
        yield Event(
            time=begin_s + chance.random() * span_s,
            title=title,
            level=level,
            host=host,
            kind="host",
            user=host.user,
            technique=technique,
            digest=digest_of(chance),
            process=chance.choice(("tool.exe", "python3", "msiexec.exe", "java")),
        )


def _misfires(chance: random.Random, network: Network, begin_s: float, span_s: float, split: str) -> Iterator[Event]:
    """Yield a false alert of a rule that sees attacks: half of these rules recur at one machine."""
    possible = [each for each in sorted(phrased_techniques()) if level_of(tactic_of(each)) < Level.CRITICAL]
    rules = chance_of(network.account, "misfires").sample(possible, MISFIRING_RULES)
    technique = chance.choice(rules)
    of_rule = chance_of(network.account, technique)
    place = of_rule if of_rule.random() < 0.5 else chance  # noqa: PLR2004 - half recur
    host = place.choice(network.of_roles("workplace", "app", "files", "web"))
    tactic, title = tactic_of(technique), chance.choice(titles_of(technique, split))
    outwards, inwards = tactic in OUTBOUND, tactic in ("reconnaissance", "initial-access")
    words = {"host": host.name, "user": host.user, "tool": "setup.exe"}
    yield Event(
        time=begin_s + chance.random() * span_s,
        title=title.format(**words),
        level=level_of(tactic),
        host=host,
        kind="network" if outwards or inwards else "host",
        peer=outside_address(chance) if outwards or inwards else None,
        inbound=inwards,
        user="" if outwards or inwards else host.user,
        technique=technique if is_tagged(title) else "",
        process="powershell.exe" if tactic == "execution" else "setup.exe",
    )


def _host_of(chance: random.Random, network: Network, kind: NoiseType) -> Host:
    possible = network.of_roles(*kind.on)
    if kind.shape != "sticky":
        return chance.choice(possible)
    few = max(2, math.ceil(len(network.hosts) * STICKY_HOSTS / 100))
    return chance_of(kind.title, network.account, chance.randrange(few)).choice(possible)


def _peer_of(chance: random.Random, network: Network, peer: str, host: Host) -> Host | str | None:
    if peer == "none":
        return None
    if peer == "outside":
        return outside_address(chance)
    others = [each for each in (network.hosts if peer == "inside" else network.of_roles(peer)) if each != host]
    return chance.choice(others) if others else None


def _user_of(chance: random.Random, network: Network, kind: NoiseType, host: Host, peer: Host | str | None) -> str:
    if kind.kind == "network":
        return ""
    if kind.kind == "mail":  # the recipient
        return chance.choice(network.of_roles("workplace")).user
    if kind.kind == "cloud":
        return host.user
    if "administrator" in kind.title or (host.role != "workplace" and chance.random() < 0.3):  # noqa: PLR2004
        return chance.choice(network.admins)
    return peer.user if isinstance(peer, Host) and peer.role == "workplace" else host.user


def _time_of(chance: random.Random, kind: NoiseType, begin_s: float, span_s: float, host: Host) -> float:
    """Return a time: of people in working hours, of daily jobs at their hour, else any."""
    if kind.shape == "daily" and span_s > DAY_S:
        hour = chance_of(kind.title).uniform(0, 24)
        day = chance.randrange(int(span_s // DAY_S))
        return begin_s + day * DAY_S + hour * HOUR_S + chance.uniform(0, 30 * MINUTE_S)
    while True:
        time = begin_s + chance.random() * span_s
        daylight = math.sin(math.pi * ((time % DAY_S) / HOUR_S - 6) / 12)  # 1 at noon, below 0 at night
        if host.role != "workplace" or chance.random() < max(NIGHT, daylight):
            return time
