"""What every driver starts: settings into pipelines, writer and quarantine, and events into responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypeAlias, TypedDict

import msgspec

from app import telemetry
from app.errors import (
    MillraceError,
    NoOutputStreamError,
    SettingsError,
    UnacknowledgedError,
    UnknownPipelineError,
)
from app.settings import DEFAULT_ROLE
from app.storage.objects import open_objects
from app.storage.spilling import open_state
from app.stream.aggregation_rows import Splitter
from app.stream.deadline import Context, Deadline
from app.stream.emit import CONCURRENT_CALLS, Writer
from app.stream.event import read_event
from app.stream.loops import check_loops
from app.stream.origin import StreamOrigins
from app.stream.outcomes import readable
from app.stream.pipeline import BasePipeline
from app.stream.processor import Processor, Result
from app.stream.putrecords import GeneratedPutRecords, SignedPutRecords, check_stream
from app.stream.quarantine import QuarantineDestination
from app.text import one_line, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from app.settings import Settings
    from app.storage.objects import Objects
    from app.storage.state import StateStore
    from app.stream.batch import Batch
    from app.stream.pipeline import AnyPipeline
    from app.stream.puts import PutRecords
    from app.stream.workers import Workers

Measure: TypeAlias = "Callable[[str, Mapping[str, str], Mapping[str, float], Mapping[str, float]], None]"
Opener: TypeAlias = "Callable[[Settings], AnyPipeline]"


class BatchItemFailure(TypedDict):
    """The record at which the shard resumes."""

    itemIdentifier: str


class BatchResponse(TypedDict):
    """The answer to the event source mapping, and to a person who invokes by hand."""

    batchItemFailures: NotRequired[list[BatchItemFailure]]
    predictions: list[Any]
    quarantined: list[Any]


class Runtime:
    """A process's pipelines, writer and quarantine, ready for events."""

    def __init__(
        self,
        settings: Settings,
        pipelines: Mapping[str, Opener],
        service: PutRecords | None = None,
        measure: Measure = telemetry.emit_metrics,
        *,
        workers: Workers | None = None,
        origins: StreamOrigins | None = None,
        store: StateStore | None = None,
        objects: Objects | None = None,
    ) -> None:
        """Check the settings and load each pipeline's model; call no stream yet.

        Args:
            settings: What the environment says.
            pipelines: Every pipeline by name, and how it is opened.
            service: Where records are put; by default the signed requests.
            measure: Takes each batch's metrics; by default a line in CloudWatch's embedded format.
            origins: Say which records' positions can be compared; by default Kinesis is asked.
            workers: Runs the calls that put records; by default threads.
            store: The state; by default the table that the settings name.
            objects: The quarantine's location; by default the one that the settings name.

        Raises:
            UnknownPipelineError: The settings name an unknown pipeline, or one that cannot be opened.
            NoOutputStreamError: `OUTPUT_STREAM` is not set, and this is not a `TEST_RUN`.
            ModelError: A model bundle cannot be used.
            SettingsError: Results would come back as records, over the streams that `PIPELINES` names; or
                `OUTPUT_AGGREGATION` names a role that no pipeline has.
        """
        telemetry.configure(settings.log_level)
        self.settings, self._measure_with = settings, measure
        names = {settings.pipeline, *settings.pipelines.values()}
        for name in sorted(names - set(pipelines)):
            raise UnknownPipelineError(f"no pipeline {name!r}: set PIPELINE to one of {', '.join(sorted(pipelines))}")
        if service is None:
            # A test run publishes nothing; the generated client asks for no credentials until it is called.
            service = GeneratedPutRecords() if settings.test_run else SignedPutRecords(CONCURRENT_CALLS)
        self.writer = Writer(service, workers=workers)
        self.objects = objects
        if objects is None and settings.quarantine_location:
            self.objects = open_objects(settings.quarantine_location)
        quarantine = QuarantineDestination(settings.quarantine_stream, self.objects, warns=not settings.test_run)
        if store is None and settings.state_table:
            store = open_state(settings.state_table, settings.state_location)
        opened = {name: _open_pipeline(name, pipelines[name], settings) for name in names}
        for name, pipeline in opened.items():
            check_roles(name, pipeline.roles, settings)
        self._roles = {name: pipeline.roles for name, pipeline in opened.items()}
        check_aggregation(settings, {role for roles in self._roles.values() for role in roles})
        self._without_loops: set[str] = set()
        check_loops(settings, self._roles)
        origins = origins or StreamOrigins()
        self._processors = {
            name: Processor(pipeline, self.writer, quarantine, settings, store=store, origins=origins)
            for name, pipeline in opened.items()
        }
        self._splitter = Splitter(settings.foreign_records, how=settings.record_split)

    def processor_for(self, stream: str) -> Processor:
        """Return the processor of a stream's records."""
        return self._processors[self.settings.pipeline_for(stream)]

    def check_source(self, stream: str) -> None:
        """Refuse to read a stream to which its own results would come back.

        Raises:
            SettingsError: They would; the line says over which streams.
        """
        if stream not in self._without_loops:
            check_loops(self.settings, self._roles, [stream])
            self._without_loops.add(stream)

    def check_destinations(self) -> None:
        """Ask for each stream and location that is written to, so that a wrong name shows before the first record.

        Raises:
            MissingStreamError: One does not exist.
            CredentialsError: AWS refuses the credentials.
            CloudError: AWS, or the local cloud, does not answer.
        """
        settings = self.settings
        for stream in {
            settings.output_stream,
            settings.quarantine_stream,
            *settings.output_streams.values(),
        } - {""}:
            check_stream(self.writer.service, stream)
        if self.objects is not None:
            self.objects.check()

    def handle(
        self, event: bytes | dict[str, Any], context: Context | None = None, measure: Measure | None = None
    ) -> BatchResponse:
        """Process one event and answer as the event source mapping expects.

        Args:
            event: As Lambda received it, or what was parsed from it.
            context: Lambda's, for the time that is left.
            measure: Takes this batch's metrics instead of what the runtime was given.

        Returns:
            `predictions` and `quarantined`, the first `RESPONSE_RESULTS` of each (all in a test run); with
            `PARTIAL_RESPONSES` also `batchItemFailures`, which names where the shard resumes.

        Raises:
            EventError: The event is not a batch of Kinesis records.
            SettingsError: The results of this stream would come back to it; nothing of the batch was processed.
            UnacknowledgedError: Part of the batch is not safe, and the mapping does not honour partial responses.
            MillraceError: Nothing of the batch could be made safe, for a reason that a person must mend.
        """
        deadline = Deadline.of(context, self.settings.deadline_margin_ms, self.writer.workers.clock.monotonic)
        whole, unread = read_event(event)
        self.check_source(whole.stream)
        processor = self.processor_for(whole.stream)
        batch, faults, counts = self._splitter.split(whole, unread)
        result = processor.process(batch, faults, deadline)
        self._measure(processor, batch, result, counts, measure or self._measure_with)
        if result.failure:
            telemetry.logger.error(str(result.failure), extra={"resume_at": result.resume_at})
        return self._answer(result)

    def _answer(self, result: Result) -> BatchResponse:
        answer: BatchResponse = {
            "predictions": [readable(data) for data in result.published],
            "quarantined": msgspec.to_builtins(result.quarantined),
        }
        if self.settings.partial_responses:
            answer["batchItemFailures"] = [{"itemIdentifier": result.resume_at}] if result.resume_at else []
            return answer
        if result.resume_at:
            cause = result.failure or result.transient_code
            reason = f": {cause}" if cause else ""
            raise UnacknowledgedError(
                f"{result.rows - result.acknowledged} of {result.rows} records are not safe; the batch must come again "
                f"from {result.resume_at} on (set ReportBatchItemFailures and PARTIAL_RESPONSES=True){reason}"
            )
        return answer

    def _measure(
        self, processor: Processor, batch: Batch[None], result: Result, split: Mapping[str, int], measure: Measure
    ) -> None:
        """Hand over the metrics of one batch."""
        counts: dict[str, float] = {
            "records": result.rows,
            "emitted": 0,
            "skipped": 0,
            "quarantined": 0,
            "retried": 0,
        }
        counts.update({**result.counts, **split})
        milliseconds = {"decode": 0.0, "predict": 0.0, "emit": 0.0}
        milliseconds.update({stage: round(spent, 3) for stage, spent in result.milliseconds.items()})
        now_s = self.writer.workers.clock.time()
        if batch.arrivals_s and 0 < batch.arrivals_s[-1] < now_s:
            milliseconds["iterator_age"] = round((now_s - batch.arrivals_s[-1]) * 1000)
        dimensions = {"pipeline": processor.pipeline.name, "stream": batch.stream}
        measure(self.settings.metrics_namespace, dimensions, counts, milliseconds)


