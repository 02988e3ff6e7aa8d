"""A pipeline behind a simulated stream with faults, held against a run of the same records without them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import MillraceError
from app.settings import DEFAULT_ROLE, Settings
from app.storage.state import MemoryState
from app.stream.aggregation_rows import Splitter
from app.stream.deadline import Deadline
from app.stream.emit import Writer
from app.stream.event import read_event
from app.stream.mapping.event import build_event
from app.stream.origin import StreamOrigins
from app.stream.pipeline import StatefulPipeline
from app.stream.processor import Processor
from app.stream.quarantine import QuarantineDestination
from app.stream.testing import faults as kinds
from app.stream.testing.faults import FaultPlan
from app.stream.testing.kinesis import SimulatedKinesis
from app.stream.testing.services import SimulatedPutRecords, SimulatedState
from app.stream.testing.simulation import Process, SimulatedClock, SimulatedCrash, SimulatedWorkers, Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.stream.pipeline import AnyPipeline
    from app.stream.testing.faults import Fault
    from app.stream.testing.kinesis import Shard

STREAM, OUTPUT, QUARANTINE = "input", "output", "quarantine"
STEPS = ("put", "put to quarantine", "load state", "commit state", "invoke")
ATTEMPTS_A_RECORD = 20  # more in the mean, and something never passes
SHOWN_LINES = 40  # of the trace in an error: a fault and what comes of it
PAUSE_S = 0.5  # before a batch comes again


class PipelineStream:
    """A stream that a pipeline reads, and the streams that it writes, in simulated time.

        stream = PipelineStream(TemperatureAlarms, FaultPlan([Fault("put", "throttled")]))
        stream.put([b'{"sensor": "oven", "celsius": 31}'], ["oven"])
        stream.run()
        assert stream.outputs("warnings") == [...]

    Attributes:
        trace: What happened, step by step.
    """

    def __init__(
        self,
        pipeline: type[AnyPipeline] | AnyPipeline,
        plan: FaultPlan | None = None,
        *,
        shards: int = 1,
        batch_size: int = 10,
        timeout_s: float = 10.0,
        seed: int = 0,
        **settings: Any,  # noqa: ANN401 - fields of Settings, each of its own type
    ) -> None:
        """Take a pipeline and a plan of faults.

        Args:
            pipeline: A class, opened whenever a process starts, or an instance.
            plan: Faults of `STEPS`, but for stolen leases.
            shards: Number of shards.
            batch_size: The largest batch; each has a size of its own.
            timeout_s: Time of an invocation.
            seed: Decides what is left to chance: sizes of batches, latencies, which shard comes next.
            settings: Fields of `Settings`, and the environment as `environ`.
        """
        self.trace: list[str] = []
        self.pipeline, self._plan = pipeline, FaultPlan() if plan is None else plan
        self.shards, self.batch_size, self.timeout_s, self.seed = shards, batch_size, timeout_s, seed
        named = {role: role for role in pipeline.roles if role != DEFAULT_ROLE}
        output = OUTPUT if DEFAULT_ROLE in pipeline.roles else ""
        self.settings = Settings(
            **{"output_stream": output, "output_streams": named, "quarantine_stream": QUARANTINE, **settings}
        )
        self.records: list[tuple[str, bytes]] = []
        self._run: _Run | None = None

    def put(self, payloads: Sequence[bytes], keys: Sequence[str] | None = None) -> None:
        """Put records on the stream; without keys each record has its own."""
        first = len(self.records)
        names = keys or [f"key-{first + row}" for row in range(len(payloads))]
        self.records += zip(names, payloads, strict=True)

    def run(self) -> None:
        """Process all records, with the faults, and check the result against a run without faults.

        Raises:
            AssertionError: Something is lost, out of order, or differs from the run without faults; or a fault of the
                plan was not met by any call.
            ValueError: The plan has a fault that this stream cannot meet.
        """
        if wrong := [fault for fault in self._plan.faults if fault.step not in STEPS or fault.kind == kinds.STOLEN]:
            raise ValueError(f"{wrong[0]}: a stream for tests meets the faults of {', '.join(STEPS)}, and no theft")
        clean, faulty = _Run(self, FaultPlan()), _Run(self, self._plan)
        clean.process(whole=True)
        faulty.process(whole=False)
        self._run, self.trace = faulty, faulty.trace
        problems = [*_differences(clean, faulty, self.pipeline.unordered_roles)]
        problems += [f"no call met the fault: {fault}" for fault in self._plan.unmet()]
        if problems:
            raise AssertionError("\n".join([*problems, "what happened:", *self.trace[-SHOWN_LINES:]]))

    def outputs(self, role: str = DEFAULT_ROLE) -> list[dict[str, Any]]:
        """Return the outputs of a role, decoded, each once, in the order in which they first arrived."""
        return self._first(self.settings.stream_for(role))

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the quarantined records, decoded, each once."""
        return self._first(QUARANTINE)

    def state(self, key: str) -> bytes | None:
        """Return the committed state of one of the pipeline's state keys."""
        if self._run is None or not isinstance(self._run.pipeline, StatefulPipeline):
            return None
        stored = self._run.table.stored.get(self._run.pipeline.stored_key(key))
        return stored.value if stored else None

    def _first(self, stream: str) -> list[dict[str, Any]]:
        if self._run is None:
            return []
        return [msgspec.json.decode(data) for _, data in self._run.taken.get(stream, {}).values()]


