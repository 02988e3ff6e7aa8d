"""Write the model card: its training data, its measures and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.inference.manifest import Manifest

_AREAS = (
    ("A plain time gap, our measure", "val_gap_area"),
    ("Clusters, our measure", "val_area"),
    ("A plain time gap, published measure", "val_gap_published_area"),
    ("Clusters, published measure", "val_published_area"),
)


def card_text(manifest: Manifest) -> str:
    """Return the card in Markdown, for the bundle's `card.md`."""
    found = manifest.metrics
    return f"""# Affinity of alert types

How often alert types occur together, for the clustering of alerts. Run `{manifest.run_id}`.

## Data

{manifest.attribution}

Four scenarios (shaw, wardbeck, wheeler, wilson) were learned from, with their labels left aside; two (harrison, santos)
were measured on. The bundle holds the folded names of the types, the affinity of each two, and in how many seconds of a
day each came. It holds no alert, no address and no host.

## Measured

On the combined-attack runs of AIT-ADS-A on the two validation scenarios: several attacks at once, in days of noise.
Pairs of alerts are right when both are of one attack and share a cluster (TPR), or when one is of it and they do not
(TNR).

| area under the Pareto front of (TNR, TPR) | without noise | with noise |
|---|---|---|
{"".join(_row(name, found, key) for name, key in _AREAS)}
The two measures must not be compared with each other. The published one is that of AlertBERT's authors
(https://arxiv.org/abs/2602.06534): an alert is also a pair with itself, and the area is below the front's steps. Ours
has pairs of two alerts, and trapezoids that end at the trivial clusterings.

At the default settings: TPR {_figure(found, "val_tpr")}, TNR {_figure(found, "val_tnr")} without noise and
{_figure(found, "val_tnr_noise")} with it, ARI {_figure(found, "val_ari")}, pair-F1 {_figure(found, "val_pair_f1")},
V-measure {_figure(found, "val_v_measure")}; groups are fewer than alerts by {_figure(found, "val_reduction")} of them.

## Where it is weak

- The area is over a grid of settings: it says what the settings can do, not what one of them does.
- All scenarios are of one test bed with one set of detectors (Wazuh, Suricata, AMiner). A type that it did not have
  borrows from the most alike name, or is compared by its words and techniques.
- Two attacks of the same types at the same target in the same seconds cannot be told apart.
- Attacks that come over hours in single alerts are found only where their types are rare.
"""


def _row(name: str, found: dict[str, float], key: str) -> str:
    return f"| {name} | {_figure(found, key)} | {_figure(found, f'{key}_noise')} |\n"


def _figure(found: dict[str, float], key: str) -> str:
    return f"{found[key]:.3f}" if key in found else "not measured"
