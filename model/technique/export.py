"""Make a bundle from texts: fit, calibrate, write."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.techniques.model import SETTINGS, WEIGHTS
from app.inference.bundle import write_bundle
from app.inference.manifest import Field, Manifest
from app.storage.objects import FolderObjects
from model.technique.calibrate import calibrate, served, unseen, unseen_vendors
from model.technique.card import ATTRIBUTION, card_figure, card_text
from model.technique.data import digest, read_samples
from model.technique.fit import Corpus, Options, fit
from model.technique.measure import SPLITS, metrics_of, reliability, score

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WINDOWS = ((2021,), (2022,), (2023, 2024))
"""Years to calibrate on, each window scored by a model of earlier samples; the bundle's figures are of the last one."""


def write(data: Path, out: Path, say: Callable[[str], None]) -> str:
    """Train on all texts, write the bundle, and return the run's id.

    The id is a digest of the model's files: the same texts, options and libraries give the same id.

    Raises:
        SettingsError: The texts cannot be read.
        ModelError: The bundle exists already.
        CloudError: The bundle cannot be written.
    """
    options = Options()
    corpus = Corpus(read_samples(data))
    say(f"{len(corpus.samples):,} samples, {len(corpus.features):,} features")
    seen = []
    for years in WINDOWS:
        say(f"fitting samples before {years[0]}")
        seen.append(unseen(corpus, options, years))
    say("fitting without other vendors' rules")
    vendors = unseen_vendors(corpus, options, WINDOWS[-1][0])
    past = calibrate([each for years in seen[:-1] for each in years], vendors)
    scores = {name: score(each, past) for name, each in zip(SPLITS, seen[-1], strict=False)}
    curves = reliability(seen[-1], past)
    settings = calibrate([each for years in seen for each in years], vendors)
    say("fitting everything")
    fitted = fit(corpus, np.arange(len(corpus.samples)), options)
    model = served(fitted, settings)
    weights = io.BytesIO()
    np.savez_compressed(weights, **fitted.arrays)  # type: ignore[arg-type]
    files = {WEIGHTS: weights.getvalue(), SETTINGS: msgspec.json.encode(model.settings)}
    run_id = hashlib.sha256(b"".join(hashlib.sha256(files[name]).digest() for name in sorted(files))).hexdigest()[:32]
    sizes = {name: len(each) for name, each in files.items()}
    files["card.md"] = card_text(
        run_id, corpus=corpus, options=options, settings=settings, scores=scores, curves=curves, sizes=sizes
    ).encode()
    files["card.png"] = card_figure(curves)
    manifest = Manifest(
        name="technique",
        run_id=run_id,
        model="attack_technique",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        signature=[Field("text", "string")],
        metrics=metrics_of(scores),
        training_data_sha256=digest(data),
        attribution="\n".join(ATTRIBUTION),
        files={},
    )
    objects = FolderObjects(out / run_id)
    write_bundle(objects, manifest, files)
    for name, each in scores.items():
        say(f"  2023 and 2024, {name:18} {each.line()}")
    say(f"bundle: {objects.root}: {sum(map(len, files.values())) / 1e6:.1f} MB")
    say(f"RUN_ID={run_id}")
    return run_id
