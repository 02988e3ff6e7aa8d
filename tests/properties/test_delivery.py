"""The promises of the spine under faults that Hypothesis chooses: nothing lost, in order, no unsafe record passed."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.storage.state import MemoryState
from app.stream import emit
from app.stream.batch import Batch
from app.stream.deadline import Deadline
from app.stream.emit import Writer
from app.stream.execution import Stateless, run_bisected
from app.stream.outcomes import Outcomes, Quarantine
from app.stream.pipeline_faults import RaisedInARow
from app.stream.puts import TransientError
from app.stream.testing import FIRST_SEQUENCE_NUMBER, FakeStreams, MemorySpine
from app.stream.tracker import Tracker
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline, orders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


KEYS = ["a", "b", "c"]
faults = st.builds(
    lambda seed, entry_rate, call_rate: RandomFaults(random.Random(seed), entry_rate, call_rate),
    st.integers(0, 2**32),
    st.floats(0, 0.7),
    st.floats(0, 0.4),
)


class RandomFaults:
    """Refuses entries and whole calls at random."""

    def __init__(self, chance: random.Random, entry_rate: float, call_rate: float) -> None:
        self.chance, self.entry_rate, self.call_rate = chance, entry_rate, call_rate

    def __call__(self, _stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        if self.chance.random() < self.call_rate:
            raise TransientError("InternalFailure")
        refused = [row for row in range(len(keys)) if self.chance.random() < self.entry_rate]
        return dict.fromkeys(refused, "ProvisionedThroughputExceededException")


@given(st.lists(st.sampled_from(KEYS), max_size=60), faults, st.integers(1, 8), st.integers(1, 7))
def test_random_faults_lose_nothing_and_keep_the_order_of_each_key(
    keys: list[str], fault: RandomFaults, call_records: int, concurrent: int
) -> None:
    streams, tracker = FakeStreams(fault), Tracker(len(keys))
    writer = Writer(streams, concurrent_calls=concurrent)
    writer.call_records, pause = call_records, emit.PAUSE_BASE_S
    emit.PAUSE_BASE_S = 0.0001
    try:
        emitter = writer.begin(tracker, Deadline(20))
        for row, key in enumerate(keys):
            tracker.expect([row])
            emitter.add("output", [row], [key], [str(row).encode()])
            tracker.settle([row])
            emitter.push()
        emitter.finish()
    finally:
        emit.PAUSE_BASE_S = pause
        writer.close()
    assert tracker.prefix == len(keys)
    arrived: dict[str, list[int]] = defaultdict(list)
    for key, data in streams.records["output"]:
        arrived[key].append(int(data))
    for key in set(keys):
        assert arrived[key] == [row for row, each in enumerate(keys) if each == key]
    assert max(streams.calls, default=0) <= call_records


@given(
    st.lists(st.sampled_from(["emit", "skip", "raise", "retry", "bad"]), max_size=24),
    st.data(),
)
def test_the_acknowledged_prefix_never_passes_an_unsafe_record(does: list[str], data: Any) -> None:
    stuck = data.draw(st.sets(st.integers(0, 24)))

    def refuse(_stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        return {row: "InternalFailure" for row, key in enumerate(keys) if int(key.split("-")[1]) in stuck}

    spine = MemorySpine(EchoPipeline(), FakeStreams(refuse))
    payloads = [
        b"not JSON" if do == "bad" else msgspec.json.encode({"n": row, "do": do}) for row, do in enumerate(does)
    ]
    result = spine.run(payloads, seconds=0.05 if stuck else 5)
    accepted = {each["n"] for each in spine.outputs()}
    aside = {int(each["source"]["sequence_number"]) - FIRST_SEQUENCE_NUMBER for each in spine.quarantined()}
    for row in range(result.acknowledged):
        safe = {"emit": row in accepted, "skip": True, "raise": row in aside, "bad": row in aside, "retry": False}
        assert safe[does[row]], (row, does[row])
    if not stuck and "retry" not in does:
        assert result.acknowledged == len(does)
    if "retry" in does:
        first = does.index("retry")
        assert result.acknowledged <= first
        assert all(n < first for n in accepted)


@given(st.integers(1, 64).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1)))))
def test_halving_isolates_exactly_the_poison(case: tuple[int, set[int]]) -> None:
    size, poison = case
    calls: list[int] = []

    def run(part: Batch[int], _state: Mapping[str, bytes]) -> Stateless:
        calls.append(len(part))
        if poison.intersection(part.records):
            raise RuntimeError
        outcomes = Outcomes(len(part))
        outcomes.emit_columns(["k"] * len(part), [b"{}"] * len(part))
        return Stateless(outcomes)

    outcomes = run_bisected(run, Batch.of(list(range(size))), {}, RaisedInARow("test")).outcomes.as_list()
    assert {row for row, outcome in enumerate(outcomes) if isinstance(outcome, Quarantine)} == poison
    assert len(outcomes) == size
    # A poisoned record costs at most two calls a level.
    assert len(calls) <= 1 + 2 * len(poison) * size.bit_length()


@given(
    st.lists(st.sampled_from(KEYS), min_size=1, max_size=30),
    st.data(),
    faults,
)
def test_counts_are_right_however_the_stream_is_cut_repeated_and_refused(
    keys: list[str], data: Any, fault: RandomFaults
) -> None:
    """Redelivers as a mapping would, from the first unacknowledged record, with cuts and repeats of its choice."""
    spine = MemorySpine(CountingPipeline(), FakeStreams(fault), store=MemoryState())
    payloads, at, turns = orders(len(keys)), 0, 0
    limit, pause = emit.PAUSE_CAP_S, emit.PAUSE_BASE_S
    emit.PAUSE_CAP_S = emit.PAUSE_BASE_S = 0.0002
    try:
        while at < len(keys) and turns < 200:
            turns += 1
            size = data.draw(st.integers(1, 8))
            repeated = data.draw(st.integers(0, min(at, 3)))
            begin, stop = at - repeated, min(len(keys), at + size)
            result = spine.run(payloads[begin:stop], keys[begin:stop], start=begin, seconds=2)
            at = max(at, begin + result.acknowledged)
    finally:
        emit.PAUSE_CAP_S, emit.PAUSE_BASE_S = limit, pause
    assert at == len(keys)
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for key, each in spine.streams.records["output"]:
        value = msgspec.json.decode(each)
        if (value["id"], value["count"]) not in found[key]:
            found[key].append((value["id"], value["count"]))
    for key in set(keys):
        assert [count for _, count in found[key]] == list(range(1, keys.count(key) + 1))
        assert len({each_id for each_id, _ in found[key]}) == keys.count(key)
