"""Checks of the streams: whether they exist, and whether one takes all that another gives.

Streams go by what DescribeStreamSummary says of them
(https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.doctor.finding import Finding, Severity, aws_command
from app.errors import MissingStreamError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.settings import Settings

SHARD_RECORDS_PER_S = 1000  # https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
DEFAULT_RECORD_KIB = 1024
LONG_ENOUGH_H = 48  # a weekend's first half: who finds a stopped shard after a day finds its records


class Streams:
    """The streams of an account, each described once."""

    def __init__(self) -> None:
        """Ask for nothing yet."""
        self._found: dict[str, dict[str, Any]] = {}

    def describe(self, name: str) -> Mapping[str, Any]:
        """Return a stream's summary; empty if there is no such stream.

        Raises:
            CloudError: AWS, or the local cloud, does not answer.
            CredentialsError: AWS refuses the credentials.
        """
        if name not in self._found:
            try:
                answer = aws.client("kinesis").describe_stream_summary(StreamName=name)
            except (BotoCoreError, ClientError) as error:
                explained = aws.explained(error, f"stream {name}")
                if not isinstance(explained, MissingStreamError):
                    raise explained from error
                answer = {"StreamDescriptionSummary": {}}
            self._found[name] = answer["StreamDescriptionSummary"]
        return self._found[name]

    def examine(self, settings: Settings, sources: Sequence[str]) -> Iterator[str | Finding]:
        """Check the streams that are read and those that are written to."""
        written = {settings.output_stream, settings.quarantine_stream, *settings.output_streams.values()} - {""}
        for name in [*sources, *sorted(written - set(sources))]:
            yield from examine_stream(name, self.describe(name), is_read=name in sources)
        for source in sources:
            if settings.output_stream:
                yield from examine_flow(source, self.describe(source), settings, self.describe(settings.output_stream))
            if settings.quarantine_stream and not settings.quarantine_location:
                aside = self.describe(settings.quarantine_stream)
                yield from examine_quarantine(self.describe(source), settings.quarantine_stream, aside)


def examine_stream(name: str, stream: Mapping[str, Any], *, is_read: bool) -> Iterator[str | Finding]:
    """Check that a stream can be used, and how long it keeps its records."""
    where = f"stream {name}"
    if not stream:
        yield Finding(
            Severity.ERROR,
            where,
            "does not exist in this account and region",
            "nothing is read" if is_read else "no record is acknowledged",
            f"millrace create {name}",
        )
        return
    status, hours = stream.get("StreamStatus", "ACTIVE"), int(stream.get("RetentionPeriodHours", 24))
    if status == "ACTIVE":
        yield f"{where}: ACTIVE, {stream.get('OpenShardCount', '?')} shard(s), kept for {hours} h"
    else:
        yield Finding(
            Severity.ERROR if status == "DELETING" else Severity.INFO,
            where,
            f"is {status}",
            "it will be gone, with all that is in it"
            if status == "DELETING"
            else "calls may be refused until it is ACTIVE",
            f"millrace create {name}"
            if status == "DELETING"
            else f"aws kinesis wait stream-exists --stream-name {name}",
        )
    if is_read and hours < LONG_ENOUGH_H:
        yield Finding(
            Severity.INFO,
            where,
            f"keeps records for {hours} h",
            "whatever holds up a shard for longer loses its oldest records",
            aws_command("kinesis", "IncreaseStreamRetentionPeriod", StreamName=name, RetentionPeriodHours=168),
        )


def examine_flow(
    source: str, read: Mapping[str, Any], settings: Settings, output: Mapping[str, Any]
) -> Iterator[Finding]:
    """Check that the output stream takes a result for each record that the input stream can give."""
    if not (read and output and is_provisioned(read) and is_provisioned(output)):
        return
    into, out = int(read.get("OpenShardCount", 1)), int(output.get("OpenShardCount", 1))
    if out < into:
        yield Finding(
            Severity.WARNING,
            f"stream {settings.output_stream}",
            f"has {out} shard(s), and {source} has {into}",
            f"a shard takes {SHARD_RECORDS_PER_S} records or 1 MiB a second: the results of a full input do not fit, "
            "and it falls behind",
            more_shards(settings.output_stream, out, into),
        )


def examine_quarantine(read: Mapping[str, Any], name: str, aside: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that the quarantine stream takes the largest input record, in base64 and with its reason."""
    if not read or not aside:
        return
    largest = int(read.get("MaxRecordSizeInKiB", DEFAULT_RECORD_KIB))
    limit = int(aside.get("MaxRecordSizeInKiB", DEFAULT_RECORD_KIB))
    if limit * 3 // 4 < largest:
        yield Finding(
            Severity.INFO if largest == DEFAULT_RECORD_KIB else Severity.WARNING,
            f"stream {name}",
            f"takes {limit} KiB, and a quarantined record of {largest} KiB is a third larger",
            "one that is too large is handed back and holds up its shard, unless there is a QUARANTINE_LOCATION",
            "set QUARANTINE_LOCATION to s3://BUCKET/PREFIX",
        )


def more_shards(name: str, count: int, wanted: int) -> str:
    """Return the command that gives a stream more shards; AWS takes at most twice as many at a time."""
    now = min(wanted, 2 * count)
    command = aws_command(
        "kinesis", "UpdateShardCount", StreamName=name, TargetShardCount=now, ScalingType="UNIFORM_SCALING"
    )
    return command if now == wanted else f"{command}  # and again, until there are {wanted}"


def is_provisioned(stream: Mapping[str, Any]) -> bool:
    """Return whether a stream has a fixed number of shards; one on demand grows."""
    return bool((stream.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED") == "PROVISIONED")
