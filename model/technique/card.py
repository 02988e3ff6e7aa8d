"""Write the card of the technique model: its method, its training data, its measures and its limits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from app.domains.alerts.techniques.features import LONGEST_RUN, SHORTEST_RUN

if TYPE_CHECKING:
    from app.domains.alerts.techniques.decision import DecisionSettings
    from model.technique.fit import Corpus, Options
    from model.technique.measure import Score

ATTRIBUTION = (
    "Trained on detection rules and texts of ATT&CK; it holds weights of words and of runs of characters, no text.",
    "SigmaHQ rules, by the authors named with each rule, Detection Rule License 1.1: https://github.com/SigmaHQ/sigma",
    "Splunk Security Content, Splunk Inc., Apache-2.0: https://github.com/splunk/security_content",
    "Chronicle Detection Rules, Google LLC, Apache-2.0: https://github.com/chronicle/detection-rules",
    "Panther Analysis, Panther Labs Inc., Apache-2.0: https://github.com/panther-labs/panther-analysis",
    "Falco Rules, The Falco Authors, Apache-2.0: https://github.com/falcosecurity/rules",
    "CALDERA Stockpile, The MITRE Corporation, Apache-2.0: https://github.com/mitre/stockpile",
    "Atomic Red Team, Red Canary, Inc., MIT: https://github.com/redcanaryco/atomic-red-team",
    "SIGMA detection rules, Michel de Crevoisier, CC0-1.0: https://github.com/mdecrevoisier/SIGMA-detection-rules",
    "© The MITRE Corporation. This work is reproduced and distributed with the permission of The MITRE Corporation.",
)
"""The attributions that the sources' terms require, one a line."""


def card_text(
    run_id: str,
    *,
    corpus: Corpus,
    options: Options,
    settings: DecisionSettings,
    scores: dict[str, Score],
    sizes: dict[str, int],
) -> str:
    """Return the card as Markdown."""
    sources = Counter(sample.source for sample in corpus.samples)
    trained = ", ".join(f"{name} {count:,}" for name, count in sources.most_common())
    rows = "\n".join(
        f"| {name} | {each.texts} | {each.f1:.3f} | {each.right:.3f} | {each.coverage:.1%} | {each.precision:.3f} "
        f"| {each.credit:.3f} | {each.confidence:.3f} |"
        for name, each in scores.items()
    )
    files = ", ".join(f"`{name}` {size / 1e6:.2f} MB" for name, size in sizes.items())
    notice = "\n".join(f"- {line}" for line in ATTRIBUTION)
    return f"""# ATT&CK technique of an alert: `{run_id}`

Tells ATT&CK techniques from an alert's name, and from its description, product and command line where it has them.
TF-IDF over words, pairs of words and runs of {SHORTEST_RUN} to {LONGEST_RUN} characters, and a linear layer for each
technique: ridge regression in closed form, eased in {options.rounds} rounds towards a support vector machine, cut to
{options.per_feature} techniques a feature, in half precision. Files: {files}.

## How good it is
Sigma rules of 2024, told by a model of the rules before 2024 and of the other sources, without what these have of the
tested rules. Calibration and threshold are of 2022 and 2023, each told by a model of what came before.

| what is read | rules | hierarchical F1 | best one right | answered | of these right | with parents | it said |
|---|---|---|---|---|---|---|---|
{rows}

Hierarchical F1 answers every text. "Right" is a true technique or a sub-technique of one; "with parents" counts a
parent of a true one as 0.75; "it said" is the mean confidence. The shipped model has learnt the rules of 2024 as well,
and its threshold is {settings.threshold}. `millrace model evaluate technique` measures it again, beside the kind
split: five random folds, which share families of rules.

## What it was trained on
{trained} samples; of procedure examples {options.examples} of a technique at the most. Ids are those of ATT&CK v19.

## Limits
- It knows words, not meanings: a new tool's name says nothing to it. Without a threshold, more than half of new rules
  are told wrong; with it, most are left unknown.
- It has learnt English texts of rules about hosts and clouds. Network signatures (Suricata, Snort) are not among them.
- Confidence is measured on new Sigma rules. Alerts of other detectors are worded otherwise: measure it on yours.
- Labels are their authors' opinions: collections of rules label like things differently.

## Notice
{notice}
"""
