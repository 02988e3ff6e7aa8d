"""Write events as alerts of products, each in its own format, scale of severity and way of naming machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.stories.products.agents import defend, elastic, ocsf, own, wazuh
from model.stories.products.cloud import asff, guardduty
from model.stories.products.sensors import cef, suricata
from model.stories.products.siem import crowdstrike, defender, sentinel, splunk
from model.stories.products.site import Site

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from model.stories.events import Event
    from model.stories.network import Network
    from model.stories.products.site import Record

SENSORS: Sequence[Callable[[Site, Event], Record]] = (suricata, cef)
AGENTS: Sequence[Callable[[Site, Event], Record]] = (
    *(wazuh, elastic, defend, ocsf, own),
    *(crowdstrike, defender, sentinel, splunk),
)
CLOUD: Sequence[Callable[[Site, Event], Record]] = (guardduty, asff)
MAIL: Sequence[Callable[[Site, Event], Record]] = (cef, ocsf)
"""Products by the kind of events that they can see."""
CLOUD_SHARE = 0.2  # of connections of machines in the cloud, that the cloud's own sensor reports


class Products:
    """The products that a company has."""

    def __init__(self, chance: random.Random, network: Network, begin_s: float) -> None:
        """Choose one or two sensors of the network and two to four kinds of agents.

        Args:
            chance: Source of random numbers.
            network: The company.
            begin_s: Start of the story, seconds since 1970.
        """
        self._chance, self._site = chance, Site(chance, network, begin_s)
        self._sensors = chance.sample(SENSORS, chance.randrange(1, 3))
        self._agents = chance.sample(AGENTS, chance.randrange(2, 5))

    def write(self, event: Event) -> Record:
        """Return an event as one of the products that can see it reports it."""
        chance = self._chance
        if event.kind == "cloud":
            products = CLOUD
        elif event.kind == "mail":
            products = MAIL
        elif event.kind != "network":
            products = self._agents
        elif event.host.instance and chance.random() < CLOUD_SHARE:
            products = CLOUD
        else:
            products = self._sensors
        return chance.choice(products)(self._site, event)
