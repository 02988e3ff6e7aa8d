"""Outcomes sent to where they belong: outputs to their streams, faulty records to quarantine, until one must wait."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.errors import MillraceError, NoOutputStreamError
from app.stream.outcomes import OutputColumns, Quarantine, Skip
from app.stream.puts import DEFAULT_RECORD_LIMIT_BYTES
from app.stream.quarantine import QuarantineBuffer, QuarantineDestination, QuarantinedRecord, quarantined
from app.stream.tracker import Tracker
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.settings import Settings
    from app.stream.batch import Batch
    from app.stream.deadline import Deadline
    from app.stream.emit import Writer
    from app.stream.outcomes import NoOutput, Outcomes
    from app.stream.pipeline import AnyPipeline

MAX_PARTITION_KEY = 256  # Kinesis's own limit, in UTF-16 units
RESPONSE_BYTES = 1024 * 1024  # of results shown; escaped to ASCII they stay below Lambda's 6 MB for a response
UNSENT_BYTES = 64 * 1024 * 1024  # of outputs, until all are sent before more are made; calls hold 24 MiB of them


@dataclass(frozen=True, slots=True)
class Routed:
    """The result of routing one batch.

    Attributes:
        safe_rows: How many rows from the first one on are safe, without a gap.
        published: The first outputs, stamped, as JSON.
        quarantined: The first quarantined records.
        failure: Why rows are not safe, when that is a fault for a person to mend.
        transient_code: The code of the last fault that trying again may mend.
        counts: Numbers of records and entries, for metrics.
    """

    safe_rows: int
    published: list[bytes]
    quarantined: list[QuarantinedRecord]
    failure: MillraceError | None
    transient_code: str
    counts: Counter[str]


class OutcomeRouter:
    """Routes the outcomes of one batch, chunk by chunk."""

    def __init__(
        self,
        batch: Batch[Any],
        pipeline: AnyPipeline,
        *,
        settings: Settings,
        writer: Writer,
        quarantine: QuarantineDestination,
        deadline: Deadline,
    ) -> None:
        """Take the batch, the pipeline for its name and roles, and where outcomes go until when."""
        self._batch, self._stage = batch, pipeline.name
        self._roles, self._unordered = pipeline.roles, pipeline.unordered_roles
        self._aggregated = {settings.stream_for(role) for role in settings.output_aggregation}
        self._settings, self._writer, self._deadline = settings, writer, deadline
        self._publishes = not settings.test_run
        self._tracker = Tracker(len(batch))
        self._emitter = writer.begin(self._tracker, deadline)
        self._quarantine_stream = quarantine.stream
        self._buffer = QuarantineBuffer(quarantine, writer, self._emitter, self._tracker)
        self._counts: Counter[str] = Counter()
        self._shown = sys.maxsize if settings.test_run else settings.response_results
        self._shown_bytes = self._unsent_bytes = 0
        self._published: list[bytes] = []
        self._quarantined: list[QuarantinedRecord] = []

    @property
    def failed(self) -> bool:
        """Return whether a fault is final, so that nothing more is to be routed."""
        return self._emitter.failure is not None

    def finish(self) -> Routed:
        """Wait until everything is safe or the time is up."""
        storing = self._buffer.begin_store()  # concurrently with the outputs, which must not wait for it
        self._emitter.finish()
        failure = self._buffer.end_store(storing, self._deadline) if storing else None
        self._emitter.finish()  # pointers to what was stored
        self._counts["emitted"] = sum(
            count for stream, count in self._emitter.accepted.items() if stream != self._quarantine_stream
        )
        self._counts["put_again"] = self._emitter.retried
        self._counts["will_repeat"] = self._tracker.ahead
        self._explain_standstill()
        return Routed(
            self._tracker.prefix,
            self._published,
            self._quarantined,
            failure or self._emitter.failure,
            self._emitter.transient_code,
            self._counts,
        )

    def route(self, start: int, outcomes: Outcomes) -> bool:
        """Route the outcomes of the rows from `start` on.

        Returns:
            Whether to go on: False when a row must wait, since nothing after it may be started.

        Raises:
            NoOutputStreamError: An output's role has no stream.
        """
        end = start + len(outcomes)
        outcomes.quarantine_invalid()
        outputs = outcomes.outputs(start)
        stamped = self._batch.stamp(outputs, self._stage)
        impossible = self._impossible(outputs, stamped) if self._publishes else {}
        set_aside = {start + row: outcome for row, outcome in outcomes.set_aside.items()}
        stop = self._set_aside(end, {**set_aside, **impossible})
        if stop < end or impossible:
            sent = [index for index, row in enumerate(outputs.rows) if row < stop and row not in impossible]
            outputs, stamped = outputs.take(sent), [stamped[index] for index in sent]
        for data in stamped[: max(0, self._shown - len(self._published))]:
            if not self._fits_response(len(data)):
                break
            self._published.append(data)
        if self._publishes:
            self._send(outputs, stamped)
        self._tracker.settle(range(start, stop))
        self._emitter.push()
        self._unsent_bytes += sum(map(len, stamped))
        if self._unsent_bytes > UNSENT_BYTES:
            self._emitter.finish()
            self._unsent_bytes = 0
        return stop == end

    def _impossible(self, outputs: OutputColumns, stamped: Sequence[bytes]) -> dict[int, Quarantine]:
        """Return the rows with an output that no stream takes; the usual case is decided by three maxima."""
        keys, length_of = outputs.keys, len if "".join(outputs.keys).isascii() else _key_length
        longest_key, longest = max(map(length_of, keys), default=1), max(map(len, stamped), default=0)
        largest = longest + 4 * longest_key  # a character has at most four bytes
        if "" not in keys and longest_key <= MAX_PARTITION_KEY and largest <= DEFAULT_RECORD_LIMIT_BYTES:
            return {}
        found: dict[int, Quarantine] = {}
        for row, key, role, data in zip(outputs.rows, keys, outputs.roles, stamped, strict=True):
            length = _key_length(key)
            if not 0 < length <= MAX_PARTITION_KEY:
                message = f"an output's key has {length} characters, not 1 to {MAX_PARTITION_KEY}"
                found.setdefault(row, Quarantine("bad_partition_key", message))
            elif not self._writer.fits(stream := self._stream_for(role), key, data):
                message = f"an output of {len(data)} bytes; {stream} takes less"
                found.setdefault(row, Quarantine("output_too_large", message))
        return found

    def _set_aside(self, end: int, outcomes: Mapping[int, NoOutput]) -> int:
        """Quarantine and count rows in order; return the first one that must wait, or `end`."""
        for row in sorted(outcomes):
            outcome = outcomes[row]
            if isinstance(outcome, Skip):
                self._counts["skipped"] += 1
                continue
            reason = self._quarantine(row, outcome) if isinstance(outcome, Quarantine) else outcome.reason
            if reason:
                number = self._batch.sequence_numbers[row]
                logger.warning("record handed back", extra={"reason": reason, "sequence_number": number})
                return row
        return end

    def _quarantine(self, row: int, fault: Quarantine) -> str | None:
        """Quarantine a row; if no destination takes it, return the reason why it is handed back instead."""
        record = quarantined(self._batch, row, fault, self._stage, self._writer.workers.clock.time())
        if self._publishes and not self._buffer.add(row, record):
            return self._buffer.refusal
        self._counts["quarantined"] += 1
        self._counts[f"quarantined_{fault.reason}"] += 1
        if len(self._quarantined) < self._shown and self._fits_response(2 * len(record.data or b"")):
            self._quarantined.append(record)
        return None

    def _fits_response(self, size: int) -> bool:
        """Count bytes to show; return whether the response may hold them. In a test run it holds everything."""
        self._shown_bytes += size
        return not self._publishes or self._shown_bytes <= RESPONSE_BYTES

    def _send(self, outputs: OutputColumns, stamped: Sequence[bytes]) -> None:
        """Hand outputs to the writer, those for one stream together, so that they stay in the order of their rows."""
        self._tracker.expect(outputs.rows)
        ways = {role: (self._stream_for(role), role not in self._unordered) for role in sorted(set(outputs.roles))}
        different = dict.fromkeys(ways.values())
        for stream, ordered in different:
            of_stream, datas = outputs, stamped
            if len(different) > 1:
                mine = [index for index, role in enumerate(outputs.roles) if ways[role] == (stream, ordered)]
                of_stream, datas = outputs.take(mine), [stamped[index] for index in mine]
            aggregates = stream in self._aggregated
            self._emitter.add(stream, of_stream.rows, of_stream.keys, datas, ordered=ordered, aggregates=aggregates)

    def _explain_standstill(self) -> None:
        """Say what mends it if the first record was not finished in time, since outputs of one key took turns."""
        if self._emitter.failure or not len(self._batch) or self._batch.first_row_of(self._tracker.prefix):
            return
        for stream, waiting in self._emitter.waiting_for_keys().items():
            if not self._emitter.accepted[stream]:
                continue  # there was another reason
            roles = [role for role in self._roles if self._settings.stream_for(role) == stream]
            names = ",".join(dict.fromkeys([*self._settings.output_aggregation, *roles]))
            logger.error(
                "no record was finished in time: outputs of one key travel one in a call; "
                f"set OUTPUT_AGGREGATION={names}, or give the function more time",
                extra={"stream": stream, "outputs_waiting": waiting},
            )

    def _stream_for(self, role: str) -> str:
        stream = self._settings.stream_for(role)
        if not stream:
            raise NoOutputStreamError(
                f"pipeline {self._stage} emits to role {role!r}: set OUTPUT_STREAMS={role}:<stream>"
            )
        return stream


def _key_length(key: str) -> int:
    """Return a partition key's length as the service counts it, in UTF-16 units."""
    return len(key.encode("utf-16-le")) // 2
