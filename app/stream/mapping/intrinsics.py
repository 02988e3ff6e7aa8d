"""Evaluate a template's intrinsic functions without AWS: parameters, conditions, names, and ARNs of its own resources.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html.
Imports, macros and attributes that only AWS knows are not evaluated: each is an error that names it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app import aws
from app.errors import MillraceError, SettingsError
from app.stream.mapping.event import LOCAL_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# By type: the property that holds a name, and the ARN's service and resource. A resource without a name gets its
# logical id for one here; CloudFormation would make one up of it.
_NAMED: Mapping[str, tuple[str, str]] = {
    "AWS::Kinesis::Stream": ("Name", "arn:aws:kinesis:{region}:{account}:stream/{name}"),
    "AWS::SQS::Queue": ("QueueName", "arn:aws:sqs:{region}:{account}:{name}"),
    "AWS::SNS::Topic": ("TopicName", "arn:aws:sns:{region}:{account}:{name}"),
    "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::{name}"),
    "AWS::DynamoDB::Table": ("TableName", "arn:aws:dynamodb:{region}:{account}:table/{name}"),
    "AWS::Lambda::Function": ("FunctionName", "arn:aws:lambda:{region}:{account}:function:{name}"),
    "AWS::Serverless::Function": ("FunctionName", "arn:aws:lambda:{region}:{account}:function:{name}"),
}
_REF_IS_ARN = frozenset({"AWS::SNS::Topic"})  # the Ref of others is their name (a queue's its URL, which is no ARN)
_CONSUMER = "AWS::Kinesis::StreamConsumer"
_SUBSTITUTE = re.compile(r"\$\{([^!$}][^$}]*)\}")  # no `$` in a name: each `${` is looked at once
_REGION = "us-east-1"  # AWS's own default: a file is read where no region is set
MOST_RESOLVED = 1_000_000
"""Values and characters that a template's functions make: each may use another many times, and that one the next."""
_NO_VALUE = object()
"""The value of `AWS::NoValue`: the property that has it is left out."""


