"""Fit the probabilities of incidents and edges on stories, and show how often they are right on others.

An incident's log odds are a line in the logarithm of its risk (the number of tactics added nothing); an edge's are a
line in those that the engine gives it. Incidents count as right if most of their alerts are of one attack. Of edges
only those with an end in an attack are judged: right are those that lead from an earlier step of it to a later one.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.domains.alerts.flows.risk import OFFSET
from app.settings import read_settings
from model.stories.engine import Engine
from model.stories.evaluate import OWN_SETS, SETS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from model.stories.engine import Found
    from model.stories.story import Story

RIDGE = 1e-3  # keeps the weights finite where stories are divided without a fault
ROUNDS = 50  # of Newton's method, which needs about ten
BINS = 5


class Rows(NamedTuple):
    """What is to be fitted.

    Attributes:
        given: Features, a row each; the first column is 1.
        right: 1 if right, else 0.
        stated: The engine's probability.
    """

    given: np.ndarray
    right: np.ndarray
    stated: np.ndarray


def fit(rows: Rows) -> np.ndarray:
    """Return the weights of a logistic regression by Newton's method, with a small ridge."""
    weights = np.zeros(rows.given.shape[1])
    for _ in range(ROUNDS):
        said = chances(rows.given, weights)
        slope = rows.given.T @ (rows.right - said) - RIDGE * weights
        bend = (rows.given * (said * (1 - said))[:, None]).T @ rows.given + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(bend, slope)
    return weights


def chances(given: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the probabilities by the weights."""
    said: np.ndarray = 1 / (1 + np.exp(-np.clip(given @ weights, -30, 30)))
    return said


def reliability(said: np.ndarray, right: np.ndarray) -> list[tuple[float, float, int]]:
    """Return mean probability, share of right ones, and number, for bins of equal width that are not empty."""
    index = np.minimum((said * BINS).astype(int), BINS - 1)
    return [
        (float(said[index == each].mean()), float(right[index == each].mean()), int((index == each).sum()))
        for each in range(BINS)
        if (index == each).any()
    ]


def calibrate(count: int, folder: Path | None) -> None:
    """Print the weights from stories for fitting, and the reliability on stories for testing."""
    engine = Engine(read_settings({"LOG_LEVEL": "ERROR"}))
    found = {split: list(_found(engine, count, split, folder)) for split in ("fit", "test")}
    for name, rows_of, columns in (
        ("incidents", _incidents, ("1", f"ln(risk + {OFFSET})")),
        ("edges", _edges, ("1", "log odds")),
    ):
        fitting, testing = (rows_of(found[split]) for split in ("fit", "test"))
        weights = fit(fitting)
        print(f"{name}: log odds =", " + ".join(f"{w:.3f} {c}" for w, c in zip(weights, columns, strict=True)))
        for title, said in (("as stated", testing.stated), ("as fitted", chances(testing.given, weights))):
            brier = float(np.mean((said - testing.right) ** 2))
            print(f"  {title}: Brier score {brier:.4f} over {len(said)}")
            for mean, share, number in reliability(said, testing.right):
                print(f"    says {mean:.2f}, right {share:.2f}, {number} of them")


def _found(engine: Engine, count: int, split: str, folder: Path | None) -> Iterator[tuple[Story, Found]]:
    for each in SETS if folder else OWN_SETS:
        for story in each.stories(count, split, folder):
            yield story, engine.find(engine.enrich(story.lines()))


def _incidents(found: Sequence[tuple[Story, Found]]) -> Rows:
    given, right, stated = [], [], []
    for story, of in found:
        for incident in of.incidents:
            attacks = Counter(story.labels[at].attack for at in incident.alerts)
            attacks.pop("", None)
            given.append((1.0, math.log(incident.risk + OFFSET)))
            right.append(float(2 * max(attacks.values(), default=0) > len(incident.alerts)))
            stated.append(incident.probability)
    return Rows(np.array(given), np.array(right), np.array(stated))


def _edges(found: Sequence[tuple[Story, Found]]) -> Rows:
    given, right, stated = [], [], []
    for story, of in found:
        for incident in of.incidents:
            for source, target, probability in incident.edges:
                first, second = story.labels[source], story.labels[target]
                if not first.attack and not second.attack:
                    continue
                bounded = min(max(probability, 0.001), 0.999)
                given.append((1.0, float(np.log(bounded / (1 - bounded)))))
                right.append(float(first.attack == second.attack and first.step <= second.step))
                stated.append(probability)
    return Rows(np.array(given), np.array(right), np.array(stated))
