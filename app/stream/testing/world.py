"""Run a history: the real mapping, spine and state over simulated services, on one thread."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import msgspec

from app.errors import CredentialsError, MillraceError
from app.settings import DEFAULT_ROLE, Settings
from app.storage.spilling import SpillingState, object_of
from app.storage.state import MemoryState
from app.stream.mapping.driver import Mapping
from app.stream.mapping.settings import REPORT_FAILURES, MappingSettings
from app.stream.origin import StreamOrigins
from app.stream.resuming import Resumption
from app.stream.runtime import Opener, Runtime
from app.stream.testing.evidence import Evidence, state_key
from app.stream.testing.faults import UNREADABLE, FaultPlan
from app.stream.testing.function import Function, InvocationPool
from app.stream.testing.kinesis import SimulatedKinesis
from app.stream.testing.pipelines import ROLES, Chain, Chained, Echo, Moment
from app.stream.testing.producer import Producer
from app.stream.testing.services import SimulatedCheckpoint, SimulatedObjects, SimulatedPutRecords, SimulatedState
from app.stream.testing.simulation import BEGIN_S, Process, SimulatedClock, SimulatedCrash, SimulatedWorkers, Timeline
from app.stream.testing.watch import Watch

if TYPE_CHECKING:
    from app.stream.testing.faults import Fault
    from app.stream.testing.history import History

QUARANTINE = "quarantine"
SETTLES_WITHIN_S = 900.0  # after the last record was put; back-off is seconds, and each fault is met a few times
CALM_S = 1.5  # without faults at the beginning, where LATEST has to be found before there are records
_chain = msgspec.json.Decoder(Chain)


class Unsettled(BaseException):
    """The run has not come to an end."""


class World:
    """One run of a history.

    Attributes:
        history: What is run.
        evidence: Facts for the invariants.
        timeline: Simulated time.
        plan: The faults, and how often each was met.
        kinesis: The streams.
        watch: Notes what happens.
        owner: The process that has the lease.
        trace: Each step of the run, as a line for people.
    """

    def __init__(self, history: History, *, traced: bool = False) -> None:
        """Build the services; nothing runs yet.

        Args:
            history: The history.
            traced: Whether to keep a trace.
        """
        self.history = history
        self.evidence = Evidence(history)
        self.trace: list[str] = []
        self._traced = traced
        self.timeline = Timeline(random.Random(history.seed))  # noqa: S311 - a simulation
        self.plan = FaultPlan(history.faults, on_fault=self._note_fault)
        self.kinesis = SimulatedKinesis(self.timeline, self.plan)
        # Records that wait for a parked key are resumed by their numbers, also over two lives of a stream.
        self.kinesis.numbers_grow = bool(history.damaged) or any(each.kind == UNREADABLE for each in history.faults)
        self.watch = watch = Watch(self.evidence, self.kinesis, self.note)
        self.owner: Process | None = None
        self._table = MemoryState()
        self._objects = SimulatedObjects(self.timeline, self.plan, watch.stored)
        self._checkpoint = SimulatedCheckpoint(self.plan if history.worker else FaultPlan())
        self._checkpoint.check_owner, self._checkpoint.saved = self._check_owner, watch.checkpointed
        self._service = SimulatedPutRecords(self.kinesis, self.timeline, self.plan, watch.took, QUARANTINE)
        self._service.slowest_s = history.put_s
        self._function = Function(self)
        self._processes = 0
        self._settings = _settings(history)
        self._producer = Producer(history, self.timeline, self.kinesis, self.evidence, self.note)
        for stream in ("output", QUARANTINE, *ROLES[1 : history.roles]):
            self.kinesis.create_stream(StreamName=stream, ShardCount=1)

    def run(self) -> Evidence:
        """Run until everything is done, or for much longer than it should take."""
        if self.history.latest:
            self.plan.enabled = False
            self.timeline.at(BEGIN_S + CALM_S, self.plan.enable)
        if self.history.damaged:
            self.timeline.at(BEGIN_S + self.history.damaged.until_s, self._check_others)
        try:
            for life in range(self.history.lives):
                self._producer.begin_life(life)
                self._function.forget_processes()  # one that outlives its stream takes the new one for the old
                while not self._all_done():
                    self._live()
            self._resume_parked()
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
        if self._traced:
            self.trace.append(f"{self.timeline.now_s - BEGIN_S:9.3f} {self.timeline.process.name:<12} {line}")

    # Processes

    def _live(self) -> None:
        """Run one process for each stream until it has nothing to do or ends."""
        for stream in self._producer.streams:
            process = self.owner = self.new_process("worker" if self.history.worker else "mapping")
            self.timeline.process = process
            try:
                mapping, _ = self.new_mapping(stream, process)
                self._drain(mapping)
            except (SimulatedCrash, MillraceError) as end:
                self.note(f"ended: {end}")
            process.dead = True
            if self.history.worker:
                self._function.forget_processes()
            self.timeline.process = Process("none")
            self._pass(0.5)

    def _resume_parked(self) -> None:
        """Let the records of parked keys be processed, as a person does once the fault is mended."""
        mended_s = BEGIN_S + (self.history.damaged.until_s if self.history.damaged else 0.0)
        if self.timeline.rng.random() < 0.5:  # noqa: PLR2004 - as often as not, a person tries it too early
            self._pass(max(0.0, mended_s - self.timeline.now_s))
        while parked := sorted(key for key, stored in self._table.stored.items() if stored.parked):
            process = self.timeline.process = self.new_process("resume")
            self.evidence.deliveries.update(self.evidence.aside.keys())
            self.note(f"resume {', '.join(parked)}")
            try:
                runtime = self.new_runtime(process)
                store = runtime.processor_for(self._producer.streams[0]).store
                if store is not None:
                    clock = runtime.writer.workers.clock
                    Resumption(store, runtime.processor_for, self.evidence.quarantined, clock).resume(parked[0])
            except (SimulatedCrash, MillraceError) as end:
                self.note(f"ended: {end}")
            process.dead = True
            self.timeline.process = Process("none")
            self._pass(max(0.5, mended_s - self.timeline.now_s))

    def _drain(self, mapping: Mapping) -> None:
        """Let a mapping work until all that was put is done; with two streams the other one gets its turn."""
        while not self._all_done():
            try:
                mapping.run(drain=True)
            except CredentialsError:
                raise
            except MillraceError as end:
                self.evidence.wrong.append(("a fault that passes does not end the mapping", str(end)))
                raise
            next_s = self.timeline.next_s() or 0.0
            self._pass(max(0.25, min(next_s, self._producer.last_s) - self.timeline.now_s))
            if len(self._producer.streams) > 1:
                return

    def _pass(self, seconds: float) -> None:
        """Let time pass, unless the run should have come to an end by now."""
        self.check_end()
        self.timeline.advance(seconds)

    def check_end(self) -> None:
        """End a run that should have come to its end.

        Raises:
            Unsettled: It should.
        """
        most = 60 + 40 * len(self.history.records)
        if self.timeline.now_s > self._producer.last_s + SETTLES_WITHIN_S or self.evidence.invocations > most:
            raise Unsettled

    def new_process(self, kind: str) -> Process:
        """Return a process that nothing runs in yet."""
        self._processes += 1
        return Process(f"{kind} {self._processes}")

    def new_mapping(self, stream: str, process: Process) -> tuple[Mapping, InvocationPool]:
        """Start a mapping in a process."""
        history = self.history
        pool = InvocationPool(self._function, process, stream, history.factor)
        settings = MappingSettings(
            stream_name=stream,
            starting_position="LATEST" if history.latest else "TRIM_HORIZON",
            batch_size=history.batch_size,
            parallelization_factor=history.factor,
            function_response_types=(REPORT_FAILURES,) if history.partial else (),
            bisect_batch_on_function_error=history.bisect,
            timeout=history.timeout_s,
        )
        mapping = Mapping(
            settings,
            (),
            checkpoint=self._checkpoint,  # type: ignore[arg-type]  # only its two methods are used
            kinesis=self.kinesis,
            pool=pool,
            clock=self._clock(process),
            chance=self.timeline.rng.uniform,
        )
        self.note(f"start on {stream}")
        return mapping, pool

    def new_runtime(self, process: Process) -> Runtime:
        """Start the function's runtime in a process."""
        history, workers = self.history, SimulatedWorkers(self.timeline, process, self._clock(process))
        state = SimulatedState(self._table, self.timeline, self.plan)
        state.before = self._function.interleave
        state.largest_bytes = history.inline_bytes
        state.is_damaged = lambda key: self._is_damaged(key, too_large=False)
        state.is_too_large = lambda key: self._is_damaged(key, too_large=True)
        store = SpillingState(state, self._objects, history.inline_bytes, workers.unique)
        pipelines: dict[str, Opener] = {
            "echo": lambda _: Echo(history.roles, self._compute),
            "chained": lambda _: Chained(
                history.roles, self._compute, weight=history.weight, key_of=lambda key: state_key(key, history)
            ),
        }
        runtime = Runtime(
            self._settings,
            pipelines,
            self._service,
            measure=lambda *_: None,
            workers=workers,
            origins=StreamOrigins(self.kinesis.created_ms),
            store=store,
            objects=self._objects if history.quarantine in {"location", "both"} else None,
        )
        runtime.writer.call_records = history.call_records
        return runtime

    def _clock(self, process: Process) -> SimulatedClock:
        return SimulatedClock(self.timeline, process, self.history.skew_s)

    def _compute(self, rows: int) -> Moment:
        """Spend the pipeline's time, raise while a fault of the machine lasts, and return the conditions."""
        self.timeline.advance(rows * self.history.compute_s)
        since_s = self.timeline.now_s - BEGIN_S
        window = self.history.systemic_s
        if window and window[0] <= since_s < window[1]:
            self._function.disturbances += 1
            raise OSError(28, "No space left on device")
        version = sum(at_s <= since_s for at_s in self.history.versions_s)
        is_early = since_s < self.history.early_s
        self._function.disturbances += is_early
        return Moment(f"v{version}" if self.history.versions_s else "", is_early=is_early)

    # Checks and notes

    def _check_owner(self) -> None:
        if self.history.worker and self.timeline.process is not self.owner:
            raise SimulatedCrash("the lease is another's")

    def _is_damaged(self, key: str, *, too_large: bool) -> bool:
        """Return whether a key's item cannot be read now, or is too large to be written."""
        damaged, since_s = self.history.damaged, self.timeline.now_s - BEGIN_S
        if damaged is None or damaged.too_large != too_large or since_s >= damaged.until_s:
            return False
        found = key == f"chained/{damaged.key}"
        self._function.disturbances += found
        return found

    def _check_others(self) -> None:
        """Check that a damaged key has not held up the records of other keys."""
        key, holds = self.history.damaged.key if self.history.damaged else "", self.history.quarantine == "none"
        self.watch.check_others(key, BEGIN_S + 30, holds=holds)

    def _note_fault(self, fault: Fault) -> None:
        self._function.disturbances += 1
        self.evidence.ambiguous += fault.is_ambiguous
        self.note(f"FAULT {fault}")

    def _all_done(self) -> bool:
        """Return whether every record of this life was put and is behind a checkpoint."""
        return len(self.evidence.sent) == self._producer.expected and all(
            map(self.watch.all_passed, self._producer.streams)
        )

    def _take_stock(self) -> None:
        """Note the state and the objects at the end."""
        evidence, kept = self.evidence, self._objects.kept
        for key, stored in self._table.stored.items():
            value, name = stored.value, object_of(key, stored.value)
            if name is not None:
                evidence.named.add(name)
                value = kept.get(name, b"{}")
            evidence.states[key.partition("/")[2]] = _chain.decode(value or b"{}")
        evidence.objects = {name: data for name, data in kept.items() if not name.endswith(".jsonl")}


def _settings(history: History) -> Settings:
    return Settings(
        pipeline="chained" if history.stateful else "echo",
        output_stream="output",
        output_streams={role: role for role in ROLES if role != DEFAULT_ROLE},
        output_aggregation=list(ROLES) if history.aggregates else [],
        quarantine_stream=QUARANTINE if history.quarantine in {"stream", "both"} else "",
        partial_responses=history.partial,
        response_results=0,
        log_level="CRITICAL",
    )
