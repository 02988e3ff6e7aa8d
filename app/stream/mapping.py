"""A local event source mapping: polls a stream and drives a handler in batches, as Lambda's own does.

What it keeps to (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html): batches of one shard, in
order, one at a time; the batch size, the batching window and the 6 MB limit, whichever is met first; with
`ReportBatchItemFailures` the lowest sequence number named is where the shard resumes; an error returns the whole
batch, for as long as it takes.
"""

from __future__ import annotations

import base64
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from app.errors import MillraceError, SettingsError
from app.stream.shards import IDLE_PAUSE_S, ShardReader, StartingPosition, StreamReader
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable

EVENT_BYTES = 6 * 1024 * 1024  # Lambda's limit on a synchronous event
ENVELOPE_BYTES = 700  # of a record besides its data and key; a real one has 460 to 540
RETRY_CAP_S = 5.0  # a person who mends what was wrong should not wait longer

REPORT_FAILURES = "ReportBatchItemFailures"
Handler: TypeAlias = "Callable[[bytes, LocalContext], dict[str, Any]]"


class MappingSettings(msgspec.Struct, frozen=True, rename="pascal", kw_only=True, forbid_unknown_fields=True):
    """A mapping's settings under the names that AWS's API gives them."""

    stream_name: str
    batch_size: int = 100
    maximum_batching_window_in_seconds: float = 0
    starting_position: str = "TRIM_HORIZON"
    starting_position_timestamp: float | None = None
    function_response_types: tuple[str, ...] = (REPORT_FAILURES,)
    timeout: float = 60

    def __post_init__(self) -> None:
        """Holds the values to what AWS allows."""
        if not 1 <= self.batch_size <= 10_000:  # noqa: PLR2004 - the API's own bounds
            raise SettingsError(f"BatchSize is {self.batch_size}: 1 to 10000")
        if not 0 <= self.maximum_batching_window_in_seconds <= 300:  # noqa: PLR2004
            raise SettingsError("MaximumBatchingWindowInSeconds: 0 to 300")
        if self.starting_position not in {"TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"}:
            raise SettingsError("StartingPosition: TRIM_HORIZON, LATEST or AT_TIMESTAMP")
        if (self.starting_position == "AT_TIMESTAMP") != (self.starting_position_timestamp is not None):
            raise SettingsError("StartingPositionTimestamp goes with StartingPosition AT_TIMESTAMP, and only with it")


class LocalContext:
    """What Lambda's context object tells of an invocation."""

    def __init__(self, timeout_s: float) -> None:
        """Starts the invocation's clock."""
        self._ends_s = time.monotonic() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation would be ended."""
        return max(0, int((self._ends_s - time.monotonic()) * 1000))


class Progress(Protocol):
    """Told after each batch what came of it."""

    def __call__(self, *, records: int, answer: dict[str, Any]) -> None:
        """Takes the number of records acknowledged and the handler's answer."""


