"""The local mapping under faults that Hypothesis chooses: nothing lost, in order, no checkpoint past the undone."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.stream.mapping import REPORT_FAILURES
from app.stream.mapping.checkpoint import CheckpointFile
from app.stream.mapping.invoke import Answer
from tests.mapping_for_tests import BEGIN_S, Bench, numbers, payloads

KEYS = "abc"
SLOTS = 4
ANSWERS = ("fine", "raise", "down", "partial", "nonsense")
settings = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 9),
        "parallelization_factor": st.integers(1, 4),
        "function_response_types": st.sampled_from([(), (REPORT_FAILURES,)]),
        "bisect_batch_on_function_error": st.booleans(),
        "maximum_retry_attempts": st.integers(0, 3),
        "maximum_batching_window_in_seconds": st.sampled_from([0, 1]),
        "maximum_record_age_in_seconds": st.sampled_from([-1, 60]),
    }
)


class Chaos:
    """A stream that is fed and resharded, and a pool whose answers come in any order and fail, as chance has it.

    Every record is a number, and its key is that number's.

    Attributes:
        done: The records that the function is done with, as far as it told.
        delivered: The order in which each key's records were delivered first.
    """

    def __init__(self, bench: Bench, seed: int, rate: float, records: int, *, reports: bool) -> None:
        self.bench, self.chance, self.rate, self.reports = bench, random.Random(seed), rate, reports
        self.under_way: list[tuple[Any, bytes]] = []
        self.keys = [self.chance.choice(KEYS) for _ in range(records)]
        self.unput = list(range(records))
        self.done: set[int] = set()
        self.delivered: dict[str, list[int]] = defaultdict(list)

    def feed(self) -> None:
        """Puts some records, and perhaps splits or merges shards."""
        while self.unput and self.chance.random() < 0.95:
            n = self.unput.pop(0)
            self.bench.kinesis.put([str(n).encode()], [self.keys[n]])
        shards, turn = len(self.bench.kinesis.open), self.chance.random()
        if turn < 0.3:
            self.bench.kinesis.split(self.chance.randrange(shards))
        elif turn < 0.6 and shards > 1:
            self.bench.kinesis.merge()

    def fault(self, operation: str) -> str | None:
        """A fault of the stream's that passes."""
        if self.chance.random() > self.rate / 3:
            return None
        expired = operation == "GetRecords" and self.chance.random() < 0.5
        return "ExpiredIteratorException" if expired else "ProvisionedThroughputExceededException"

    @property
    def given_up(self) -> set[int]:
        """The records that the on-failure destination got."""
        return {n for event in self.bench.kept.events for n in payloads(event)}

    @property
    def free(self) -> bool:
        return len(self.under_way) < SLOTS

    @property
    def busy(self) -> bool:
        return bool(self.under_way)

    def start(self, invocation: Any, event: bytes) -> None:
        held = payloads(json.loads(event))
        beside = [n for _, other in self.under_way for n in payloads(json.loads(other))]
        assert not {self.keys[n] for n in held} & {self.keys[n] for n in beside}
        self.under_way.append((invocation, event))
        for n in held:
            if n not in self.delivered[self.keys[n]]:
                self.delivered[self.keys[n]].append(n)

    def answers(self, wait_s: float) -> list[tuple[Any, Answer]]:
        if not self.under_way or (not wait_s and self.chance.random() < 0.5):
            return []
        self.bench.clock.sleep(self.chance.choice([0, 0.1, 5]))
        invocation, event = self.under_way.pop(self.chance.randrange(len(self.under_way)))
        return [(invocation, self._answer(json.loads(event)))]

    def _answer(self, event: dict[str, Any]) -> Answer:
        held = payloads(event)
        [kind] = self.chance.choices(ANSWERS, [1, *[self.rate] * 4])
        if kind == "down":
            return Answer(fault="down", invoked=False)
        if kind == "raise":
            return Answer(fault="RuntimeError")
        if kind == "partial" and self.reports:
            place = self.chance.randrange(len(held))
            self._take(held[:place])
            return Answer({"batchItemFailures": [{"itemIdentifier": numbers(event)[place]}]})
        if kind == "nonsense" and self.reports:
            return Answer({"batchItemFailures": [{"itemIdentifier": None}]})
        self._take(held)
        return Answer({})

    def _take(self, held: list[int]) -> None:
        """Records are done only after all earlier ones of their keys are settled."""
        for n in held:
            earlier = {m for m in range(n) if self.keys[m] == self.keys[n]}
            assert earlier <= self.done | self.given_up
            self.done.add(n)


class Watched(CheckpointFile):
    """A checkpoint that is held against what is done whenever it is kept."""

    def __init__(self, path: Any, chaos: Chaos) -> None:
        super().__init__(path)
        self.chaos = chaos

    def save(self, stream_arn: str, created: str, shards: Any) -> None:
        settled = self.chaos.done | self.chaos.given_up
        for shard in self.chaos.bench.kinesis.shards:
            place = shards.get(shard.shard_id)
            if place is None or place.type == "TRIM_HORIZON":
                continue
            for record in shard.records:
                if place.type == "SHARD_END" or int(record["SequenceNumber"]) <= int(place.sequence_number):
                    assert json.loads(record["Data"]) in settled
        super().save(stream_arn, created, shards)


