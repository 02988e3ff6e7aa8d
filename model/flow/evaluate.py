"""Measure how often the order of two actions is predicted correctly: `millrace model evaluate flow`.

Every flow is evaluated with positions learned from the other flows. Times are invented, as the corpus has almost none:
an action starts after the actions that lead to it, with exponential gaps, and its alert is late by a normal error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from app.domains.alerts.attack import attack_table, parent_of
from app.errors import SettingsError
from model.flow.corpus import FlowPairs, read_corpus, read_recorded
from model.flow.train import fit, tactic_features, weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.domains.alerts.attack import AttackTable

    Positions = dict[str, tuple[float, ...]]  # of each action of a flow, smaller is earlier

CORPUS, RECORDED = "attack_flow_corpus_graphs.json", "recorded_attack_steps.csv"
KILL_CHAIN, LEARNED = "kill chain", "learned order"
MEAN_GAP_S = 600.0  # between an action and the next
LATE_S = (0.0, 60.0, 600.0, 3_600.0)
"""Standard deviations of an alert's lateness, by label."""
ROUNDED_S = 3_600.0  # times known to the hour: many ties for tactics to break


class Shares(NamedTuple):
    """Shares of ordered pairs whose first action has the smaller position.

    Attributes:
        half: Of all pairs, a tie counting half.
        decided: Of the pairs that are no tie.
    """

    half: float
    decided: float


class Row(NamedTuple):
    """A method of ordering, with its shares of correct direct and reachable pairs."""

    name: str
    direct: Shares
    reachable: Shares


class Table(msgspec.Struct, frozen=True):
    """The results on one set of attacks.

    Attributes:
        name: The set.
        attacks: Attacks that have pairs of known techniques.
        direct: Their direct pairs.
        reachable: Their reachable pairs.
        rows: The methods.
    """

    name: str
    attacks: int
    direct: int
    reachable: int
    rows: list[Row]


def stage(technique: str, table: AttackTable) -> float:
    """Return the mean kill-chain stage of a technique's tactics."""
    return float(np.mean([table.stage_of(tactic) for tactic in table.tactics_of(technique)]))


def times(flow: FlowPairs, late_s: float, seed: int) -> dict[str, float]:
    """Return invented times for a flow's alerts."""
    rng = np.random.default_rng(seed)
    happened: dict[str, float] = {}
    for key in sorted(flow.techniques, key=lambda each: (len(flow.earlier[each]), each)):
        happened[key] = max((happened[each] for each in flow.earlier[key]), default=0.0) + float(
            rng.exponential(MEAN_GAP_S)
        )
    return {key: time + abs(float(rng.normal(0.0, late_s))) for key, time in happened.items()}


