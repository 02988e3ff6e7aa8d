"""Read attacks as ordered pairs of actions: the published flows, and recorded steps."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from app.domains.alerts.attack import AttackTable


@dataclass(frozen=True)
class FlowPairs:
    """One flow of the corpus, limited to actions with a technique of the enterprise matrix.

    Attributes:
        name: The flow's name.
        techniques: Each action's technique by its current id.
        direct: Pairs of actions, the earlier one first, that an edge joins.
        reachable: Pairs of actions, the earlier one first, that a path joins; pairs joined both ways are left
            out, and so are two actions of one technique.
        earlier: For each action, all actions with a path to it, of any technique; none within a circle.
    """

    name: str
    techniques: dict[str, str]
    direct: tuple[tuple[str, str], ...]
    reachable: tuple[tuple[str, str], ...]
    earlier: dict[str, list[str]]


def read_corpus(source: dict[str, Any], table: AttackTable) -> list[FlowPairs]:
    """Return the flows with at least one ordered pair of known techniques."""
    flows = [_pairs_of(flow, table) for flow in source["flows"]]
    return [flow for flow in flows if flow.reachable]


def read_recorded(path: Path, table: AttackTable) -> list[FlowPairs]:
    """Return recorded attacks, their steps in order of time: each step leads to the next.

    A step of several techniques is as many actions; two actions of one technique are no pair.

    Args:
        path: CSV with the columns `attack`, `seconds_from_start` and `techniques` (ids with blanks between them).
        table: The known techniques.
    """
    attacks: dict[str, list[tuple[float, list[str]]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            known = [technique for each in row["techniques"].split() if (technique := table.current(each))]
            if known:
                attacks.setdefault(row["attack"], []).append((float(row["seconds_from_start"]), known))
    return [_recorded(name, [known for _, known in sorted(steps)]) for name, steps in attacks.items()]


def _recorded(name: str, steps: list[list[str]]) -> FlowPairs:
    techniques = {f"{step}-{each}": each for step, known in enumerate(steps) for each in known}
    actions = [[f"{step}-{each}" for each in known] for step, known in enumerate(steps)]

    def pairs(reach: int) -> tuple[tuple[str, str], ...]:
        return tuple(
            (first, later)
            for step, firsts in enumerate(actions)
            for laters in actions[step + 1 : step + 1 + reach]
            for first, later in product(firsts, laters)
            if techniques[first] != techniques[later]
        )

    earlier = {
        each: [first for firsts in actions[:step] for first in firsts]
        for step, known in enumerate(actions)
        for each in known
    }
    return FlowPairs(name, techniques, pairs(1), pairs(len(actions)), earlier)


def _pairs_of(flow: dict[str, Any], table: AttackTable) -> FlowPairs:
    techniques = {}
    for key, node in flow["nodes"].items():
        technique = table.current(node.get("technique_id") or "") if node["type"] == "action" else None
        if technique is not None:
            techniques[key] = technique
    followers: dict[str, set[str]] = {}
    for source, target in flow["edges"]:
        followers.setdefault(source, set()).add(target)
    later = {key: _reachable(key, followers) for key in techniques}
    ordered = [
        (source, target)
        for source in sorted(techniques)
        for target in sorted(later[source])
        if target in techniques and source not in later[target]
    ]
    earlier: dict[str, list[str]] = {key: [] for key in techniques}
    for source, target in ordered:
        earlier[target].append(source)
    ordered = [(source, target) for source, target in ordered if techniques[source] != techniques[target]]
    edges = {(source, target) for source, target in flow["action_edges"]}
    return FlowPairs(
        flow["name"], techniques, tuple(pair for pair in ordered if pair in edges), tuple(ordered), earlier
    )


def _reachable(start: str, followers: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in followers.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found
