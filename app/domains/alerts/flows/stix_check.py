"""Check the rules of an Attack Flow bundle that Millrace relies on, without the published schema.

They are stricter than the schema where tools need it: every reference resolves, there is no cycle, and every step can
be reached from a start.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app.domains.alerts.flows.stix import EXTENSION_AUTHOR_ID, EXTENSION_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ID = re.compile(r"[a-z][a-z0-9-]+[a-z0-9]--[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TIME = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3,}Z"
)
_TECHNIQUE = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")
_TACTIC = re.compile(r"TA[0-9]{4}")

_SCOPES = {"incident", "campaign", "threat-actor", "malware", "emulation-plan", "attack-tree", "other"}
_REQUIRED = {
    "attack-flow": ("name", "scope", "start_refs"),
    "attack-action": ("name",),
    "attack-operator": ("operator", "effect_refs"),
    "attack-condition": ("description",),
    "attack-asset": ("name",),
    "extension-definition": ("name", "schema", "version", "extension_types"),
    "identity": ("name",),
}
_STEPS = ("attack-action", "attack-condition")
_EFFECTS = ("attack-action", "attack-operator", "attack-condition")
_LISTS = {
    "start_refs": _STEPS,
    "effect_refs": _EFFECTS,
    "on_true_refs": _EFFECTS,
    "on_false_refs": _EFFECTS,
    "asset_refs": ("attack-asset",),
}
_LEADS = ("effect_refs", "on_true_refs", "on_false_refs")
_OUTSIDE = {"technique_ref": "attack-pattern--", "tactic_ref": "x-mitre-tactic--"}  # objects of ATT&CK's own bundle
_OBSERVABLES = ("ipv4-addr", "ipv6-addr")


def check_bundle(bundle: Mapping[str, Any]) -> list[str]:
    """Return the faults of a bundle, a line each; an empty list for a valid one."""
    objects = bundle.get("objects")
    if bundle.get("type") != "bundle" or not _is_id(bundle.get("id"), "bundle"):
        return ["bundle: type or id is not a bundle's"]
    if not isinstance(objects, list) or not all(isinstance(each, dict) for each in objects):
        return ["bundle: objects is not a list of objects"]
    by_id: dict[str, dict[str, Any]] = {}
    found: list[str] = []
    for each in objects:
        id_ = each.get("id")
        if not _is_id(id_, each.get("type")):
            found.append(f"{id_}: is no id of a {each.get('type')}")
        elif id_ in by_id:
            found.append(f"{id_}: occurs twice")
        else:
            by_id[id_] = each
    if found:
        return found
    for each in by_id.values():
        found += [f"{each['id']}: {fault}" for fault in _faults(each, by_id)]
    return [*found, *_parts(by_id), *(_order_faults(by_id) if not found else ())]


def _faults(each: Mapping[str, Any], by_id: Mapping[str, Any]) -> Iterator[str]:
    type_ = each["type"]
    if each.get("spec_version") != "2.1":
        yield "spec_version is not 2.1"
    if type_ in _OBSERVABLES:
        if not isinstance(each.get("value"), str):
            yield "value is missing"
        return
    if type_ not in _REQUIRED:
        yield "is of an unknown type"
        return
    yield from (f"{name} is missing" for name in _REQUIRED[type_] if not each.get(name))
    yield from (f"{name} is no text" for name in ("name", "description") if not isinstance(each.get(name, ""), str))
    yield from _times(each)
    yield from _values(each)
    yield from _references(each, by_id)
    if type_.startswith("attack-") and each.get("extensions") != {EXTENSION_ID: {"extension_type": "new-sdo"}}:
        yield "extensions does not name the Attack Flow extension alone"


def _times(each: Mapping[str, Any]) -> Iterator[str]:
    for name in ("created", "modified", "execution_start", "execution_end"):
        value = each.get(name)
        if value is None and name.startswith("execution"):
            continue
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            yield f"{name} is no time in UTC to the millisecond"
            return
    if each["modified"] < each["created"]:
        yield "was modified before it was created"
    if each.get("execution_end", "9") < each.get("execution_start", ""):
        yield "ends before it starts"


def _values(each: Mapping[str, Any]) -> Iterator[str]:
    if each["type"] == "attack-flow" and each.get("scope") not in _SCOPES:
        yield "scope is unknown"
    if each["type"] == "attack-operator" and each.get("operator") not in {"AND", "OR"}:
        yield "operator is neither AND nor OR"
    for name, form in (("technique_id", _TECHNIQUE), ("tactic_id", _TACTIC)):
        value = each.get(name)
        if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
            yield f"{name} is no id of ATT&CK"
    confidence = each.get("confidence", 0)
    if type(confidence) is not int or not 0 <= confidence <= 100:  # noqa: PLR2004 - per cent
        yield "confidence is no whole number from 0 to 100"


def _references(each: Mapping[str, Any], by_id: Mapping[str, Any]) -> Iterator[str]:
    for name, types in _LISTS.items():
        if name not in each:
            continue
        refs = each[name]
        if not isinstance(refs, list) or not refs:
            yield f"{name} is not a list with something in it"
            continue
        if len(set(map(str, refs))) != len(refs):
            yield f"{name} names something twice"
        yield from (f"{name} leads to nothing it may lead to: {ref}" for ref in refs if _type(ref, by_id) not in types)
    for name in ("created_by_ref", "object_ref"):
        if name in each and _type(each[name], by_id) is None:
            yield f"{name} leads to nothing: {each[name]}"
    for name, start in _OUTSIDE.items():
        if name in each and not _is_id(each[name], start.removesuffix("--")):
            yield f"{name} is no id of ATT&CK's: {each[name]}"


def _parts(by_id: Mapping[str, Any]) -> Iterator[str]:
    if sum(each["type"] == "attack-flow" for each in by_id.values()) != 1:
        yield "bundle: has not one attack-flow"
    extension = by_id.get(EXTENSION_ID)
    if extension is None or EXTENSION_AUTHOR_ID not in by_id:
        yield "bundle: lacks the extension's definition or its author"
    elif extension.get("version") != "2.0.0" or extension.get("extension_types") != ["new-sdo"]:
        yield f"{EXTENSION_ID}: is not version 2.0.0 of new-sdo"


def _order_faults(by_id: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults of the order of steps: cycles, and steps that no start reaches."""
    leads = {id_: [ref for name in _LEADS for ref in each.get(name, ())] for id_, each in by_id.items()}
    entering = dict.fromkeys(by_id, 0)
    for refs in leads.values():
        for ref in refs:
            entering[ref] += 1
    starts = [ref for each in by_id.values() for ref in each.get("start_refs", ())]
    yield from (f"{start}: is a start, and something leads to it" for start in starts if entering[start])
    free = [id_ for id_, count in entering.items() if not count]
    done = set()
    while free:
        id_ = free.pop()
        done.add(id_)
        for ref in leads[id_]:
            entering[ref] -= 1
            if not entering[ref]:
                free.append(ref)
    if len(done) != len(by_id):
        yield "bundle: some steps lead back to themselves"
        return
    seen = set(starts)
    waiting = list(starts)
    while waiting:
        new = [ref for ref in leads[waiting.pop()] if ref not in seen]
        seen.update(new)
        waiting += new
    steps = {id_ for id_, each in by_id.items() if each["type"] in _EFFECTS}
    yield from (f"{id_}: cannot be reached from a start" for id_ in sorted(steps - seen))


def _is_id(value: object, type_: object) -> bool:
    return isinstance(value, str) and bool(_ID.fullmatch(value)) and value.partition("--")[0] == type_


def _type(ref: object, by_id: Mapping[str, Any]) -> str | None:
    found = by_id.get(ref) if isinstance(ref, str) else None
    return found["type"] if found is not None else None
