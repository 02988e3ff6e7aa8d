"""Stage a plan in a network: which machines, accounts, addresses and files each step has, when, and what it raises."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.domains.alerts.attack import attack_table, parent_of
from model.stories.events import Event, Level
from model.stories.network import chance_of, digest_of, outside_address, outside_domain
from model.stories.plans import PlannedStep

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from model.stories.network import Host, Network
    from model.stories.plans import Plan

PACES_S = {"fast": 900.0, "hours": 7_200.0, "day": 86_400.0, "days": 5 * 86_400.0}
"""Seconds from the first to the last step, by the name of the pace."""
RECORDED = "recorded"
"""Name of the pace of recorded plans: their own."""
MISSED_SHARE = 0.1  # of steps, that no sensor reports
TAGGED_SHARE = 0.5  # of rules, that carry a technique
MOST_ALERTS = 5  # of one step
LONG_PLAN = 8  # steps from which on an attacker leaves the first machine even if no step of the plan says so
_PHRASES = Path(__file__).with_name("phrases.toml")

_LEVELS = {
    "reconnaissance": Level.LOW,
    "initial-access": Level.MEDIUM,
    "execution": Level.MEDIUM,
    "persistence": Level.MEDIUM,
    "privilege-escalation": Level.HIGH,
    "stealth": Level.MEDIUM,
    "defense-impairment": Level.HIGH,
    "credential-access": Level.HIGH,
    "discovery": Level.LOW,
    "lateral-movement": Level.HIGH,
    "collection": Level.MEDIUM,
    "command-and-control": Level.HIGH,
    "exfiltration": Level.HIGH,
    "impact": Level.CRITICAL,
}
OUTBOUND = ("command-and-control", "exfiltration")
_BY_WEB = frozenset(("T1190", "T1505.003", "T1595", "T1595.002", "T1595.003", "T1210"))
_BY_MAIL = frozenset(("T1566", "T1566.001", "T1566.002", "T1566.003"))
_BY_LOGON = frozenset(("T1133", "T1078", "T1078.001", "T1078.002", "T1110", "T1110.001", "T1110.003"))
_IN_CLOUD = frozenset(("T1078.004", "T1530", "T1526", "T1580"))
_AMONG_MACHINES = frozenset(("T1046", "T1018", "T1135"))
_AT_CONTROLLER = frozenset(("T1003.003", "T1003.006", "T1484.001", "T1087.002", "T1558.003", "T1482"))
_TOOLS = ("svc.exe", "upd.dll", "rclone.exe", "agent.bin", "psx.exe", "loader.ps1", "run.sh")
_PROCESSES = {"execution": ("powershell.exe", "cmd.exe", "wscript.exe"), "discovery": ("net.exe", "whoami.exe")}
_COMMANDS = ("{tool} -c start", "powershell -w hidden -enc SQBFAFgA", "cmd /c {tool}", "bash -c ./{tool}")


@dataclass(frozen=True)
class Means:
    """What one attacker has: outside addresses, servers for command and control, tools."""

    addresses: tuple[str, ...]
    servers: tuple[tuple[str, str], ...]
    digests: tuple[str, ...]
    tool: str


@functools.cache
def _phrases() -> dict[str, list[str]]:
    table = attack_table()
    found = tomllib.loads(_PHRASES.read_text())
    return {table.current(technique) or technique: titles for technique, titles in found.items()}


def titles_of(technique: str, split: str) -> list[str]:
    """Return the titles for a technique, those for `fit` or for `test`; its name if there are none."""
    known = _phrases()
    titles = known.get(technique) or known.get(parent_of(technique))
    if titles is None:
        name = attack_table().techniques[technique].name
        return [f"{name} on host"] if split == "fit" else [f"Suspected {name.lower()}"]
    half = len(titles) // 2
    return titles[:half] if split == "fit" else titles[half:]


def phrased_techniques() -> set[str]:
    """Return the techniques with titles of their own."""
    return set(_phrases())


def tactic_of(technique: str) -> str:
    """Return a technique's first tactic."""
    return (attack_table().tactics_of(technique) or ("execution",))[0]


def level_of(tactic: str) -> Level:
    """Return the usual severity of rules for a tactic."""
    return _LEVELS.get(tactic, Level.MEDIUM)


