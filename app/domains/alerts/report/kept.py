"""Alerts that are kept for a report: the first ones of each step, and the most severe of all."""

from __future__ import annotations

import dataclasses
import heapq
from typing import TYPE_CHECKING

from app.domains.alerts.clusters.clusters import step_key

if TYPE_CHECKING:
    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.clusters.state import StepKey
    from app.domains.alerts.incidents import ClusterChange, Flow

MOST_SEVERE = 10
ALERTS_A_STEP = 5  # nobody reads more of one kind; the product has them all
ALERTS_A_CLUSTER = 100
MOST_KEPT = 100_000  # alerts of all clusters, some 200 MB with their raw text
LONGEST_RAW_BYTES = 4_000  # of an alert as it came; a Windows event has some 2,000


@dataclasses.dataclass(slots=True, order=True)
class KeptAlert:
    """An alert that is kept; those that are more severe sort last, and of equals the earlier.

    Attributes:
        severity: Its severity, 0 to 100; -1 if it states none.
        number: Its number among all alerts, counted down from 0.
        tenant: Its tenant.
        cluster: Its cluster, also after a merge.
        step: Its step of the cluster.
        alike: Alerts of its type, with it, while it is one of the most severe.
        alert: The alert.
        raw: The alert as it came, cut; empty if it was no line of its own.
    """

    severity: int
    number: int
    tenant: str = dataclasses.field(compare=False)
    cluster: int = dataclasses.field(compare=False)
    step: StepKey = dataclasses.field(compare=False)
    alert: EnrichedAlert = dataclasses.field(compare=False)
    raw: bytes = dataclasses.field(compare=False)
    alike: int = dataclasses.field(default=1, compare=False)


class KeptAlerts:
    """Keeps the most severe alerts of an endless input and, if wanted, the first ones of each step."""

    def __init__(self, *, of_steps: bool) -> None:
        """Keep nothing yet.

        Args:
            of_steps: Whether to keep the first alerts of each step.
        """
        self._of_steps = of_steps
        self._severe: list[KeptAlert] = []
        self._clusters: dict[tuple[str, int], list[KeptAlert]] = {}
        self._seen = self._kept = 0

    def add(self, alert: EnrichedAlert, tenant: str, change: ClusterChange, raw: bytes | None = None) -> None:
        """Take an alert with the change that it made to the clusters; one that is in none is not kept."""
        if change.skipped:
            return
        if change.merged:
            self._merge(tenant, change)
        severity = -1 if alert.alert.severity is None else alert.alert.severity
        self._seen += 1
        if severity < 0 and not self._of_steps:
            return
        step = step_key(alert.alert.name, alert.alert.src, alert.alert.dst)
        raw = (raw or b"")[:LONGEST_RAW_BYTES]
        kept = KeptAlert(severity, -self._seen, tenant, change.cluster_id, step, alert, raw)
        if severity >= 0:
            self._rank(kept)
        if self._of_steps and self._kept < MOST_KEPT:
            of_cluster = self._clusters.setdefault((tenant, change.cluster_id), [])
            of_step = sum(each.step == step for each in of_cluster)
            if len(of_cluster) < ALERTS_A_CLUSTER and of_step < ALERTS_A_STEP:
                of_cluster.append(kept)
                self._kept += 1

    def most_severe(self) -> list[KeptAlert]:
        """Return the most severe alert of each of the most severe types, the most severe first."""
        return sorted(self._severe, reverse=True)

    def of(self, tenant: str, flow: Flow) -> list[KeptAlert]:
        """Return the alerts that are kept of a flow's steps, by their time."""
        steps = steps_of(flow)
        found = [each for cluster in steps for each in self._clusters.get((tenant, cluster), ())]
        mine = [each for each in found if each.step in steps[each.cluster]]
        return sorted(mine, key=lambda each: (each.alert.alert.time, -each.number))

    def _rank(self, kept: KeptAlert) -> None:
        """Take an alert among the most severe, once of each type, so that one noisy type does not fill the list."""
        severe = self._severe
        for index, each in enumerate(severe):
            if (each.tenant, each.step[0]) == (kept.tenant, kept.step[0]):
                kept.alike += each.alike
                if kept > each:
                    severe[index] = kept
                    heapq.heapify(severe)
                else:
                    each.alike += 1
                return
        if len(severe) < MOST_SEVERE:
            heapq.heappush(severe, kept)
        elif kept > severe[0]:
            heapq.heapreplace(severe, kept)

    def _merge(self, tenant: str, change: ClusterChange) -> None:
        into = self._clusters.setdefault((tenant, change.cluster_id), []) if self._of_steps else []
        for merged in change.merged:
            into += self._clusters.pop((tenant, merged), ())
        for each in (*into, *self._severe):
            if each.tenant == tenant and each.cluster in change.merged:
                each.cluster = change.cluster_id


def steps_of(flow: Flow) -> dict[int, set[StepKey]]:
    """Return the steps that a flow has of each of its clusters."""
    found: dict[int, set[StepKey]] = {}
    for node in flow.nodes:
        found.setdefault(node.cluster_id, set()).add(step_key(node.step.name, node.step.src, node.step.dst))
    return found
