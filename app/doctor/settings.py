"""Checks of settings that are valid one by one, but wrong together or for a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.doctor.finding import Finding, Severity
from app.errors import UnknownPipelineError
from app.registry import PIPELINES, pipeline_class
from app.settings import DEFAULT_ROLE, Settings
from app.stream.pipeline import StatefulPipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol

    from app.stream.pipeline import AnyPipeline

    class Setter(Protocol):
        """Returns the command that sets variables in the environment that the settings come from."""

        def __call__(self, **new: str) -> str:
            """Return the command."""


def examine_settings(
    settings: Settings, source: str, where: str, change: Setter, *, deployed: bool = False
) -> Iterator[Finding]:
    """Find what the settings would do to the records of a stream.

    Args:
        settings: What the environment says, here or of a function.
        source: The stream that is read.
        where: Where the settings are from, for the findings.
        change: Gives the command that sets variables there.
        deployed: Whether they are those of a deployed function, which may have a pipeline that is not installed here.
    """
    classes: dict[str, type[AnyPipeline]] = {}
    for name in sorted(settings.pipeline_names()):
        try:
            classes[name] = pipeline_class(name)
        except UnknownPipelineError as error:
            if deployed and ":" in name:
                why = "its output roles and its state are not checked"
                yield Finding(Severity.INFO, where, str(error), why, "run the doctor where the pipeline is installed")
                continue
            yield Finding(Severity.ERROR, where, str(error), "nothing starts", _without(settings, name, change))
    if settings.test_run:
        yield Finding(
            Severity.ERROR,
            where,
            "TEST_RUN is True",
            "records are acknowledged, and no result is published: their predictions are lost",
            change(TEST_RUN="False"),
        )
    else:
        yield from _destinations(settings, classes, source, where, change)
    if not (settings.quarantine_stream or settings.quarantine_location):
        yield Finding(
            Severity.WARNING,
            where,
            "there is no quarantine (QUARANTINE_STREAM, QUARANTINE_LOCATION)",
            "a record that can never succeed is handed back and holds up its shard until it expires",
            change(QUARANTINE_STREAM=f"{source}-quarantine"),
        )
    yield from _loops(settings, source, where, change)


def _without(settings: Settings, name: str, change: Setter) -> str:
    """Return the command that sets the variable which names a pipeline without that pipeline."""
    if name == settings.pipeline:
        return change(PIPELINE=Settings().pipeline)
    return change(PIPELINES=",".join(f"{stream}:{each}" for stream, each in settings.pipelines.items() if each != name))


def _destinations(
    settings: Settings, classes: Mapping[str, type[AnyPipeline]], source: str, where: str, change: Setter
) -> Iterator[Finding]:
    """Find roles without a stream, and state without a table."""
    roles = {role for each in classes.values() for role in each.roles}
    stateful = [name for name, each in classes.items() if issubclass(each, StatefulPipeline)]
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
        usual = {
            role: PIPELINES[name].stream if name in PIPELINES else source
            for name, each in classes.items()
            for role in each.roles
        }
        pairs = {**settings.output_streams, **{role: f"{usual[role]}-{role}" for role in further}}
        yield Finding(
            Severity.ERROR,
            where,
            f"OUTPUT_STREAMS has no stream for {', '.join(further)}",
            "results would have nowhere to go, so nothing starts",
            change(OUTPUT_STREAMS=",".join(f"{role}:{stream}" for role, stream in pairs.items())),
        )
    if stateful and not settings.state_table:
        yield Finding(
            Severity.ERROR,
            where,
            f"STATE_TABLE is not set, and {', '.join(stateful)} keeps state",
            "nothing starts",
            change(STATE_TABLE="NAME"),
        )


def _loops(settings: Settings, source: str, where: str, change: Setter) -> Iterator[Finding]:
    """Find streams that are both written to and read."""
    if source in {settings.output_stream, *settings.output_streams.values()}:
        yield Finding(
            Severity.ERROR,
            where,
            f"results go to {source}, which is read",
            "each result comes back as a record, forever",
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
