"""Checks of a file: the mappings in it, and the functions that they invoke. AWS is not asked for anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from app.doctor.case import Case, KnownValues, stream_of, where_known
from app.doctor.finding import Finding, Severity
from app.doctor.function import Function, examine_configuration, examine_pair, set_up
from app.doctor.mapping import examine_mapping
from app.doctor.settings import examine_settings, examine_shared_state
from app.doctor.state import examine_growth
from app.errors import SettingsError
from app.registry import settings_of_domains
from app.settings import Settings
from app.stream.mapping.settings import settings_of
from app.stream.mapping.template import load_mappings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from app.doctor.setup import Setup
    from app.stream.mapping.template import FunctionInFile, MappingInFile

NUMBERS = frozenset({"MemorySize", "Timeout"})
STAND_INS = {
    **{name: f"unknown-{name.lower()}" for name in ("OUTPUT_STREAM", "QUARANTINE_STREAM", "STATE_TABLE")},
    **{name: f"s3://unknown/{name.lower()}" for name in ("QUARANTINE_LOCATION", "STATE_LOCATION")},
}
"""Values in place of those that AWS alone knows: they name something, and nothing that is named elsewhere."""


def examine_file(path: Path, name: str, parameters: Mapping[str, str], record_bytes: int) -> Iterator[str | Finding]:
    """Check the mappings in a file, and the functions that it has for them.

    Args:
        path: A template, or the output of `get-event-source-mapping`.
        name: The only mapping to check: its logical id or UUID; every one without it.
        parameters: Values of the template's parameters, over their defaults.
        record_bytes: The size of a usual record's data.

    Raises:
        SettingsError: The file cannot be read, or has no such mapping.
    """
    mappings = load_mappings(path, name=name, parameters=parameters)
    functions = {each.function.logical_id: each.function for each in mappings if each.function}
    known: dict[str, tuple[Function, Setup]] = {}
    for logical_id, found in functions.items():
        own = [each for each in mappings if each.function and each.function.logical_id == logical_id]
        function = _function(found, str(path))
        setup = yield from _examine_function(function, found, own)
        if setup:
            known[logical_id] = function, setup
    for mapping in mappings:
        case = Case(mapping.values, None, {}, record_bytes, str(path), mapping.name)
        yield from _examine_mapping(case, mapping, known.get(mapping.function.logical_id) if mapping.function else None)
    yield from examine_shared_state(setup for _, setup in known.values())


def _function(found: FunctionInFile, file: str) -> Function:
    """Return a function with its numbers as numbers; one that is none counts as not known."""
    properties, unknown = dict(found.properties), set(found.unresolved)
    for name in NUMBERS & properties.keys():
        try:
            properties[name] = int(properties[name])
        except (TypeError, ValueError):
            unknown.add(name)
    return Function(found.logical_id, KnownValues(properties, unknown & NUMBERS), file)


def _examine_function(
    function: Function, found: FunctionInFile, mappings: Sequence[MappingInFile]
) -> Generator[str | Finding, None, Setup | None]:
    """Check a function; return its set-up, or None where it has none that can be checked."""
    kinds: list[type[msgspec.Struct]] = [Settings, *settings_of_domains()]
    variables = {name.upper() for kind in kinds for name in kind.__struct_fields__}
    unknown = {name: reason for name, reason in found.unresolved.items() if name in variables | NUMBERS}
    yield f"{function.where}: read"
    yield from _unresolved(function.where, function.file, unknown)
    yield from where_known(examine_configuration(function, [each.values for each in mappings]))
    if variables & unknown.keys() - STAND_INS.keys():  # it may be any, and others depend on it
        return None
    stand_ins = {name: STAND_INS[name] for name in unknown.keys() & STAND_INS.keys()}
    function = function.with_variables(stand_ins)
    setup = yield from set_up(function, list(dict.fromkeys(stream_of(each.values) for each in mappings)))
    if setup:
        yield from examine_settings(setup)
        yield from examine_growth(setup)
    return setup


def _examine_mapping(
    case: Case, mapping: MappingInFile, known: tuple[Function, Setup] | None
) -> Iterator[str | Finding]:
    yield f"{case.where}: read" + ("" if mapping.function else ", without its function")
    yield from _unresolved(case.where, case.file, mapping.unresolved)
    values = mapping.values
    if case.in_template:
        anywhere = {"StreamName": "anywhere"} if "EventSourceArn" in mapping.unresolved else {}
        try:
            checked = msgspec.to_builtins(settings_of({**values, **anywhere}))
        except SettingsError as error:
            mend = f"in {case.file}: give it a value that AWS takes"
            yield Finding(Severity.ERROR, case.where, str(error), "it cannot be deployed, and nothing is read", mend)
            return
        values = {name: checked[name] for name in values}  # of AWS's types: a template may have numbers as texts
    unknown = mapping.unresolved.keys() - {"EventSourceArn"}  # which only names the stream
    case = replace(case, mapping=KnownValues(values, unknown))
    if known:
        function, setup = known
        case = replace(case, settings=setup.settings, keeps_state=setup.keeps_state(case.source))
        yield from where_known(examine_pair(function, case, setup.settings, {}))
    yield from examine_mapping(case)


def _unresolved(where: str, file: str, reasons: Mapping[str, str]) -> Iterator[Finding]:
    """Say which values the file does not tell."""
    for name, reason in reasons.items():
        mend = "once it is deployed: millrace doctor --function NAME"
        if "--parameter" in reason:
            mend = f"millrace doctor --mapping {file} --parameter NAME=VALUE"
        yield Finding(Severity.INFO, where, f"{name} cannot be resolved: {reason}", "it was not checked", mend)
