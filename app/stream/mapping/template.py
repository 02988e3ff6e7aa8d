"""Read a mapping from a file: a CloudFormation or SAM template, or the output of `get-event-source-mapping`.

A template's `AWS::Lambda::EventSourceMapping` has the API's own names
(https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html);
SAM's Kinesis event calls the ARN `Stream`
(https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-kinesis.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import SettingsError
from app.stream.mapping.intrinsics import Resolver
from app.stream.mapping.settings import NAMES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

MAPPING = "AWS::Lambda::EventSourceMapping"
SAM_FUNCTION = "AWS::Serverless::Function"
KINESIS = ":kinesis:"


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
    """
    document = _read(path)
    try:
        return _mapping_in(document, path, name, parameters or {}, overridden)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        # A template made by hand may have anything anywhere; CloudFormation refuses it too.
        kind = type(error).__name__
        raise SettingsError(
            f"{path}: a resource, its properties or a function in it is not of CloudFormation's form ({kind}): "
            "`cfn-lint` shows where"
        ) from None


def _mapping_in(
    document: Mapping[str, Any], path: Path, name: str, parameters: Mapping[str, str], overridden: Collection[str]
) -> dict[str, Any]:
    """See `load_mapping`."""
    for parameter in parameters:
        if parameter not in (document.get("Parameters") or {}):
            known = ", ".join(sorted(document.get("Parameters") or {})) or "none"
            raise SettingsError(f"--parameter {parameter}: the template's parameters are {known}")
    if "Resources" in document:
        found = dict(_in_template(document))
    else:
        found = {str(each.get("UUID", "")): _of_api(each) for each in _in_output(document)}
    if not found:
        raise SettingsError(f"{path}: no mapping of a Kinesis stream in it")
    if name and name not in found:
        raise SettingsError(f"{path}: no mapping {name!r}: it has {', '.join(sorted(found))}")
    if not name and len(found) > 1:
        raise SettingsError(f"{path}: {len(found)} mappings: choose with --logical-id: {', '.join(sorted(found))}")
    values = found[name] if name else next(iter(found.values()))
    wanted = {key: value for key, value in values.items() if key not in overridden}
    if {"EventSourceArn", "StreamName"} & set(overridden):
        wanted.pop("EventSourceArn", None)
    resolver = Resolver(document, parameters, str(path))
    try:
        function = {"FunctionName": resolver.resolve(wanted.pop("FunctionName", "function"))}
    except SettingsError:
        function = {}  # the function is given by its URL: its name only stands in failure records
    return resolver.resolve_all(wanted) | function


def _read(path: Path) -> dict[str, Any]:
    """Read the file as a document, in any of its forms."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        document = _read_yaml(path)
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: neither a template nor the output of get-event-source-mapping")
    return document


def _read_yaml(path: Path) -> object:
    """Read YAML with CloudFormation's short tags."""
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


def _in_template(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the mappings in a template with their logical ids; those of other sources than Kinesis are left out."""
    resources = document["Resources"]
    for logical_id, resource in resources.items() if isinstance(resources, dict) else ():
        kind, properties = resource.get("Type"), resource.get("Properties") or {}
        if kind == MAPPING and _may_be_kinesis(properties.get("EventSourceArn"), resources):
            yield str(logical_id), {name: value for name, value in properties.items() if name in NAMES}
        if kind == SAM_FUNCTION:
            yield from _of_sam(str(logical_id), properties)


def _of_sam(logical_id: str, function: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for event_id, event in (function.get("Events") or {}).items():
        if event.get("Type") == "Kinesis":
            properties = event.get("Properties") or {}
            found = {name: value for name, value in properties.items() if name in NAMES}
            found["EventSourceArn"] = properties.get("Stream", "")
            found["FunctionName"] = function.get("FunctionName", logical_id)
            if "Timeout" in function:
                found["Timeout"] = function["Timeout"]
            yield f"{logical_id}{event_id}", found


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
