"""However the stream is cut, repeated and refused: the same clusters, the same outputs and ids, no alert lost."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.storage.state import MemoryState
from app.stream.testing import FakeStreams
from tests.alerts_for_tests import START_S, alerts_spine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOSTS = ["192.0.2.1", "192.0.2.2", "web1", "db1"]
NAMES = ["Port scan", "Brute force login", "Web shell written to disk", "Exfiltration over DNS", "Port scan 2"]
TECHNIQUES: list[list[str]] = [[], ["T1046"], ["T1110.001"], ["T1505.003"], ["T1048"], ["T9999"]]

alerts = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.integers(0, 400).map(lambda second: START_S + second),
            "src": st.sampled_from(HOSTS),
            "dst": st.sampled_from(HOSTS),
            "name": st.sampled_from(NAMES),
            "tech": st.sampled_from(TECHNIQUES),
        }
    ),
    min_size=1,
    max_size=40,
)
tenants = st.lists(st.sampled_from(["acme", "umbrella"]), min_size=40, max_size=40)


def payloads_of(found: Sequence[Mapping[str, Any]]) -> list[bytes]:
    return [msgspec.json.encode({"id": number, **each}) for number, each in enumerate(found)]


def outputs(streams: FakeStreams) -> dict[str, list[bytes]]:
    """What each stream holds, each output once: a repeated one has the same id and the same bytes."""
    return {name: sorted({data for _, data in records}) for name, records in streams.records.items()}


@given(alerts, tenants, st.sets(st.integers(1, 39)))
@settings(max_examples=60, deadline=None)
def test_any_cut_into_batches_gives_the_same(found: list[Any], keys: list[str], cuts: set[int]) -> None:
    payloads = payloads_of(found)
    whole, parts = alerts_spine(), alerts_spine()
    whole_store, parts_store = whole.processor.store, parts.processor.store
    whole.run(payloads, keys[: len(payloads)], seconds=60)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(payloads)), len(payloads)]
    for start, stop in itertools.pairwise(bounds):
        parts.run(payloads[start:stop], keys[start:stop], start=start, seconds=60)

    assert isinstance(whole_store, MemoryState)
    assert isinstance(parts_store, MemoryState)
    assert outputs(parts.streams) == outputs(whole.streams)
    assert {key: each[:2] for key, each in parts_store.stored.items()} == {
        key: each[:2] for key, each in whole_store.stored.items()
    }


@given(alerts, st.lists(st.tuples(st.integers(0, 39), st.integers(1, 40)), max_size=6), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_replays_overlaps_and_refusals_lose_nothing_and_repeat_nothing_new(
    found: list[Any], replays: list[tuple[int, int]], seed: int
) -> None:
    chance = random.Random(seed)  # calls run side by side: Hypothesis's own could not be replayed
    payloads = payloads_of(found)
    keys = ["acme"] * len(payloads)
    calm = alerts_spine()
    calm.run(payloads, keys, seconds=60)

    def fault(_stream: str, sent: Sequence[str]) -> dict[int, str]:
        return {row: "ProvisionedThroughputExceededException" for row in range(len(sent)) if chance.random() < 0.3}

    rough = alerts_spine(streams=FakeStreams(fault))
    done = 0
    for start, length in [*replays, *[(0, 40)] * 20]:
        start = min(start, done)  # noqa: PLW2901 - a shard never goes on behind what was not safe
        part = slice(start, min(start + length, len(payloads)))
        if part.stop <= part.start:
            continue
        result = rough.run(payloads[part], keys[part], start=start, seconds=0.15)
        done = max(done, start + result.acknowledged)
        if done == len(payloads):
            break
    assert done == len(payloads)
    assert outputs(rough.streams) == outputs(calm.streams)


@given(alerts)
@settings(max_examples=60, deadline=None)
def test_merges_never_lose_an_alert(found: list[Any]) -> None:
    payloads = payloads_of(found)
    spine = alerts_spine()
    spine.run(payloads, ["acme"] * len(payloads), seconds=60)

    enriched = [msgspec.json.decode(data) for _, data in spine.streams.records["enriched"]]
    into = {
        change["cluster_id"]: change["into"]
        for change in (msgspec.json.decode(data) for _, data in spine.streams.records["incidents"])
        if change["type"] == "cluster" and change["change"] == "became"
    }

    def current(cluster: int) -> int:
        while cluster in into:
            cluster = into[cluster]
        return cluster

    assert sorted(each["alert"]["id"] for each in enriched) == list(range(len(payloads)))
    counts: dict[int, int] = {}
    for each in enriched:
        counts[current(each["cluster_id"])] = counts.get(current(each["cluster_id"]), 0) + 1
    for data in spine.streams.records["incidents"]:
        change = msgspec.json.decode(data[1])
        if "cluster" in change:
            assert change["cluster"]["alerts"] <= counts[current(change["cluster_id"])]
