"""Find the clusters that an alert links to, among the latest signatures.

The cost of a link is in the package's docstring. Costs only grow with the gap in time, and signatures are searched from
the latest back, so the search ends where no earlier signature can be cheaper than the best link so far.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.clusters.recurrence import RecurringTypes, similarity

if TYPE_CHECKING:
    from app.domains.alerts.clusters.affinity import Affinity, AlertType
    from app.domains.alerts.clusters.config import ClusterConfig
    from app.domains.alerts.clusters.state import AlertSignature, OpenCluster, SignatureKey, State

_NOTHING: list[tuple[float, str]] = []
_SLACK = 1.0 + 1e-9  # on bounds, so that rounding excludes no link; a link within the slack is computed in full


class PacedType(msgspec.Struct, frozen=True):
    """An alert type with its pace.

    Attributes:
        type: The type.
        pace: What a second counts: 1 for a frequent type, less for a rare one.
    """

    type: AlertType
    pace: float


class Links:
    """Finds the links of alerts."""

    def __init__(self, affinity: Affinity, config: ClusterConfig, state: State) -> None:
        """Search `state`, which changes between calls."""
        self._affinity, self._config, self._state = affinity, config, state

    def find(  # noqa: C901, PLR0912, PLR0915 - the innermost loop: a call for each signature would double its time
        self, paced: PacedType, key: SignatureKey, own: AlertSignature | None, time: float, recurring: RecurringTypes
    ) -> list[OpenCluster]:
        """Return the clusters that an alert links to, each once: all certain ones, else the best, else none.

        Args:
            paced: The alert's type, with its pace.
            key: The alert's signature.
            own: The record of this signature, if an earlier alert had it.
            time: The alert's time; the clock of the state has been moved already.
            recurring: Recurring types of the alert's target.
        """
        state, config, pace = self._state, self._config, paced.pace
        text, _, _, dst, entities = key
        theta, half, certain = config.theta_s, config.own, config.delta_s * config.merge
        known_pairs, between, weight = self._affinity.row(paced.type), self._affinity.between, self._affinity.weight
        if recurring and text not in recurring:
            theta *= config.outsider
        bonus = config.entity_s
        shared = state.entities.rarest(entities, state.signature_counts) if bonus else _NOTHING
        most = bonus * shared[0][0] if shared else 0.0  # the largest discount that a link can have
        least = pace * half if dst in state.signature_counts else pace  # the least that a second can cost
        reach, seconds = config.reach_s, _SLACK / least if least else math.inf
        in_order = not state.ahead_signatures
        sure: dict[int, OpenCluster] = {}
        latest_sure: OpenCluster | None = None
        best: OpenCluster | None = None
        best_cost = config.delta_s
        within = (best_cost + most) * _SLACK
        far = min(within * seconds, reach)  # the gap from which on every link costs too much
        latest_first = itertools.chain((own,) if own else (), reversed(state.signatures.values()))
        for signature in itertools.islice(latest_first, config.candidates):
            gap = time - signature.last_time
            if gap < 0.0:
                gap = -gap
            if gap >= far:
                if in_order and signature is not own and time - signature.last_clock >= far:
                    break  # all further signatures are older still
                continue
            cluster = signature.cluster
            if cluster is latest_sure:  # in a scan, nearly all of them
                continue
            cost = gap * pace
            if signature.pace > pace:
                cost = gap * signature.pace
            here = signature.dst == dst
            if here and signature.type.text == text:
                cost *= half
            if cost >= within:
                continue
            alike = known_pairs.get(signature.type)
            cost += theta * (1.0 - (between(paced.type, signature.type) if alike is None else alike))
            if cost >= within or cluster.id in sure:
                continue
            if here and recurring != signature.recurring:
                cost += config.recurrence_s * (1.0 - similarity(recurring, signature.recurring, weight))
            for rarity, entity in shared:
                if entity in signature.entities:
                    cost -= bonus * rarity
                    break
            if cost < certain:
                latest_sure = sure[cluster.id] = cluster
                bound = certain
            elif cost < best_cost and not sure:
                best, best_cost, bound = cluster, cost, cost
            else:
                continue
            within = (bound + most) * _SLACK
            far = min(within * seconds, reach)
        return list(sure.values()) if sure else [best] if best else []
