"""An event as a sensor sees it, before a product writes it as an alert in its own format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.stories.network import Host


class Level(IntEnum):
    """A detection rule's severity."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


@dataclass(frozen=True)
class Event:
    """Something that a sensor reports.

    Attributes:
        time: Seconds since 1970.
        title: The rule's title.
        level: The rule's severity.
        host: The company's machine where it was seen.
        kind: The sensor that can see it: `network`, `host`, `login`, `mail` or `cloud`.
        peer: The other machine of a connection or a logon: a machine of the company, an outside address, or None.
        inbound: Whether the peer began the connection.
        user: The account, or empty.
        technique: Technique id that the rule carries, or empty.
        digest: SHA-256 of the file, or empty.
        process: Name of the program, or empty.
        command: Command line, or empty.
        domain: Name that was looked up or contacted, or empty.
        port: Port of the connection's target.
        attack: The attack's id; empty for noise.
        step: Number of the attack's step, from 1; 0 for noise.
    """

    time: float
    title: str
    level: Level
    host: Host
    kind: str
    peer: Host | str | None = None
    inbound: bool = False
    user: str = ""
    technique: str = ""
    digest: str = ""
    process: str = ""
    command: str = ""
    domain: str = ""
    port: int = 443
    attack: str = ""
    step: int = 0