def is_tagged(title: str) -> bool:
    """Return whether the rule with a title carries its technique."""
    return chance_of(title).random() < TAGGED_SHARE


def stage(
    chance: random.Random,
    plan: Plan,
    network: Network,
    *,
    avoid: Sequence[Host],
    begin_s: float,
    pace: str,
    split: str,
) -> tuple[tuple[PlannedStep, ...], list[Event]]:
    """Return the steps of an attack, and what the sensors see of them by time.

    Args:
        chance: Source of random numbers.
        plan: Its course.
        network: Where it happens.
        avoid: Machines that another attack has.
        begin_s: Time of the first step, seconds since 1970.
        pace: A key of `PACES_S`, or `RECORDED`.
        split: `fit` or `test`, for the titles.
    """
    steps = _with_a_move(plan)
    times = _times(chance, steps, begin_s, pace)
    route = _route(chance, steps, network, avoid, one=plan.on_one_host)
    means = Means(
        tuple(outside_address(chance) for _ in range(2)),
        tuple((outside_address(chance), outside_domain(chance)) for _ in range(2)),
        tuple(digest_of(chance) for _ in range(2)),
        chance.choice(_TOOLS),
    )
    staging = _Staging(chance, network, route, means, split)
    events: list[Event] = []
    for number, (step, time) in enumerate(zip(steps, times, strict=True), 1):
        seen = list(staging.of_step(step, time, number))
        if chance.random() >= MISSED_SHARE:
            events += seen
    return steps, sorted(events, key=lambda event: event.time)


def _with_a_move(plan: Plan) -> tuple[PlannedStep, ...]:
    """Return the steps; a long plan without lateral movement gets one after three fifths."""
    steps = plan.steps
    moves = any("lateral-movement" in attack_table().tactics_of(each.technique) for each in steps)
    if plan.on_one_host or moves or len(steps) < LONG_PLAN:
        return steps
    at = len(steps) * 3 // 5
    later = (replace(each, parents=tuple(parent + (parent >= at) for parent in each.parents)) for each in steps[at:])
    return (*steps[:at], PlannedStep("T1021.001", (at - 1,)), *later)


def _times(chance: random.Random, steps: Sequence[PlannedStep], begin_s: float, pace: str) -> list[float]:
    """Return the steps' times: recorded ones, or gaps of very different lengths that fill the pace."""
    if pace == RECORDED and all(each.at_s is not None for each in steps):
        return [begin_s + (each.at_s or 0.0) for each in steps]
    gaps = [0.0, *(chance.lognormvariate(0, 1.2) for _ in steps[1:])]
    scale = PACES_S.get(pace, PACES_S["hours"]) / max(sum(gaps), 1e-9)
    times, now = [], begin_s
    for gap in gaps:
        now += gap * scale
        times.append(now)
    return times


def _route(
    chance: random.Random, steps: Sequence[PlannedStep], network: Network, avoid: Sequence[Host], *, one: bool
) -> list[Host]:
    """Return the machines that the attacker takes, in order: one outside first, a server with data or a DC last."""
    free = [each for each in network.hosts if each not in avoid]

    def of(*roles: str) -> list[Host]:
        return [each for each in free if each.role in roles] or network.of_roles(*roles)

    begins_at_web = any(each.technique in _BY_WEB for each in steps[:4])
    entry = chance.choice(of("web") if one or begins_at_web else of("workplace"))
    if one:
        return [entry]
    between = [each for each in chance.sample(of("workplace", "app", "db"), 4) if each != entry]
    ends = [each for each in (chance.choice(of("files", "db")), chance.choice(of("dc"))) if each != entry]
    route = [entry, *between[: chance.randrange(3)], *chance.sample(ends, chance.randrange(1, 3))]
    return list(dict.fromkeys(route))


