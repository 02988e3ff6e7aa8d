"""Read rules that are mappings of fields (YAML, JSON, TOML), told apart by their fields.

Sigma      `title` with `detection` or `correlation`; https://sigmahq.io/sigma-specification/
Elastic    `name` with `rule_id` or `threat`; the repository's TOML and what Kibana exports
Splunk     `name` with `search`: Security Content's YAML, and saved searches from Splunk's REST API (`name`, `content`)
Sentinel   `query` with `relevantTechniques`, `tactics` or `queryFrequency`, or a resource with such `properties`
Falco      `rule` with `condition`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model.rules.rule import (
    ELASTIC,
    FALCO,
    LONGEST_TEXT,
    SENTINEL,
    SIGMA,
    SPLUNK,
    Fault,
    Rule,
    leaves,
    line_of,
    techniques_in,
    texts_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANNOTATIONS = "action.correlationsearch.annotations"
"""The setting of a Splunk search that holds its techniques, as JSON."""
LABEL = "action.correlationsearch.label"
_LISTS = ("data", "entry", "resources", "results", "value", "rules", "hits")
"""Fields that hold the rules in exports."""
_OF_SENTINEL = {"relevantTechniques", "tactics", "queryFrequency"}
_DEEPEST = 4  # levels of such fields, and of wrappers, around a rule


def rules_in(value: object, depth: int = 0) -> Iterator[Rule | Fault]:
    """Yield the rules in a document: one mapping, a list of them, or an export that holds a list."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for each in value:
            yield from rules_in(each, depth + 1)
    elif isinstance(value, dict):
        found = _rule_of(value)
        if found is not None:
            yield found
            return
        for key in ("rule", "attributes", "result"):  # Elastic's TOML; saved objects of Kibana; results of Splunk
            if isinstance(value.get(key), dict):
                yield from rules_in(value[key], depth + 1)
        for key in _LISTS:
            if isinstance(value.get(key), list):
                yield from rules_in(value[key], depth + 1)


def _rule_of(fields: dict[Any, Any]) -> Rule | Fault | None:
    """Return the rule that a mapping is, what is wrong with it, or None if it is no rule."""
    for is_one, read in _READERS:
        if is_one(fields):
            return read(fields)
    return None


def _sigma(fields: dict[Any, Any]) -> Rule | Fault:
    tags = [each for each in leaves(fields.get("tags")) if each.strip().lower().startswith("attack.t")]
    source = fields.get("logsource")
    detection = [line_of(list(source.values())) if isinstance(source, dict) else ""]
    detection.append(_condition(fields.get("detection"), fields.get("correlation")))
    return _rule(
        SIGMA,
        texts_of(fields.get("title")),
        ids=texts_of(fields.get("id")),
        techniques=techniques_in(tags),
        description=line_of(fields.get("description")),
        detection=" ".join(filter(None, detection)),
        author=line_of(fields.get("author"), 256),
        licence=line_of(fields.get("license"), 128),
    )


def _elastic(fields: dict[Any, Any]) -> Rule | Fault:
    """Read an Elastic rule; Kibana's saved objects keep all but the name in `params`."""
    inner = fields["params"] if isinstance(fields.get("params"), dict) else fields
    threats = inner.get("threat")
    found: list[object] = []
    for threat in threats if isinstance(threats, list) else [threats]:
        listed = threat.get("technique") if isinstance(threat, dict) else None
        for technique in listed if isinstance(listed, list) else []:
            if isinstance(technique, dict):
                subs = technique.get("subtechnique")
                found.append(technique.get("id"))
                found += [each.get("id") for each in subs if isinstance(each, dict)] if isinstance(subs, list) else []
    tags = [each for each in leaves(fields.get("tags")) if "T1" in each]
    return _rule(
        ELASTIC,
        texts_of(fields.get("name")),
        ids=texts_of(inner.get("rule_id"), inner.get("ruleId"), fields.get("id")),
        techniques=techniques_in(found or tags),
        description=line_of(inner.get("description")),
        detection=_condition(inner.get("query")),
        author=line_of(inner.get("author"), 256),
        licence=line_of(inner.get("license"), 128),
    )


