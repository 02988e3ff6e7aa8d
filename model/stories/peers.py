"""Two plain ways to make incidents, to compare with: risk by entity, and one incident a machine and day.

Both are given a perfect inventory: every name and address of a machine is known to be its own at any time, which no
real site has.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from typing import TYPE_CHECKING

from app.domains.alerts.alert import HOST, USER, texts_of
from app.domains.alerts.attack import attack_table
from model.stories.engine import Found, Incident
from model.stories.network import DAY_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from model.stories.story import Story

RISK_THRESHOLD = 100.0
RISK_WINDOW_S = DAY_S
TACTICS_THRESHOLD = 3
TACTICS_WINDOW_S = 7 * DAY_S
"""Splunk Enterprise Security's own two conditions: risk of 100 within a day, or three tactics within a week."""
UNKNOWN_SEVERITY = 40  # of an alert that states none, as a rule's default


def risk_by_entity(story: Story, alerts: Sequence[EnrichedAlert]) -> Found:
    """Return incidents by risk: each alert adds its severity to its machines and account, which open one each.

    A rule adds to an entity's risk once a day, as such rules are usually throttled.
    An incident has all alerts of its entity in the week that ends with the alert that passed a threshold, and those
    of the week after it.
    """
    inventory = _inventory(story)
    by_entity: dict[str, list[int]] = defaultdict(list)
    for position, each in enumerate(alerts):
        for entity in _entities(each, inventory):
            by_entity[entity].append(position)
    incidents = []
    for positions in by_entity.values():
        incidents += _of_entity(sorted(positions, key=lambda at: alerts[at].alert.time), alerts)
    return Found(tuple(incidents))


def host_and_day(story: Story, alerts: Sequence[EnrichedAlert]) -> Found:
    """Return one incident for each machine and day with two alerts or more."""
    inventory = _inventory(story)
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for position, each in enumerate(alerts):
        machines = [name for end in (each.alert.dst, each.alert.src) if (name := inventory(end, each.alert.time))]
        if machines:
            groups[machines[0], int(each.alert.time // DAY_S)].append(position)
    return Found(tuple(Incident(tuple(group)) for group in groups.values() if len(group) > 1))


def _of_entity(positions: Sequence[int], alerts: Sequence[EnrichedAlert]) -> list[Incident]:
    """Return an entity's incidents, from its alerts by time."""
    found: list[Incident] = []
    first = 0
    while first < len(positions):
        opened = next((at for at in range(first, len(positions)) if _passes(positions[first : at + 1], alerts)), None)
        if opened is None:
            break
        time = alerts[positions[opened]].alert.time
        members = [at for at in positions[first:] if abs(alerts[at].alert.time - time) <= TACTICS_WINDOW_S]
        found.append(Incident(tuple(members)))
        first += sum(alerts[at].alert.time <= time + TACTICS_WINDOW_S for at in positions[first:])
    return found


def _passes(positions: Sequence[int], alerts: Sequence[EnrichedAlert]) -> bool:
    """Return whether the last alert's entity passes a threshold with it."""
    now = alerts[positions[-1]].alert.time
    risks, tactics = dict[str, float](), set[str]()
    for at in positions:
        each = alerts[at]
        if now - each.alert.time <= RISK_WINDOW_S:
            risks[each.alert.name] = _risk(each)
        if now - each.alert.time <= TACTICS_WINDOW_S and each.techniques.ids:
            tactics.update(attack_table().tactics_of(each.techniques.ids[0])[:1])
    return sum(risks.values()) >= RISK_THRESHOLD or len(tactics) >= TACTICS_THRESHOLD


def _risk(each: EnrichedAlert) -> float:
    """Return impact times confidence, both by the severity: 4 for a low alert, 22 medium, 53 high, 81 critical."""
    severity = UNKNOWN_SEVERITY if each.alert.severity is None else each.alert.severity
    return severity * severity / 100


def _entities(each: EnrichedAlert, inventory: Callable[[str, float], str]) -> set[str]:
    """Return the company's machines and accounts in an alert; outside addresses carry no risk."""
    alert = each.alert
    named = (alert.src, alert.dst, *texts_of(alert.other_attributes, HOST))
    users = (user.rpartition("\\")[2].lower() for user in texts_of(alert.other_attributes, USER))
    return {*filter(None, (inventory(name, alert.time) for name in named)), *(f"user {user}" for user in users)}


def _inventory(story: Story) -> Callable[[str, float], str]:
    """Return a function from a name or address and a time to the machine's short name, or empty."""
    names = {name: host.name for host in story.network.hosts for name in _names_of(host.name, host.full_name)}
    names |= {host.instance: host.name for host in story.network.hosts if host.instance}
    by_day: dict[tuple[int, str], str] = {}
    for day in range(int(story.span_s // DAY_S) + 2):
        by_day |= {(day, host.address(day)): host.name for host in story.network.hosts}

    def find(name: str, time: float) -> str:
        day = int(max(time - story.begin_s, 0.0) // DAY_S)
        return names.get(name.lower()) or by_day.get((day, _plain(name)), "")

    return find


def _names_of(*names: str) -> set[str]:
    return {name.lower() for name in names}


def _plain(address: str) -> str:
    """Return an IPv4 address without its IPv6 form."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
