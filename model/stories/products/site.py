"""Values that all products write: addresses of machines, numbers of rules and events, times."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model.stories.network import DAY_S, Host, Network, chance_of

if TYPE_CHECKING:
    import random

    from model.stories.events import Event

Record = dict[str, Any] | str
"""An alert as the product writes it: an object, or a line."""


class Site:
    """What a company's products know of it.

    Attributes:
        network: The company.
    """

    def __init__(self, chance: random.Random, network: Network, begin_s: float) -> None:
        """Take the company and the story's start, seconds since 1970, from which addresses are of days."""
        self.network, self._begin_s, self._chance = network, begin_s, chance

    def uuid(self) -> str:
        """Return a random UUID of the story."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def address(self, host: Host | str | None, event: Event) -> str:
        """Return the address of a machine at the event's time."""
        if isinstance(host, Host):
            return host.address(int(max(event.time - self._begin_s, 0.0) // DAY_S))
        return host or ""

    def ends(self, event: Event) -> tuple[str, str]:
        """Return the addresses of an event's source and target."""
        host, peer = self.address(event.host, event), self.address(event.peer, event)
        if not peer:
            return host, host
        return (peer, host) if event.inbound else (host, peer)

    def port(self, event: Event) -> int:
        """Return a port of the source that the system chose."""
        return chance_of(event.time, event.title).randrange(49152, 65535)


def iso(time: float, suffix: str = "Z") -> str:
    """Return a time in ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + suffix


def rule_number(event: Event, least: int, most: int) -> int:
    """Return a rule's number: always the same for one title."""
    return chance_of(event.title).randrange(least, most)


def event_number(event: Event) -> int:
    """Return an event's number: always the same for one event."""
    return chance_of(event.time, event.title, event.host.name).getrandbits(40)
