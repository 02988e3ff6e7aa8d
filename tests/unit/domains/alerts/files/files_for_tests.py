"""A small world of files: alerts that are easy to follow, stand-ins for the models, and writes that fail on demand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
from app.domains.alerts.attack import attack_table
from app.domains.alerts.files.protocol import AlertJobs, ExternalJobs
from app.domains.alerts.incidents import ClusterChange, ClusterSummary, Flow
from app.domains.alerts.membership import summary_of
from app.jobs.context import StepContext
from app.storage.objects import MemoryObjects
from app.storage.state import MemoryState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from app.domains.alerts.files.protocol import Context, LocalJobs, TenantClusters
    from app.storage.objects import Objects
    from app.storage.state import StateStore

TECHNIQUES = {"port scan": "T1046", "password guessing": "T1110", "new service": "T1543.003"}


class SmallResolver:
    """Knows alerts' own techniques, and those of a few texts if it is asked for them."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.asked: list[list[str]] = []

    def resolve(self, alerts: Sequence[Alert]) -> list[Techniques]:
        self.asked.append([alert.name for alert in alerts])
        return [self._one(alert) for alert in alerts]

    def _one(self, alert: Alert) -> Techniques:
        if alert.tech:
            return Techniques(tuple(alert.tech), Techniques.ALERT, 1.0, (1.0,) * len(alert.tech))
        if alert.name in self.texts:
            return Techniques((self.texts[alert.name],), Techniques.MODEL, 0.9, (0.9,))
        return Techniques((), Techniques.UNKNOWN, 0.1)


class SmallClusters:
    """Alerts that share a source or a destination are one cluster; it keeps every alert."""

    def __init__(self, dump: bytes | None) -> None:
        kept = json.loads(dump) if dump else {"next": 0, "of": {}, "into": {}, "alerts": {}}
        self.kept: dict[str, Any] = kept

    def add(self, alerts: Sequence[EnrichedAlert]) -> list[ClusterChange]:
        return [self._one(each) for each in alerts]

    def _one(self, each: EnrichedAlert) -> ClusterChange:
        of, members = self.kept["of"], self.kept["alerts"]
        ends = {each.alert.src, each.alert.dst}
        found = sorted({of[end] for end in ends if end in of})
        opened = not found
        if opened:
            found = [self.kept["next"]]
            self.kept["next"] += 1
            members[str(found[0])] = []
        cluster, merged = found[0], tuple(found[1:])
        for old in merged:
            members[str(cluster)] += members.pop(str(old))
            self.kept["into"][str(old)] = cluster
            of.update({end: cluster for end, now in of.items() if now == old})
        of.update(dict.fromkeys(ends, cluster))
        members[str(cluster)].append(msgspec.to_builtins(each))
        return ClusterChange(cluster, opened, merged)

    def summary(self, cluster_id: int) -> ClusterSummary | None:
        rows = self.kept["alerts"].get(str(cluster_id))
        if rows is None:
            return None
        return summary_of(cluster_id, msgspec.convert(rows, list[EnrichedAlert]), attack_table())

    def current(self, cluster_id: int) -> int | None:
        while str(cluster_id) in self.kept["into"]:
            cluster_id = self.kept["into"][str(cluster_id)]
        return cluster_id if str(cluster_id) in self.kept["alerts"] else None

    def on_close(self, callback: Callable[[ClusterSummary], object]) -> None:
        """None is ever closed."""

    def dump(self) -> bytes:
        return json.dumps(self.kept, sort_keys=True).encode()


def small_flows(summaries: Sequence[ClusterSummary], config: Mapping[str, Any]) -> list[Flow]:  # noqa: ARG001
    """Clusters with the same first letter of their first source are one flow."""
    groups: dict[str, list[ClusterSummary]] = {}
    for each in sorted(summaries, key=lambda each: each.cluster_id):
        groups.setdefault(each.srcs[0][:1], []).append(each)
    return [
        Flow(
            group[0].cluster_id,
            tuple(each.cluster_id for each in group),
            0.5,
            (),
            (),
            min(each.start_time for each in group),
            max(each.end_time for each in group),
        )
        for group in groups.values()
        if len(group) > 1
    ]


