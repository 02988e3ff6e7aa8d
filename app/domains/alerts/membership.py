"""The alerts of each cluster, followed through every merge: in a chunk, in a run of chunks, in a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from app.domains.alerts.clusters.clusters import LONGEST_TYPE, step_key
from app.domains.alerts.clusters.state import highest
from app.domains.alerts.entities import canonical, entities_of
from app.domains.alerts.incidents import ClusterSummary, Step
from app.domains.alerts.tickets import tactics_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.incidents import ClusterChange

MOST_STEPS = 64  # of a summary that is made here: as many as a cluster lists


class Summaries(Protocol):
    """A source of summaries: `Clusters`."""

    def summary(self, cluster_id: int) -> ClusterSummary | None:
        """Return a cluster as it stands; None where it is no more."""


class Membership:
    """Follows which alert is in which cluster, and each cluster's last summary.

    Attributes:
        ids: The numbers of the alerts in each cluster; a cluster that became part of another has none here.
        summaries: The last summary of each cluster.
        forgotten: How many closed clusters were too many to keep.
        skipped: How many alerts are in no cluster, since they are closed or update another.
    """

    def __init__(self, most_closed: int | None = None) -> None:
        """Start empty.

        Args:
            most_closed: The most closed clusters whose summaries are kept. Then no numbers of
                alerts are kept either, so that an input may be endless. None keeps everything.
        """
        self.ids: dict[int, list[int]] = {}
        self.summaries: dict[int, ClusterSummary] = {}
        self.forgotten = 0
        self.skipped = 0
        self._most_closed = most_closed
        self._into: dict[int, int] = {}

    def join(self, change: ClusterChange, number: int) -> None:
        """Add an alert with the change that it made; one that was skipped is in no cluster."""
        if change.skipped:
            self.skipped += 1
            return
        for merged in change.merged:
            self.merge(merged, change.cluster_id)
        found = self.ids.setdefault(change.cluster_id, [])
        if self._most_closed is None:
            found.append(number)

    def merge(self, cluster: int, into: int) -> None:
        """Make a cluster part of another; a job elsewhere may say anything, but no circle can come of it."""
        into = self.current(into)
        if cluster == into:
            return
        self.summaries.pop(cluster, None)
        if self._most_closed is None:
            self._into[cluster] = into
        if cluster in self.ids:
            self.ids.setdefault(into, []).extend(self.ids.pop(cluster))

    def close(self, summary: ClusterSummary) -> None:
        """Take the last summary of a cluster that is closed."""
        self.summaries[summary.cluster_id] = summary
        if self._most_closed is None:
            return
        self.ids.pop(summary.cluster_id, None)
        if len(self.summaries) > self._most_closed:
            del self.summaries[next(iter(self.summaries))]
            self.forgotten += 1

    def take_summaries(self, clusters: Summaries) -> None:
        """Take the summaries of those clusters with alerts here that are open still."""
        for cluster in self.ids:
            summary = clusters.summary(cluster)
            if summary is not None:
                self.summaries[cluster] = summary

    def current(self, cluster: int) -> int:
        """Return the cluster that one is or has become part of."""
        while cluster in self._into:
            cluster = self._into[cluster]
        return cluster

    def merges(self) -> dict[int, list[int]]:
        """Return the clusters that have become part of each one, sorted."""
        found: dict[int, list[int]] = {}
        for each in sorted(self._into):
            found.setdefault(self.current(each), []).append(each)
        return found


def summary_of(
    cluster: int, alerts: Sequence[EnrichedAlert], table: AttackTable, merged: Sequence[int] = ()
) -> ClusterSummary:
    """Return a cluster as its alerts alone show it, for a job elsewhere that answers with the alerts alone."""
    possible = [each.alert.time for each in alerts if not each.is_ahead]
    latest = max(possible) if possible else min(each.latest for each in alerts)  # of a wrong date nothing is known
    by_time = sorted(((min(each.alert.time, latest), each) for each in alerts), key=lambda row: row[0])
    steps: dict[tuple[str, str, str], Step] = {}
    for time, each in by_time:
        alert, technique = each.alert, next(iter(each.techniques.ids), "")
        key = step_key(alert.name, alert.src, alert.dst)
        first = steps.get(key)
        if first is not None:
            severity = highest(first.severity, alert.severity)
            steps[key] = msgspec.structs.replace(first, end_time=time, alerts=first.alerts + 1, severity=severity)
        elif len(steps) < MOST_STEPS:
            ends = canonical(alert.src), canonical(alert.dst)
            others = tuple(entity for entity in entities_of(alert) if entity not in ends)
            steps[key] = Step(
                technique, alert.name[:LONGEST_TYPE], alert.src, alert.dst, time, time, 1, alert.id,
                severity=alert.severity, entities=others,
            )  # fmt: skip
    techniques = tuple(dict.fromkeys(technique for _, each in by_time for technique in each.techniques.ids))
    return ClusterSummary(
        cluster_id=cluster,
        alerts=len(alerts),
        start_time=by_time[0][0],
        end_time=by_time[-1][0],
        srcs=tuple(dict.fromkeys(each.alert.src for _, each in by_time)),
        dsts=tuple(dict.fromkeys(each.alert.dst for _, each in by_time)),
        entities=tuple(dict.fromkeys(end for _, each in by_time for end in (each.alert.src, each.alert.dst))),
        techniques=techniques,
        tactics=tactics_of(techniques, table),
        steps=tuple(steps.values()),
        merged=tuple(merged),
        severity=max((each.alert.severity for each in alerts if each.alert.severity is not None), default=None),
        aliases=tuple(dict.fromkeys(alias for _, each in by_time for alias in each.alert.aliases))[:MOST_STEPS],
    )
