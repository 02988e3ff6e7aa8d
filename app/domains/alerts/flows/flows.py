"""The attack flows of one tenant, updated one cluster at a time; the package's docstring explains them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import msgspec

from app.domains.alerts.aliases import AliasTable
from app.domains.alerts.entities import canonical, canonical_user
from app.domains.alerts.flows.causality import TechniqueOrder, technique_order
from app.domains.alerts.flows.clock import Clock
from app.domains.alerts.flows.common import Meetings, Types
from app.domains.alerts.flows.config import FlowConfig
from app.domains.alerts.flows.context import Context
from app.domains.alerts.flows.graph import Graph
from app.domains.alerts.flows.node import WHAT, Node, is_inside, pack_flows, unpack_flows
from app.domains.alerts.flows.risk import is_critical, is_incident
from app.domains.alerts.flows.severity import CRITICAL
from app.domains.alerts.flows.view import draw
from app.domains.alerts.incidents import Flow
from app.domains.alerts.state_bytes import load_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.common import Common
    from app.domains.alerts.incidents import ClusterSummary, Step

__all__ = ["FlowChange", "FlowConfig", "Flows", "build_flows"]

_DEFAULT = FlowConfig()
_KEPT_SHARE = 15 / 16  # of `most_steps`, once it is exceeded: forgetting several at once makes it rare
_DIGITS = 3  # leading binary digits of a count that must change to be news: growth by an eighth to a quarter
_DAY_S = 86_400
_CLUSTER_STEPS = 64  # numbers that are set aside for each cluster whose steps have none

_Key = TypeVar("_Key", int, str)
Word: TypeAlias = Literal["opened", "grew", "merged", "shrank", "closed"]


class FlowChange(msgspec.Struct, frozen=True):
    """A change of one flow that an analyst wants to see.

    Attributes:
        word: What became of it: it `opened`, `grew`, took in others (`merged`), lost steps (`shrank`), or `closed`:
            it is no incident any more, or had no news for as long as the window.
        flow: The flow as it stands; of one that closed, as far as its steps are still there.
        merged: Flows that became part of it; an id is used again only if the flow falls apart.
    """

    word: Word
    flow: Flow
    merged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Group:
    """Linked steps that are an incident.

    Attributes:
        steps: Their numbers, sorted.
        clusters: Ids of their clusters.
        techniques: Number of their techniques.
        critical: Number of the types of those that are critical.
    """

    steps: tuple[int, ...]
    clusters: frozenset[int]
    techniques: int
    critical: int

    def notified_size(self) -> tuple[int, ...]:
        """Return the sizes whose change is news: so a flow of n steps is news about log(n) times."""
        return tuple(map(_rounded, (len(self.steps), len(self.clusters), self.techniques, self.critical)))


class Flows:
    """A tenant's flows: linked steps that are an incident."""

    def __init__(self, table: AttackTable, config: FlowConfig = _DEFAULT, order: TechniqueOrder | None = None) -> None:
        """Start without a step."""
        self._table, self._config, self._order = table, config, order or technique_order()
        self._nodes: dict[int, Node] = {}
        self._of_cluster: dict[int, set[int]] = {}
        self._of_entity: dict[str, set[int]] = {}
        self._types = Types(config)
        self._meetings = Meetings()
        self._graph = Graph(config, self._meetings)
        self._context = Context(config, self._types, self._meetings)
        self._groups: dict[int, _Group] = {}  # incidents, by their smallest step, which is the flow's id
        self._group_of: dict[int, int] = {}  # by step
        self._clock = Clock(config.window_s)
        self._aliases = AliasTable()

    def __len__(self) -> int:
        """Return the number of remembered steps."""
        return len(self._nodes)

    def update(self, cluster: ClusterSummary, now: float = math.inf) -> list[FlowChange]:
        """Update the flows with a cluster as it stands: a new one, one that grew, or one that absorbed others.

        Args:
            cluster: The cluster.
            now: The clock of the clusters, beyond which that of the flows does not go.

        Returns:
            Changed flows in order of id. Of their growth, each of the first eight steps, clusters, techniques and types
            of critical steps is news, then an increase by at most a quarter. A cluster that is unchanged, or that ended
            before the window, changes nothing.
        """
        new: dict[int, Step] = {}
        for index, step in enumerate(cluster.steps):
            number = step.number or cluster.cluster_id * _CLUSTER_STEPS + index
            new[number] = step if step.number else msgspec.structs.replace(step, number=number)
        old = set().union(*(self._of_cluster.get(each, ()) for each in (cluster.cluster_id, *cluster.merged)))
        gone = [
            number
            for number in old
            if number not in new
            or new[number] != self._nodes[number].step
            or self._nodes[number].cluster != cluster.cluster_id
        ]
        came = new.keys() - (old - set(gone))
        if not gone and not came:
            return []
        stale = self._clock.move(cluster.cluster_id, cluster.end_time, now)
        renamed = self._learn(cluster)
        nodes = [
            self._node(cluster.cluster_id, new[number])
            for number in sorted(came)
            if new[number].end_time >= self._clock.horizon
        ]
        gone += self._excess(nodes)
        closed = self._close() if stale else []
        for number in renamed & self._nodes.keys() - set(gone):  # what has just been forgotten stays so
            gone.append(number)
            nodes.append(self._node(self._nodes[number].cluster, self._nodes[number].step))
        return [*closed, *self._change(set(gone) & self._nodes.keys(), nodes)]

    def _learn(self, cluster: ClusterSummary) -> set[int]:
        """Learn the aliases of a cluster's machines; return the numbers of steps that have other keys now."""
        aliases, time = self._aliases, cluster.end_time
        names = {each for step in cluster.steps for each in _entities(step)}
        names |= {canonical(each) for pair in cluster.aliases for each in pair}
        news = not aliases.knows(names, cluster.aliases, time)
        before = {each: aliases.names_of(each, time) for each in names} if news else {}
        aliases.learn(cluster.aliases, time)
        for each in sorted(names):
            aliases.see(each, time)
        changed = [each for each, known in before.items() if aliases.names_of(each, time) != known]
        return {
            number
            for each in changed
            for number in self._of_entity.get(each, ())
            if self._keys(self._nodes[number].step, self._nodes[number].entities) != self._nodes[number].keys
        }

    def _keys(self, step: Step, entities: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._aliases.key_of(each, step.start_time) for each in entities)

    def _node(self, cluster: int, step: Step, keys: tuple[str, ...] | None = None) -> Node:
        entities = _entities(step)
        return Node(cluster, step, entities, keys or self._keys(step, entities), self._table, self._order)

    def flows(self) -> list[Flow]:
        """Return all flows in order of id."""
        return [self._draw(group) for _, group in sorted(self._groups.items())]

    def flow(self, flow_id: int) -> Flow | None:
        """Return one flow, or None if there is none of this id."""
        group = self._groups.get(flow_id)
        return None if group is None else self._draw(group)

    def dump(self) -> bytes:
        """Return the state as bytes; equal for the same steps."""
        return pack_flows(self._clock, self._nodes.values(), self._aliases)

    @classmethod
    def load(cls, data: bytes, table: AttackTable, config: FlowConfig = _DEFAULT) -> Flows:
        """Return flows as they were dumped.

        Raises:
            UnreadableStateError: The bytes were not written by `dump` of this version.
        """
        return load_state(WHAT, lambda: cls._load(data, table, config))

    @classmethod
    def _load(cls, data: bytes, table: AttackTable, config: FlowConfig) -> Flows:
        flows = cls(table, config)
        stored, steps = unpack_flows(data)
        clock = flows._clock
        clock.now, clock.ahead, clock.horizon = stored.now, stored.ahead, stored.horizon
        flows._aliases = AliasTable.load(stored.aliases)
        flows._change(set(), [flows._node(*each) for each in steps])
        return flows

    def _change(self, gone: set[int], nodes: Sequence[Node]) -> list[FlowChange]:
        """Remove steps and add others; return what changed."""
        texts: dict[str, Common] = {}  # touched types, and whether they were common
        habits: dict[tuple[str, str], bool] = {}  # touched habits, and whether they were routine
        weighed: set[str] = set()
        types = self._types
        removed = [self._nodes.pop(number) for number in sorted(gone)]
        for node, count in (*((each, -1) for each in removed), *((each, 1) for each in nodes)):
            if node.text not in texts:
                texts[node.text] = types.is_common(node.text)
            if node.habit not in habits:
                habits[node.habit] = types.is_routine(node.habit)
            types.change(node, count)
            weighed |= self._meetings.change(node, count)
            self._index(node, count)
            if count < 0:
                self._context.discard(node)
        out = {number for number in gone if number in self._graph.nodes}
        common = {text: types.is_common(text) for text in texts}
        changed = {text for text, was_common in texts.items() if common[text] != was_common}
        changed |= {habit[0] for habit, was_routine in habits.items() if types.is_routine(habit) is not was_routine}
        into: list[Node] = []
        for node in (
            *(node for text in changed for node in types.nodes.get(text, {}).values()),
            *(node for node in nodes if node.text not in changed),
        ):
            linked = node.number in self._graph.nodes and node.number not in gone
            found = common[node.text]
            frequent = (found.high if node.is_high else found.low) or types.is_routine(node.habit)
            if frequent or not self._may_link(node, found):
                self._context.add(node)
                if linked:
                    out.add(node.number)
                continue
            alone = not found.low or node.step.technique in CRITICAL
            if linked and alone is not node.alone:
                out.add(node.number)  # out and in again, so that its flow is looked at anew
                linked = False
            node.alone = alone
            if not linked:
                self._context.discard(node)
                into.append(node)
        return self._regroup(out, sorted(into, key=lambda each: each.number), weighed)

    def _index(self, node: Node, change: int) -> None:
        """Add a step (1) to the indexes or remove it (-1)."""
        if change > 0:
            self._nodes[node.number] = node
            self._of_cluster.setdefault(node.cluster, set()).add(node.number)
            for entity in node.entities:
                self._of_entity.setdefault(entity, set()).add(node.number)
            return
        _discard(self._of_cluster, node.cluster, node.number)
        for entity in node.entities:
            _discard(self._of_entity, entity, node.number)

    def _close(self) -> list[FlowChange]:
        """Forget what has had no news for as long as the window; return the flows that are closed by it."""
        horizon = self._clock.horizon
        old = {flow: group for flow, group in self._groups.items() if self._end(group) < horizon}
        closed = []
        for _, group in sorted(old.items()):
            flow = self._draw(group)
            reasons = (*flow.reasons, f"closed: no news for {self._config.window_s / _DAY_S:g} days")
            closed.append(FlowChange("closed", msgspec.structs.replace(flow, reasons=reasons)))
        gone = {each.number for each in self._nodes.values() if each.step.end_time < horizon}
        kept = self._group_of.keys() - {number for group in old.values() for number in group.steps}
        for flow_id, group in self._groups.items():
            if flow_id not in old:
                kept |= {each.number for each in self._context.of(self._steps(group)).joined}
        for flow_id, group in old.items():
            del self._groups[flow_id]
            for number in group.steps:
                del self._group_of[number]
        return [*closed, *self._change(gone - kept, ())]

    def _end(self, group: _Group) -> float:
        return max(self._nodes[number].step.end_time for number in group.steps)

    def _by_worth(self, node: Node) -> tuple[bool, float, int]:
        """Return a sort key: steps of incidents are forgotten last, and the oldest first."""
        return node.number in self._group_of, node.step.end_time, node.number

    def _excess(self, nodes: Sequence[Node]) -> list[int]:
        """Return the oldest steps that are too many, once others come."""
        gone = []
        for text in {node.text for node in nodes}:
            there = self._types.nodes.get(text, {})
            if len(there) >= self._config.most_of_type:
                gone.append(min(there, key=lambda number: (there[number].step.end_time, number)))
        for there, most in ((self._nodes, self._config.most_steps), (self._graph.nodes, self._config.most_linked)):
            if len(there) + len(nodes) > most:
                left = len(there) + len(nodes) - int(most * _KEPT_SHARE)
                oldest = sorted(there.values(), key=self._by_worth)
                gone += [each.number for each in oldest[:left]]
        return gone

    def _regroup(self, out: set[int], into: Sequence[Node], weighed: set[str]) -> list[FlowChange]:
        """Change the linked steps; return what became of the flows."""
        if not out and not into and not weighed:
            return []
        before = {self._group_of[number] for number in out if number in self._group_of}
        groups = self._graph.groups(self._graph.change(sorted(out), into, sorted(weighed)))
        regrouped = {number for group in groups for number in group}
        before |= {self._group_of[number] for number in regrouped & self._group_of.keys()}
        was = {flow: self._groups[flow] for flow in before}
        left = {number for group in was.values() for number in group.steps if number in self._graph.nodes}
        made = {*groups, *self._graph.groups(left - regrouped)}
        fresh = {node.number for node in into}
        for flow, group in list(was.items()):
            if group.steps in made and fresh.isdisjoint(group.steps):
                made.remove(group.steps)
                del was[flow]
                continue
            del self._groups[flow]
            for number in group.steps:
                del self._group_of[number]
        now = []
        for steps in made:
            nodes = [self._graph.nodes[number] for number in steps]
            if is_incident(nodes, self._table, self._config):
                techniques = {node.step.technique for node in nodes}
                critical = {node.text for node in nodes if is_critical(node, self._config)}
                group = _Group(steps, frozenset(node.cluster for node in nodes), len(techniques), len(critical))
                now.append(group)
                self._groups[steps[0]] = group
                self._group_of.update(dict.fromkeys(steps, steps[0]))
        return self._changes(was, sorted(now, key=lambda each: each.steps))

    def _changes(self, was: dict[int, _Group], now: Sequence[_Group]) -> list[FlowChange]:
        """Return what became of former flows, and which are new."""
        changes = []
        followed: dict[int, list[int]] = {}  # by flow, the former flows with another id that went on in it
        for flow, former in was.items():
            if flow in self._groups:
                continue
            heir = next((self._group_of[number] for number in former.steps if number in self._group_of), None)
            if heir is None:
                changes.append(FlowChange("closed", self._ended(flow, former)))
            else:
                followed.setdefault(heir, []).append(flow)
        for group in now:
            flow = group.steps[0]
            old, merged = was.get(flow), tuple(sorted(followed.get(flow, ())))
            word: Word | None = None
            if old is None:
                word = "opened"
            elif merged:
                word = "merged"
            elif group.notified_size() != old.notified_size():
                word = "shrank" if len(group.steps) < len(old.steps) else "grew"
            if word:
                changes.append(FlowChange(word, self._draw(group), merged))
        return sorted(changes, key=lambda each: each.flow.flow_id)

    def _ended(self, flow: int, group: _Group) -> Flow:
        """Return a flow that is no more."""
        times = [node.step.end_time for number in group.steps if (node := self._nodes.get(number))]
        why = "what links its steps has become frequent, or its steps are too old"
        return Flow(
            flow, tuple(sorted(group.clusters)), 0.0, (), (), min(times, default=0.0), max(times, default=0.0),
            reasons=(f"closed: {why}",),
        )  # fmt: skip

    def _may_link(self, node: Node, common: Common) -> bool:
        """Return whether a step is severe enough to link, or is a rare move from one machine inside to another."""
        if node.severity >= self._config.link_severity:
            return True
        moved = node.src != node.dst and is_inside(node.src) and is_inside(node.dst)
        return moved and not common.repeated and "lateral-movement" in self._table.tactics_of(node.step.technique)

    def _steps(self, group: _Group) -> list[Node]:
        return [self._graph.nodes[number] for number in group.steps]

    def _draw(self, group: _Group) -> Flow:
        nodes = self._steps(group)
        return draw(nodes, self._context.of(nodes), self._meetings, self._aliases, self._table, self._config)