class SmallModels:
    """Stand-ins for the models."""

    def __init__(self, texts: Mapping[str, str] = TECHNIQUES) -> None:
        self.resolver = SmallResolver(texts)

    def techniques(self, alerts: Sequence[Alert]) -> list[Techniques]:
        return self.resolver.resolve(alerts)

    def known(self, alerts: Sequence[Alert]) -> list[Techniques]:
        return SmallResolver({}).resolve(alerts)

    def clusters(self, dump: bytes | None, config: Mapping[str, Any]) -> TenantClusters:  # noqa: ARG002
        return SmallClusters(dump)

    def flows(self, summaries: Sequence[ClusterSummary], config: Mapping[str, Any]) -> list[Flow]:
        return small_flows(summaries, config)

    def bundle(self, flow: Flow, tenant: str) -> bytes:  # noqa: ARG002
        return msgspec.json.encode(flow)


def small_context(
    objects: Objects,
    store: StateStore | None = None,
    local: LocalJobs | None = None,
    external: ExternalJobs = ExternalJobs(),  # noqa: B008 - frozen
) -> Context:
    """A context whose models are the stand-ins."""
    return StepContext(objects, store or MemoryState(), AlertJobs(local or SmallModels(), external))


class Crash(BaseException):
    """The process ends here."""


class Faulty:
    """Counts what is asked of a bucket and a store, and breaks off before or after one of the calls."""

    def __init__(self, at: int | None = None, *, after: bool = False, error: type[BaseException] = Crash) -> None:
        self.at, self.after, self.error = at, after, error
        self.calls: list[str] = []

    def call(self, what: str, work: Callable[[], Any]) -> Any:
        self.calls.append(what)
        is_it = len(self.calls) - 1 == self.at
        if is_it and not self.after:
            raise self.error("before " + what)
        result = work()
        if is_it:
            raise self.error("after " + what)
        return result


MemoryBucket = MemoryObjects


class FaultyObjects(MemoryObjects):
    """Objects in a dictionary whose calls may break off."""

    def __init__(self, objects: dict[str, bytes], faults: Faulty) -> None:
        super().__init__(objects)
        self.faults = faults

    def put(self, name: str, data: bytes) -> None:
        self.faults.call(f"put {name}", lambda: MemoryObjects.put(self, name, data))

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self.faults.call(f"get {name}", lambda: MemoryObjects.get(self, name))
        return found

    def exists(self, name: str) -> bool:
        return bool(self.faults.call(f"exists {name}", lambda: MemoryObjects.exists(self, name)))

    def delete(self, name: str) -> None:
        self.faults.call(f"delete {name}", lambda: MemoryObjects.delete(self, name))

    def blocks(self, name: str) -> Iterator[bytes]:
        yield from self.faults.call(f"blocks {name}", lambda: MemoryObjects.blocks(self, name))


class FaultyStore:
    """A store whose calls may break off."""

    def __init__(self, store: StateStore, faults: Faulty) -> None:
        self.store, self.faults = store, faults

    def load(self, keys: Any) -> Any:
        return self.faults.call("load", lambda: self.store.load(keys))

    def check_size(self, key: str, value: bytes) -> None:
        self.store.check_size(key, value)

    def commit(self, key: str, staged: Any, expected: Any) -> None:
        self.faults.call("commit", lambda: self.store.commit(key, staged, expected))


def alert(number: int, src: str = "", dst: str = "", name: str = "port scan", **more: Any) -> dict[str, Any]:
    """An alert in the seed's form."""
    src = src or f"host{number % 7}"
    return {"id": f"a{number}", "time": 1000.0 + number, "src": src, "dst": dst or src, "name": name, **more}


def put_input(bucket: Objects, alerts: list[Any], name: str = "input/day.json", **more: Any) -> str:
    """Puts a file of alerts."""
    bucket.put(name, json.dumps({"input": alerts, **more}).encode())
    return name


def visible(bucket: Objects) -> dict[str, bytes]:
    """All that a user sees."""
    names = [*bucket.names("output/"), *bucket.names("skipped_events/")]
    return {name: bucket.get(name) or b"" for name in names}