class _Staging:
    """An attack on its way through the machines."""

    def __init__(self, chance: random.Random, network: Network, route: list[Host], means: Means, split: str) -> None:
        """Start at the first machine of the route."""
        self._chance, self._network, self._route, self._means, self._split = chance, network, route, means, split
        self._host, self._user = route[0], route[0].user
        self._server = means.servers[0]

    def of_step(self, step: PlannedStep, time: float, number: int) -> Iterator[Event]:
        """Yield the events of a step."""
        chance = self._chance
        tactic = tactic_of(step.technique)
        title = chance.choice(titles_of(step.technique, self._split))
        level = Level(min(max(level_of(tactic) + chance.choice((-1, 0, 0, 0, 1)), 0), 4))
        event = Event(
            time=time,
            title=title,
            level=level,
            host=self._host,
            kind="host",
            user=self._user,
            technique=step.technique if is_tagged(title) else "",
            process=chance.choice(_PROCESSES.get(tactic, (self._means.tool,))),
            command=chance.choice(_COMMANDS).format(tool=self._means.tool),
            step=number,
        )
        for each in self._seen(event, step.technique, tactic):
            repeats = 1 if chance.random() < 0.5 else chance.randrange(1, MOST_ALERTS)  # noqa: PLR2004 - half are one
            at = time
            for _ in range(repeats):
                words = {"host": each.host.name, "user": each.user or "account", "tool": self._means.tool}
                yield replace(each, time=at, title=title.format(**words))
                at += chance.expovariate(1 / max(step.lasts_s / MOST_ALERTS, 15.0))

    def _seen(self, event: Event, technique: str, tactic: str) -> Iterator[Event]:  # noqa: C901 - one case a line
        """Yield a step as each sensor that sees it reports it."""
        chance, means = self._chance, self._means
        if technique in _BY_MAIL:
            mail = chance.choice(self._network.of_roles("mail"))  # it knows the recipient, not the recipient's machine
            yield replace(event, host=mail, kind="mail", peer=means.addresses[0], inbound=True, digest=means.digests[0])
        elif technique in _IN_CLOUD:
            yield replace(event, kind="cloud", peer=means.addresses[1], inbound=True)
        elif "lateral-movement" in attack_table().tactics_of(technique):
            yield from self._move(event)
        elif tactic in OUTBOUND or technique == "T1105":
            yield from self._outbound(event)
        elif tactic in ("reconnaissance", "initial-access") and technique not in _BY_LOGON:
            yield replace(event, kind="network", peer=chance.choice(means.addresses), inbound=True, port=443, user="")
        elif technique in _BY_LOGON:
            inside = self._host != self._route[0]
            peer: Host | str = self._route[0] if inside else means.addresses[1]
            yield replace(event, kind="login", peer=peer, inbound=True, port=3389)
        elif technique in _AMONG_MACHINES:
            for other in chance.sample(self._network.hosts, chance.randrange(1, MOST_ALERTS)):
                if other != self._host:
                    yield replace(event, kind="network", peer=other, port=445, user="")
        elif technique in _AT_CONTROLLER:
            controller = chance.choice(self._network.of_roles("dc"))
            peer = self._host if controller != self._host else self._route[0]
            yield replace(event, host=controller, kind="login", peer=peer, inbound=True, port=389)
        else:
            digest = chance.choice(means.digests) if chance.random() < 0.6 else ""  # noqa: PLR2004 - most have a file
            yield replace(event, digest=digest)
        if tactic == "credential-access" and chance.random() < 0.7:  # noqa: PLR2004 - most find an account
            self._user = chance.choice(self._network.admins)

    def _outbound(self, event: Event) -> Iterator[Event]:
        """Yield a connection to the attacker's server, at times also as the machine itself reports it."""
        chance = self._chance
        if chance.random() < 0.15:  # noqa: PLR2004 - servers are changed now and then
            self._server = chance.choice(self._means.servers)
        address, domain = self._server
        yield replace(event, kind="network", peer=address, domain=domain, user="")
        if chance.random() < 0.4:  # noqa: PLR2004 - the agent sees it too
            yield replace(event, peer=address, domain=domain, digest=self._means.digests[0])

    def _move(self, event: Event) -> Iterator[Event]:
        """Go to the route's next machine, and yield the move as the network, the target, or both report it."""
        old = self._host
        after = self._route.index(old) + 1
        others = [each for each in self._route if each != old]
        self._host = self._route[after] if after < len(self._route) else self._chance.choice(others or [old])
        seen_by = self._chance.choice((("network",), ("login",), ("network", "login"), ("login", "host")))
        for kind in seen_by:
            yield replace(
                event,
                kind=kind,
                host=self._host,
                peer=old,
                inbound=True,
                port=self._chance.choice((445, 3389, 22, 5985)),
                user="" if kind == "network" else self._user,
                digest=self._means.digests[1] if kind == "host" else "",
            )
