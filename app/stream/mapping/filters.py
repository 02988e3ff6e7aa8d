"""Filter criteria: decide which records the function is invoked with.

The criteria: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html, for Kinesis
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html. The patterns in them are EventBridge's, whose
comparison operators "only work on leaf nodes"
(https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from app.stream.mapping.settings import FilterCriteria

Test: TypeAlias = "Callable[[list[Any]], bool]"
"""Whether the leaves found at a path (none when the path is not there) satisfy a pattern's rule."""
Match: TypeAlias = "Callable[[Any], bool]"

OPERATORS = ("anything-but", "prefix", "suffix", "equals-ignore-case", "numeric", "exists")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda left, right: left == right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number, which equals another only if both are written alike: 300 is not 300.0."""

    text: str

    @property
    def value(self) -> float:
        """Return the number for ranges, which compare values."""
        return float(self.text)


def compile_criteria(criteria: FilterCriteria) -> Callable[[Mapping[str, Any], bytes], bool]:
    """Compile criteria to a function that decides whether a record passes.

    Args:
        criteria: Patterns of which one is enough. Without any, every record passes.

    Returns:
        A function of a record's envelope (as in an event) and its data's bytes.

    Raises:
        SettingsError: A pattern is wrong; AWS refuses it too.
    """
    patterns = [_pattern(each.pattern, index + 1) for index, each in enumerate(criteria.filters)]

    def passes(envelope: Mapping[str, Any], data: bytes) -> bool:
        return not patterns or any(matches(envelope, data) for matches in patterns)

    return passes


def _pattern(text: str, number: int) -> Callable[[Mapping[str, Any], bytes], bool]:
    """Compile one pattern: `data` stands for the record's JSON, every other key for its metadata."""
    where = f"filter {number}"
    try:
        pattern = _read_json(text)
    except ValueError:
        raise SettingsError(f"{where}: the pattern is not JSON: {text[:80]!r}") from None
    if not isinstance(pattern, dict) or not pattern:
        raise SettingsError(f"{where}: the pattern is to be a JSON object with at least one field")
    about_data = list(_about_data(pattern))
    if not all(isinstance(each, dict) for each in about_data):
        raise SettingsError(f"{where}: the pattern for data is to be a JSON object, as AWS has it for Kinesis")
    match = _object(pattern, where)

    def matches(envelope: Mapping[str, Any], data: bytes) -> bool:
        fields = _metadata(envelope)
        if about_data:
            try:
                fields["data"] = _read_json(data.decode())
            except ValueError:
                return False  # data that is not JSON, a pattern that is: dropped
        try:
            return match(fields)
        except RecursionError:  # of the pattern: how deep data nests is no matter
            raise SettingsError(f"{where}: the pattern is nested too deep") from None

    return matches


