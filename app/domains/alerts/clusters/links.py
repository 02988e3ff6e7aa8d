"""Which clusters an alert links to, among what was said last.

The rule is that of `ClusterConfig`. What makes it quick: costs only grow with the gap in time, and sayings are looked
through from the latest back, so the search ends where no earlier one can cost less than the best that was found.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.clusters.regimes import Regime, likeness

if TYPE_CHECKING:
    from app.domains.alerts.clusters.affinity import Affinity, AlertType
    from app.domains.alerts.clusters.config import ClusterConfig
    from app.domains.alerts.clusters.record import OpenCluster, Saying, SayingKey
    from app.domains.alerts.clusters.state import State

_NOTHING: list[tuple[float, str]] = []
_SPARE = 1.0 + 1e-9  # of a bound, so that rounding leaves out no link: each that is within it is worked out in full


class Kind(msgspec.Struct, frozen=True):
    """A type, with what follows from it alone.

    Attributes:
        type: The type.
        pace: What a second counts for it: 1 for one that comes often, less for a rare one.
    """

    type: AlertType
    pace: float


class Links:
    """Finds links by what was learned and what was set, among what a state remembers."""

    def __init__(self, affinity: Affinity, config: ClusterConfig, state: State) -> None:
        """Takes all three."""
        self._affinity, self._config, self._state = affinity, config, state

    def find(  # noqa: C901, PLR0912, PLR0915 - the innermost loop: a call for each saying would take as long as it does
        self, kind: Kind, key: SayingKey, own: Saying | None, time: float, regime: Regime
    ) -> list[OpenCluster]:
        """The clusters that an alert links to, each once: all that it is sure of, or the best, or none.

        Args:
            kind: The alert's.
            key: What it says.
            own: The saying of that, where it was said before.
            time: Its time; the clock of the state is there already.
            regime: What goes on at its target.
        """
        state, config, pace = self._state, self._config, kind.pace
        text, _, _, dst, entities = key
        theta, half, certain = config.theta_s, config.own, config.delta_s * config.merge
        known_pairs, between, weight = self._affinity.row(kind.type), self._affinity.between, self._affinity.weight
        if regime and text not in regime:
            theta *= config.outsider
        bonus = config.entity_s
        shared = state.entities.rarest(entities, state.said_of) if bonus else _NOTHING
        most = bonus * shared[0][0] if shared else 0.0  # that a link can be worth beside its cost
        least = pace * half if dst in state.said_of else pace  # what a second counts at the least
        reach, seconds = config.reach_s, _SPARE / least if least else math.inf
        in_order = not state.leaps
        sure: dict[int, OpenCluster] = {}
        latest_sure: OpenCluster | None = None
        best: OpenCluster | None = None
        best_cost = config.delta_s
        within = (best_cost + most) * _SPARE
        far = min(within * seconds, reach)  # the gap from which on no link can be within the cost
        said = itertools.chain((own,) if own else (), reversed(state.sayings.values()))
        for saying in itertools.islice(said, config.candidates):
            gap = time - saying.last
            if gap < 0.0:
                gap = -gap
            if gap >= far:
                if in_order and saying is not own and time - saying.touched >= far:
                    break  # what stands behind it was said earlier still
                continue
            cluster = saying.cluster
            if cluster is latest_sure:  # in a scan, that is nearly all of them
                continue
            cost = gap * pace
            if saying.pace > pace:
                cost = gap * saying.pace
            here = saying.dst == dst
            if here and saying.type.text == text:
                cost *= half
            if cost >= within:
                continue
            alike = known_pairs.get(saying.type)
            cost += theta * (1.0 - (between(kind.type, saying.type) if alike is None else alike))
            if cost >= within or cluster.id in sure:
                continue
            if here and regime != saying.regime:
                cost += config.regime_s * (1.0 - likeness(regime, saying.regime, weight))
            for rarity, entity in shared:
                if entity in saying.entities:
                    cost -= bonus * rarity
                    break
            if cost < certain:
                latest_sure = sure[cluster.id] = cluster
                bound = certain
            elif cost < best_cost and not sure:
                best, best_cost, bound = cluster, cost, cost
            else:
                continue
            within = (bound + most) * _SPARE
            far = min(within * seconds, reach)
        return list(sure.values()) if sure else [best] if best else []
