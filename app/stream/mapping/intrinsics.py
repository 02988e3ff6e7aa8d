"""Evaluate a template's intrinsic functions without AWS: parameters, names, and the ARNs of its own resources.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html.
Conditions, imports and macros are not evaluated: they are an error that says which value to give instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app import aws
from app.errors import SettingsError
from app.stream.mapping.event import LOCAL_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# By type: the property that holds a name, and the ARN's service and resource. A resource without a name gets its
# logical id for one here; CloudFormation would make one up of it.
_NAMED: Mapping[str, tuple[str, str]] = {
    "AWS::Kinesis::Stream": ("Name", "arn:aws:kinesis:{region}:{account}:stream/{name}"),
    "AWS::SQS::Queue": ("QueueName", "arn:aws:sqs:{region}:{account}:{name}"),
    "AWS::SNS::Topic": ("TopicName", "arn:aws:sns:{region}:{account}:{name}"),
    "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::{name}"),
    "AWS::Lambda::Function": ("FunctionName", "arn:aws:lambda:{region}:{account}:function:{name}"),
    "AWS::Serverless::Function": ("FunctionName", "arn:aws:lambda:{region}:{account}:function:{name}"),
}
_REF_IS_ARN = frozenset({"AWS::SNS::Topic"})  # the Ref of others is their name (a queue's its URL, which is no ARN)
_CONSUMER = "AWS::Kinesis::StreamConsumer"
_SUBSTITUTE = re.compile(r"\$\{([^!][^}]*)\}")


class Resolver:
    """Resolves the values of one template."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, str], where: str) -> None:
        """Take a template, values that override its parameters' defaults, and the file's name for messages."""
        self._resources = document.get("Resources") or {}
        self._declared = document.get("Parameters") or {}
        self._given, self._where = parameters, where
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_attribute,
            "Fn::Sub": self._substitute,
            "Fn::Join": self._join,
        }

    def resolve_all(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values with all functions in them resolved.

        Raises:
            SettingsError: One cannot be resolved; the message names its property.
        """
        resolved = {}
        for name, value in values.items():
            try:
                resolved[str(name)] = self.resolve(value)
            except SettingsError as error:
                raise SettingsError(f"{self._where}, {name}: {error}") from None
        return resolved

    def resolve(self, value: Any) -> Any:  # noqa: ANN401 - any of a template's values
        """Resolve one value."""
        if isinstance(value, list):
            return [self.resolve(each) for each in value]
        if not isinstance(value, dict):
            return str(value) if isinstance(value, str) else value  # cfn-lint's texts are of its own kind
        if len(value) == 1:
            [(name, operand)] = value.items()
            if name in self._functions:
                return self._functions[name](operand)
            if name.startswith("Fn::") or name == "Condition":
                raise SettingsError(f"{name} is not evaluated here: give the value on the command line")
        return {str(name): self.resolve(each) for name, each in value.items()}

    def _ref(self, name: str) -> Any:  # noqa: ANN401 - a parameter's value
        if name in self._given:
            return self._given[name]
        if name in self._declared:
            if "Default" not in self._declared[name]:
                raise SettingsError(f"parameter {name} has no default: give --parameter {name}=…")
            return self._declared[name]["Default"]
        pseudo = self._pseudo(name)
        if pseudo is not None:
            return pseudo
        kind = self._kind(name)
        if kind in _REF_IS_ARN or kind == _CONSUMER:
            return self._arn(name)
        return self._name(name)

    def _pseudo(self, name: str) -> str | None:
        """Return the value of a pseudo parameter on a machine without an account."""
        known = {"AWS::AccountId": LOCAL_ACCOUNT, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}
        if name in {"AWS::StackName", "AWS::StackId"}:
            return "local"
        return aws.region() if name == "AWS::Region" else known.get(name)

    def _get_attribute(self, operand: Any) -> str:  # noqa: ANN401 - a text or a list
        name, _, attribute = operand.partition(".") if isinstance(operand, str) else (operand[0], "", operand[1])
        if attribute in {"Arn", "TopicArn", "ConsumerARN"}:
            return self._arn(name)
        if attribute in {"QueueName", "TopicName", "StreamName"}:
            return self._name(name)
        raise SettingsError(f"{name}.{attribute} is known to AWS alone: give the value on the command line")

    def _substitute(self, operand: Any) -> str:  # noqa: ANN401 - a text, or a text and values
        text, values = (operand, {}) if isinstance(operand, str) else operand

        def replace(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name in values:
                return str(self.resolve(values[name]))
            return str(self._get_attribute(name) if "." in name else self._ref(name))

        return _SUBSTITUTE.sub(replace, text).replace("${!", "${")

    def _join(self, operand: Any) -> str:  # noqa: ANN401 - a separator and parts
        separator, parts = operand
        return str(separator).join(str(each) for each in self.resolve(parts))

    def _kind(self, name: str) -> str:
        resource = self._resources.get(name)
        if not isinstance(resource, dict):
            raise SettingsError(f"{name} is neither a parameter nor a resource of this template")
        return str(resource.get("Type"))

    def _name(self, name: str) -> str:
        kind = self._kind(name)
        if kind not in _NAMED:
            raise SettingsError(f"{name} is an {kind}: give the value on the command line")
        properties = self._resources[name].get("Properties") or {}
        return str(self.resolve(properties.get(_NAMED[kind][0], name)))

    def _arn(self, name: str) -> str:
        kind = self._kind(name)
        if kind == _CONSUMER:  # read like its stream: there is no other way to read one here
            return str(self.resolve(self._resources[name]["Properties"]["StreamARN"]))
        if kind not in _NAMED:
            raise SettingsError(f"{name} is an {kind}: give the value on the command line")
        return _NAMED[kind][1].format(region=aws.region(), account=LOCAL_ACCOUNT, name=self._name(name))
