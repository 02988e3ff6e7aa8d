"""Filter criteria: decide which records the function is invoked with.

The criteria: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html, for Kinesis
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html. The patterns in them are EventBridge's, whose
comparison operators "only work on leaf nodes"
(https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html).

Lists (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns-arrays.html, and "JSON Array Matching"
of https://github.com/aws/event-ruler, which AWS runs): a list stands for its members, those of lists in it included. A
rule holds if it does for one of them, and two fields of a pattern that are below one list must be in one member. That a
field is absent is said of the whole event.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from app.budgets import is_over_elements
from app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from app.stream.mapping.settings import FilterCriteria

Path: TypeAlias = tuple[str, ...]
"""The names that lead to a field."""
Test: TypeAlias = "Callable[[Any], bool]"
"""Whether a leaf satisfies a rule."""
Match: TypeAlias = "Callable[[Any, Collection[Path]], bool]"
"""Whether an object satisfies a pattern, given the fields that are absent from the whole event."""

OPERATORS = ("anything-but", "prefix", "suffix", "equals-ignore-case", "numeric", "exists")
ALTERNATIVES = 2  # of an "$or"; with one AWS takes it for a field of that name
_ABSENT = {"exists": False}
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
    may_lack: list[Path] = []
    match = _object(pattern, where, (), may_lack)

    def matches(envelope: Mapping[str, Any], data: bytes) -> bool:
        fields = _metadata(envelope)
        if about_data:
            if is_over_elements(data):
                return True  # the function sets it aside, which loses nothing
            try:
                fields["data"] = _read_json(data.decode())
            except ValueError:
                return False  # data that is not JSON, a pattern that is: dropped
        try:
            return match(fields, [path for path in may_lack if not _has(fields, path)])
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


def _object(pattern: Mapping[str, Any], where: str, path: Path, may_lack: list[Path]) -> Match:
    """Compile a pattern's object: every field must match; of the alternatives in `$or` one must.

    Args:
        pattern: The object.
        where: Its place, for errors.
        path: The names that lead to it.
        may_lack: Takes the fields for which a rule is that they do not exist.
    """
    parts: list[Match] = []
    for name, rule in pattern.items():
        if name == "$or":
            parts.append(_alternatives(rule, where, path, may_lack))
        elif isinstance(rule, dict):
            parts.append(_nested(name, _object(rule, f"{where}.{name}", (*path, name), may_lack)))
        elif isinstance(rule, list) and rule:
            parts.append(_leaf((*path, name), rule, f"{where}.{name}", may_lack))
        else:
            raise SettingsError(f"{where}.{name}: a pattern's field is a list of rules, or an object of fields")
    return lambda value, absent: all(part(value, absent) for part in parts)


def _alternatives(rule: object, where: str, path: Path, may_lack: list[Path]) -> Match:
    if not isinstance(rule, list) or len(rule) < ALTERNATIVES or not all(isinstance(each, dict) for each in rule):
        raise SettingsError(f"{where}.$or: a list of at least two objects")
    tests = [_object(each, f"{where}.$or", path, may_lack) for each in rule]
    return lambda value, absent: any(test(value, absent) for test in tests)


def _nested(name: str, match: Match) -> Match:
    def test(value: Mapping[str, Any], absent: Collection[Path]) -> bool:
        members = _objects(value.get(name))
        return any(match(each, absent) for each in members or [{}])  # a rule may be that a field below is absent

    return test


def _leaf(path: Path, rules: list[Any], where: str, may_lack: list[Path]) -> Match:
    tests = [_rule(each, where) for each in rules if each != _ABSENT]
    if _ABSENT in rules:
        may_lack.append(path)

    def test(value: Mapping[str, Any], absent: Collection[Path]) -> bool:
        return path in absent or any(rule(leaf) for leaf in _leaves(value.get(path[-1], [])) for rule in tests)

    return test


def _has(event: object, path: Path) -> bool:
    """Return whether an event has a leaf at a path, in any member of a list on the way."""
    found = [event]
    for name in path:
        found = [each[name] for value in found for each in _objects(value) if name in each]
    return any(map(_leaves, found))


def _objects(value: object) -> list[dict[str, Any]]:
    """Return the objects that a field's value stands for."""
    return [each for each in _members(value) if isinstance(each, dict)]


def _leaves(value: object) -> list[Any]:
    """Return the leaves that a field's value stands for; an object is none."""
    return [each for each in _members(value) if not isinstance(each, dict)]


def _members(value: object) -> list[Any]:
    """Return the members of a list, and of the lists in it; of anything else itself."""
    found, waiting = [], [value]  # not by recursion: a record may nest deeper than Python calls
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(reversed(each))
        else:
            found.append(each)
    return found


def _same(left: object, right: object) -> bool:
    return type(left) is type(right) and left == right


def _rule(rule: object, where: str) -> Test:
    """Compile one rule of a leaf's list."""
    if rule is None or isinstance(rule, (str, bool, Number)):
        return lambda leaf: _same(leaf, rule)
    if isinstance(rule, dict) and len(rule) == 1:
        [(operator, operand)] = rule.items()
        if operator == "exists" and operand is True:
            return lambda _leaf: True
        if operator == "anything-but":
            excluded = _excluded(operand, where)
            return lambda leaf: not excluded(leaf)
        if operator == "numeric":
            return _numeric(operand, where)
        if operator in {"prefix", "suffix", "equals-ignore-case"}:
            return _text(operator, operand, where)
    shown = json.dumps(rule, default=lambda number: number.text)[:80]
    raise SettingsError(f"{where}: {shown} is no rule: a value, null, or one of {', '.join(OPERATORS)}")


def _excluded(operand: object, where: str) -> Test:
    """Compile the operand of `anything-but`: a value, a list of values of one type, or a text operator."""
    if isinstance(operand, dict) and len(operand) == 1:
        [(operator, texts)] = operand.items()
        tests = [_text(operator, each, where) for each in (texts if isinstance(texts, list) else [texts])]
        return lambda leaf: any(test(leaf) for test in tests)
    values = operand if isinstance(operand, list) else [operand]
    if {type(each) for each in values} not in ({str}, {Number}):
        raise SettingsError(f"{where}: anything-but takes texts, or numbers, or prefix, suffix or equals-ignore-case")
    return lambda leaf: any(_same(leaf, each) for each in values)


def _text(operator: str, operand: object, where: str) -> Test:
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


def _numeric(operand: object, where: str) -> Test:
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
