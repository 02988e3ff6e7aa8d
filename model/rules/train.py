"""Train a technique model on one's own rules on top of the shipped one, and measure both on rules held out."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.techniques.catalogue import key_of_title, shipped_catalogue
from app.domains.alerts.techniques.model import ARRAYS, SETTINGS, WEIGHTS, TechniqueModel
from app.domains.alerts.techniques.resolver import BUNDLE
from app.errors import ModelError
from app.inference.arrays import read_arrays
from app.inference.bundle import Bundle, list_bundles
from model.rules.bundle import NOTICE, write
from model.rules.update import samples_of, settings_for, update
from model.technique.measure import hierarchical_f1, is_right

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.rules.rule import Rule
    from model.technique.data import Sample

MODEL = "attack_technique_own"
"""The kind of model; the shipped one is `attack_technique`."""
FEWEST_RULES = 20  # with fewer, the words that a technique's rules share are chance
HELD_OUT = 5  # every fifth rule is held out once to measure
_DESCRIBED = 1  # the view of title and description, which is what most alerts have


class Quality(msgspec.Struct, frozen=True):
    """The quality of answers on rules held out, by title and description.

    Attributes:
        f1: Mean hierarchical F1 if every text is answered.
        right: Share of texts whose best technique is a true one, or a sub-technique of one.
        answered: Share of texts that are answered at the threshold.
        precision: Share of those whose first technique is a true one, or a sub-technique of one.
    """

    f1: float
    right: float
    answered: float
    precision: float

    def line(self) -> str:
        """Return the figures as text."""
        return (
            f"F1 {self.f1:.3f}, best one right {self.right:.3f}; at the threshold {self.answered:.0%} answered, "
            f"{self.precision:.3f} right"
        )


def train_on(rules: Sequence[Rule], output: str, say: Callable[[str], None]) -> str | None:
    """Train a technique model further on one's own rules, write it as a bundle, and return its run id.

    Rules that Millrace's catalogue has are left out, since the shipped model has learned them.

    Returns:
        None if there are too few rules, or if training gains nothing on those held out; no bundle is written then.

    Raises:
        ModelError: The shipped model cannot be read.
        CloudError: The bundle cannot be written.
    """
    samples = samples_of([rule for rule in rules if not _is_shipped(rule)])
    if len(samples) < FEWEST_RULES:
        say(
            f"no training: {len(samples)} rules name a technique and are new to the shipped model, of which it needs "
            f"{FEWEST_RULES}; the shipped model stays"
        )
        return None
    shipped = _shipped()
    arrays = read_arrays(shipped.read(WEIGHTS), WEIGHTS, ARRAYS)
    model = TechniqueModel.load(shipped)
    say(f"training on {len(samples):,} rules that are new to the shipped model, first without every fifth to measure")
    is_tested = np.random.default_rng(0).permutation(len(samples)) % HELD_OUT == 0
    tested = [sample for sample, held in zip(samples, is_tested, strict=True) if held]
    rest = [sample for sample, held in zip(samples, is_tested, strict=True) if not held]
    part = update(arrays, model.settings.labels, rest)
    qualities = {
        "shipped": quality(model, tested),
        "own": quality(TechniqueModel(part.arrays, settings_for(model.settings, part.labels)), tested),
    }
    for name, each in qualities.items():
        say(f"  {name:8} {each.line()}")
    if qualities["own"].f1 < qualities["shipped"].f1:
        say("training gains nothing on rules held out: the shipped model stays")
        return None
    say("training on all of them")
    fitted = update(arrays, model.settings.labels, samples)
    settings = settings_for(model.settings, fitted.labels)
    weights = io.BytesIO()
    np.savez_compressed(weights, **fitted.arrays)  # type: ignore[arg-type]
    return write(
        BUNDLE,
        MODEL,
        {
            WEIGHTS: weights.getvalue(),
            SETTINGS: msgspec.json.encode(settings),
            "card.md": _card(samples, shipped.manifest.run_id, len(tested), qualities).encode(),
        },
        output,
        say,
        metrics={
            f"{name}_{field}": round(getattr(each, field), 4)
            for name, each in qualities.items()
            for field in each.__struct_fields__
        },
        attribution=f"{NOTICE}.\n{shipped.manifest.attribution}",
    )


def quality(model: TechniqueModel, tested: Sequence[Sample]) -> Quality:
    """Return the quality of a model's answers on rules that it was not trained on."""
    texts = [sample.views[min(_DESCRIBED, len(sample.views) - 1)] for sample in tested]
    always, sure = model.predict(texts, 0), model.predict(texts)
    first = [bool(each.ids) and is_right(each.ids[0], one.labels) for each, one in zip(always, tested, strict=True)]
    answered = np.array([bool(each.ids) for each in sure])
    right = [bool(each.ids) and is_right(each.ids[0], one.labels) for each, one in zip(sure, tested, strict=True)]
    return Quality(
        f1=float(np.mean([hierarchical_f1(each.ids, one.labels) for each, one in zip(always, tested, strict=True)])),
        right=float(np.mean(first)),
        answered=float(answered.mean()),
        precision=float(np.sum(right) / max(answered.sum(), 1)),
    )


def _is_shipped(rule: Rule) -> bool:
    """Return whether the shipped catalogue has a rule, by one of its ids or titles."""
    known = shipped_catalogue()
    return any(map(known.by_rule, rule.ids)) or any(known.by_title(key_of_title(title)) for title in rule.titles)


def _shipped() -> Bundle:
    """Return the newest technique bundle that Millrace ships, and none that was trained on one's own rules."""
    for bundle in list_bundles():
        if isinstance(bundle, Bundle) and bundle.manifest.name == BUNDLE and bundle.manifest.model != MODEL:
            return bundle
    raise ModelError(f"the shipped bundle of {BUNDLE} is missing: restore it")


def _card(samples: Sequence[Sample], run_id: str, tested: int, qualities: dict[str, Quality]) -> str:
    kinds = Counter(sample.source for sample in samples)
    rows = "\n".join(
        f"| {name} | {each.f1:.3f} | {each.right:.3f} | {each.answered:.0%} | {each.precision:.3f} |"
        for name, each in qualities.items()
    )
    return f"""# ATT&CK technique of an alert, trained on one's own rules

{NOTICE}.

The shipped model `{run_id}`, trained further on {len(samples):,} different rules that name a technique:
{", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())}.
Its weights are the prior of a ridge regression on these rules; calibration and threshold are the shipped model's.

| model | hierarchical F1 | best one right | answered | of these right |
|---|---|---|---|---|
{rows}

By title and description, on {tested:,} of these rules that the measured models were not trained on. They were chosen by
chance: rules of one author resemble each other, so new rules are answered less well. Rules that the shipped catalogue
has were left out, since the shipped model has learned them.
"""
