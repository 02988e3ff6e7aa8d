"""An invented company's network: its machines with all their names, its people and what is around it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DAY_S = 86_400.0
ROAMING_SHARE = 0.1  # of workplaces, that have another address on another day
SERVER_ROLES = ("web", "mail", "dc", "files", "db", "app", "proxy", "dns", "scanner", "backup", "monitor", "build")
"""Roles of servers; every network has at least one of each, larger ones have several of the first seven."""
SHARED_ROLES = ("proxy", "dns", "scanner", "backup", "monitor")
"""Roles whose machines meet most others by their work: no attack of a story goes through them."""
LINUX_ROLES = ("web", "proxy", "dns", "scanner", "monitor", "build")

_GIVEN = (
    *("anna", "ben", "carla", "david", "elena", "farid", "greta", "hugo", "ines", "jonas", "kira", "liam", "mona"),
    *("nils", "olga", "pavel", "quinn", "rosa", "samir", "tina", "uwe", "vera", "wang", "xenia", "yusuf", "zoe"),
)
_FAMILY = (
    *("adler", "brandt", "costa", "diaz", "ekholm", "fischer", "garcia", "huber", "ivanov", "jensen", "kowalski"),
    *("lopez", "meyer", "novak", "okafor", "petrov", "quist", "rossi", "schmid", "tanaka", "ullman", "varga", "weber"),
)
_SERVICES = ("svc-backup", "svc-scan", "svc-deploy", "svc-sql", "svc-monitor", "svc-web")
_SERVER_NAMES: tuple[Callable[[str, int], str], ...] = (
    lambda role, number: f"srv-{role}{number:02}",
    lambda role, number: f"{role.upper()}{number:02}",
    lambda role, number: f"{role}-prod-{number}",
)
_DOMAINS = ("corp.example", "intra.meadow.example", "ad.northwind.example", "lan.hafen.example", "int.kestrel.example")
_OUTSIDE_NETS = ("198.51.100", "203.0.113", "192.0.2", "45.83.{}", "91.219.{}", "185.220.{}", "103.27.{}", "5.188.{}")
_BAD_WORDS = ("cdn", "update", "sync", "login", "files", "mail", "static", "api", "portal", "telemetry")
_BAD_TOPS = ("top", "info", "xyz", "club", "site", "online")


@dataclass(frozen=True)
class Host:
    """A machine.

    Attributes:
        name: Short name, in the case in which its owner writes it.
        domain: Domain of its full name.
        addresses: Its addresses by day of the story; the last stays.
        role: `workplace` or one of `SERVER_ROLES`.
        user: Account that is usually logged on.
        instance: Id of its virtual machine in the cloud, or empty.
    """

    name: str
    domain: str
    addresses: tuple[str, ...]
    role: str
    user: str
    instance: str = ""

    @property
    def full_name(self) -> str:
        """Return the name with its domain."""
        return f"{self.name}.{self.domain}"

    @property
    def is_windows(self) -> bool:
        """Return whether it runs Windows."""
        return self.role not in LINUX_ROLES

    def address(self, day: int) -> str:
        """Return the address that it has on a day of the story, from 0."""
        return self.addresses[min(day, len(self.addresses) - 1)]


@dataclass(frozen=True)
class Network:
    """A company.

    Attributes:
        domain: Domain of its machines.
        hosts: All machines.
        admins: Accounts of administrators.
        account: Number of its account in the cloud.
    """

    domain: str
    hosts: tuple[Host, ...]
    admins: tuple[str, ...]
    account: str

    def of_roles(self, *roles: str) -> list[Host]:
        """Return the machines with one of the roles."""
        return [each for each in self.hosts if each.role in roles]


def chance_of(*parts: object) -> random.Random:
    """Return a source of random numbers that depends on the parts alone."""
    return random.Random(" ".join(map(str, parts)))  # noqa: S311 - invented stories need no secrecy


def outside_address(chance: random.Random) -> str:
    """Return an address outside of the company."""
    return f"{chance.choice(_OUTSIDE_NETS).format(chance.randrange(1, 255))}.{chance.randrange(1, 255)}"


def outside_domain(chance: random.Random) -> str:
    """Return a domain name as attackers register them."""
    return f"{chance.choice(_BAD_WORDS)}-{chance.randrange(16**4):04x}.{chance.choice(_BAD_TOPS)}"


def digest_of(chance: random.Random) -> str:
    """Return a SHA-256 in hexadecimal digits."""
    return f"{chance.getrandbits(256):064x}"


def make_network(chance: random.Random, machines: int, days: int = 1) -> Network:
    """Return an invented company.

    Args:
        chance: Source of random numbers.
        machines: Number of its machines, at least 20.
        days: Days of the story, for machines that change their address.
    """
    domain = chance.choice(_DOMAINS)
    style = chance.randrange(3)
    prefix = f"10.{chance.randrange(1, 250)}" if chance.random() < 0.7 else "192.168"  # noqa: PLR2004 - most have 10/8
    used: set[str] = set()
    hosts = [
        _server(chance, role, _SERVER_NAMES[style](role, number), domain, _address(chance, prefix, used, 1))
        for role in SERVER_ROLES
        for number in range(1, 2 + (machines // 60 if role in SERVER_ROLES[:7] and role != "mail" else 0))
    ]
    people = _people(chance, machines)
    workplaces = machines - len(hosts)
    leases = [_address(chance, prefix, used, 20) for _ in range(workplaces)]
    roaming = [number for number in range(workplaces) if chance.random() < ROAMING_SHARE]
    for number in range(workplaces):
        user = people[number % len(people)]
        addresses: Sequence[str] = (leases[number],)
        if number in roaming:
            turn = roaming.index(number)
            addresses = [leases[roaming[(turn + day) % len(roaming)]] for day in range(max(days, 1))]
        hosts.append(Host(_workplace(chance, number, style, user), domain, tuple(addresses), "workplace", user))
    admins = tuple(f"adm-{each.partition('.')[0]}{number}" for number, each in enumerate(people[:3], 1))
    return Network(domain, tuple(hosts), admins, f"{chance.randrange(10**11, 10**12)}")


def _people(chance: random.Random, machines: int) -> list[str]:
    names = [f"{given}.{family}" for given in _GIVEN for family in _FAMILY]
    return chance.sample(names, min(machines, len(names)))


def _server(chance: random.Random, role: str, name: str, domain: str, address: str) -> Host:
    in_cloud = role in {"web", "app", "build"}
    instance = f"i-{chance.getrandbits(64):016x}" if in_cloud else ""
    user = chance.choice(_SERVICES)
    return Host(name, domain, (address,), role, user, instance)


def _workplace(chance: random.Random, number: int, style: int, user: str) -> str:
    if style == 0:
        return f"wks-{number + 11:03}"
    if style == 1:
        return f"DESKTOP-{chance.getrandbits(32):07X}"[:15]
    return f"{user.partition('.')[2]}-lt{number + 1}"


def _address(chance: random.Random, prefix: str, used: set[str], net: int) -> str:
    """Return an address that no other machine has, in one of the four networks from `net` on."""
    while True:
        found = f"{prefix}.{net + chance.randrange(4)}.{chance.randrange(2, 254)}"
        if found not in used:
            used.add(found)
            return found
