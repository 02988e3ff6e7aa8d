"""The function of a simulated run: invoked by the mapping, in its own process or in the mapping's, several at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from app.errors import MillraceError
from app.stream.mapping.invoke import Answer
from app.stream.testing import faults as kinds
from app.stream.testing.simulation import Process, SimulatedCrash

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.stream.mapping.driver import Mapping
    from app.stream.mapping.settling import Invocation
    from app.stream.runtime import Runtime
    from app.stream.testing.evidence import Evidence
    from app.stream.testing.faults import FaultPlan
    from app.stream.testing.history import History
    from app.stream.testing.simulation import Timeline
    from app.stream.testing.watch import Watch

EARLY_SHARE = 0.25  # of the time: with more than the rest left, nothing is handed back but for a fault
DEEPEST = 3  # invocations within one another; a fourth shows nothing that three do not


class Run(Protocol):
    """The run that a function is part of: `world.World`."""

    history: History
    evidence: Evidence
    timeline: Timeline
    plan: FaultPlan
    watch: Watch
    owner: Process | None

    def note(self, line: str) -> None:
        """Add a line to the trace."""

    def check_end(self) -> None:
        """End a run that should have come to its end."""

    def new_process(self, kind: str) -> Process:
        """Return a process that nothing runs in yet."""

    def new_mapping(self, stream: str, process: Process) -> tuple[Mapping, InvocationPool]:
        """Start a mapping in a process."""

    def new_runtime(self, process: Process) -> Runtime:
        """Start the function's runtime in a process."""


class Function:
    """Invokes the real runtime, and lets other processes go on in the middle of its calls.

    Attributes:
        pools: The pools whose invocations are under way, the innermost last.
        rng: Decides which invocation runs next.
        disturbances: How many faults, and invocations within others, there have been.
    """

    def __init__(self, world: Run) -> None:
        """Take the run."""
        self.pools: list[InvocationPool] = []
        self.disturbances = 0
        self.rng = world.timeline.rng
        self._world, self._depth = world, 0
        self._idle: list[tuple[Runtime, Process]] = []
        self._stuck: set[str] = set()  # first records of batches that made no progress, without a fault

    @property
    def now_s(self) -> float:
        """Return the seconds since 1970."""
        return self._world.timeline.now_s

    def forget_processes(self) -> None:
        """Start anew with the next invocation."""
        self._idle = []

    def invoke(self, invocation: Invocation, event: bytes, pool: InvocationPool) -> Answer:
        """Invoke the function with a batch, and check that it makes progress unless something disturbs it."""
        world, history = self._world, self._world.history
        world.check_end()
        world.evidence.invocations += 1
        pool.rids = world.watch.delivered(invocation, by_owner=world.timeline.process is world.owner)
        if history.factor == 1:
            turn = invocation, pool.process, pool.began_s
            world.watch.check_turns(*turn, disturbances=self.disturbances, now_s=world.timeline.now_s)
        world.note(f"invoke with {pool.rids}")
        before, early_s = self.disturbances, world.timeline.now_s + EARLY_SHARE * history.timeout_s
        answer = self._answer_here(event, pool) if history.worker else self._answer_elsewhere(event, pool)
        failures = [] if answer.fault else answer.value.get("batchItemFailures") or []
        world.note(f"answer: {answer.fault or [each['itemIdentifier'][-6:] for each in failures]}")
        first = invocation.batch.records[0].sequence_number
        stuck = answer.fault or (failures and failures[0]["itemIdentifier"] == first)
        # An aggregate comes again as a whole, and its outputs of one key may take longer than there is time.
        alone = len(world.evidence.records_at(pool.stream, first)) == 1
        if history.partial and self.disturbances == before and not self._depth:
            if stuck and alone and first in self._stuck:  # the first attempt may have been wrong about a pace
                world.evidence.wrong.append(("invocations without faults make progress", f"records {pool.rids[:10]}"))
            self._stuck = self._stuck | {first} if stuck else self._stuck - {first}
            if failures and world.timeline.now_s < early_s:
                world.evidence.wrong.append(("an invocation without faults uses its time", str(failures[0])))
        return answer

    def interleave(self, kind: str) -> None:
        """Let other processes go on in the middle of a call of the table."""
        if not self.pools:
            return
        pool = self.pools[-1]
        if kind == kinds.STOLEN:
            self._disturb(pool)
        elif pool.waiting and self._depth < DEEPEST and self._world.timeline.rng.random() < 0.3:  # noqa: PLR2004
            self._depth += 1
            self.disturbances += 1
            pool.serve_next()
            self._depth -= 1

    def _answer_here(self, event: bytes, pool: InvocationPool) -> Answer:
        """Invoke in the mapping's own process: its end is the mapping's."""
        world = self._world
        kind = world.plan.at("invoke")
        if kind == kinds.STOLEN:
            self._disturb(pool)
        if kind == kinds.THROTTLED:
            return _fault("throttled", invoked=False)
        runtime, _ = self._idle.pop() if self._idle else (world.new_runtime(pool.process), None)
        answer = self._handle(runtime, event, world.timeline.now_s + world.history.timeout_s)
        if kind == kinds.CRASH_AFTER:
            raise SimulatedCrash("before the answer")
        self._idle.append((runtime, pool.process))
        return answer if kind != kinds.LOST_ANSWER else _fault("the answer was lost")

    def _answer_elsewhere(self, event: bytes, pool: InvocationPool) -> Answer:
        """Invoke in a process of its own, which is ended when its time is over."""
        world = self._world
        runtime, process = self._idle.pop() if self._idle else (None, world.new_process("function"))
        process.dies_at_s = world.timeline.now_s + world.history.timeout_s
        try:
            with world.timeline.switch(process):
                kind = world.plan.at("invoke")
                if kind == kinds.THROTTLED:
                    return _fault("throttled", invoked=False)
                runtime = runtime or world.new_runtime(process)
                if kind == kinds.STOLEN:
                    self._disturb(pool)
                answer = self._handle(runtime, event, process.dies_at_s)
        except SimulatedCrash as crash:
            process.dead = True
            return _fault(f"Runtime exited: {crash}")
        if kind == kinds.CRASH_AFTER:
            process.dead = True
            return _fault("Runtime exited: before the answer")
        process.dies_at_s = math.inf
        self._idle.append((runtime, process))
        return answer if kind != kinds.LOST_ANSWER else _fault("the answer was lost")

    def _handle(self, runtime: Runtime, event: bytes, ends_s: float) -> Answer:
        world = self._world
        try:
            return Answer(runtime.handle(event, _Context(world.timeline, ends_s)), request_id="")
        except MillraceError as error:
            return _fault(str(error))
        except Exception as error:  # noqa: BLE001 - this is what must not happen
            world.evidence.wrong.append(("only errors of Millrace's own leave the spine", repr(error)))
            return _fault(type(error).__name__)

    def _disturb(self, pool: InvocationPool) -> None:
        """Let another process take the lease or the same batch, while this one stands still in the middle of a call."""
        if self._depth >= DEEPEST:
            return
        self._depth += 1
        idle, self._idle = self._idle, []
        if self._world.history.worker:
            self._steal(pool)
        else:
            self._duplicate(pool)
        self._idle, self._depth = idle, self._depth - 1

    def _steal(self, pool: InvocationPool) -> None:
        """Let another worker take the lease and do some batches; the former owner does not know."""
        world = self._world
        if pool.process is not world.owner:
            return
        process = world.owner = world.new_process("worker")
        try:
            with world.timeline.switch(process, clock_stops=world.timeline.rng.random() < 0.5):  # noqa: PLR2004 - half
                mapping, other = world.new_mapping(pool.stream, process)
                other.stop_after(world.timeline.rng.randint(1, 4), mapping.stop)
                mapping.run(drain=True)
                world.note("pauses")
        except (SimulatedCrash, MillraceError) as end:
            world.note(f"{process.name} ended: {end}")
        process.dead = True

    def _duplicate(self, pool: InvocationPool) -> None:
        """Deliver the same batch to another process, which works on it at the same time."""
        world = self._world
        process = world.new_process("function")
        process.dies_at_s = world.timeline.now_s + world.history.timeout_s
        world.note(f"also delivered to {process.name}")
        world.evidence.deliveries.update(pool.rids)
        try:
            with world.timeline.switch(process, clock_stops=world.timeline.rng.random() < 0.5):  # noqa: PLR2004 - half
                self._handle(world.new_runtime(process), pool.event, process.dies_at_s)
        except SimulatedCrash:
            process.dead = True