def _about_data(pattern: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the parts of a pattern about `data`, also in alternatives."""
    if "data" in pattern:
        yield pattern["data"]
    alternatives = pattern.get("$or")
    for each in alternatives if isinstance(alternatives, list) else []:
        if isinstance(each, dict):
            yield from _about_data(each)


def _metadata(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without its data, in one level, numbers as they would be written."""
    fields = {**envelope, **envelope["kinesis"]}
    del fields["kinesis"], fields["data"]
    return {name: Number(repr(value)) if isinstance(value, float) else value for name, value in fields.items()}


def _read_json(text: str) -> Any:  # noqa: ANN401 - JSON
    """Read JSON whose numbers keep their spelling.

    Raises:
        ValueError: It is not JSON, or nested deeper than can be read.
    """

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _object(pattern: Mapping[str, Any], where: str) -> Match:
    """Compile a pattern's object: every field must match; of the alternatives in `$or` one must."""
    parts: list[Match] = []
    for name, rule in pattern.items():
        if name == "$or":
            parts.append(_alternatives(rule, where))
        elif isinstance(rule, dict):
            parts.append(_nested(name, _object(rule, f"{where}.{name}")))
        elif isinstance(rule, list) and rule:
            parts.append(_leaf(name, [_rule(each, f"{where}.{name}") for each in rule]))
        else:
            raise SettingsError(f"{where}.{name}: a pattern's field is a list of rules, or an object of fields")
    return lambda value: all(part(value) for part in parts)


def _alternatives(rule: object, where: str) -> Match:
    if not isinstance(rule, list) or not rule or not all(isinstance(each, dict) for each in rule):
        raise SettingsError(f"{where}.$or: a list of objects")
    tests = [_object(each, f"{where}.$or") for each in rule]
    return lambda value: any(test(value) for test in tests)


def _nested(name: str, match: Match) -> Match:
    def test(value: object) -> bool:
        below = value.get(name) if isinstance(value, dict) else None
        if isinstance(below, list):
            return any(match(each) for each in below if isinstance(each, dict))
        return match(below if isinstance(below, dict) else {})

    return test


def _leaf(name: str, rules: list[Test]) -> Match:
    def test(value: object) -> bool:
        there = isinstance(value, dict) and name in value
        leaves = _leaves(value[name]) if there and isinstance(value, dict) else []
        return any(rule(leaves) for rule in rules)

    return test


def _leaves(value: object) -> list[Any]:
    """Return a field's leaves: those of each member of a list, none of an object."""
    found, waiting = [], [value]  # not by recursion: a record may nest deeper than Python calls
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(reversed(each))
        elif not isinstance(each, dict):
            found.append(each)
    return found


def _same(left: object, right: object) -> bool:
    return type(left) is type(right) and left == right


def _rule(rule: object, where: str) -> Test:
    """Compile one rule of a leaf's list."""
    if rule is None or isinstance(rule, (str, bool, Number)):
        return lambda leaves: any(_same(leaf, rule) for leaf in leaves)
    if isinstance(rule, dict) and len(rule) == 1:
        [(operator, operand)] = rule.items()
        if operator == "exists" and isinstance(operand, bool):
            return lambda leaves: bool(leaves) is operand
        if operator == "anything-but":
            excluded = _excluded(operand, where)
            return lambda leaves: any(not excluded(leaf) for leaf in leaves)
        if operator == "numeric":
            within = _numeric(operand, where)
            return lambda leaves: any(within(leaf) for leaf in leaves)
        if operator in {"prefix", "suffix", "equals-ignore-case"}:
            matches = _text(operator, operand, where)
            return lambda leaves: any(matches(leaf) for leaf in leaves)
    shown = json.dumps(rule, default=lambda number: number.text)[:80]
    raise SettingsError(f"{where}: {shown} is no rule: a value, null, or one of {', '.join(OPERATORS)}")


def _excluded(operand: object, where: str) -> Match:
    """Compile the operand of `anything-but`: a value, a list of them, or a text operator."""
    if isinstance(operand, dict) and len(operand) == 1:
        [(operator, texts)] = operand.items()
        tests = [_text(operator, each, where) for each in (texts if isinstance(texts, list) else [texts])]
        return lambda leaf: any(test(leaf) for test in tests)
    values = operand if isinstance(operand, list) else [operand]
    if not values or not all(each is None or isinstance(each, (str, bool, Number)) for each in values):
        raise SettingsError(f"{where}: anything-but takes a value, a list of values, or prefix or suffix")
    return lambda leaf: any(_same(leaf, each) for each in values)


def _text(operator: str, operand: object, where: str) -> Match:
    """Compile `prefix`, `suffix` or `equals-ignore-case`; the first two may ignore case as well."""
    folds = operator == "equals-ignore-case"
    if isinstance(operand, dict) and list(operand) == ["equals-ignore-case"] and not folds:
        folds, operand = True, operand["equals-ignore-case"]
    if operator not in {"prefix", "suffix", "equals-ignore-case"} or not isinstance(operand, str):
        raise SettingsError(f"{where}: {operator} takes a text")
    wanted = operand.casefold() if folds else operand

    def test(leaf: object) -> bool:
        if not isinstance(leaf, str):
            return False
        found = leaf.casefold() if folds else leaf
        if operator == "prefix":
            return found.startswith(wanted)
        return found.endswith(wanted) if operator == "suffix" else found == wanted

    return test


def _numeric(operand: object, where: str) -> Match:
    """Compile `numeric`: pairs of comparison and number, all of which must hold."""
    wrong = SettingsError(f'{where}: numeric takes comparisons and numbers by turns, like [">", 0, "<=", 5]')
    if not isinstance(operand, list) or len(operand) not in {2, 4}:
        raise wrong
    pairs = list(zip(operand[::2], operand[1::2], strict=True))
    if not all(isinstance(sign, str) and sign in _COMPARE and isinstance(limit, Number) for sign, limit in pairs):
        raise wrong
    return lambda leaf: (
        isinstance(leaf, Number) and all(_COMPARE[sign](leaf.value, limit.value) for sign, limit in pairs)
    )
