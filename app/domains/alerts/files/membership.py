"""Which of a run's alerts are in which cluster, after all of its chunks and every merge between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domains.alerts.files.techniques import read_enriched
from app.domains.alerts.incidents import ClusterSummary, Step
from app.domains.alerts.tickets import tactics_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.files.bucket import Bucket
    from app.domains.alerts.files.plan import RunPlan
    from app.domains.alerts.files.seam import AggregatedAlert, ClusterOutput

STEPS = 256  # of a summary that is made here


class Membership:
    """Gathers the answers about a run's chunks in their order.

    Attributes:
        ids: Internal ids by cluster; a cluster that became part of another is not here any more.
        summaries: What was last said of each cluster, also of those that the run has no alerts in.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self.ids: dict[int, list[int]] = {}
        self.summaries: dict[int, ClusterSummary] = {}
        self._into: dict[int, int] = {}

    def add(self, clusters: Sequence[ClusterOutput], alerts: Sequence[AggregatedAlert]) -> None:
        """Adds the answer about the next chunk."""
        ids = {alert.aggalert_id: alert.ids for alert in alerts}
        for row in clusters:
            for merged in row.merged:
                into = self._now(row.cluster_id)
                if merged != into:  # a job elsewhere may say anything: no circle can come of it
                    self._into[merged] = into
                    self.summaries.pop(merged, None)
            if row.summary is not None:
                self.summaries[row.cluster_id] = row.summary
        for row in clusters:
            found = self.ids.setdefault(row.cluster_id, []) if row.cluster_aggalertids else []
            for aggregated in row.cluster_aggalertids:
                found.extend(ids.get(aggregated, ()))
        for cluster in [each for each in self.ids if each in self._into]:
            self.ids.setdefault(self._now(cluster), []).extend(self.ids.pop(cluster))

    def merged_into(self, cluster: int) -> list[int]:
        """The clusters that have become part of one, as far as the run was told."""
        return sorted(each for each in self._into if self._now(each) == cluster)

    def without_summary(self) -> set[int]:
        """Clusters of the run of which a job elsewhere has told their alerts alone."""
        return set(self.ids) - set(self.summaries)

    def describe(self, bucket: Bucket, plan: RunPlan, clusters: Collection[int], table: AttackTable) -> None:
        """Makes summaries from the run's own alerts."""
        of = {internal: cluster for cluster in clusters for internal in self.ids[cluster]}
        members: dict[int, list[EnrichedAlert]] = {cluster: [] for cluster in clusters}
        for chunk in plan.chunks:
            if any(chunk.first <= internal < chunk.first + chunk.alerts for internal in of):
                for place, alert in enumerate(read_enriched(bucket, chunk.unique_id)):
                    if chunk.first + place in of:
                        members[of[chunk.first + place]].append(alert)
        for cluster, alerts in members.items():
            if alerts:
                self.summaries[cluster] = summary_of(cluster, alerts, table, self.merged_into(cluster))
            else:
                del self.ids[cluster]

    def _now(self, cluster: int) -> int:
        while cluster in self._into:
            cluster = self._into[cluster]
        return cluster


def summary_of(
    cluster: int, alerts: Sequence[EnrichedAlert], table: AttackTable, merged: Sequence[int] = ()
) -> ClusterSummary:
    """A cluster as its alerts alone show it."""
    by_time = sorted(alerts, key=lambda each: each.alert.time)
    steps: dict[tuple[str, str, str], Step] = {}
    for each in by_time:
        alert, technique = each.alert, next(iter(each.techniques.ids), "")
        key = (technique, alert.src, alert.dst)
        first = steps.get(key)
        if first is not None:
            steps[key] = Step(
                technique,
                first.name,
                alert.src,
                alert.dst,
                first.start_time,
                alert.time,
                first.alerts + 1,
                first.first_id,
            )
        elif len(steps) < STEPS:
            steps[key] = Step(technique, alert.name, alert.src, alert.dst, alert.time, alert.time, 1, alert.id)
    techniques = tuple(dict.fromkeys(technique for each in by_time for technique in each.techniques.ids))
    return ClusterSummary(
        cluster_id=cluster,
        alerts=len(alerts),
        start_time=by_time[0].alert.time,
        end_time=by_time[-1].alert.time,
        srcs=tuple(dict.fromkeys(each.alert.src for each in by_time)),
        dsts=tuple(dict.fromkeys(each.alert.dst for each in by_time)),
        entities=tuple(dict.fromkeys(end for each in by_time for end in (each.alert.src, each.alert.dst))),
        techniques=techniques,
        tactics=tactics_of(techniques, table),
        steps=tuple(steps.values()),
        merged=tuple(merged),
    )
