"""One id has one content, whatever changes between two attempts of a batch: corrections, models, bundles."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domains.alerts.lookups.corrections import Correction
from app.domains.alerts.lookups.table import REFRESH_S, LookupTable
from app.domains.alerts.techniques.catalogue import shipped_catalogue
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.bike.model import BikeModel
from app.domains.bike.pipeline import BikePipeline
from app.inference.bundle import find_bundle
from app.storage.state import MemoryState
from app.stream.testing import FakeStreams, MemorySpine
from tests.alerts_for_tests import alerts_spine, payload, technique_spine
from tests.alerts_lookup_for_tests import NOW, HandClock, MemoryCorrections

if TYPE_CHECKING:
    from collections.abc import Sequence


Stage = Literal["alerts", "alerts-technique"]
NAMES = ["Odd reading", "Strange reading", "Curious reading"]
TECHNIQUES = ["T1046", "T1003.001", "T1021.004", "T1048.003"]


class Predicted(NamedTuple):
    """The prediction of `OneTechnique`."""

    ids: tuple[str, ...]
    confidences: tuple[float, ...]
    best: float


class OneTechnique:
    """A model that knows one technique."""

    def __init__(self, technique: str) -> None:
        self.technique = technique

    def predict(self, texts: Sequence[str], _least: float | None = None, /) -> list[Predicted]:
        return [Predicted((self.technique,), (0.9,), 0.9) for _ in texts]

    def candidates(self, texts: Sequence[str], _count: int, /) -> list[Predicted]:
        return self.predict(texts)


class Analysts:
    """A lookup table, a model, and a process that may be replaced at any time."""

    def __init__(self, stage: Stage) -> None:
        self.kept, self.clock, self.store, self.streams = MemoryCorrections(), HandClock(), MemoryState(), FakeStreams()
        self.stage, self.changes = stage, 0
        self.start("T1059")

    def start(self, technique: str) -> None:
        """Start a process with a model."""
        lookup = LookupTable(self.kept, self.clock)
        resolver = TechniqueResolver(lookup, shipped_catalogue(), OneTechnique(technique))
        self.spine = (
            alerts_spine(self.store, self.streams, resolver)
            if self.stage == "alerts"
            else technique_spine(self.streams, resolver)
        )

    def change(self, name: int, technique: str, *, model: bool) -> None:
        """Correct the techniques of a text, or start a process with another model."""
        if model:
            self.start(technique)
        else:
            self.changes += 1
            self.kept.store([Correction(NAMES[name].lower(), (technique,), NOW + self.changes)])
            self.clock.passed += REFRESH_S


def contents(streams: FakeStreams) -> dict[tuple[str, str], set[bytes]]:
    """Return the contents of each id on each stream."""
    found: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for stream, records in streams.records.items():
        for _, data in records:
            found[stream, msgspec.json.decode(data)["id"]].add(data)
    return found


def story(count: int) -> list[bytes]:
    return [payload(n, name=NAMES[n % len(NAMES)], tech=[]) for n in range(count)]


@pytest.mark.parametrize("stage", ["alerts", "alerts-technique"])
@pytest.mark.parametrize("model", [False, True])
def test_a_correction_or_a_model_between_two_attempts_gives_other_ids(stage: Stage, model: bool) -> None:
    bench, payloads = Analysts(stage), story(30)
    bench.spine.run_and_crash("acknowledge" if stage == "alerts-technique" else "commit", payloads, ["acme"] * 30)
    before = contents(bench.streams)
    for name in range(len(NAMES)):
        bench.change(name, "T1046", model=model)
    result = bench.spine.run(payloads, ["acme"] * 30, start=0)
    assert result.acknowledged == 30
    after = contents(bench.streams)
    assert all(len(each) == 1 for each in after.values())
    enriched = {key for key in after if key[0] == "enriched"}
    assert len(enriched) == 60  # all 30 differ, and say so
    assert len({key.rpartition("/")[0] for _, key in enriched}) == 30
    assert before.keys() < after.keys()


attempts = st.lists(
    st.tuples(
        st.integers(1, 12),
        st.sampled_from(["put", "commit", "acknowledge", None]),
        st.tuples(st.integers(0, len(NAMES) - 1), st.sampled_from(TECHNIQUES), st.booleans()),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("stage", ["alerts", "alerts-technique"])
@given(attempts)
@settings(max_examples=60, deadline=None)
def test_however_it_is_cut_and_ends_one_id_has_one_content(stage: Stage, attempts: list[Any]) -> None:
    bench, payloads, done = Analysts(stage), story(30), 0
    for size, crash, (name, technique, model) in [*attempts, (30, None, (0, "T1046", False))]:
        part = payloads[done : done + size]
        if part and crash:
            bench.spine.run_and_crash(crash, part, ["acme"] * len(part), start=done)
        elif part:
            done += bench.spine.run(part, ["acme"] * len(part), start=done).acknowledged
        bench.change(name, technique, model=model)
    assert done == 30
    found = contents(bench.streams)
    assert all(len(each) == 1 for each in found.values())
    numbers = {key.split("/")[2] for stream, key in found if stream == "enriched"}
    assert len(numbers) == 30


def test_another_bundle_between_two_attempts_gives_other_ids() -> None:
    bundle, streams = find_bundle("bike"), FakeStreams()
    model = BikeModel.load(bundle)
    payloads = [b'{"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 1}'] * 5
    for run_id in ("run-2026-a", "run-2026-b", "run-2026-a"):
        manifest = msgspec.structs.replace(bundle.manifest, run_id=run_id)
        MemorySpine(BikePipeline(model, manifest), streams).run(payloads, start=0)
    found = contents(streams)
    assert len(found) == 10
    assert all(len(each) == 1 for each in found.values())
