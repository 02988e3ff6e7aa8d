"""Checks of settings that are valid one by one, but wrong together or for the streams that are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.doctor.finding import Finding, Severity
from app.doctor.locations import examine_names
from app.errors import SettingsError, UnknownPipelineError
from app.registry import PIPELINES, pipeline_class, settings_of_domains
from app.settings import DEFAULT_ROLE, Settings
from app.stream.loops import QUARANTINED, describe, find_loop, mend_of
from app.stream.runtime import check_aggregation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from app.doctor.setup import Setter, Setup
    from app.stream.loops import Step

_SHOWN = 3  # processes with one state that a finding names


def mend_variable(error: SettingsError, change: Setter) -> str:
    """Return the command that gives the variable of an error (`TEST_RUN is 'maybe': …`) its default."""
    variable = str(error).partition(" ")[0]
    kinds: list[type[msgspec.Struct]] = [Settings, *settings_of_domains()]
    fields = {each.name.upper(): each for kind in kinds for each in msgspec.structs.fields(kind)}
    if variable not in fields:
        return "give the variable another value, as it says"
    field = fields[variable]
    if field.required:
        return change(**{variable: "VALUE"})
    return change(**{variable: "" if field.default is msgspec.NODEFAULT else str(field.default)})


def examine_settings(setup: Setup) -> Iterator[Finding]:
    """Find what the settings would do to the records of the streams."""
    settings, where, change = setup.settings, setup.where, setup.change
    for name in sorted(settings.pipeline_names() - set(setup.classes)):
        yield from _unusable(name, setup)
    if settings.test_run:
        yield Finding(
            Severity.ERROR,
            where,
            "TEST_RUN is True",
            "records are acknowledged, and no result is published: their predictions are lost",
            change(TEST_RUN="False"),
        )
    else:
        yield from _destinations(setup)
    if not (settings.quarantine_stream or settings.quarantine_location):
        yield Finding(
            Severity.WARNING,
            where,
            "there is no quarantine (QUARANTINE_STREAM, QUARANTINE_LOCATION)",
            "a record that can never succeed is handed back and holds up its shard until it expires",
            change(QUARANTINE_STREAM=f"{_usual_stream(setup)}-quarantine"),
        )
    yield from _loops(setup)
    yield from _aggregation(setup)
    yield from examine_names(setup)


def examine_shared_state(setups: Iterable[Setup]) -> Iterator[Finding]:
    """Find states that a pipeline writes for several streams or in several functions."""
    readers: dict[tuple[str, str], list[tuple[Setup, str]]] = {}
    for setup in setups:
        for name in setup.stateful if setup.settings.state_table else ():
            read = [source for source in setup.sources if setup.settings.pipeline_for(source) == name]
            readers.setdefault((setup.settings.state_table, name), []).extend((setup, each) for each in read)
    for (table, name), several in readers.items():
        if len(several) < 2:  # noqa: PLR2004 - alone
            continue
        setup, _ = several[0]
        by_process: dict[str, list[str]] = {}
        for each, source in several:
            by_process.setdefault(each.where, []).append(source)
        named = "; ".join(f"{where} reads {' and '.join(read)}" for where, read in list(by_process.items())[:_SHOWN])
        more = f"; and {len(by_process) - _SHOWN} more" if len(by_process) > _SHOWN else ""
        yield Finding(
            Severity.WARNING,
            setup.where,
            f"pipeline {name} keeps one state in {table} for several streams or processes: {named}{more}",
            "nothing is lost, but records of one state key have no order across streams; of a stream read by two "
            "functions, only one of them applies each record",
            "put records of one state key on one stream, or give each reader a table: "
            f"{setup.change(STATE_TABLE=f'{table}-2')}",
        )


def _unusable(name: str, setup: Setup) -> Iterator[Finding]:
    """Say why a pipeline cannot be used."""
    try:
        pipeline_class(name)
    except UnknownPipelineError as error:
        if setup.in_lambda and ":" in name:
            why = "its output roles and its state are not checked"
            mend = "run `millrace doctor` where the pipeline is installed"
            yield Finding(Severity.INFO, setup.where, str(error), why, mend)
            return
        mend = _without(setup.settings, name, setup.change)
        yield Finding(Severity.ERROR, setup.where, str(error), "nothing starts", mend)
    except SettingsError as error:
        yield Finding(
            Severity.ERROR, setup.where, str(error), "nothing starts", f"change the class that {name} names as it says"
        )


def _without(settings: Settings, name: str, change: Setter) -> str:
    """Return the command that sets the variable which names a pipeline without that pipeline."""
    if name == settings.pipeline:
        return change(PIPELINE=Settings().pipeline)
    return change(PIPELINES=",".join(f"{stream}:{each}" for stream, each in settings.pipelines.items() if each != name))


def _usual_stream(setup: Setup) -> str:
    """Return the name that new streams of this process begin with."""
    return setup.sources[0] if setup.sources else "NAME"


def _destinations(setup: Setup) -> Iterator[Finding]:
    """Find roles without a stream, and state without a table."""
    settings, classes, where, change = setup.settings, setup.classes, setup.where, setup.change
    roles = {role for each in classes.values() for role in each.roles}
    missing = sorted(role for role in roles if not settings.stream_for(role))
    if DEFAULT_ROLE in missing:
        writers = {name for name, each in classes.items() if DEFAULT_ROLE in each.roles}
        unread = writers == {settings.pipeline} and set(setup.sources) <= set(settings.pipelines) != set()
        yield Finding(
            Severity.ERROR,
            where,
            f"OUTPUT_STREAM is not set, and pipeline {', '.join(sorted(writers))} needs it",
            "results would have nowhere to go, so nothing starts",
            # The pipeline of streams that PIPELINES does not name starts too, also when there are none.
            change(PIPELINE=next(iter(settings.pipelines.values()))) if unread else change(OUTPUT_STREAM="NAME"),
        )
    if further := [role for role in missing if role != DEFAULT_ROLE]:
        usual = {
            role: PIPELINES[name].stream if name in PIPELINES else _usual_stream(setup)
            for name, each in classes.items()
            for role in each.roles
        }
        pairs = {**settings.output_streams, **{role: f"{usual[role]}-{role}" for role in further}}
        yield Finding(
            Severity.ERROR,
            where,
            f"OUTPUT_STREAMS has no stream for {', '.join(further)}",
            "results would have nowhere to go, so nothing starts",
            change(OUTPUT_STREAMS=_pairs(pairs)),
        )
    if setup.stateful and not settings.state_table:
        yield Finding(
            Severity.ERROR,
            where,
            f"STATE_TABLE is not set, and {', '.join(setup.stateful)} keeps state",
            "nothing starts",
            change(STATE_TABLE="NAME"),
        )


def _pairs(pairs: Mapping[str, str]) -> str:
    return ",".join(f"{name}:{value}" for name, value in pairs.items())


def _aggregation(setup: Setup) -> Iterator[Finding]:
    """Find aggregated roles that no pipeline or setting has."""
    settings = setup.settings
    roles = {role for each in setup.classes.values() for role in each.roles}
    try:
        check_aggregation(settings, roles)
    except SettingsError as error:
        if setup.classes.keys() == settings.pipeline_names():  # another one may have that role
            left = ",".join(each for each in settings.output_aggregation if each in roles)
            mend = setup.change(OUTPUT_AGGREGATION=left)
            yield Finding(Severity.ERROR, setup.where, str(error), "nothing starts", mend)


def _loops(setup: Setup) -> Iterator[Finding]:
    """Find streams that are both written to and read, and results that share a stream with quarantined records."""
    settings, where, change = setup.settings, setup.where, setup.change
    roles = {name: tuple(each.roles) for name, each in setup.classes.items()}
    if len(settings.pipeline_names()) == 1 and not roles:  # not installed here: whatever has a stream is its role
        roles = {settings.pipeline: (DEFAULT_ROLE, *settings.output_streams)}
    if loop := find_loop(settings, roles, setup.sources):
        yield Finding(
            Severity.ERROR,
            where,
            describe(loop),
            "each would come back as a record, without end: the process does not start, or refuses the stream",
            _without_loop(loop, setup),
        )
    elif settings.quarantine_stream and settings.quarantine_stream == settings.output_stream:
        yield Finding(
            Severity.WARNING,
            where,
            f"quarantined records go to {settings.quarantine_stream}, which is the output",
            "whoever reads results finds both",
            change(QUARANTINE_STREAM=f"{_usual_stream(setup)}-quarantine"),
        )


def _without_loop(loop: Sequence[Step], setup: Setup) -> str:
    """Return the command that ends a loop; of several pipelines that share output streams, what to do."""
    last, settings = loop[-1], setup.settings
    if any(each.role == QUARANTINED for each in loop):
        return setup.change(QUARANTINE_STREAM=f"{_usual_stream(setup)}-set-aside")
    if len({settings.pipeline_for(source) for source in (*settings.pipelines, *setup.sources)}) > 1:
        return mend_of(loop)
    if last.role == DEFAULT_ROLE:
        return setup.change(OUTPUT_STREAM=f"{last.target}-results")
    return setup.change(OUTPUT_STREAMS=_pairs({**settings.output_streams, last.role: f"{last.target}-{last.role}"}))