class Mapping:
    """Drives one handler from one stream until it is stopped."""

    def __init__(self, settings: MappingSettings, handler: Handler, progress: Progress | None = None) -> None:
        """Lists the stream's shards.

        Raises:
            MissingStreamError: There is no such stream.
        """
        self._settings, self._handler, self._progress = settings, handler, progress
        start = StartingPosition(settings.starting_position, settings.starting_position_timestamp)
        self._reader = StreamReader(settings.stream_name, start)
        self._failures: dict[str, int] = {}
        self._due_s: dict[str, float] = {}  # when a shard that failed may be tried again
        self._waiting_since_s: dict[str, float] = {}
        self._stopped = threading.Event()
        self.acknowledged = 0

    def stop(self) -> None:
        """Ends `run` after the batch in hand; may be called from a signal handler or another thread."""
        self._stopped.set()

    def run(self, *, drain: bool = False) -> int:
        """Polls and invokes until stopped; gives the number of records acknowledged.

        Args:
            drain: Stop by itself once all that was in the stream has been acknowledged.
        """
        while not self._stopped.is_set():
            read = self._reader.read()
            invoked = [self._invoke_when_due(shard) for shard in self._reader.shards if not self._stopped.is_set()]
            if drain and self._reader.at_tip():
                break
            if not read and not any(invoked):
                self._stopped.wait(IDLE_PAUSE_S)
        return self.acknowledged

    def _invoke_when_due(self, shard: ShardReader) -> bool:
        """Invokes the handler with a shard's next batch, if one is due."""
        now = time.monotonic()
        if not shard.buffer or now < self._due_s.get(shard.shard_id, 0):
            return False
        since = self._waiting_since_s.setdefault(shard.shard_id, now)
        batch, full = self._next_batch(shard)
        if not full and now - since < self._settings.maximum_batching_window_in_seconds:
            shard.read()
            return False
        done = self._invoke(shard, batch)
        for _ in range(done):
            shard.buffer.popleft()
        self.acknowledged += done
        self._waiting_since_s.pop(shard.shard_id, None)
        if done:
            self._failures.pop(shard.shard_id, None)
        if done < len(batch):
            self._pause(shard, none_done=not done)
        return True

    def _next_batch(self, shard: ShardReader) -> tuple[list[dict[str, Any]], bool]:
        """The next records of a shard up to the limits, and whether a limit was met."""
        batch: list[dict[str, Any]] = []
        size = 0
        for record in shard.buffer:
            size += ENVELOPE_BYTES + 4 * -(-len(record["Data"]) // 3) + len(record["PartitionKey"])
            if batch and size > EVENT_BYTES:
                return batch, True
            batch.append(record)
            if len(batch) == self._settings.batch_size:
                return batch, True
        return batch, False

    def _invoke(self, shard: ShardReader, batch: list[dict[str, Any]]) -> int:
        """Invokes the handler once; gives how many records of the batch are done."""
        event = build_event(self._settings.stream_name, shard.shard_id, batch)
        try:
            answer = self._handler(event, LocalContext(self._settings.timeout))
        except Exception as error:  # noqa: BLE001 - as in Lambda, whatever a handler raises returns the batch
            said = (
                str(error) if isinstance(error, MillraceError) else type(error).__name__
            )  # others may quote a payload
            logger.error("batch returned: %s", said, extra={"shard": shard.shard_id})
            return 0
        done = len(batch)
        if REPORT_FAILURES in self._settings.function_response_types:
            done = first_failure(answer, [record["SequenceNumber"] for record in batch])
        if self._progress:
            self._progress(records=done, answer=answer)
        return done

    def _pause(self, shard: ShardReader, *, none_done: bool) -> None:
        """Lets a shard rest that could not go on, longer each time nothing of it was done."""
        failures = self._failures[shard.shard_id] = self._failures.get(shard.shard_id, 0) + none_done
        pause_s = random.uniform(0.1, min(RETRY_CAP_S, 0.2 * 2 ** min(failures, 8)))  # noqa: S311 - no secret
        self._due_s[shard.shard_id] = time.monotonic() + pause_s


def first_failure(answer: object, numbers: list[str]) -> int:
    """How many records come before the lowest one that an answer names as failed.

    An empty or missing list is success; an entry that is empty, null or names no record of the batch fails all of it,
    and so does an answer of another form.
    """
    failures = (answer.get("batchItemFailures") or []) if isinstance(answer, dict) else answer or []
    if not isinstance(failures, list):
        return 0
    places = {number: place for place, number in enumerate(numbers)}
    named = [places.get(str(each.get("itemIdentifier")), 0) if isinstance(each, dict) else 0 for each in failures]
    return min(named, default=len(numbers))


def build_event(stream: str, shard_id: str, records: list[dict[str, Any]], region: str = "us-east-1") -> bytes:
    """The event that Lambda would hand over for records as GetRecords gives them."""
    arn = f"arn:aws:kinesis:{region}:123456789012:stream/{stream}"
    return msgspec.json.encode(
        {
            "Records": [
                {
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0",
                        "partitionKey": record["PartitionKey"],
                        "sequenceNumber": record["SequenceNumber"],
                        "data": base64.b64encode(record["Data"]).decode(),
                        "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
                    },
                    "eventSource": "aws:kinesis",
                    "eventVersion": "1.0",
                    "eventID": f"{shard_id}:{record['SequenceNumber']}",
                    "eventName": "aws:kinesis:record",
                    "invokeIdentityArn": "arn:aws:iam::123456789012:role/millrace",
                    "awsRegion": region,
                    "eventSourceARN": arn,
                }
                for record in records
            ]
        }
    )