def parameters_of(texts: Sequence[str]) -> dict[str, str]:
    """Return the values of repeated `--parameter NAME=VALUE`.

    Raises:
        SettingsError: One is not of that form.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise SettingsError(f"--parameter {text!r}: write NAME=VALUE")
        found[name] = value
    return found


class Resolver:
    """Resolves the values of one template."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, str], where: str) -> None:
        """Take a template, values that override its parameters' defaults, and the file's name for messages."""
        self._resources = document.get("Resources") or {}
        self._declared = document.get("Parameters") or {}
        self._conditions = document.get("Conditions") or {}
        self._maps = document.get("Mappings") or {}
        self._given, self._where = parameters, where
        self._left = MOST_RESOLVED
        self._held: dict[str, bool] = {}  # conditions that are known
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_attribute,
            "Fn::Sub": self._substitute,
            "Fn::Join": self._join,
            "Fn::If": self._if,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
        }
        self._tests: Mapping[str, Callable[[Any], bool]] = {
            "Condition": lambda name: self.holds(str(name)),
            "Fn::Equals": self._equals,
            "Fn::And": lambda operand: all(self._test(each) for each in operand),
            "Fn::Or": lambda operand: any(self._test(each) for each in operand),
            "Fn::Not": lambda operand: not self._test(operand[0]),
        }

    def resolve_all(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values with all functions in them resolved.

        Raises:
            SettingsError: One cannot be resolved; the message names its property.
        """
        resolved, unresolved = self.resolve_each(values)
        for name, reason in unresolved.items():
            mend = "" if "--parameter" in reason else ": give the value as an option"
            raise SettingsError(f"{self._where}, {name}: {reason}{mend}")
        return resolved

    def resolve_each(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the values that can be resolved, and by name the reason why another one cannot."""
        resolved, unresolved = {}, {}
        for name, value in values.items():
            try:
                found = self.resolve(value)
            except SettingsError as error:
                unresolved[str(name)] = str(error)
                continue
            if found is not _NO_VALUE:
                resolved[str(name)] = found
        return resolved, unresolved

    def holds(self, condition: str) -> bool:
        """Return the value of one of the template's conditions.

        Raises:
            SettingsError: The template has no such condition, or it cannot be resolved.
        """
        if condition not in self._conditions:
            raise SettingsError(f"{condition} is no condition of this template")
        if condition not in self._held:
            self._held[condition] = self._test(self._conditions[condition])
        return self._held[condition]

    def resolve(self, value: Any) -> Any:  # noqa: ANN401 - any of a template's values
        """Resolve one value.

        Raises:
            SettingsError: It cannot be resolved, or the template's values are more than `MOST_RESOLVED` together.
        """
        self._spend(1)
        found = self._resolved(value)
        if isinstance(found, str):
            self._spend(len(found))
        return found

    def _spend(self, made: int) -> None:
        self._left -= made
        if self._left < 0:
            raise SettingsError(f"the template's functions make more than {MOST_RESOLVED} values and characters")

    def _resolved(self, value: Any) -> Any:  # noqa: ANN401 - any of a template's values
        if isinstance(value, list):
            return [found for each in value if (found := self.resolve(each)) is not _NO_VALUE]
        if not isinstance(value, dict):
            return str(value) if isinstance(value, str) else value  # cfn-lint's texts are of its own kind
        if len(value) == 1:
            [(name, operand)] = value.items()
            if name in self._functions:
                return self._functions[name](operand)
            if name.startswith("Fn::") or name == "Condition":
                raise SettingsError(f"{name} is not evaluated here")
        found = {str(name): self.resolve(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not _NO_VALUE}

    def _test(self, value: Any) -> bool:  # noqa: ANN401 - a function of conditions, of a template's form
        """Evaluate one of the functions that only stand in conditions."""
        [(name, operand)] = value.items()
        if name not in self._tests:
            raise SettingsError(f"{name} is no function of conditions")
        return self._tests[name](operand)

    def _equals(self, operand: Any) -> bool:  # noqa: ANN401 - two values
        one, other = (self.resolve(each) for each in operand)
        return _as_text(one) == _as_text(other)

    def _if(self, operand: Any) -> Any:  # noqa: ANN401 - a condition's name and two values
        condition, then, otherwise = operand
        return self.resolve(then if self.holds(str(condition)) else otherwise)

    def _find_in_map(self, operand: Any) -> Any:  # noqa: ANN401 - a map's name and two keys
        found: Any = self._maps
        for key in self.resolve(operand)[:3]:
            if key not in found:
                raise SettingsError(f"Fn::FindInMap: the template's Mappings have no {key} there")
            found = found[key]
        return self.resolve(found)

    def _select(self, operand: Any) -> Any:  # noqa: ANN401 - an index and values
        index, values = operand
        return self.resolve(values)[int(self.resolve(index))]

    def _split(self, operand: Any) -> list[str]:  # noqa: ANN401 - a separator and a text
        separator, text = operand
        return str(self.resolve(text)).split(str(separator))

    def _ref(self, name: str) -> Any:  # noqa: ANN401 - a parameter's value
        if name in self._declared:
            return self._parameter(name, self._declared[name])
        if name == "AWS::NoValue":
            return _NO_VALUE
        pseudo = self._pseudo(name)
        if pseudo is not None:
            return pseudo
        kind = self._kind(name)
        if kind in _REF_IS_ARN or kind == _CONSUMER:
            return self._arn(name)
        return self._name(name)

    def _parameter(self, name: str, declared: Mapping[str, Any]) -> Any:  # noqa: ANN401 - its value
        kind = str(declared.get("Type"))
        value = self._given.get(name, declared.get("Default"))
        if value is None:
            raise SettingsError(f"parameter {name} has no default: give --parameter {name}=…")
        if kind.startswith("AWS::SSM::") and name not in self._given:
            raise SettingsError(f"parameter {name} is a value of Parameter Store: give --parameter {name}=…")
        if kind.startswith(("CommaDelimitedList", "List<")):
            self._spend(len(text := str(value)))
            return [each.strip() for each in text.split(",")]
        return str(value) if isinstance(value, str) else value

    def _pseudo(self, name: str) -> str | None:
        """Return the value of a pseudo parameter on a machine without an account."""
        known = {"AWS::AccountId": LOCAL_ACCOUNT, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}
        if name in {"AWS::StackName", "AWS::StackId"}:
            return "local"
        return _region() if name == "AWS::Region" else known.get(name)

    def _get_attribute(self, operand: Any) -> str:  # noqa: ANN401 - a text or a list
        name, _, attribute = operand.partition(".") if isinstance(operand, str) else (operand[0], "", operand[1])
        if attribute in {"Arn", "TopicArn", "ConsumerARN"}:
            return self._arn(name)
        if attribute in {"QueueName", "TopicName", "StreamName"}:
            return self._name(name)
        raise SettingsError(f"only AWS knows {name}.{attribute}")

    def _substitute(self, operand: Any) -> str:  # noqa: ANN401 - a text, or a text and values
        text, values = (operand, {}) if isinstance(operand, str) else operand

        def replace(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name in values:
                text = _as_text(self.resolve(values[name]))
            else:
                text = _as_text(self._get_attribute(name) if "." in name else self._ref(name))
            self._spend(len(text))
            return text

        return _SUBSTITUTE.sub(replace, text).replace("${!", "${")

    def _join(self, operand: Any) -> str:  # noqa: ANN401 - a separator and parts
        separator, parts = operand
        texts = list(map(_as_text, self.resolve(parts)))
        self._spend(len(texts) * len(str(separator)))
        return str(separator).join(texts)

    def _kind(self, name: str) -> str:
        resource = self._resources.get(name)
        if not isinstance(resource, dict):
            raise SettingsError(f"{name} is neither a parameter nor a resource of this template")
        return str(resource.get("Type"))

    def _name(self, name: str) -> str:
        kind = self._kind(name)
        if kind not in _NAMED:
            raise SettingsError(f"only AWS knows the name and the ARN of {name}, an {kind}")
        properties = self._resources[name].get("Properties") or {}
        return str(self.resolve(properties.get(_NAMED[kind][0], name)))

    def _arn(self, name: str) -> str:
        kind = self._kind(name)
        if kind == _CONSUMER:  # read like its stream: there is no other way to read one here
            return str(self.resolve(self._resources[name]["Properties"]["StreamARN"]))
        if kind not in _NAMED:
            raise SettingsError(f"only AWS knows the name and the ARN of {name}, an {kind}")
        return _NAMED[kind][1].format(region=_region(), account=LOCAL_ACCOUNT, name=self._name(name))


def _region() -> str:
    """Return the session's region, or AWS's default where the environment gives none that can be used."""
    try:
        return aws.region()
    except MillraceError:
        return _REGION


def _as_text(value: object) -> str:
    """Return a value as CloudFormation compares and joins it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
