"""Measure how often the order of two actions is predicted correctly: `millrace model evaluate flow`.

Every flow is evaluated with positions learned from the other flows. Times are invented, as the corpus has almost none:
an action starts after the actions that lead to it, with exponential gaps, and its alert is late by a normal error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.attack import attack_table
from app.errors import SettingsError
from model.flow.corpus import FlowPairs, read_corpus
from model.flow.train import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from app.domains.alerts.attack import AttackTable

CORPUS = "attack_flow_corpus_graphs.json"
MEAN_GAP_S = 600.0  # between an action and the next
LATE_S = (0.0, 60.0, 600.0, 3_600.0)
"""Standard deviations of an alert's lateness, by label."""
ROUNDED_S = 3_600.0  # times known to the hour: many ties for tactics to break


def accuracy(pairs: Sequence[tuple[str, str]], position: Callable[[str], tuple[float, ...]]) -> float:
    """Return the share of pairs whose first action has the smaller position; a tie counts half."""
    found = [1.0 if position(a) < position(b) else 0.5 if position(a) == position(b) else 0.0 for a, b in pairs]
    return float(np.mean(found)) if found else float("nan")


def kill_chain(flow: FlowPairs, table: AttackTable) -> dict[str, float]:
    """Return the mean kill-chain stage of each action's tactics."""
    return {
        key: float(np.mean([table.stage_of(tactic) for tactic in table.tactics_of(technique)]))
        for key, technique in flow.techniques.items()
    }


def times(flow: FlowPairs, late_s: float, seed: int) -> dict[str, float]:
    """Return invented times for a flow's alerts."""
    rng = np.random.default_rng(seed)
    happened: dict[str, float] = {}
    for key in sorted(flow.techniques, key=lambda each: (len(flow.earlier[each]), each)):
        happened[key] = max((happened[each] for each in flow.earlier[key]), default=0.0) + float(
            rng.exponential(MEAN_GAP_S)
        )
    return {key: time + abs(float(rng.normal(0.0, late_s))) for key, time in happened.items()}


def report(flows: Sequence[FlowPairs], table: AttackTable) -> list[tuple[str, float, float]]:
    """Return the methods of ordering, each with its share of correct direct and reachable pairs."""
    positions: dict[str, list[dict[str, tuple[float, ...]]]] = {}
    for number, flow in enumerate(flows):
        order = fit([other for other in flows if other is not flow], table)
        stage = kill_chain(flow, table)
        learned = {key: order.position(technique, table) for key, technique in flow.techniques.items()}
        positions.setdefault("kill chain alone", []).append({key: (value,) for key, value in stage.items()})
        positions.setdefault("learned order alone", []).append({key: (value,) for key, value in learned.items()})
        for late in LATE_S:
            time = times(flow, late, number)
            name = f"time, alerts late by {late:.0f} s"
            positions.setdefault(name, []).append({key: (value,) for key, value in time.items()})
        hour = {key: value // ROUNDED_S for key, value in times(flow, 0.0, number).items()}
        positions.setdefault("time to the hour", []).append({key: (value,) for key, value in hour.items()})
        positions.setdefault("time to the hour, ties by the kill chain", []).append(
            {key: (value, stage[key]) for key, value in hour.items()}
        )
        positions.setdefault("time to the hour, ties by the learned order", []).append(
            {key: (value, learned[key]) for key, value in hour.items()}
        )
    return [(name, _share(flows, of, "direct"), _share(flows, of, "reachable")) for name, of in positions.items()]


def _share(flows: Sequence[FlowPairs], positions: Sequence[dict[str, tuple[float, ...]]], which: str) -> float:
    right = count = 0.0
    for flow, position in zip(flows, positions, strict=True):
        pairs = getattr(flow, which)
        if pairs:
            right += accuracy(pairs, position.__getitem__) * len(pairs)
            count += len(pairs)
    return right / count


class Report(msgspec.Struct, frozen=True):
    """The results of an evaluation.

    Attributes:
        flows: Flows that have pairs of known techniques.
        direct: Their direct pairs.
        reachable: Their reachable pairs.
        rows: The method of ordering, and its share of correct direct and reachable pairs.
    """

    flows: int
    direct: int
    reachable: int
    rows: list[tuple[str, float, float]]


def evaluate(data: Path) -> Report:
    """Measure the order on the corpus in a folder.

    Raises:
        SettingsError: The corpus is missing.
    """
    path = data / CORPUS
    if not path.is_file():
        raise SettingsError(f"{path}: not found; model/flow/README.md names its source")
    table = attack_table()
    corpus = read_corpus(msgspec.json.decode(path.read_bytes()), table)
    direct, reachable = (sum(len(getattr(flow, which)) for flow in corpus) for which in ("direct", "reachable"))
    return Report(len(corpus), direct, reachable, report(corpus, table))


def print_report(found: Report) -> None:
    """Print the table of a report."""
    print(f"{found.flows} flows, {found.direct} direct and {found.reachable} reachable pairs of known techniques\n")
    print("| order by | direct pairs | reachable pairs |\n|---|---|---|")
    for name, of_direct, of_reachable in found.rows:
        print(f"| {name} | {of_direct:.1%} | {of_reachable:.1%} |")
