"""Learn the usual position of techniques in an attack: `python -m model.flow.train attack_flow_corpus_graphs.json`.

A position is learned for each tactic and each technique such that, of two techniques, the one with the smaller position
comes first as often as possible: a logistic regression on the difference. It learns the distance of a tactic or a
technique from its position in the kill chain, kept small by a ridge: there are few flows and many techniques.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.attack import attack_table, parent_of
from app.domains.alerts.flows.causality import ORDER, TechniqueOrder
from model.flow.corpus import FlowPairs, read_corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.domains.alerts.attack import AttackTable

NOTICE = (
    "Learned from the Attack Flow corpus of the Center for Threat-Informed Defense, "
    "© MITRE, Apache License 2.0; only these numbers are derived from it."
)
STAGE = "stage"  # the column of the position in the kill chain, from 0 to 1
STAGE_RIDGE, TACTIC_RIDGE, TECHNIQUE_RIDGE = 0.01, 4.0, 4.0
STEPS = 60  # of Newton's method; it needs about eight


def fit(flows: Sequence[FlowPairs], table: AttackTable) -> TechniqueOrder:
    """Return the positions that best predict the order of the flows' reachable pairs; each flow has the same weight."""
    tactics = [tactic.short_name for tactic in table.tactics]
    names = sorted({parent_of(technique) for flow in flows for technique in flow.techniques.values()})
    columns = {name: index for index, name in enumerate((STAGE, *tactics, *names))}
    rows, weights = [], []
    for flow in flows:
        for source, target in flow.reachable:
            rows.append(
                _features(flow.techniques[target], columns, table) - _features(flow.techniques[source], columns, table)
            )
            weights.append(1.0 / len(flow.reachable))
    ridge = np.concatenate([[STAGE_RIDGE], np.full(len(tactics), TACTIC_RIDGE), np.full(len(names), TECHNIQUE_RIDGE)])
    positions = _logistic(np.array(rows), np.array(weights) * len(rows) / len(flows), ridge * _pairs_a_feature(rows))
    of_chain = positions[0] * (np.arange(len(tactics)) / len(tactics))
    of_tactics = (of_chain - of_chain.mean() + positions[1 : 1 + len(tactics)]).round(3)
    of_techniques = positions[1 + len(tactics) :].round(3)
    return TechniqueOrder(
        NOTICE,
        {name: float(position) for name, position in zip(tactics, of_tactics, strict=True)},
        {name: float(position) for name, position in zip(names, of_techniques, strict=True) if position},
    )


def _features(technique: str, columns: dict[str, int], table: AttackTable) -> NDArray[np.float64]:
    row = np.zeros(len(columns))
    tactics = table.tactics_of(technique)
    for tactic in tactics:
        row[columns[tactic]] = 1.0 / len(tactics)
        row[columns[STAGE]] += table.stage_of(tactic) / len(table.tactics) / len(tactics)
    row[columns[parent_of(technique)]] = 1.0
    return row


def _pairs_a_feature(rows: Sequence[NDArray[np.float64]]) -> float:
    """Return the factor of the ridge, which grows with the data since pairs of one flow are hardly independent."""
    return len(rows) / 400.0


def _logistic(X: NDArray[np.float64], weights: NDArray[np.float64], ridge: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a logistic regression in which every row's truth is 1, by Newton's method."""
    positions = np.zeros(X.shape[1])
    for _ in range(STEPS):
        chance = 1.0 / (1.0 + np.exp(-X @ positions))
        gradient = X.T @ (weights * (1.0 - chance)) - ridge * positions
        curvature = (X.T * (weights * chance * (1.0 - chance))) @ X + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        positions += step
        if float(np.abs(step).max()) < 1e-9:  # noqa: PLR2004 - far below the three decimals that are kept
            break
    return positions


if __name__ == "__main__":
    table = attack_table()
    corpus = read_corpus(msgspec.json.decode(Path(sys.argv[1]).read_bytes()), table)
    order = fit(corpus, table)
    ORDER.write_bytes(msgspec.json.format(msgspec.json.encode(order), indent=1) + b"\n")
    print(f"{ORDER.name}: {len(order.tactics)} tactics, {len(order.techniques)} techniques from {len(corpus)} flows")
