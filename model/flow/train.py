"""Learn the usual position of tactics in an attack: `python -m model.flow.train attack_flow_corpus_graphs.json`.

A technique's position is the mean of its tactics' positions. These are learned such that, of two techniques, the one
with the smaller position comes first as often as possible: a logistic regression on the difference. It learns the
distance of a tactic from its position in the kill chain, kept small by a ridge: there are few flows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.attack import attack_table
from app.domains.alerts.flows.causality import ORDER, TechniqueOrder
from model.flow.corpus import FlowPairs, read_corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from app.domains.alerts.attack import AttackTable

NOTICE = (
    "Learned from the Attack Flow corpus of the Center for Threat-Informed Defense, "
    "© MITRE, Apache License 2.0; only these numbers are derived from it."
)
STAGE = "stage"  # the feature of the position in the kill chain, from 0 to 1
ACCESS = "initial-access"
PREPARATION = frozenset({"reconnaissance", "resource-development"})
"""Tactics that precede access by definition; they are learned with it, since many reports begin at access and name its
preparation later."""
STAGE_RIDGE, RIDGE = 0.01, 4.0
STEPS = 60  # of Newton's method; it needs about eight


def fit(flows: Sequence[FlowPairs], table: AttackTable) -> TechniqueOrder:
    """Return the positions of tactics that best predict the order of the flows' reachable pairs."""
    learned = weights(flows, lambda technique: tactic_features(technique, table))
    names = [tactic.short_name for tactic in table.tactics]
    of_chain = learned[STAGE] * np.arange(len(names)) / len(names)
    of_tactics = of_chain - of_chain.mean() + np.array([learned.get(_learned_as(name), 0.0) for name in names])
    return TechniqueOrder(NOTICE, dict(zip(names, of_tactics.round(3).tolist(), strict=True)))


def tactic_features(technique: str, table: AttackTable) -> dict[str, float]:
    """Return the mean stage of a technique's tactics, and the share of each of them."""
    features = {STAGE: 0.0}
    tactics = table.tactics_of(technique)
    for tactic in tactics:
        features[STAGE] += table.stage_of(tactic) / len(table.tactics) / len(tactics)
        features[_learned_as(tactic)] = features.get(_learned_as(tactic), 0.0) + 1.0 / len(tactics)
    return features


def weights(flows: Sequence[FlowPairs], features: Callable[[str], Mapping[str, float]]) -> dict[str, float]:
    """Return the weight of each feature of a technique in its position; each flow counts the same.

    Args:
        flows: Flows with reachable pairs.
        features: Returns the features of a technique by name, `STAGE` among them.
    """
    of_technique = {technique: features(technique) for flow in flows for technique in flow.techniques.values()}
    columns = {
        name: index for index, name in enumerate(sorted({name for each in of_technique.values() for name in each}))
    }
    rows = {technique: np.zeros(len(columns)) for technique in of_technique}
    for technique, found in of_technique.items():
        for name, value in found.items():
            rows[technique][columns[name]] = value
    differences = np.array(
        [
            rows[flow.techniques[later]] - rows[flow.techniques[first]]
            for flow in flows
            for first, later in flow.reachable
        ]
    )
    of_pairs = np.array([len(differences) / len(flows) / len(flow.reachable) for flow in flows for _ in flow.reachable])
    ridge = np.array([STAGE_RIDGE if name == STAGE else RIDGE for name in columns]) * _ridge_factor(len(differences))
    learned = _logistic(differences, of_pairs, ridge)
    return {name: float(learned[index]) for name, index in columns.items()}


def _learned_as(tactic: str) -> str:
    return ACCESS if tactic in PREPARATION else tactic


def _ridge_factor(pairs: int) -> float:
    """Return the factor of the ridge, which grows with the data since pairs of one flow are hardly independent."""
    return pairs / 400.0


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
    print(f"{ORDER.name}: {len(order.tactics)} tactics from {len(corpus)} flows")