def report(flows: Sequence[FlowPairs], table: AttackTable) -> list[Row]:
    """Return the methods of ordering, each with its shares of correct direct and reachable pairs."""
    found: dict[str, list[Positions]] = {}
    for number, flow in enumerate(flows):
        untimed = orders([other for other in flows if other is not flow], [flow], table)
        for name, (positions,) in untimed.items():
            found.setdefault(f"{name} alone", []).append(positions)
        for late in LATE_S:
            time = times(flow, late, number)
            found.setdefault(f"time, alerts late by {late:.0f} s", []).append({key: (at,) for key, at in time.items()})
        hour = {key: at // ROUNDED_S for key, at in times(flow, 0.0, number).items()}
        found.setdefault("time to the hour", []).append({key: (at,) for key, at in hour.items()})
        for name in (KILL_CHAIN, LEARNED):
            ties = untimed[name][0]
            found.setdefault(f"time to the hour, ties by the {name}", []).append(
                {key: (at, *ties[key]) for key, at in hour.items()}
            )
    return [_row(name, flows, positions) for name, positions in found.items()]


def report_recorded(flows: Sequence[FlowPairs], recorded: Sequence[FlowPairs], table: AttackTable) -> list[Row]:
    """Return the orders without times, learned from all flows, with their shares on recorded attacks."""
    return [_row(f"{name} alone", recorded, found) for name, found in orders(flows, recorded, table).items()]


def orders(
    learned_from: Sequence[FlowPairs], flows: Sequence[FlowPairs], table: AttackTable
) -> dict[str, list[Positions]]:
    """Return for each order that needs no times the positions of some flows' actions."""
    chain = {technique: stage(technique, table) for flow in flows for technique in flow.techniques.values()}
    order = fit(learned_from, table)
    learned = {technique: order.position(technique, table) for technique in chain}
    most = max(map(abs, order.tactics.values()))
    found: dict[str, dict[str, tuple[float, ...]]] = {
        KILL_CHAIN: {technique: (at,) for technique, at in chain.items()},
        LEARNED: {technique: (at,) for technique, at in learned.items()},
        "mean of both": {
            technique: (round(at / len(table.tactics) + learned[technique] / most / 2, 6),)
            for technique, at in chain.items()
        },
    }
    for name, detail in (("techniques", 1), ("sub-techniques", 2)):

        def features(technique: str, detail: int = detail) -> dict[str, float]:
            return tactic_features(technique, table) | dict.fromkeys((parent_of(technique), technique)[:detail], 1.0)

        weight = weights(learned_from, features)
        found[f"learned order with {name}"] = {
            technique: (round(sum(weight.get(each, 0.0) * value for each, value in features(technique).items()), 6),)
            for technique in chain
        }
    ties = found["learned order with techniques"]
    found["kill chain, ties by techniques"] = {each: (at, *ties[each]) for each, at in chain.items()}
    return {
        name: [{key: of[technique] for key, technique in flow.techniques.items()} for flow in flows]
        for name, of in found.items()
    }


def _row(name: str, flows: Sequence[FlowPairs], positions: Sequence[Positions]) -> Row:
    def shares(which: str) -> Shares:
        pairs = [
            (of[first], of[later])
            for flow, of in zip(flows, positions, strict=True)
            for first, later in getattr(flow, which)
        ]
        right, ties = sum(first < later for first, later in pairs), sum(first == later for first, later in pairs)
        return Shares((right + ties / 2) / len(pairs), right / max(len(pairs) - ties, 1))

    return Row(name, shares("direct"), shares("reachable"))


def evaluate(data: Path) -> list[Table]:
    """Measure the order on the corpus in a folder, and on the recorded attacks where their file is there.

    Raises:
        SettingsError: The corpus is missing.
    """
    path = data / CORPUS
    if not path.is_file():
        raise SettingsError(f"{path}: not found; model/flow/README.md names its source")
    table = attack_table()
    corpus = read_corpus(msgspec.json.decode(path.read_bytes()), table)
    found = [_table("published flows", corpus, report(corpus, table))]
    recorded = read_recorded(data / RECORDED, table) if (data / RECORDED).is_file() else []
    for scenario in sorted({flow.name.partition("_")[0] for flow in recorded}):
        flows = [flow for flow in recorded if flow.name.startswith(f"{scenario}_")]
        found.append(_table(f"recorded scenario {scenario}", flows, report_recorded(corpus, flows, table)))
    return found


def _table(name: str, flows: Sequence[FlowPairs], rows: list[Row]) -> Table:
    direct, reachable = (sum(len(getattr(flow, which)) for flow in flows) for which in ("direct", "reachable"))
    return Table(name, len(flows), direct, reachable, rows)


def print_report(found: Sequence[Table]) -> None:
    """Print the tables of a report."""
    for table in found:
        print(f"{table.name}: {table.attacks} attacks, {table.direct} direct and {table.reachable} reachable pairs\n")
        print("| order by | direct pairs | without ties | reachable pairs | without ties |\n|---|---|---|---|---|")
        for name, *shares in table.rows:
            print(f"| {name} |", " | ".join(f"{each.half:.1%} | {each.decided:.1%}" for each in shares), "|")
        print()
