"""Checks of an event source mapping: settings that lose records, hold up their shard, or surprise.

What they do: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html and
https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html. Settings go by their names in AWS's
API, and an absent one has AWS's default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.doctor.case import Case, in_file, where_known
from app.doctor.finding import Finding, Severity, aws_command
from app.stream.mapping.event import EVENT_BYTES
from app.stream.mapping.settings import INFINITE, REPORT_FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVELOPE_BYTES = 540  # of a record in an event besides its data; 460 to 540, by the length of names
LARGEST_DATA_BYTES = (EVENT_BYTES - ENVELOPE_BYTES - 64) // 4 * 3  # base64, and the brackets around one record
ATTEMPTS = 100  # what the handler hands back may pass: a few attempts would discard it during a short throttling
KIB = 1024


def examine_mapping(case: Case) -> Iterator[Finding]:
    """Find all faults of a mapping."""
    for rule in RULES:
        yield from where_known(rule(case))


def _polls(case: Case) -> Iterator[Finding]:
    state = case.mapping.get("State", "Enabled" if case.mapping.get("Enabled", True) else "Disabled")
    if state in {"Disabled", "Disabling", "Deleting"}:
        reason = case.mapping.get("StateTransitionReason")
        what = f"is {str(state).lower()}" + (f": {reason}" if reason else "")
        yield case.finding(Severity.ERROR, what, "nothing is read, and records expire unread", Enabled=True)


def _last_result(case: Case) -> Iterator[Finding]:
    result = str(case.mapping.get("LastProcessingResult") or "")
    if result.upper().startswith("PROBLEM"):
        name = str(case.mapping.get("FunctionArn", "")).partition(":function:")[2].partition(":")[0]
        yield Finding(
            Severity.ERROR,
            case.where,
            f"its last invocation failed: {result}",
            "the shard waits until an invocation succeeds or its records are discarded",
            f"aws logs tail /aws/lambda/{name or 'FUNCTION'} --since 1h",
        )


def _discards(case: Case) -> Iterator[Finding]:
    """Find limits of retries and age that block a shard or lose records."""
    retries, age_s = case.limit("MaximumRetryAttempts"), case.limit("MaximumRecordAgeInSeconds")
    endless = retries == INFINITE and age_s == INFINITE
    kept = {} if case.destination else _bucket(case)[1]  # a limit alone would lose what it gives up
    half_s = case.retention_h * 3600 // 2
    until = f"until its records expire, {case.retention_h} hours after they came"
    if not case.destination:
        why = "what Lambda gives up is gone without a trace; the function's role needs s3:PutObject and s3:ListBucket"
        if endless:
            why = f"what the shard waits for longer than {case.retention_h} hours is gone without a trace"
        yield Finding(
            Severity.WARNING if endless else Severity.ERROR,
            case.where,
            "has no on-failure destination",
            why,
            _with_bucket(case),
        )
    if retries == INFINITE:
        yield case.finding(
            Severity.WARNING if endless else Severity.INFO,
            "retries forever (MaximumRetryAttempts -1)",
            f"a batch that cannot succeed holds up its shard {until}"
            if endless
            else f"a batch that cannot succeed holds up its shard for {age_s} s",
            MaximumRetryAttempts=ATTEMPTS,
            **kept,
        )
    if age_s == INFINITE:
        yield case.finding(
            Severity.WARNING if endless else Severity.INFO,
            "takes records of any age (MaximumRecordAgeInSeconds -1)",
            f"records held up by an outage expire after {case.retention_h} hours, and no destination gets a notice",
            MaximumRecordAgeInSeconds=half_s,
            **kept,
        )
    elif case.stream and age_s > case.retention_h * 3600:
        yield case.finding(
            Severity.WARNING,
            f"gives records up after {age_s} s, and the stream keeps them for {case.retention_h} h",
            "they expire first, and no destination gets a notice",
            MaximumRecordAgeInSeconds=half_s,
        )
    if case.destination and ":s3:" not in case.destination:
        yield Finding(
            Severity.INFO,
            case.where,
            f"tells {case.destination} which records it gave up, not what was in them",
            f"they must be read from the stream within {case.retention_h} hours; a bucket would get them whole",
            _with_bucket(case),
        )


def _with_bucket(case: Case) -> str:
    bucket, change = _bucket(case)
    return case.change(**change) if case.in_template else f"aws s3 mb s3://{bucket} && {case.change(**change)}"


def _bucket(case: Case) -> tuple[str, dict[str, Any]]:
    """Return the commands that make a bucket for discarded records, and the setting that names it."""
    _, _, _, region, account, *_ = (*str(case.mapping.get("EventSourceArn", "")).split(":"), *[""] * 5)
    bucket = "-".join(part for part in ("millrace-failed", account, region) if part)
    return bucket, {"DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}}


def _partial_responses(case: Case) -> Iterator[Finding]:
    """Find a disagreement about partial responses, which loses or repeats records."""
    returned = case.settings.partial_responses if case.settings else None
    if not case.reports_failures:
        yield case.finding(
            Severity.ERROR if returned else Severity.WARNING,
            "has no ReportBatchItemFailures" + (", and its function has PARTIAL_RESPONSES=True" if returned else ""),
            "Lambda ignores the list of records that must wait, and never delivers them again: they are lost"
            if returned
            else "one record that must wait brings its whole batch again, and its results once more",
            FunctionResponseTypes=[REPORT_FAILURES],
        )


def _bisects(case: Case) -> Iterator[Finding]:
    if not case.mapping.get("BisectBatchOnFunctionError", False):
        yield case.finding(
            Severity.WARNING,
            "does not bisect (BisectBatchOnFunctionError false)",
            "a record that ends the function itself (time, memory) takes its batch with it; halving finds it, and "
            "uses up no attempts",
            BisectBatchOnFunctionError=True,
        )


def _fits(case: Case) -> Iterator[Finding]:
    size, each = int(case.mapping.get("BatchSize", 100)), ENVELOPE_BYTES + 4 * -(-case.record_bytes // 3)
    if size * each > EVENT_BYTES:
        fit = max(1, EVENT_BYTES // each)
        yield case.finding(
            Severity.INFO,
            f"BatchSize {size} cannot fit an event of 6 MB",
            f"with records of {case.record_bytes} bytes Lambda invokes at about {fit}, whatever size and window say",
            BatchSize=fit,
        )
    largest = int(case.stream.get("MaxRecordSizeInKiB", KIB)) * KIB
    if largest > LARGEST_DATA_BYTES:
        kib = LARGEST_DATA_BYTES // KIB
        yield Finding(
            Severity.ERROR if not case.destination else Severity.WARNING,
            case.where,
            f"the stream takes records of {largest // KIB} KiB, and an event none over {kib} KiB",
            "Lambda can never deliver a larger one: it ends at the destination, or nowhere",
            aws_command(
                "kinesis", "UpdateMaxRecordSize", StreamARN=case.mapping.get("EventSourceArn"), MaxRecordSizeInKiB=kib
            ),
        )


def _parallel(case: Case) -> Iterator[Finding]:
    factor = int(case.mapping.get("ParallelizationFactor", 1))
    if factor > 1 and case.keeps_state:
        yield case.finding(
            Severity.WARNING,
            f"ParallelizationFactor is {factor}, and the pipeline keeps state",
            "batches of one shard run side by side, in order per partition key only: a state key that does not follow "
            "from the partition key (ALERTS_TENANT_FROM=alert) is written by two, and records of one count as applied "
            "by the other, and are lost",
            ParallelizationFactor=1,
        )


def _tumbles(case: Case) -> Iterator[Finding]:
    if seconds := int(case.mapping.get("TumblingWindowInSeconds", 0)):
        yield case.finding(
            Severity.ERROR,
            f"has a tumbling window of {seconds} s",
            "an answer without a window's state is a failure to Lambda, and the handler never gives one: every batch "
            "fails until it is given up; pipelines keep their state in STATE_TABLE",
            TumblingWindowInSeconds=0,
        )


def _filters(case: Case) -> Iterator[Finding]:
    if filters := (case.mapping.get("FilterCriteria") or {}).get("Filters"):
        yield case.finding(
            Severity.INFO,
            f"has {len(filters)} filter(s)",
            "what matches none is passed over without a trace, and so is what is no JSON: no quarantine sees it",
            FilterCriteria={},
        )


def _starts(case: Case) -> Iterator[Finding]:
    if case.mapping.get("StartingPosition") == "LATEST":
        mend = "nothing: it counts once; a new mapping takes --starting-position TRIM_HORIZON"
        if case.in_template:
            mend = in_file(case.file, {"StartingPosition": "TRIM_HORIZON"})
        yield Finding(
            Severity.INFO,
            case.where,
            "starts at LATEST",
            "what is put before the mapping is active, minutes after it is made, is never read",
            mend,
        )


RULES = (
    _polls,
    _last_result,
    _partial_responses,
    _discards,
    _bisects,
    _fits,
    _parallel,
    _tumbles,
    _filters,
    _starts,
)
