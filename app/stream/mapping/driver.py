"""Run a local event source mapping: poll a stream and drive a function in batches, as Lambda's own does.

One thread does everything but the invocations: it reads shards, cuts batches, starts them where a target is free, and
settles their answers. So a shard's lanes, its checkpoint and its windows need no locks.
"""

from __future__ import annotations

import random
import threading
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from app import aws
from app.stream.deadline import SYSTEM_CLOCK
from app.stream.mapping.destinations import open_destination
from app.stream.mapping.event import EVENT_BYTES, EventSource, Record, event_of_encoded
from app.stream.mapping.filters import compile_criteria
from app.stream.mapping.invoke import TOO_LARGE, Answer, Inline, InProcess, Pool, Threads
from app.stream.mapping.lanes import ShardRun
from app.stream.mapping.retries import split_too_old
from app.stream.mapping.settling import Invocation, Settler
from app.stream.shards import IDLE_PAUSE_S, StartingPosition, StreamReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.stream.deadline import Clock
    from app.stream.mapping.checkpoint import CheckpointFile
    from app.stream.mapping.destinations import Destination
    from app.stream.mapping.invoke import Handler, Target
    from app.stream.mapping.lanes import Lane
    from app.stream.mapping.retries import Batch
    from app.stream.mapping.settings import MappingSettings
    from app.stream.mapping.settling import Progress

KEEP_EVERY_S = 0.2  # the checkpoint, which takes the disk some 10 ms: a crash repeats what was done in this time

InvocationPool: TypeAlias = "Pool[Invocation]"