class _Run:
    """One way of all records through the pipeline.

    Attributes:
        trace: What happened.
        taken: What each stream took, each id once: key and data.
        changed: The ids that came again with other data.
        table: The state.
        pipeline: The pipeline of the last process.
    """

    def __init__(self, of: PipelineStream, plan: FaultPlan) -> None:
        self.trace: list[str] = []
        self.taken: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.changed: list[str] = []
        self.table = MemoryState()
        self.pipeline: AnyPipeline | None = None
        self._of, self._plan = of, plan
        plan.on_fault = self._note_fault
        self._timeline = Timeline(random.Random(of.seed))  # noqa: S311 - a simulation
        self._kinesis = SimulatedKinesis(self._timeline, plan)
        for name, shards in ((STREAM, of.shards), (OUTPUT, 1), (QUARANTINE, 1)):
            self._kinesis.create_stream(StreamName=name, ShardCount=shards)
        for name in of.settings.output_streams.values():
            self._kinesis.create_stream(StreamName=name, ShardCount=1)
        self._service = SimulatedPutRecords(self._kinesis, self._timeline, plan, self._took, QUARANTINE)
        self._processes = 0

    def process(self, *, whole: bool) -> None:
        """Put all records, then process them: shard by shard as a whole, or in batches of random sizes."""
        for key, data in self._of.records:
            self._kinesis.put_record(StreamName=STREAM, PartitionKey=key, Data=data)
        shards, rng = self._kinesis.streams[STREAM].shards, self._timeline.rng
        at = {shard.shard_id: 0 for shard in shards}
        left = len(shards) + ATTEMPTS_A_RECORD * (1 + len(self._of.records))
        processor = None
        while open_shards := [each for each in shards if at[each.shard_id] < len(each.records)]:
            left -= 1
            if left < 0:
                raise AssertionError("\n".join(["records never pass", "what happened:", *self.trace[-SHOWN_LINES:]]))
            shard = rng.choice(open_shards)
            size = len(shard.records) if whole else rng.randint(1, self._of.batch_size)
            try:
                processor = processor or self._start()
                at[shard.shard_id] += self._invoke(processor, shard, at[shard.shard_id], size)
            except SimulatedCrash as crash:
                self._note(f"the process ended: {crash}")
                self._timeline.process.dead, self._timeline.process = True, Process("none")
                processor = None
            self._timeline.advance(PAUSE_S)

    def _start(self) -> Processor:
        """Start a process."""
        self._processes += 1
        process = self._timeline.process = Process(f"process {self._processes}")
        workers = SimulatedWorkers(self._timeline, process, SimulatedClock(self._timeline, process))
        settings, pipeline = self._of.settings, self._of.pipeline
        self.pipeline = pipeline.open(settings) if isinstance(pipeline, type) else pipeline
        return Processor(
            self.pipeline,
            Writer(self._service, workers=workers),
            QuarantineDestination(settings.quarantine_stream, None, warns=False),
            settings,
            store=SimulatedState(self.table, self._timeline, self._plan),
            origins=StreamOrigins(self._kinesis.created_ms),
        )

    def _invoke(self, processor: Processor, shard: Shard, at: int, size: int) -> int:
        """Invoke with a batch; return how many of its records are done."""
        records = shard.records[at : at + size]
        self._note(f"{shard.shard_id}: records {at} to {at + len(records) - 1}")
        kind = self._plan.at("invoke")
        batch, faults, _ = Splitter().split(*read_event(build_event(STREAM, shard.shard_id, records)))
        deadline = Deadline(self._of.timeout_s, lambda: self._timeline.now_s)
        try:
            result = processor.process(batch, faults, deadline)
        except MillraceError as error:
            self._note(f"failed: {error}")
            return 0
        if kind == kinds.CRASH_AFTER:
            raise SimulatedCrash("before the answer")
        if kind in {kinds.LOST_ANSWER, kinds.THROTTLED}:
            return 0
        self._note(f"done up to {result.resume_at or 'the end'}")
        numbers = [each["SequenceNumber"] for each in records]
        return len(records) if result.resume_at is None else numbers.index(result.resume_at)

    def _took(self, stream: str, key: str, data: bytes) -> None:
        output_id = msgspec.json.decode(data)["id"]
        before = self.taken.setdefault(stream, {}).setdefault(output_id, (key, data))
        self._note(f"{stream} took {output_id}")
        if before != (key, data) and stream != QUARANTINE:  # a quarantined record has the time
            self.changed.append(output_id)

    def _note(self, line: str) -> None:
        self.trace.append(f"{self._timeline.now_s - self._timeline.began_s:8.3f} {line}")

    def _note_fault(self, fault: Fault) -> None:
        self._note(f"FAULT {fault}")


def _differences(clean: _Run, faulty: _Run, unordered: frozenset[str]) -> list[str]:
    """Return what a run with faults has made differently, in words."""
    found = [f"{output_id} has two contents" for output_id in faulty.changed]
    for stream in sorted({*clean.taken, *faulty.taken}):
        expected, taken = clean.taken.get(stream, {}), faulty.taken.get(stream, {})
        found += [f"{stream}: {each} is missing" for each in expected if each not in taken]
        found += [f"{stream}: {each} is only there with faults" for each in taken if each not in expected]
        if stream == QUARANTINE or found:
            continue
        found += [f"{stream}: {each} has another content" for each in taken if taken[each] != expected[each]]
        if stream not in unordered and _by_key(taken) != _by_key(expected):
            found.append(f"{stream}: outputs of a partition key are in another order")
    states = {key: stored.value for key, stored in clean.table.stored.items()}
    if states != {key: stored.value for key, stored in faulty.table.stored.items()}:
        found.append("the state is not that of a run without faults")
    return found


def _by_key(taken: dict[str, tuple[str, bytes]]) -> dict[str, list[str]]:
    """Return the ids of each partition key, in order."""
    found: dict[str, list[str]] = {}
    for output_id, (key, _) in taken.items():
        found.setdefault(key, []).append(output_id)
    return found
