"""Settings that are each possible, and together or for a stream are not what anybody wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.doctor.finding import Finding, Severity
from app.runtime import PIPELINES, ROLES, STATEFUL
from app.settings import DEFAULT_ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from app.settings import Settings

    class Setter(Protocol):
        """Gives the command that sets variables where the settings are from."""

        def __call__(self, **new: str) -> str:
            """The command."""


def examine_settings(settings: Settings, source: str, where: str, change: Setter) -> Iterator[Finding]:
    """What the settings would do to the records of a stream.

    Args:
        settings: What the environment says, here or of a function.
        source: The stream that is read.
        where: Where the settings are from, for the findings.
        change: Gives the command that sets variables there.
    """
    for name in sorted({settings.pipeline, *settings.pipelines.values()} - set(PIPELINES)):
        yield Finding(
            Severity.ERROR,
            where,
            f"there is no pipeline {name!r}",
            f"nothing starts; there are {', '.join(sorted(PIPELINES))}",
            change(PIPELINE=settings.pipeline if settings.pipeline in PIPELINES else "bike"),
        )
    if settings.test_run:
        yield Finding(
            Severity.ERROR,
            where,
            "TEST_RUN is True",
            "records are acknowledged, and no result is published: their predictions are lost",
            change(TEST_RUN="False"),
        )
    else:
        yield from _destinations(settings, where, change)
    if not (settings.quarantine_stream or settings.quarantine_location):
        yield Finding(
            Severity.WARNING,
            where,
            "there is no quarantine (QUARANTINE_STREAM, QUARANTINE_LOCATION)",
            "a record that can never succeed is handed back and holds up its shard until it expires",
            change(QUARANTINE_STREAM=f"{source}-quarantine"),
        )
    yield from _loops(settings, source, where, change)


def _destinations(settings: Settings, where: str, change: Setter) -> Iterator[Finding]:
    """Roles without a stream, and state without a table."""
    names = {settings.pipeline, *settings.pipelines.values()}
    roles = {role for name in names for role in ROLES.get(name, (DEFAULT_ROLE,))}
    missing = sorted(role for role in roles if not settings.stream_for(role))
    if DEFAULT_ROLE in missing:
        yield Finding(
            Severity.ERROR,
            where,
            "OUTPUT_STREAM is not set",
            "results would have nowhere to go, so nothing starts",
            change(OUTPUT_STREAM="NAME"),
        )
    if further := [role for role in missing if role != DEFAULT_ROLE]:
        pairs = {**settings.output_streams, **{role: f"alerts-{role}" for role in further}}
        yield Finding(
            Severity.ERROR,
            where,
            f"OUTPUT_STREAMS has no stream for {', '.join(further)}",
            "results would have nowhere to go, so nothing starts",
            change(OUTPUT_STREAMS=",".join(f"{role}:{stream}" for role, stream in pairs.items())),
        )
    if names & STATEFUL and not settings.state_table:
        yield Finding(
            Severity.ERROR,
            where,
            f"STATE_TABLE is not set, and {', '.join(sorted(names & STATEFUL))} keeps state",
            "nothing starts",
            change(STATE_TABLE="NAME"),
        )


def _loops(settings: Settings, source: str, where: str, change: Setter) -> Iterator[Finding]:
    """Streams that are written to and read at once."""
    if source in {settings.output_stream, *settings.output_streams.values()}:
        yield Finding(
            Severity.ERROR,
            where,
            f"results go to {source}, which is read",
            "each result comes back as a record, for ever",
            change(OUTPUT_STREAM=f"{source}-results"),
        )
    if settings.quarantine_stream and settings.quarantine_stream in {source, settings.output_stream}:
        read = settings.quarantine_stream == source
        yield Finding(
            Severity.ERROR if read else Severity.WARNING,
            where,
            f"quarantined records go to {settings.quarantine_stream}, which is the {'input' if read else 'output'}",
            "each is read and quarantined again, and grows" if read else "whoever reads results finds both",
            change(QUARANTINE_STREAM=f"{source}-quarantine"),
        )