@given(
    chosen=settings,
    records=st.integers(1, 80),
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    shards=st.integers(1, 2),
    stops=st.integers(0, 4),
    ahead_s=st.sampled_from([-3600.0, -6.0, 0.0, 6.0, 3600.0]),
)
def test_whatever_happens_every_record_is_acknowledged_or_sent_on_in_order_per_key(
    tmp_path_factory: Any,
    *,
    chosen: dict[str, Any],
    records: int,
    seed: int,
    rate: float,
    shards: int,
    stops: int,
    ahead_s: float,
) -> None:
    bench = Bench(shards)
    bench.clock.ahead_s = ahead_s
    chaos = Chaos(bench, seed, rate, records, reports=bool(chosen["function_response_types"]))
    kept = Watched(tmp_path_factory.mktemp("kept") / "place.json", chaos)
    chaos.feed()
    for second in range(1, 5):
        bench.clock.at(second, chaos.feed)
    for stop in range(stops + 1):  # runs, each stopped somewhere, the next begun from the file; the last to the end
        last = stop == stops
        while last and chaos.unput:
            chaos.feed()
        chaos.under_way.clear()
        bench.kinesis.fault = lambda _operation: None  # at the start each would end the run, with a line
        mapping = bench.mapping(checkpoint=kept, pool=chaos, on_failure=True, **chosen)
        bench.kinesis.fault = chaos.fault
        # A lost record would be waited for without an end.
        bench.clock.at(bench.clock.now_s - BEGIN_S + (3000 if last else chaos.chance.choice([0.3, 1, 3])), mapping.stop)
        mapping.run(drain=last)
    assert chaos.done | chaos.given_up == set(range(records))
    for order in chaos.delivered.values():
        assert order == sorted(order)


@given(
    st.lists(st.integers(0, 150), min_size=1, max_size=30),
    st.integers(1, 5),
    st.integers(0, 2**32),
    st.sampled_from([-3600.0, -6.0, 0.0, 6.0, 3600.0]),
)
def test_each_window_sums_each_of_its_records_however_batches_fail(
    arrivals_s: list[int], batch_size: int, seed: int, ahead_s: float
) -> None:
    chance = random.Random(seed)
    bench = Bench()
    bench.clock.ahead_s = ahead_s
    for after_s in arrivals_s:
        bench.clock.at(after_s, lambda: bench.kinesis.put([b"1"]))
    sums: dict[str, int] = {}

    def add(event: dict[str, Any]) -> dict[str, Any]:
        if chance.random() < 0.3:
            raise RuntimeError
        total = event["state"].get("sum", 0) + len(event["Records"])
        if event["isFinalInvokeForWindow"]:
            assert event["window"]["start"] not in sums
            sums[event["window"]["start"]] = total
        return {"state": {"sum": total}}

    bench.answer = add
    bench.run_for(250, tumbling_window_in_seconds=30, batch_size=batch_size)
    expected: dict[int, int] = defaultdict(int)
    for after_s in arrivals_s:
        expected[after_s // 30] += 1
    assert list(sums.values()) == [expected[place] for place in sorted(expected)]


@given(
    before=st.integers(0, 5),
    runs=st.lists(
        st.tuples(st.sampled_from([0.0, 0.3, 7.0, 400.0]), st.integers(0, 3), st.booleans()), min_size=1, max_size=4
    ),
    ahead_s=st.lists(st.sampled_from([-3600.0, -6.0, 0.0, 6.0, 3600.0]), min_size=12),
)
def test_latest_begins_once_however_often_a_run_is_killed(
    tmp_path_factory: Any, before: int, runs: list[tuple[float, int, bool]], ahead_s: list[float]
) -> None:
    """Each run reads for some time, is killed before a record is done, and some records come until the next one."""
    bench = Bench(shards=2)
    bench.clock.sleep(100.7)
    bench.kinesis.put([b'"before"'] * before)
    kept = CheckpointFile(tmp_path_factory.mktemp("kept") / "place.json")
    expected = 0
    for index, (seconds, records, splits) in enumerate(runs):
        bench.clock.ahead_s = ahead_s[index % len(ahead_s)]
        bench.run_for(seconds, checkpoint=kept, starting_position="LATEST", maximum_batching_window_in_seconds=300)
        bench.kinesis.put([str(expected + n).encode() for n in range(records)])
        expected += records
        if splits and len(bench.kinesis.open) < 6:
            bench.kinesis.split()
    bench.drain(checkpoint=kept, starting_position="LATEST")
    assert sorted({n for batch in bench.batches for n in batch}) == list(range(expected))
