"""Read a mapping from a file: a CloudFormation or SAM template, or the output of `get-event-source-mapping`.

A template's `AWS::Lambda::EventSourceMapping` has the API's own names
(https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html);
SAM's Kinesis event calls the ARN `Stream`
(https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-kinesis.html).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from app.budgets import MOST_ELEMENTS, MOST_SETTINGS_BYTES, is_over_elements
from app.errors import BudgetError, SettingsError
from app.storage.files import read_regular
from app.stream.mapping.intrinsics import Resolver
from app.stream.mapping.settings import NAMES
from app.text import without_bom

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

MAPPING = "AWS::Lambda::EventSourceMapping"
SAM_FUNCTION = "AWS::Serverless::Function"
FUNCTIONS = ("AWS::Lambda::Function", SAM_FUNCTION)
KINESIS = ":kinesis:"
FUNCTION_PROPERTIES = ("Handler", "ImageConfig", "MemorySize", "Timeout")


@dataclass(frozen=True)
class FunctionInFile:
    """A function of a template, as far as it can be resolved.

    Attributes:
        logical_id: Its name in the template.
        properties: Its handler, memory and timeout, and under `Environment` its variables, as Lambda's API has them.
        unresolved: By name the reason why a property or a variable cannot be resolved.
    """

    logical_id: str
    properties: dict[str, Any]
    unresolved: dict[str, str]


@dataclass(frozen=True)
class MappingInFile:
    """A mapping in a file, as far as it can be resolved.

    Attributes:
        name: Its logical id, or its UUID.
        values: Its settings under AWS's names; from the API's output all that the API says.
        unresolved: By name the reason why a setting cannot be resolved.
        function: The function that it invokes, where the file has it.
    """

    name: str
    values: dict[str, Any]
    unresolved: dict[str, str] = field(default_factory=dict)
    function: FunctionInFile | None = None


def load_mappings(path: Path, *, name: str = "", parameters: Mapping[str, str] | None = None) -> list[MappingInFile]:
    """Read the mappings in a file as far as they can be resolved, with their functions.

    Args:
        path: As for `load_mapping`.
        name: The only one to read; every one without it.
        parameters: As for `load_mapping`.

    Raises:
        SettingsError: There is no such mapping in the file, or the file cannot be read.
        BudgetError: The file is too large.
    """
    document = _read(path)
    with _explained(path):
        resolver = _resolver(document, path, parameters or {})
        found = _chosen(_mappings_in(document, resolver), path, name)
        if "Resources" not in document:
            return [MappingInFile(each, dict(values)) for each, values in found.items()]
        loaded = []
        for each, values in found.items():
            resolved, unresolved = resolver.resolve_each(values)
            unresolved.pop("FunctionName", None)  # the function itself says more
            function = _function_of(values.get("FunctionName"), document, resolver)
            loaded.append(MappingInFile(each, resolved, unresolved, function))
        return loaded


def load_mapping(
    path: Path,
    *,
    name: str = "",
    parameters: Mapping[str, str] | None = None,
    overridden: Collection[str] = (),
) -> dict[str, Any]:
    """Read a mapping's settings under AWS's names, for `settings_of`.

    Args:
        path: A template in YAML or JSON, or the output of `get-event-source-mapping` or `list-event-source-mappings`.
        name: Which mapping, if there are several: its logical id (for SAM the function's and the event's together, as
            CloudFormation has it) or its UUID.
        parameters: Values of a template's parameters, over their defaults.
        overridden: Names whose values are given elsewhere, and so need not be resolved.

    Raises:
        SettingsError: There is no such mapping in the file, several to choose from, or something that cannot be
            resolved without AWS.
        BudgetError: The file is too large.
    """
    document = _read(path)
    with _explained(path):
        resolver = _resolver(document, path, parameters or {})
        found = _chosen(_mappings_in(document, resolver), path, name)
        if len(found) > 1:
            raise SettingsError(f"{path}: {len(found)} mappings: choose with --logical-id: {', '.join(sorted(found))}")
        [values] = found.values()
        if "Resources" not in document:
            values = _of_api(values)
        wanted = {key: value for key, value in values.items() if key not in overridden}
        if {"EventSourceArn", "StreamName"} & set(overridden):
            wanted.pop("EventSourceArn", None)
        # Without a name that can be resolved the function is given by its URL: its name only stands in failure records.
        function, _ = resolver.resolve_each({"FunctionName": wanted.pop("FunctionName", "function")})
        return resolver.resolve_all(wanted) | function


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise one line for a template of another form, which CloudFormation would refuse too."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        kind = type(error).__name__
        raise SettingsError(
            f"{path}: a resource, its properties or a function in it is not of CloudFormation's form ({kind}): "
            "`cfn-lint` shows where"
        ) from None


def _resolver(document: Mapping[str, Any], path: Path, parameters: Mapping[str, str]) -> Resolver:
    declared = document.get("Parameters") or {}
    for parameter in set(parameters) - set(declared):
        known = ", ".join(sorted(declared)) or "none"
        raise SettingsError(f"--parameter {parameter}: the template's parameters are {known}")
    return Resolver(document, parameters, str(path))


def _mappings_in(document: Mapping[str, Any], resolver: Resolver) -> dict[str, Mapping[str, Any]]:
    """Return the mappings of Kinesis streams by name, unresolved."""
    if "Resources" in document:
        return dict(_in_template(document, resolver))
    return {str(each.get("UUID", "")): each for each in _in_output(document)}


def _chosen(found: dict[str, Mapping[str, Any]], path: Path, name: str) -> dict[str, Mapping[str, Any]]:
    """Return the named mapping alone, or all."""
    if not found:
        raise SettingsError(f"{path}: no mapping of a Kinesis stream in it")
    if not name:
        return found
    if name not in found:
        raise SettingsError(f"{path}: no mapping {name!r}: it has {', '.join(sorted(found))}")
    return {name: found[name]}


def _read(path: Path) -> dict[str, Any]:
    """Read the file as a document, in any of its forms."""
    try:
        raw = read_regular(path, MOST_SETTINGS_BYTES)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    if is_over_elements(raw):
        raise BudgetError(f"{path}: more than {MOST_ELEMENTS} values: no template has as many")
    try:
        document = msgspec.json.decode(without_bom(raw))
    except (msgspec.DecodeError, ValueError, RecursionError):
        document = _read_yaml(path)
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: neither a template nor the output of get-event-source-mapping")
    return document


def _read_yaml(path: Path) -> object:
    """Read YAML with CloudFormation's short tags; cfn-lint bounds its depth, and what its aliases expand to."""
    try:
        # Of the cloud group, which the image does without; it is shipped without types.
        from cfnlint.decode import decode  # type: ignore[import-untyped] # noqa: PLC0415
    except ModuleNotFoundError:
        raise SettingsError(
            f"{path}: a YAML template needs cfn-lint, which is of the cloud group (requirements/cloud.txt): "
            "install it, or give the template as JSON"
        ) from None
    document, faults = decode(str(path))
    for fault in faults:
        raise SettingsError(f"{path}, line {fault.linenumber}: {' '.join(str(fault.message).split())}")
    return document