class InvocationPool:
    """The invocations of one mapping: some wait while another is under way, and may run in the middle of it.

    Attributes:
        process: The mapping's process.
        began_s: When it began: records that were put by then are read at once.
        stream: The stream of the batch under way.
        event: Its event.
        rids: Its records.
        waiting: Invocations that were started and have not run.
    """

    def __init__(self, function: Function, process: Process, stream: str, targets: int) -> None:
        """Take the function, the mapping's process and stream, and how many invocations run at once."""
        self.process, self.stream, self.event = process, stream, b""
        self.began_s = function.now_s
        self.rids: list[int] = []
        self.waiting: list[tuple[Invocation, bytes]] = []
        self._function, self._targets = function, targets
        self._answered: list[tuple[Invocation, Answer]] = []
        self._stops_after = -1
        self._stop: Callable[[], object] = lambda: None

    @property
    def free(self) -> bool:
        """Return whether another invocation may be started."""
        return len(self.waiting) + len(self._answered) < self._targets

    @property
    def busy(self) -> bool:
        """Return whether there are answers to wait for."""
        return bool(self.waiting or self._answered)

    def start(self, invocation: Invocation, event: bytes) -> None:
        """Start an invocation: it runs when somebody waits for answers, or within another."""
        self.waiting.append((invocation, event))

    def answers(self, wait_s: float) -> list[tuple[Invocation, Answer]]:
        """Return the answers at hand; if there are none and somebody waits, run an invocation."""
        if not self._answered and self.waiting and wait_s:
            self.serve_next()
        found, self._answered = self._answered, []
        return found

    def stop_after(self, invocations: int, stop: Callable[[], object]) -> None:
        """Call `stop` after some invocations."""
        self._stops_after, self._stop = invocations, stop

    def serve_next(self) -> None:
        """Run one of the invocations that wait."""
        function, rng = self._function, self._function.rng
        invocation, event = self.waiting.pop(rng.randrange(len(self.waiting)))
        before, self.event, self.rids = (self.event, self.rids), event, []
        function.pools.append(self)
        try:
            answer = function.invoke(invocation, event, self)
        finally:
            function.pools.pop()
            self.event, self.rids = before
        self._answered.append((invocation, answer))
        self._stops_after -= 1
        if not self._stops_after:
            self._stop()


class _Context:
    """Lambda's context object on simulated time."""

    aws_request_id = "simulated"

    def __init__(self, timeline: Timeline, ends_s: float) -> None:
        self._timeline, self._process = timeline, timeline.process
        self._ends_s = ends_s - self._process.stood_still_s

    def get_remaining_time_in_millis(self) -> int:
        now_s = self._timeline.now_s - self._process.stood_still_s
        return max(0, int((self._ends_s - now_s) * 1000))


def _fault(line: str, *, invoked: bool = True) -> Answer:
    return Answer(fault=line, invoked=invoked, request_id="")