def _splunk(fields: dict[Any, Any]) -> Rule | Fault:
    tags = fields.get("tags")
    techniques: list[object] = [fields.get("mitre_attack_id"), fields.get(ANNOTATIONS)]
    if isinstance(tags, dict):
        techniques.append(tags.get("mitre_attack_id"))
    return _rule(
        SPLUNK,
        texts_of(fields.get("name"), fields.get("title"), fields.get(LABEL)),
        ids=texts_of(fields.get("id")),
        techniques=techniques_in(techniques),
        description=line_of(fields.get("description")),
        detection=_condition(fields.get("search")),
        author=line_of(fields.get("author"), 256),
    )


def _saved_search(fields: dict[Any, Any]) -> Rule | Fault:
    """Read an entry of Splunk's REST API."""
    content = fields["content"]
    return _splunk({**content, "name": fields.get("name") or content.get("name"), "title": None, "id": None})


def _sentinel(fields: dict[Any, Any]) -> Rule | Fault:
    """Read a rule of Sentinel; templates of Azure keep all but its id in `properties`."""
    inner = fields.get("properties")
    rule_id = fields.get("id")
    if isinstance(inner, dict):
        fields, rule_id = inner, fields.get("name")
    return _rule(
        SENTINEL,
        texts_of(fields.get("name") or fields.get("displayName")),
        ids=texts_of(rule_id) if isinstance(rule_id, str) and not rule_id.startswith("[") else (),  # an expression
        techniques=techniques_in(map(fields.get, ("relevantTechniques", "techniques", "subTechniques"))),
        description=line_of(fields.get("description")),
        detection=_condition(fields.get("query")),
    )


def _falco(fields: dict[Any, Any]) -> Rule | Fault:
    return _rule(
        FALCO,
        texts_of(fields.get("rule")),
        techniques=techniques_in([fields.get("tags")]),
        description=line_of(fields.get("desc")),
        detection=_condition(fields.get("condition")),
    )


def _rule(kind: str, titles: tuple[str, ...], **values: Any) -> Rule | Fault:  # noqa: ANN401 - the fields of `Rule`
    return Rule(kind=kind, titles=titles, **values) if titles else Fault("it has no name", kind=kind)


def _condition(*values: object) -> str:
    return line_of(" ".join(each for value in values for each in leaves(value, names=True))[: 2 * LONGEST_TEXT])


def _has(fields: dict[Any, Any], name: str, *inner: str) -> bool:
    """Return whether a field is a mapping that has all of some fields."""
    return isinstance(fields.get(name), dict) and all(each in fields[name] for each in inner)


_READERS: tuple[tuple[Callable[[dict[Any, Any]], bool], Callable[[dict[Any, Any]], Rule | Fault]], ...] = (
    (lambda rule: "detection" in rule or {"correlation", "title"} <= rule.keys(), _sigma),
    (lambda rule: {"rule", "condition"} <= rule.keys(), _falco),
    (lambda rule: _has(rule, "properties", "query", "displayName"), _sentinel),
    (lambda rule: _has(rule, "content", "search"), _saved_search),
    (lambda rule: "query" in rule and not _OF_SENTINEL.isdisjoint(rule), _sentinel),
    (lambda rule: "name" in rule and ("rule_id" in rule or isinstance(rule.get("threat"), list | dict)), _elastic),
    (lambda rule: "name" in rule and (_has(rule, "params", "ruleId") or _has(rule, "params", "threat")), _elastic),
    (lambda rule: "search" in rule and ("name" in rule or "title" in rule), _splunk),
)
"""How each kind is told and read; the first that fits is used."""