def _open_pipeline(name: str, opener: Opener, settings: Settings) -> AnyPipeline:
    """Open a pipeline, whose own code may raise or return anything."""
    try:
        pipeline = opener(settings)
    except MillraceError:
        raise
    except Exception as error:
        reason = one_line(str(error))
        raise UnknownPipelineError(
            f"pipeline {quoted(name)} cannot be opened: {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(pipeline, BasePipeline):
        raise UnknownPipelineError(
            f"pipeline {quoted(name)} cannot be opened: its open returns {type(pipeline).__name__}, not a pipeline"
        )
    return pipeline


def check_aggregation(settings: Settings, roles: Collection[str]) -> None:
    """Refuse to start with an aggregated role that neither a pipeline nor `OUTPUT_STREAMS` has.

    Raises:
        SettingsError: There is one.
    """
    if unknown := sorted(set(settings.output_aggregation) - {DEFAULT_ROLE, *roles, *settings.output_streams}):
        raise SettingsError(
            f"OUTPUT_AGGREGATION has {', '.join(map(quoted, unknown))}: set it to some of {', '.join(sorted(roles))}"
        )


def check_roles(pipeline: str, roles: Sequence[str], settings: Settings) -> None:
    """Refuse to start a pipeline with a role that has no stream.

    Raises:
        NoOutputStreamError: One has none, and this is not a `TEST_RUN`.
    """
    missing = [role for role in roles if not settings.stream_for(role)]
    if not missing or settings.test_run:
        return
    if missing == [DEFAULT_ROLE]:
        raise NoOutputStreamError("OUTPUT_STREAM is not set: name the stream for results, or set TEST_RUN=True")
    variables = ["OUTPUT_STREAM=<stream>"] if DEFAULT_ROLE in missing else []
    variables.append(f"OUTPUT_STREAMS={','.join(f'{role}:<stream>' for role in roles if role != DEFAULT_ROLE)}")
    raise NoOutputStreamError(
        f"pipeline {pipeline} has no stream for {', '.join(missing)}: set {' '.join(variables)}, or TEST_RUN=True"
    )