class Mapping:
    """Drives one function from one stream until it is stopped.

    Attributes:
        source: The stream.
        filtered: Records that the filter criteria left out.
    """

    def __init__(
        self,
        settings: MappingSettings,
        function: Handler | Sequence[Target],
        progress: Progress | None = None,
        *,
        checkpoint: CheckpointFile | None = None,
        kinesis: Any = None,  # noqa: ANN401 - botocore makes its clients at run time
        destination: Destination | None = None,
        pool: InvocationPool | None = None,
        clock: Clock = SYSTEM_CLOCK,
        chance: Callable[[float, float], float] = random.uniform,
        unique: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        """List the stream's shards and check the on-failure destination.

        Args:
            settings: The mapping's.
            function: A handler in this process, or targets that may be invoked at the same time.
            progress: Called after each batch.
            checkpoint: Where to begin, if an earlier run kept it, and where to keep how far this one gets.
            kinesis: The client to read with; by default the process's own.
            destination: In place of the one that the settings name.
            pool: In place of the threads that invoke.
            clock: The clock for all waiting.
            chance: Gives a number between two, to spread retries.
            unique: Gives a UUID, for failure records.

        Raises:
            MissingStreamError: There is no such stream.
            CloudError: The stream or the on-failure destination cannot be used.
            SettingsError: The filter criteria, the destination or the checkpoint is wrong.
        """
        self._settings, self._clock, self._unique = settings, clock, unique
        self._passes = compile_criteria(settings.filter_criteria)
        destination = destination or open_destination(
            settings.destination_config.on_failure.destination, settings.mapping_id, unique
        )
        targets = [InProcess(function, settings.timeout)] if callable(function) else function
        self._pool = pool or (Inline(targets[0]) if len(targets) == 1 else Threads(targets))
        self._kinesis = kinesis or aws.client("kinesis")
        self.source, self._created = self._describe()
        if destination:
            destination.check()
        start = StartingPosition(settings.starting_position, settings.starting_position_timestamp)
        self._checkpoint = checkpoint
        resume = checkpoint.load(self.source.arn, self._created) if checkpoint else {}
        self._reader = StreamReader(settings.stream, start, resume=resume, kinesis=kinesis, clock=clock)
        self._runs: dict[str, ShardRun] = {}
        self._stopped = threading.Event()
        self._turn = 0
        self._unkept, self._kept_at_s = False, 0.0
        self._settler = Settler(
            settings,
            self.source,
            destination,
            progress=progress,
            advance=self._advance,
            clock=clock,
            chance=chance,
            unique=unique,
        )
        self.filtered = 0

    @property
    def acknowledged(self) -> int:
        """Return how many records the function has processed."""
        return self._settler.acknowledged

    @property
    def discarded(self) -> int:
        """Return how many records were given up after their attempts or their time."""
        return self._settler.discarded

    def stop(self) -> None:
        """End `run` after the batches in hand; may be called from a signal handler or another thread."""
        self._stopped.set()

    def run(self, *, drain: bool = False) -> int:
        """Poll and invoke until stopped; return the number of records acknowledged.

        Args:
            drain: Stop by itself once all that was in the stream has been acknowledged.

        Raises:
            CloudError: The stream cannot be read, for a reason that does not pass by itself.
        """
        if not self._settings.enabled:
            return 0
        self._keep()
        try:
            self._poll(drain=drain)
        finally:
            if self._unkept:
                self._keep()
        return self.acknowledged

    def _poll(self, *, drain: bool) -> None:
        """Poll and invoke until stopped, or until the stream is empty."""
        while not self._stopped.is_set():
            read = self._read()
            started = self._start_due()
            answers = self._pool.answers(0)
            self._settler.settle(answers)
            self._keep_in_time()
            if drain and not self._pool.busy and self._reader.at_tip():
                break
            if not (read or started or answers):
                self._settler.settle(self._wait())
        while self._pool.busy:
            self._settler.settle(self._pool.answers(IDLE_PAUSE_S))

    def _describe(self) -> tuple[EventSource, str]:
        """Return the stream as events name it, and when it was created."""
        with aws.explaining(f"stream {self._settings.stream}"):
            answer = self._kinesis.describe_stream_summary(StreamName=self._settings.stream)
        summary = answer["StreamDescriptionSummary"]
        return EventSource(summary["StreamARN"]), str(summary["StreamCreationTimestamp"])

    def _wait(self) -> list[tuple[Invocation, Answer]]:
        """Wait for an answer if one is to come, otherwise for a moment."""
        if self._pool.busy:
            return self._pool.answers(IDLE_PAUSE_S)
        self._clock.sleep(IDLE_PAUSE_S)
        return []

    def _read(self) -> int:
        """Read on for lanes that have space, and spread the records over the lanes."""
        count = 0
        for shard in self._reader.shards:
            run = self._runs.get(shard.shard_id)
            if run is None:
                run = self._runs[shard.shard_id] = ShardRun(shard, self._settings.parallelization_factor)
            if run.wants_more(self._settings):
                count += shard.read()
            if shard.buffer:
                self._take(run)
        self._reader.find_children()
        return count

    def _take(self, run: ShardRun) -> None:
        """Take a reader's records into the lanes; those that the filter leaves out are done."""
        now_s, shard = self._clock.monotonic(), run.shard
        while shard.buffer:
            given = shard.buffer.popleft()
            envelope = self.source.envelope(shard.shard_id, given)
            passes = self._passes(envelope, given["Data"])
            record = Record(
                sequence_number=given["SequenceNumber"],
                partition_key=given["PartitionKey"],
                arrived_s=given["ApproximateArrivalTimestamp"].timestamp(),
                encoded=msgspec.json.encode(envelope) if passes else b"",
                done=not passes,
            )
            run.checkpoint.add(record)
            if passes:
                run.lane_of(record).add(record, now_s)
            else:
                self.filtered += 1
        self._advance(run)

    def _start_due(self) -> int:
        """Start every batch that is due, as long as a target is free; return how many."""
        started = 0
        runs = [self._runs[shard.shard_id] for shard in self._reader.shards if shard.shard_id in self._runs]
        lanes = [(run, lane) for run in runs for lane in run.lanes]
        # The lane that has waited longest comes first: with few targets the others would keep it waiting forever.
        for run, lane in sorted(lanes, key=lambda pair: pair[1].turn):
            if self._stopped.is_set() or not self._pool.free:
                break
            batch = lane.next_batch(self._settings, run.shard, self._clock.monotonic())
            if batch is not None:
                started += 1
                self._turn += 1
                lane.turn = self._turn
                self._start(run, lane, batch)
                self._settler.settle(self._pool.answers(0))
        return started

    def _start(self, run: ShardRun, lane: Lane, batch: Batch) -> None:
        """Invoke with a batch, or send it to the on-failure destination if its time is over."""
        batch, *rest = split_too_old(batch, self._settings, self._reader.service.time)
        lane.batches.extendleft(reversed(rest))
        window = batch.closes or (lane.window if batch.discard else lane.open_window(batch, self._settings))
        more = window.fields(run.shard.shard_id, self.source.arn, final=window is batch.closes) if window else None
        event = event_of_encoded([record.encoded for record in batch.records], more)
        if batch.discard:
            self._settler.discard(run, lane, batch, event)
            return
        lane.under_way = batch
        invocation = Invocation(run, lane, batch, event, self._clock.monotonic())
        if len(event) > EVENT_BYTES:
            fault = f"RequestEntityTooLarge: an event of {len(event)} bytes, {EVENT_BYTES} allowed"
            self._settler.settle([(invocation, Answer(fault=fault, status=TOO_LARGE, request_id=self._unique()))])
        else:
            self._pool.start(invocation, event)

    def _advance(self, run: ShardRun) -> None:
        """Move a shard's checkpoint on."""
        moved = run.advance()
        was_finished = run.shard.finished
        run.hold()
        if moved or run.shard.finished != was_finished:
            self._unkept = True
            self._keep_in_time()

    def _keep_in_time(self) -> None:
        """Write the checkpoint if it has changed, unless it was written just now."""
        if self._unkept and self._clock.monotonic() - self._kept_at_s >= KEEP_EVERY_S:
            self._keep()

    def _keep(self) -> None:
        """Write every shard's position to the checkpoint file, if there is one."""
        self._unkept, self._kept_at_s = False, self._clock.monotonic()
        if self._checkpoint is None:
            return
        positions = {
            shard.shard_id: shard.position(run.published if (run := self._runs.get(shard.shard_id)) else None)
            for shard in self._reader.all_shards
        }
        self._checkpoint.save(self.source.arn, self._created, positions)
