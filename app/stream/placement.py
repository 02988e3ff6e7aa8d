"""Outcomes on their way: outputs to the writer, faulty records to quarantine, in columns, until one must wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.errors import MillraceError, NoOutputStreamError
from app.stream.batch import NoOutput, Outcomes, Quarantine, Skip, listed
from app.stream.outputs import Outputs, outputs_of
from app.stream.putrecords import DEFAULT_RECORD_LIMIT_BYTES
from app.stream.quarantine import QuarantineDestination, Shelf, quarantined
from app.stream.tracker import Tracker
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.settings import Settings
    from app.stream.batch import Batch
    from app.stream.deadline import Deadline
    from app.stream.emit import Writer
    from app.stream.processor import Result

MAX_PARTITION_KEY = 256  # Kinesis's own limit, in UTF-16 units
RESPONSE_BYTES = 1024 * 1024  # of results shown; escaped to ASCII they stay below Lambda's 6 MB for a response


class Placement:
    """Places the outcomes of one batch, chunk by chunk."""

    def __init__(
        self,
        batch: Batch[Any],
        stage: str,
        *,
        unordered: frozenset[str],
        settings: Settings,
        writer: Writer,
        quarantine: QuarantineDestination,
        deadline: Deadline,
        result: Result,
    ) -> None:
        """Takes the batch, where its outcomes go and until when, the roles without order, and what is told of them."""
        self._batch, self._stage, self._settings, self._writer = batch, stage, settings, writer
        self._unordered = unordered
        self._result = result
        self._publishes = not settings.test_run
        self._shown = len(batch) if settings.test_run else settings.response_results
        self._shown_bytes = 0
        self._tracker = Tracker(len(batch))
        self._emission = writer.begin(self._tracker, deadline)
        self._quarantine_stream = quarantine.stream
        self._deadline = deadline
        self._shelf = Shelf(quarantine, writer, self._emission, self._tracker)

    @property
    def passing(self) -> str:
        """The code of the last fault that trying again may mend, for the message when time ran out."""
        return self._emission.passing

    @property
    def failed(self) -> bool:
        """Whether nothing more is to be placed, because a fault is final."""
        return self._emission.failure is not None

    def finish(self) -> MillraceError | None:
        """Waits until all that was placed is safe or the time is up; gives the fault that a person must mend, if any.

        After it, the result says how many rows are safe from the first one on.
        """
        storing = self._shelf.begin_store()  # beside the outputs, which must not wait for it
        self._emission.finish()
        failure = self._shelf.end_store(storing, self._deadline) if storing else None
        self._emission.finish()  # pointers to what was stored
        self._result.acknowledged = self._tracker.prefix
        self._result.counts["emitted"] = sum(
            count for stream, count in self._emission.accepted.items() if stream != self._quarantine_stream
        )
        self._result.counts["put_again"] = self._emission.retried
        self._result.counts["will_repeat"] = self._tracker.ahead
        return failure or self._emission.failure

    def place(self, start: int, outcomes: Outcomes) -> bool:
        """Places the outcomes of the rows from `start` on; False when one must wait: nothing is started after it.

        Raises:
            NoOutputStreamError: An output's role has no stream.
        """
        end = start + len(outcomes)
        outputs, others = self._outputs_of(start, outcomes)
        sealed = outputs.seal(self._batch, self._stage)
        impossible = self._impossible(outputs, sealed) if self._publishes else {}
        stop = self._set_aside(end, {**others, **impossible})
        if stop < end or impossible:
            going = [place for place, row in enumerate(outputs.rows) if row < stop and row not in impossible]
            outputs, sealed = outputs.take(going), [sealed[place] for place in going]
        for data in sealed[: max(0, self._shown - len(self._result.published))]:
            if not self._has_room(len(data)):
                break
            self._result.published.append(data)
        if self._publishes:
            self._send(outputs, sealed)
        self._tracker.settle(range(start, stop))
        self._emission.push()
        return stop == end

    def _outputs_of(self, start: int, outcomes: Outcomes) -> tuple[Outputs, dict[int, NoOutput]]:
        """The outputs of outcomes, and the outcomes that are none; what is no outcome at all is a Quarantine."""
        try:
            return outputs_of(start, outcomes)
        except (AttributeError, TypeError, ValueError):
            outcomes = list(listed(outcomes))
            for place in range(len(outcomes)):
                try:
                    outputs_of(start + place, outcomes[place : place + 1])
                except (AttributeError, TypeError, ValueError) as error:
                    fault = f"what the pipeline made of it is not an outcome: {type(error).__name__}"
                    outcomes[place] = Quarantine("bad_outcome", fault)
            return outputs_of(start, outcomes)

    def _impossible(self, outputs: Outputs, sealed: Sequence[bytes]) -> dict[int, Quarantine]:
        """The rows with an output that no stream would take, and why; usually a glance shows that there is none."""
        keys, length_of = outputs.keys, len if "".join(outputs.keys).isascii() else _key_length
        longest_key, longest = max(map(length_of, keys), default=1), max(map(len, sealed), default=0)
        largest = longest + 4 * longest_key  # a character has at most four bytes
        if "" not in keys and longest_key <= MAX_PARTITION_KEY and largest <= DEFAULT_RECORD_LIMIT_BYTES:
            return {}
        found: dict[int, Quarantine] = {}
        for place, (row, key, data) in enumerate(zip(outputs.rows, keys, sealed, strict=True)):
            length = _key_length(key)
            if not 0 < length <= MAX_PARTITION_KEY:
                message = f"an output's key has {length} characters, not 1 to {MAX_PARTITION_KEY}"
                found.setdefault(row, Quarantine("bad_partition_key", message))
            elif not self._writer.fits(stream := self._stream_for(outputs.role(place)), key, data):
                message = f"an output of {len(data)} bytes; {stream} takes less"
                found.setdefault(row, Quarantine("output_too_large", message))
        return found

    def _set_aside(self, end: int, others: Mapping[int, NoOutput]) -> int:
        """Quarantines and counts, in order; gives the first row that must wait, or `end`."""
        for row in sorted(others):
            outcome = others[row]
            if isinstance(outcome, Skip):
                self._result.counts["skipped"] += 1
                continue
            waits = self._quarantine(row, outcome) if isinstance(outcome, Quarantine) else outcome.reason
            if waits:
                number = self._batch.sequence_numbers[row]
                logger.warning("record handed back", extra={"reason": waits, "sequence_number": number})
                return row
        return end

    def _quarantine(self, row: int, fault: Quarantine) -> str | None:
        """Sets a row aside; with nowhere to put it, gives why it is handed back instead."""
        record = quarantined(self._batch, row, fault, self._stage)
        if self._publishes and not self._shelf.add(row, record):
            return self._shelf.refusal
        self._result.counts["quarantined"] += 1
        self._result.counts[f"quarantined_{fault.reason}"] += 1
        if len(self._result.quarantined) < self._shown and self._has_room(2 * len(record.data or b"")):
            self._result.quarantined.append(record)
        return None

    def _has_room(self, size: int) -> bool:
        """Whether the response may show so many more bytes; in a test run it shows all."""
        self._shown_bytes += size
        return not self._publishes or self._shown_bytes <= RESPONSE_BYTES

    def _send(self, outputs: Outputs, sealed: Sequence[bytes]) -> None:
        """Hands outputs to the writer, a stream role at a time."""
        self._tracker.expect(outputs.rows)
        if isinstance(outputs.roles, str):
            self._add(outputs.roles, outputs, sealed)
            return
        for role in sorted(set(outputs.roles)):
            mine = [place for place, each in enumerate(outputs.roles) if each == role]
            self._add(role, outputs.take(mine), [sealed[place] for place in mine])

    def _add(self, role: str, outputs: Outputs, sealed: Sequence[bytes]) -> None:
        """Hands the outputs of one role to the writer."""
        ordered = role not in self._unordered
        self._emission.add(self._stream_for(role), outputs.rows, outputs.keys, sealed, ordered=ordered)

    def _stream_for(self, role: str) -> str:
        stream = self._settings.stream_for(role)
        if not stream:
            raise NoOutputStreamError(
                f"pipeline {self._stage} emits to role {role!r}: set OUTPUT_STREAMS={role}:<stream>"
            )
        return stream


def _key_length(key: str) -> int:
    """A partition key's length as the service counts it, by UTF-16 units."""
    return len(key.encode("utf-16-le")) // 2
