"""Courses of attacks, as steps with techniques: own ones, those of the published flows, and recorded ones."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.domains.alerts.attack import attack_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CORPUS, RECORDED = "attack_flow_corpus_graphs.json", "recorded_attack_steps.csv"
FEWEST_STEPS, MOST_STEPS = 5, 32
UNSEEN_TACTICS = frozenset(("resource-development",))
"""Tactics whose techniques happen away from the company, where no sensor of it stands."""
RECORDED_FOR_TESTING = ("2_", "1_pwnkit", "1_validaccount")
"""Beginnings of the recorded attacks that are for testing; all others are for fitting."""


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan.

    Attributes:
        technique: Technique id of ATT&CK.
        parents: Positions of the steps that it follows from, from 0.
        at_s: Seconds from the attack's start if recorded, else None.
        lasts_s: Duration if recorded.
    """

    technique: str
    parents: tuple[int, ...] = ()
    at_s: float | None = None
    lasts_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The course of an attack.

    Attributes:
        name: Its name.
        steps: In order; parents stand before their followers.
        on_one_host: Whether all of it happens on one machine.
    """

    name: str
    steps: tuple[PlannedStep, ...]
    on_one_host: bool = False


_OWN = {
    "mail to ransom": (
        "T1566.001 T1204.002 T1059.001 T1105 T1071.001 T1082 T1087.002 T1003.001 T1021.002 T1570 T1562.001 T1486"
    ),
    "web to directory": "T1595.002 T1190 T1505.003 T1059.004 T1105 T1046 T1021.004 T1003.008 T1560.001 T1041",
    "keys to cloud": "T1190 T1059.004 T1552 T1078.004 T1530 T1567.002",
    "remote gateway": "T1110.003 T1133 T1018 T1021.001 T1558.003 T1021.006 T1003.006 T1484.001 T1490 T1486",
    "quiet theft": "T1189 T1204 T1547.001 T1071 T1555 T1135 T1039 T1560 T1048",
    "miner": "T1595 T1190 T1059 T1105 T1053.003 T1496",
}
"""Own plans, so that stories need no further file; the first half is for fitting."""


def own_plans(split: str) -> list[Plan]:
    """Return the plans that come with the project, for `fit` or `test`."""
    plans = [Plan(name, _in_line(each.split())) for name, each in _OWN.items()]
    half = len(plans) // 2
    return plans[:half] if split == "fit" else plans[half:]


def corpus_plans(folder: Path, split: str) -> list[Plan]:
    """Return the published flows as plans: each second one by name is for testing, but a family is never divided.

    Args:
        folder: Folder with the corpus.
        split: `fit` or `test`.
    """
    flows = json.loads((folder / CORPUS).read_text())["flows"]
    families = sorted({_family(flow["name"]) for flow in flows})
    chosen = set(families[0 if split == "fit" else 1 :: 2])
    plans = (_plan_of(flow) for flow in flows if _family(flow["name"]) in chosen)
    return [each for each in plans if len(each.steps) >= FEWEST_STEPS]


def recorded_plans(folder: Path, split: str) -> list[Plan]:
    """Return the recorded attacks on one machine as plans with times, for `fit` or `test`."""
    rows: dict[str, list[PlannedStep]] = {}
    with (folder / RECORDED).open(newline="") as file:
        for row in csv.DictReader(file):
            steps = rows.setdefault(row["attack"], [])
            known = _seen(filter(None, map(attack_table().current, row["techniques"].split())))
            lasts = float(row["lasts_seconds"]) / max(len(known), 1)
            for number, technique in enumerate(known):  # one after the other while the recorded step lasts
                parents = (len(steps) - 1,) if steps else ()
                steps.append(PlannedStep(technique, parents, float(row["seconds_from_start"]) + number * lasts, lasts))
    testing = split != "fit"
    return [
        Plan(name, tuple(steps), on_one_host=True)
        for name, steps in rows.items()
        if name.startswith(RECORDED_FOR_TESTING) is testing
    ]


def plans_of(source: str, split: str, folder: Path | None) -> list[Plan]:
    """Return the plans of a source: `own`, `corpus` or `recorded`; the last two read `folder`."""
    if source == "own" or folder is None:
        return own_plans(split)
    return (corpus_plans if source == "corpus" else recorded_plans)(folder, split)


def _in_line(techniques: Iterable[str]) -> tuple[PlannedStep, ...]:
    return tuple(PlannedStep(technique, (number - 1,) if number else ()) for number, technique in enumerate(techniques))


def _family(name: str) -> str:
    """Return the first word of a flow's name, which variants of one incident share."""
    return name.split(maxsplit=1)[0].lower()


def _seen(techniques: Iterable[str]) -> list[str]:
    """Return the techniques that a sensor of the company can see."""
    table = attack_table()
    return [each for each in techniques if not UNSEEN_TACTICS.issuperset(table.tactics_of(each))]


def _plan_of(flow: dict[str, Any]) -> Plan:
    """Return the actions of a flow with a known technique, in an order that its edges allow."""
    names = {each.name: key for key, each in attack_table().techniques.items()}
    techniques: dict[str, str] = {}
    for key, node in flow["nodes"].items():
        written = node.get("technique_id") or names.get(node.get("name", "").strip(), "")
        current = attack_table().current(written) if node["type"] == "action" and written else None
        if current and _seen([current]):
            techniques[key] = current
    before: dict[str, set[str]] = {key: set() for key in techniques}
    for source, target in flow["action_edges"]:
        if source in before and target in before and source != target:
            before[target].add(source)
    order: list[str] = []
    while len(order) < min(len(techniques), MOST_STEPS):
        waiting = [key for key in techniques if key not in order]
        free = [key for key in waiting if before[key].issubset(order)]
        order.append((free or waiting)[0])
    position = {key: number for number, key in enumerate(order)}
    steps = []
    for number, key in enumerate(order):
        parents = tuple(sorted(position[each] for each in before[key] if position.get(each, number) < number))
        steps.append(PlannedStep(techniques[key], parents or ((number - 1,) if number else ())))
    return Plan(flow["name"], tuple(steps))
