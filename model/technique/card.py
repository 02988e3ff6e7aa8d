"""Write the card of the technique model: its method, its training data, its measures and its limits."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from app.domains.alerts.techniques.features import FORMS, KINDS, LONGEST_RUN, SHORTEST_RUN

if TYPE_CHECKING:
    from app.domains.alerts.techniques.decision import DecisionSettings
    from model.technique.fit import Corpus, Options
    from model.technique.measure import Band, Score

FEWEST_SHOWN = 5  # texts of a point of the picture: fewer say little

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
    curves: dict[str, list[Band]],
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
    bands = "\n".join(
        f"| {name} | " + " · ".join(f"{each.confidence:.2f} / {each.right:.2f} ({each.texts})" for each in found) + " |"
        for name, found in curves.items()
    )
    files = ", ".join(f"`{name}` {size / 1e6:.2f} MB" for name, size in sizes.items())
    notice = "\n".join(f"- {line}" for line in ATTRIBUTION)
    return f"""# ATT&CK technique of an alert: `{run_id}`

Predicts ATT&CK techniques from an alert's name, and from its description, product and command line where it has them.
TF-IDF over words, pairs of words and runs of {SHORTEST_RUN} to {LONGEST_RUN} characters, and a linear layer for each
technique: ridge regression in closed form, eased in {options.rounds} rounds towards a support vector machine, cut to
{options.per_feature} techniques a feature, in half precision. Files: {files}.

## How good it is
Sigma's rules of 2023 and 2024, scored by a model of the rules before 2023 and of the other sources, without their
copies of the tested rules. Calibration and threshold are of 2021 and 2022, each scored by a model of earlier samples,
and of other vendors' rules, scored by a model without them.

| text | rules | hierarchical F1 | best one right | answered | of these right | with parents | mean confidence |
|---|---|---|---|---|---|---|---|
{rows}

Hierarchical F1 answers every text. "Right" is a true technique or a sub-technique of one; "with parents" counts a
parent of a true one as 0.75. **These are figures of the method.** This bundle was fitted on the rules of 2023 and 2024
as well, and is calibrated on them too; its threshold is {settings.threshold}. The figure of TRAM's reports in
`model/technique/README.md` is of the method as well, fitted on TRAM's own sentences; this bundle has not learned them,
and what it reaches there stands beside it.

Mean confidence / share that was right (texts), for each form of text and each kind of source:

| | from low to high confidence |
|---|---|
{bands}

![Confidence beside the share that was right](card.png)

## What it was trained on
{trained} samples; of procedure examples {options.examples} of a technique at the most. Ids are those of ATT&CK v19.

## Limits
- It knows words, not meanings: a new tool's name says nothing to it. Without a threshold, more than half of new rules
  are answered wrong; with it, most are left unknown.
- It has learned English texts of rules about hosts and clouds. Names of network signatures (Suricata, Snort) are not
  among them: a table answers those, and the model needs more confidence for one that the table does not have.
- Confidence is measured on new rules of Sigma and of other vendors, for each form of text and for clouds apart. Alerts
  of other detectors are worded otherwise: measure it on yours.
- Labels are their authors' opinions: collections of rules label similar rules differently.

## Notice
{notice}
"""


def card_figure(curves: dict[str, list[Band]]) -> bytes:
    """Return the reliability curves as a PNG."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, names, title in zip(
        figure.subplots(1, 2), (FORMS, KINDS), ("form of text", "kind of source"), strict=True
    ):
        axes.plot((0, 1), (0, 1), color="0.7", linewidth=1)
        for name in filter(curves.__contains__, names):
            bands = [each for each in curves.get(name, []) if each.texts >= FEWEST_SHOWN]
            axes.plot([each.confidence for each in bands], [each.right for each in bands], marker="o", label=name)
        axes.set(title=title, xlabel="mean confidence", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1))
        axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80, metadata={"Software": None})
    return picture.getvalue()