def build_flows(clusters: Iterable[ClusterSummary], table: AttackTable, config: FlowConfig = _DEFAULT) -> list[Flow]:
    """Return the flows of clusters, also closed ones: the result of an update with each, in order of their ends."""
    flows = Flows(table, config)
    closed: dict[int, Flow] = {}
    for cluster in sorted(clusters, key=lambda each: (each.end_time, each.cluster_id)):
        for change in flows.update(cluster):
            if change.word == "closed" and change.flow.nodes:
                closed[change.flow.flow_id] = change.flow
    return sorted([*closed.values(), *flows.flows()], key=lambda each: each.flow_id)


def _entities(step: Step) -> tuple[str, ...]:
    """Return the source, the target and the further entities of a step in canonical form.

    An account's bare name in a host's place (`alice` of a cloud's log) is that of the user whom the step names.
    """
    hosts, users = ([form(end) for end in (step.src, step.dst)] for form in (canonical, canonical_user))
    ends = (user if user in step.entities else host for host, user in zip(hosts, users, strict=True))
    return *ends, *step.entities


def _discard(index: dict[_Key, set[int]], key: _Key, number: int) -> None:
    """Remove a number from an index, and a key that has none left."""
    there = index.get(key)
    if there is not None:
        there.discard(number)
        if not there:
            del index[key]


def _rounded(count: int) -> int:
    """Return a count cut to its leading binary digits: 1 to 8, then 10, 12, 14, 16, 20, 24 and so on."""
    small = max(count.bit_length() - _DIGITS, 0)
    return count >> small << small
