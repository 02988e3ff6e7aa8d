"""An incident as reports show it: a flow with its severity in words, its machines, tactics and techniques."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from app.domains.alerts.attack import attack_table
from app.domains.alerts.entities import canonical, kind, label, short_name
from app.domains.alerts.formats.severity import word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.incidents import Flow

TACTICS_NAMED = 3  # in a title
HASH_SHOWN = 12  # characters: enough to tell those of one incident apart
UNSTATED = "unstated"
"""The word for a severity that no alert states."""
WORDS = ("critical", "high", "medium", "low", "informational", UNSTATED)


@dataclasses.dataclass(frozen=True)
class Incident:
    """A flow as a report shows it.

    Attributes:
        number: Its number in the report, from 1.
        flow: The flow.
        tenant: Its tenant; empty if the report has one tenant alone.
        names: Names of machines by their addresses, as far as alerts state both.

    A machine is known by the canonical form of its name, else of its address, however its alerts write it.
    """

    number: int
    flow: Flow
    tenant: str = ""
    names: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def severity(self) -> int | None:
        """Return its severity, 0 to 100; None if no alert states one."""
        return severity_of(self.flow)

    @property
    def word(self) -> str:
        """Return its severity in a word."""
        return UNSTATED if self.severity is None else word(self.severity)

    @property
    def alerts(self) -> int:
        """Return the number of its alerts."""
        return alerts_of(self.flow)

    @functools.cached_property
    def machines(self) -> dict[str, str]:
        """Return the machines of its steps in order of their first step, each with a label for people."""
        ends = [end for node in self.flow.nodes for end in (node.step.src, node.step.dst)]
        written: dict[str, dict[str, None]] = {}
        for end in ends:
            if machine := self.machine(end):
                written.setdefault(machine, {}).setdefault(label(canonical(end)))
        return {machine: _label(machine, list(forms)) for machine, forms in written.items()}

    def machine(self, end: str) -> str:
        """Return the machine that a source or target of a step is; empty where it names none."""
        found = canonical(end)
        found = self._names.get(found, found)
        short = short_name(found) if kind(found) == "name" else found
        return short if short in self._short_names else found

    @functools.cached_property
    def _short_names(self) -> set[str]:
        """Return the names without a domain, which are those of full names, too, within one incident."""
        ends = (end for node in self.flow.nodes for end in (node.step.src, node.step.dst))
        found = {*map(canonical, ends), *self._names.values()}
        return {each for each in found if kind(each) == "name" and "." not in each}

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        found = {canonical(address): canonical(name) for address, name in self.names.items()}
        return {address: name for address, name in found.items() if address and name}

    @property
    def others(self) -> list[str]:
        """Return the users, hashes and further hosts of its steps."""
        found = dict.fromkeys(each for node in self.flow.nodes for each in node.step.entities)
        return [_entity(each) for each in found if self.machine(each) not in self.machines]

    @property
    def tactics(self) -> list[str]:
        """Return the names of its tactics in the order of the kill chain."""
        return [name for name, _ in self.techniques if name]

    @property
    def techniques(self) -> list[tuple[str, dict[str, int]]]:
        """Return its tactics in the order of the kill chain, each with the alerts of each of its techniques."""
        table = attack_table()
        found: dict[str, dict[str, int]] = {}
        for node in self.flow.nodes:
            if node.step.technique:
                of_tactic = found.setdefault(node.tactic, {})
                of_tactic[node.step.technique] = of_tactic.get(node.step.technique, 0) + node.step.alerts
        stages = {each.short_name: (stage, each.name) for stage, each in enumerate(table.tactics)}
        last = (len(stages), "")
        return [
            (stages.get(tactic, last)[1], found[tactic])
            for tactic in sorted(found, key=lambda each: stages.get(each, last))
        ]

    @property
    def title(self) -> str:
        """Return a title: its tactics, or the name of its first step; and on how many machines."""
        tactics = self.tactics
        if not tactics:
            title = self.flow.nodes[0].step.name if self.flow.nodes else f"Flow {self.flow.flow_id}"
        elif len(tactics) <= TACTICS_NAMED:
            title = ", ".join(tactics)
        else:
            title = f"{tactics[0]} to {tactics[-1]}, {len(tactics)} tactics"
        return f"{title}, {len(self.machines)} machines" if len(self.machines) > 1 else title


def alerts_of(flow: Flow) -> int:
    """Return the number of a flow's alerts."""
    return flow.alerts or sum(node.step.alerts for node in flow.nodes)


def severity_of(flow: Flow) -> int | None:
    """Return a flow's severity, 0 to 100, else the highest of its steps; None if none states one."""
    stated = [node.step.severity for node in flow.nodes if node.step.severity is not None]
    return max((flow.severity, *stated)) if flow.severity or stated else None


def by_severity(flows: Iterable[Flow]) -> list[Flow]:
    """Return flows with the most severe first; among equals, those with more risk, then tactics, then steps."""
    return sorted(flows, key=_rank)


def _rank(flow: Flow) -> tuple[float, float, int, int, float, int]:
    severity = severity_of(flow)
    tactics = {node.tactic for node in flow.nodes}
    rank = -1 if severity is None else severity
    return (-rank, -flow.risk, -len(tactics), -len(flow.nodes), flow.start_time, flow.flow_id)


def _entity(entity: str) -> str:
    """Return a user, hash or host for people: of a hash its beginning."""
    return f"hash {label(entity)[:HASH_SHOWN]}…" if kind(entity) == "hash" else label(entity)


def _label(machine: str, forms: Sequence[str]) -> str:
    """Return a machine's name with the addresses that it had."""
    name = label(machine)
    others = [each for each in forms if each != name]
    return f"{name} ({', '.join(others)})" if others else name
