"""Run a history: the real mapping, spine and state over simulated services, on one thread."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import MillraceError
from app.settings import DEFAULT_ROLE, Settings
from app.storage.spilling import SpillingState, object_of
from app.storage.state import MemoryState
from app.stream.aggregation_writer import Packer
from app.stream.mapping.driver import Mapping
from app.stream.mapping.invoke import Answer
from app.stream.mapping.settings import REPORT_FAILURES, MappingSettings
from app.stream.origin import StreamOrigins
from app.stream.runtime import Runtime
from app.stream.testing import faults as kinds
from app.stream.testing.evidence import Evidence, payload_of, state_key
from app.stream.testing.faults import FaultPlan
from app.stream.testing.kinesis import SimulatedKinesis
from app.stream.testing.pipelines import ROLES, Chain, Chained, Echo
from app.stream.testing.services import SimulatedCheckpoint, SimulatedObjects, SimulatedPutRecords, SimulatedState
from app.stream.testing.simulation import (
    BEGIN_S,
    Process,
    SimulatedClock,
    SimulatedCrash,
    SimulatedWorkers,
    Timeline,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Mapping as Map

    from app.stream.mapping.settling import Invocation
    from app.stream.shards import StartingPosition
    from app.stream.testing.faults import Fault
    from app.stream.testing.history import History, Reshard, Sent

QUARANTINE = "quarantine"
SETTLES_WITHIN_S = 900.0  # after the last record was put; back-off is seconds, and each fault is met a few times
LONGEST_NESTING = 3
_chain = msgspec.json.Decoder(Chain)


class Unsettled(BaseException):
    """The run has not come to an end."""


class World:
    """One run of a history.

    Attributes:
        evidence: Facts for the invariants.
        plan: The faults, and how often each was met.
        trace: Each step of the run, as a line for people.
        pools: The pools whose invocations are under way, the innermost last.
    """

    def __init__(self, history: History, faults: Sequence[Fault] | None = None, *, tells: bool = False) -> None:
        """Build the services; nothing runs yet.

        Args:
            history: The history.
            faults: In place of the history's own.
            tells: Whether to keep a trace.
        """
        self.history = history
        self.evidence = Evidence(history)
        self.trace: list[str] = []
        self._tells = tells
        self.timeline = Timeline(random.Random(history.seed))  # noqa: S311 - a simulation
        self.plan = FaultPlan(history.faults if faults is None else faults, on_fault=self._note_fault)
        self.kinesis = SimulatedKinesis(self.timeline, self.plan)
        self.table = MemoryState()
        self.objects = SimulatedObjects(self.timeline, self.plan, self._stored)
        self.checkpoint = SimulatedCheckpoint(self.plan if history.worker else FaultPlan())
        self.checkpoint.check_owner, self.checkpoint.saved = self._check_owner, self._checkpointed
        self._service = SimulatedPutRecords(self.kinesis, self.timeline, self.plan, self._took, QUARANTINE)
        streams = sorted({each.stream for each in history.records} | {each.stream for each in history.reshards})
        self._streams = streams
        outputs = {role: role for role in ROLES[1 : history.roles]}
        for stream in streams:
            self.kinesis.create_stream(StreamName=stream, ShardCount=history.shards)
        for stream in ("output", QUARANTINE, *outputs.values()):
            self.kinesis.create_stream(StreamName=stream, ShardCount=1)
        self._settings = Settings(
            pipeline="chained" if history.stateful else "echo",
            output_stream="output",
            output_streams={role: role for role in ROLES if role != DEFAULT_ROLE},
            quarantine_stream="" if history.quarantine == "location" else QUARANTINE,
            partial_responses=history.partial,
            response_results=0,
            log_level="ERROR",
        )
        self._mapping_settings = [
            MappingSettings(
                stream_name=stream,
                batch_size=history.batch_size,
                parallelization_factor=history.factor,
                function_response_types=(REPORT_FAILURES,) if history.partial else (),
                bisect_batch_on_function_error=history.bisect,
                timeout=history.timeout_s,
            )
            for stream in streams
        ]
        self._done: dict[tuple[str, str], int] = {}  # records behind the checkpoint, by stream and shard
        self._begun: set[tuple[str, str]] = set()  # shards of which records were delivered
        self._owner: Process | None = None
        self._idle: list[tuple[Runtime, Process]] = []
        self._processes = self._depth = self._disturbances = 0
        self.pools: list[_Pool] = []
        self._last_s = BEGIN_S
        self._schedule()

    def run(self) -> Evidence:
        """Run until everything is done, or for much longer than it should take."""
        try:
            while not self._all_done():
                self._live()
            self.evidence.settled = True
        except Unsettled:
            pass
        self._take_stock()
        return self.evidence

    def digest(self) -> str:
        """Return a digest of the trace."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        if self._tells:
            seconds = self.timeline.now_s - BEGIN_S
            self.trace.append(f"{seconds:9.3f} {self.timeline.process.name:<12} {line}")

    # The input

    def _schedule(self) -> None:
        moments: dict[float, list[Sent]] = {}
        for record in self.history.records:
            moments.setdefault(record.at_s, []).append(record)
        for at_s, records in moments.items():
            self.timeline.at(BEGIN_S + at_s, lambda records=records: self._produce(records))  # type: ignore[misc]
            self._last_s = max(self._last_s, BEGIN_S + at_s)
        for reshard in self.history.reshards:
            self.timeline.at(BEGIN_S + reshard.at_s, lambda reshard=reshard: self._reshard(reshard))  # type: ignore[misc]
            self._last_s = max(self._last_s, BEGIN_S + reshard.at_s)

    def _produce(self, records: list[Sent]) -> None:
        """Put records, those of one aggregate as one."""
        groups: dict[tuple[str, object], list[Sent]] = {}
        for record in records:
            alone = record.aggregate is None
            groups.setdefault((record.stream, f"r{record.rid}" if alone else record.aggregate), []).append(record)
        for (stream, _), group in groups.items():
            first, data = group[0], payload_of(group[0])
            if first.aggregate is not None:
                packer = Packer()
                for record in group:
                    packer.add(record.key, payload_of(record))
                data = packer.pack()
            entry = {"PartitionKey": first.key, "Data": data}
            if first.hash_key is not None:
                entry["ExplicitHashKey"] = first.hash_key
            answer = self.kinesis.put_record(StreamName=stream, **entry)
            for sub, record in enumerate(group):
                self.evidence.put(record, answer["SequenceNumber"], sub)
            self.note(f"put {[each.rid for each in group]} of {first.key} on {stream} {answer['ShardId'][-2:]}")

    def _reshard(self, reshard: Reshard) -> None:
        shards = [each for each in self.kinesis.streams[reshard.stream].shards if not each.closed]
        shards.sort(key=lambda each: each.first)
        at = reshard.index % len(shards)
        if reshard.splits or len(shards) == 1:
            shard = shards[at]
            middle = str((shard.first + shard.last) // 2)
            self.kinesis.split_shard(StreamName=reshard.stream, ShardToSplit=shard.shard_id, NewStartingHashKey=middle)
            self.note(f"split {shard.shard_id[-2:]} of {reshard.stream}")
        else:
            one, other = shards[at - 1 : at + 1] if at else shards[:2]
            self.kinesis.merge_shards(
                StreamName=reshard.stream, ShardToMerge=one.shard_id, AdjacentShardToMerge=other.shard_id
            )
            self.note(f"merge {one.shard_id[-2:]} and {other.shard_id[-2:]} of {reshard.stream}")

    # Processes

    def _live(self) -> None:
        """Run one process for each stream until it has nothing to do or ends."""
        for settings in self._mapping_settings:
            process = self._owner = self._new_process("worker" if self.history.worker else "mapping")
            self.timeline.process = process
            try:
                mapping, _ = self._new_mapping(settings, process)
                self._drain(mapping)
            except (SimulatedCrash, MillraceError) as end:
                self.note(f"ended: {end}")
            process.dead = True
            if self.history.worker:
                self._idle = []
            self.timeline.process = Process("none")
            self._pass(0.5)

    def _drain(self, mapping: Mapping) -> None:
        """Let a mapping work until all that was put is done; with two streams the other one gets its turn."""
        while not self._all_done():
            mapping.run(drain=True)
            next_s = self.timeline.next_s() or 0.0
            self._pass(max(0.25, min(next_s, self._last_s) - self.timeline.now_s))
            if len(self._mapping_settings) > 1:
                return

    def _pass(self, seconds: float) -> None:
        """Let time pass, unless the run should have come to an end by now."""
        self._check_end()
        self.timeline.advance(seconds)

    def _check_end(self) -> None:
        most = 60 + 40 * len(self.history.records)
        if self.timeline.now_s > self._last_s + SETTLES_WITHIN_S or self.evidence.invocations > most:
            raise Unsettled

    def _new_process(self, kind: str) -> Process:
        self._processes += 1
        return Process(f"{kind} {self._processes}")

    def _clock(self, process: Process) -> SimulatedClock:
        return SimulatedClock(self.timeline, process, self.history.skew_s)

    def _new_mapping(self, settings: MappingSettings, process: Process) -> tuple[Mapping, _Pool]:
        pool = _Pool(self, process, self.history.factor)
        mapping = Mapping(
            settings,
            (),
            checkpoint=self.checkpoint,  # type: ignore[arg-type]  # only its two methods are used
            kinesis=self.kinesis,
            pool=pool,
            clock=self._clock(process),
            chance=self.timeline.rng.uniform,
        )
        self.note(f"start on {settings.stream}")
        return mapping, pool

    def _new_runtime(self, process: Process) -> Runtime:
        history, workers = self.history, SimulatedWorkers(self.timeline, process, self._clock(process))
        state = SimulatedState(self.table, self.timeline, self.plan)
        state.before = self.interleave
        store = SpillingState(state, self.objects, history.inline_bytes, workers.unique)
        return Runtime(
            self._settings,
            {"echo": lambda _: Echo(history.roles, self._compute), "chained": lambda _: self._chained()},
            self._service,
            measure=lambda *_: None,
            workers=workers,
            origins=StreamOrigins(self.kinesis.created_ms),
            store=store,
            objects=None if history.quarantine == "stream" else self.objects,
        )

    def _chained(self) -> Chained:
        history = self.history
        return Chained(history.roles, self._compute, weight=history.weight, key_of=lambda key: state_key(key, history))

    def _compute(self, rows: int) -> None:
        """Take the pipeline's time, and raise while the fault of everything lasts."""
        self.timeline.advance(rows * self.history.compute_s)
        window = self.history.systemic_s
        if window and window[0] <= self.timeline.now_s - BEGIN_S < window[1]:
            self._disturbances += 1
            raise OSError(28, "No space left on device")

    # Invocations

    def invoke(self, invocation: Invocation, event: bytes, pool: _Pool) -> Answer:
        """Invoke the function with a batch."""
        self._check_end()
        self.evidence.invocations += 1
        rids = self._delivered(invocation)
        self.note(f"invoke with {rids}")
        before = self._disturbances
        answer = self._answer(event, pool)
        done = len(rids) if answer.fault is None and not answer.value.get("batchItemFailures") else 0
        self.note(f"answer: {answer.fault or answer.value.get('batchItemFailures')}")
        if answer.fault is None and not done:
            first = invocation.batch.records[0].sequence_number
            done = int(answer.value["batchItemFailures"][0]["itemIdentifier"] != first)
        if not done and self.history.partial and self._disturbances == before:
            self.evidence.wrong.append(("an invocation without faults makes progress", f"records {rids[:10]}"))
        return answer

    def _answer(self, event: bytes, pool: _Pool) -> Answer:
        timeline, history = self.timeline, self.history
        if history.worker:
            kind = self.plan.at("invoke")
            if kind == kinds.STOLEN:
                self._steal(pool)
            if kind == kinds.THROTTLED:
                return Answer(fault="throttled", invoked=False, request_id="")
            runtime, process = self._idle.pop() if self._idle else (None, pool.process)
            runtime = runtime or self._new_runtime(pool.process)
            answer = self._handle(runtime, event, timeline.now_s + history.timeout_s)
            self._idle.append((runtime, pool.process))
            return answer if kind != kinds.LOST_ANSWER else Answer(fault="lost answer", request_id="")
        runtime, process = self._idle.pop() if self._idle else (None, self._new_process("function"))
        try:
            with timeline.switch(process):
                process.dies_at_s = timeline.now_s + history.timeout_s
                kind = self.plan.at("invoke")
                if kind == kinds.THROTTLED:
                    return Answer(fault="throttled", invoked=False, request_id="")
                runtime = runtime or self._new_runtime(process)
                if kind == kinds.STOLEN:
                    self._duplicate(event)
                answer = self._handle(runtime, event, process.dies_at_s)
        except SimulatedCrash as crash:
            process.dead = True
            return Answer(fault=f"Runtime exited: {crash}", request_id="")
        process.dies_at_s = float("inf")
        self._idle.append((runtime, process))
        return answer if kind != kinds.LOST_ANSWER else Answer(fault="lost answer", request_id="")

    def _handle(self, runtime: Runtime, event: bytes, ends_s: float) -> Answer:
        process = self.timeline.process
        try:
            return Answer(runtime.handle(event, _Context(self.timeline, process, ends_s)), request_id="")
        except MillraceError as error:
            return Answer(fault=str(error), request_id="")
        except Exception as error:  # noqa: BLE001 - this is what must not happen
            self.evidence.wrong.append(("only errors of Millrace's own leave the spine", repr(error)))
            return Answer(fault=type(error).__name__, request_id="")

    def _duplicate(self, event: bytes) -> None:
        """Deliver the same batch to another process, which works on it at the same time."""
        process = self._new_process("function")
        process.dies_at_s = self.timeline.now_s + self.history.timeout_s
        self.note(f"also delivered to {process.name}")
        for rid in self._rids_of_event:
            self.evidence.deliveries[rid] += 1
        try:
            with self.timeline.switch(process, clock_stops=True):
                self._handle(self._new_runtime(process), event, process.dies_at_s)
        except SimulatedCrash:
            process.dead = True

    def _steal(self, pool: _Pool) -> None:
        """Let another process take the lease and go on, while the present one stands still in the middle of a call."""
        if self._depth >= LONGEST_NESTING or pool.process is not self._owner:
            return
        self._depth += 1
        process = self._owner = self._new_process("worker")
        settings = next(each for each in self._mapping_settings if each.stream == pool.stream)
        idle, self._idle = self._idle, []
        try:
            with self.timeline.switch(process, clock_stops=self.timeline.rng.random() < 0.5):  # noqa: PLR2004
                mapping, other = self._new_mapping(settings, process)
                other.stops_after, other.stop = self.timeline.rng.randint(1, 4), mapping.stop
                mapping.run(drain=True)
                self.note("pauses")
        except (SimulatedCrash, MillraceError) as end:
            self.note(f"the thief ended: {end}")
        process.dead = True
        self._idle, self._depth = idle, self._depth - 1

    def interleave(self, kind: str) -> None:
        """Let other processes go on in the middle of a call of the table."""
        if not self.pools:
            return
        pool = self.pools[-1]
        if kind == kinds.STOLEN:
            if self.history.worker:
                self._steal(pool)
            else:
                self._duplicate(pool.event)
        elif pool.waiting and self._depth < LONGEST_NESTING and self.timeline.rng.random() < 0.3:  # noqa: PLR2004
            self._depth += 1
            self._disturbances += 1
            pool.serve_next()
            self._depth -= 1

    # What is noted

    def _delivered(self, invocation: Invocation) -> list[int]:
        """Note a delivery; return its records."""
        found: list[int] = []
        shard_id, stream = invocation.run.shard.shard_id, invocation.run.shard.stream
        shards = {each.shard_id: each for each in self.kinesis.streams[stream].shards}
        if (stream, shard_id) not in self._begun:
            self._begun.add((stream, shard_id))
            for parent in shards[shard_id].parents:
                left = [
                    rid
                    for record in shards[parent].records
                    for rid in self.evidence.records_at(stream, record["SequenceNumber"])
                    if not self.evidence.is_safe(rid)
                ]
                if left:
                    self.evidence.wrong.append(("parents before children", f"{shard_id} before {left} of {parent}"))
        behind = self._done.get((stream, shard_id), 0)
        passed = shards[shard_id].numbers[behind - 1] if behind else -1
        for record in invocation.batch.records:
            rids = self.evidence.records_at(stream, record.sequence_number)
            found += rids
            if int(record.sequence_number) <= passed and self.timeline.process is self._owner:
                self.evidence.wrong.append(("nothing behind the checkpoint comes again", f"records {rids}"))
        self.evidence.deliveries.update(found)
        self._rids_of_event = found
        return found

    def _checkpointed(self, arn: str, positions: Map[str, StartingPosition]) -> None:
        """Check that every record that a checkpoint passes is safe."""
        stream = arn.rpartition("/")[2]
        for shard in self.kinesis.streams[stream].shards:
            position = positions.get(shard.shard_id)
            if position is None:
                continue
            before = self._done.get((stream, shard.shard_id), 0)
            if position.type == "SHARD_END":
                passed = len(shard.records)
            elif position.sequence_number:
                passed = next(
                    (i for i in range(before, len(shard.numbers)) if shard.numbers[i] > int(position.sequence_number)),
                    len(shard.numbers),
                )
            else:
                continue
            for record in shard.records[before:passed]:
                for rid in self.evidence.records_at(stream, record["SequenceNumber"]):
                    if not self.evidence.is_safe(rid):
                        self.evidence.wrong.append(("the checkpoint never passes an unsafe record", f"record {rid}"))
            if passed > before:
                self._done[stream, shard.shard_id] = passed
                self.note(f"checkpoint of {stream} {shard.shard_id[-2:]}: {passed} records")

    def _check_owner(self) -> None:
        if self.history.worker and self.timeline.process is not self._owner:
            raise SimulatedCrash("the lease is another's")

    def _took(self, stream: str, key: str, data: bytes) -> None:
        self.evidence.took(stream, key, data)
        if self._tells:
            self.note(f"{stream} took {data.decode()[:60]}")

    def _stored(self, name: str, data: bytes) -> None:
        self.note(f"object {name}, {len(data)} bytes")
        if name.endswith(".jsonl"):
            for line in data.splitlines():
                self.evidence.set_aside(line)

    def _note_fault(self, fault: Fault) -> None:
        self._disturbances += 1
        if fault.kind in {kinds.LATE_ERROR, kinds.ARRIVES_LATER, kinds.HANG, kinds.SLOW, kinds.CONTRADICTION}:
            self.evidence.ambiguous += 1
        self.note(f"FAULT {fault}")

    def _all_done(self) -> bool:
        """Return whether every record was put and is behind a checkpoint."""
        if len(self.evidence.sent) < len(self.history.records):
            return False
        return all(
            self._done.get((stream, shard.shard_id), 0) == len(shard.records)
            for stream in self._streams
            for shard in self.kinesis.streams[stream].shards
        )

    def _take_stock(self) -> None:
        """Note the state and the objects at the end."""
        for key, stored in self.table.stored.items():
            value, name = stored.value, object_of(key, stored.value)
            if name is not None:
                self.evidence.named.add(name)
                value = self.objects.kept.get(name, b"{}")
            self.evidence.states[key.partition("/")[2]] = _chain.decode(value)
        self.evidence.objects = {name: data for name, data in self.objects.kept.items() if not name.endswith(".jsonl")}


class _Pool:
    """Invocations of one mapping, run one after the other or one within another."""

    def __init__(self, world: World, process: Process, targets: int) -> None:
        self.process, self.stream, self.event = process, "", b""
        self.waiting: list[tuple[Invocation, bytes]] = []
        self.stops_after: int | None = None
        self.stop: Callable[[], Any] = lambda: None
        self._world, self._targets = world, targets
        self._answered: list[tuple[Invocation, Answer]] = []

    @property
    def free(self) -> bool:
        return len(self.waiting) + len(self._answered) < self._targets

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self._answered)

    def start(self, invocation: Invocation, event: bytes) -> None:
        self.waiting.append((invocation, event))

    def answers(self, wait_s: float) -> list[tuple[Invocation, Answer]]:
        if not self._answered and self.waiting and wait_s:
            self.serve_next()
        found, self._answered = self._answered, []
        return found

    def serve_next(self) -> None:
        """Run one of the invocations that wait."""
        world = self._world
        at = world.timeline.rng.randrange(len(self.waiting))
        invocation, event = self.waiting.pop(at)
        self.stream, before = invocation.run.shard.stream, self.event
        self.event = event
        world.pools.append(self)
        try:
            answer = world.invoke(invocation, event, self)
        finally:
            world.pools.pop()
            self.event = before
        self._answered.append((invocation, answer))
        if self.stops_after is not None:
            self.stops_after -= 1
            if self.stops_after <= 0:
                self.stop()


class _Context:
    """Lambda's context object on simulated time."""

    aws_request_id = "simulated"

    def __init__(self, timeline: Timeline, process: Process, ends_s: float) -> None:
        self._timeline, self._process = timeline, process
        self._ends_s = ends_s - process.stood_still_s

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._ends_s - self._timeline.now_s + self._process.stood_still_s) * 1000))