def _in_output(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in the output of `get-` or `list-event-source-mappings`."""
    mappings = document.get("EventSourceMappings", [document])
    for each in mappings if isinstance(mappings, list) else []:
        if isinstance(each, dict) and KINESIS in str(each.get("EventSourceArn")):
            yield each


def _of_api(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the API's answer to settings; its state, dates and results are none."""
    found = {name: value for name, value in values.items() if name in NAMES}
    if "FunctionArn" in values:
        found["FunctionName"] = values["FunctionArn"]
    if values.get("State") in {"Disabled", "Disabling"}:
        found["Enabled"] = False
    return found


def _in_template(document: Mapping[str, Any], resolver: Resolver) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the mappings in a template with their logical ids; those of other sources than Kinesis are left out."""
    resources = document["Resources"]
    for logical_id, resource in resources.items() if isinstance(resources, dict) else ():
        kind, properties = resource.get("Type"), resource.get("Properties") or {}
        if kind not in {MAPPING, SAM_FUNCTION} or not _exists(resource, resolver):
            continue
        if kind == SAM_FUNCTION:
            yield from _of_sam(str(logical_id), _with_globals(properties, document))
        elif _may_be_kinesis(properties.get("EventSourceArn"), resources):
            yield str(logical_id), {name: value for name, value in properties.items() if name in NAMES}


def _exists(resource: Mapping[str, Any], resolver: Resolver) -> bool:
    """Return whether a resource's condition holds; one that cannot be resolved counts as true."""
    try:
        return "Condition" not in resource or resolver.holds(str(resource["Condition"]))
    except SettingsError:
        return True


def _with_globals(properties: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a SAM function's properties over those that `Globals` has for each function."""
    shared = (document.get("Globals") or {}).get("Function") or {}
    variables = {
        **((shared.get("Environment") or {}).get("Variables") or {}),
        **((properties.get("Environment") or {}).get("Variables") or {}),
    }
    return {**shared, **properties, "Environment": {"Variables": variables}}


def _of_sam(logical_id: str, function: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for event_id, event in (function.get("Events") or {}).items():
        if event.get("Type") == "Kinesis":
            properties = event.get("Properties") or {}
            found = {name: value for name, value in properties.items() if name in NAMES}
            found["EventSourceArn"] = properties.get("Stream", "")
            found["FunctionName"] = {"Ref": logical_id}
            if "Timeout" in function:
                found["Timeout"] = function["Timeout"]
            yield f"{logical_id}{event_id}", found


def _function_of(name: object, document: Mapping[str, Any], resolver: Resolver) -> FunctionInFile | None:
    """Return the function that a mapping's `FunctionName` refers to, also over an alias or a version of it."""
    resources = document["Resources"]
    target = _target(name) if isinstance(name, dict) else _named(str(name), resources)
    resource = resources.get(target)
    if not isinstance(resource, dict):
        return None
    properties = resource.get("Properties") or {}
    if resource.get("Type") not in FUNCTIONS:
        return _function_of(properties.get("FunctionName"), document, resolver)
    if resource["Type"] == SAM_FUNCTION:
        properties = _with_globals(properties, document)
    variables = (properties.get("Environment") or {}).get("Variables") or {}
    resolved, unresolved = resolver.resolve_each(
        {key: properties[key] for key in FUNCTION_PROPERTIES if key in properties}
    )
    known, unknown = _as_texts(*resolver.resolve_each(variables))
    return FunctionInFile(target, {**resolved, "Environment": {"Variables": known}}, {**unresolved, **unknown})


def _as_texts(values: Mapping[str, Any], unresolved: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return variables as CloudFormation passes them on, `true` and `3` as texts, and why others are none."""
    texts = {}
    for name, value in values.items():
        if isinstance(value, str | bool | int | float):
            texts[name] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        else:
            unresolved[name] = "a variable's value is a text, a number or a boolean"
    return texts, unresolved


def _target(value: Mapping[str, Any]) -> str:
    """Return the logical id in a `Ref`, a `Fn::GetAtt`, or at the beginning of a `Fn::Sub`."""
    operand = next(iter(value.values()), "")
    first = str(operand[0] if isinstance(operand, list) and operand else operand)
    return first.removeprefix("${").split(".")[0].split("}")[0]


def _named(name: str, resources: Mapping[str, Any]) -> str:
    """Return the logical id of the function that the template gives this name."""
    for logical_id, resource in resources.items():
        if resource.get("Type") in FUNCTIONS and (resource.get("Properties") or {}).get("FunctionName") == name:
            return str(logical_id)
    return ""


def _may_be_kinesis(source: object, resources: Mapping[str, Any]) -> bool:
    """Return whether an EventSourceArn is, or may be, a Kinesis stream's."""
    if isinstance(source, str):
        return KINESIS in source
    if isinstance(source, dict):
        target = source.get("Ref") or source.get("Fn::GetAtt")
        name = str(target[0] if isinstance(target, list) else target).split(".")[0]
        kind = str(resources.get(name, {}).get("Type", "AWS::Kinesis::Stream"))
        return kind.startswith("AWS::Kinesis::")
    return False
