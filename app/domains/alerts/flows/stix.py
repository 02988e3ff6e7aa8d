"""Write an attack flow as a STIX 2.1 bundle of the Attack Flow 2 extension, which other tools draw and exchange.

    flow          attack-flow, scope incident, starting at the steps without an incoming edge
    step          attack-action: technique, tactic, time, probability as confidence, reasons in the description
    edge          effect_refs; with an attack-operator OR in between where several steps lead to one
    host, user    attack-asset, with an observable if it is an IP address

Ids are derived from the tenant, the flow and the step, so one flow always has the same ids; `modified` is its version.
"""

from __future__ import annotations

import ipaddress
import json
import math
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.domains.alerts.attack import parent_of
from app.domains.alerts.entities import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.incidents import Flow, FlowEdge, FlowNode

EXTENSION_ID = "extension-definition--fb9c968a-745b-4ade-9b25-c324172197f4"
"""Id of the Attack Flow extension (https://center-for-threat-informed-defense.github.io/attack-flow)."""
EXTENSION_AUTHOR_ID = "identity--d673f8cb-c168-42da-8ed4-0cb26725f86c"
_EXTENSION_TIME = "2022-08-02T19:34:35.143Z"

NAMESPACE = uuid.UUID("1b3f5a1e-6e1c-5d0a-9b57-3d2c1f0a7e64")  # chosen once at random; another would change every id
_OBSERVABLES = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # from STIX 2.1, section 2.9, for ids of observables
_LATEST_S = 253_402_300_799.0  # 9999-12-31T23:59:59Z: the latest STIX timestamp
_LONGEST_TEXT = 1_000  # characters of a text from an alert
_MOST_REASONS = 8

TACTIC_REFS = {
    "TA0043": "x-mitre-tactic--daa4cbb1-b4f4-4723-a824-7f1efd6e0592",
    "TA0042": "x-mitre-tactic--d679bca2-e57d-4935-8650-8031c87a4400",
    "TA0001": "x-mitre-tactic--ffd5bcee-6e16-4dd2-8eca-7b3beedf33ca",
    "TA0002": "x-mitre-tactic--4ca45d45-df4d-4613-8980-bac22d278fa5",
    "TA0003": "x-mitre-tactic--5bc1d813-693e-4823-9961-abf9af4b0e92",
    "TA0004": "x-mitre-tactic--5e29b093-294e-49e9-a803-dab3d73b77dd",
    "TA0005": "x-mitre-tactic--78b23412-0651-46d7-a540-170a1ce8bd5a",
    "TA0006": "x-mitre-tactic--2558fd61-8c75-4730-94c4-11926db2a263",
    "TA0007": "x-mitre-tactic--c17c5845-175e-4421-9713-829d0573dbc9",
    "TA0008": "x-mitre-tactic--7141578b-e50b-4dcc-bfa4-08a8dd689e9e",
    "TA0009": "x-mitre-tactic--d108ce10-2419-4cf9-a774-46161d6c6cfe",
    "TA0011": "x-mitre-tactic--f72804c5-f15a-449e-a5da-2eecd181f813",
    "TA0010": "x-mitre-tactic--9a4e74ab-5008-408c-84bf-a10dfbc53462",
    "TA0040": "x-mitre-tactic--5569339b-94c2-49ee-afb3-2222936582c8",
}
"""STIX ids of ATT&CK's tactics; without TA0112, new in v19, whose actions carry no tactic_ref."""


def bundle_of(
    flow: Flow,
    table: AttackTable,
    *,
    created: float | None = None,
    modified: float | None = None,
    tenant: str = "",
    identity: str = "Millrace",
) -> dict[str, Any]:
    """Return a flow as a complete bundle.

    Args:
        flow: The flow; it has at least one node.
        table: ATT&CK.
        created: When the flow was first reported, seconds since 1970; by default its first alert's time.
        modified: When it changed last, seconds since 1970; by default its last alert's time.
        tenant: The flow's tenant: flows of two tenants never share an id.
        identity: Name of the bundle's author.

    Raises:
        ValueError: The flow has no node, or an edge to a missing node.
    """
    first = flow.start_time if created is None else created
    last = flow.end_time if modified is None else modified
    return _Bundle(flow, table, (timestamp(first), timestamp(max(first, last))), tenant, identity).build()


def timestamp(seconds: float) -> str:
    """Return seconds since 1970 as a STIX timestamp in milliseconds, moved into the range that STIX can express."""
    inside = min(max(seconds, 0.0), _LATEST_S) if not math.isnan(seconds) else 0.0
    whole = math.floor(inside * 1000) / 1000
    return datetime.fromtimestamp(whole, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Bundle:
    """Builder of a bundle."""

    def __init__(self, flow: Flow, table: AttackTable, times: tuple[str, str], tenant: str, identity: str) -> None:
        self._flow, self._table, self._tenant = flow, table, tenant
        self._ids = {node.id: self._id("attack-action", "node", node.id) for node in flow.nodes}
        if not self._ids or any(edge.source not in self._ids or edge.target not in self._ids for edge in flow.edges):
            raise ValueError(f"flow {flow.flow_id}: has no nodes, or an edge to none of them; it cannot be written")
        self._author = f"identity--{uuid.uuid5(NAMESPACE, f'identity/{identity}')}"
        self._created, self._modified = times
        self._identity = identity
        self._incoming: dict[str, list[FlowEdge]] = {}
        self._outgoing: dict[str, list[FlowEdge]] = {}
        for edge in flow.edges:
            self._incoming.setdefault(edge.target, []).append(edge)
            self._outgoing.setdefault(edge.source, []).append(edge)

    def build(self) -> dict[str, Any]:
        """Return the bundle."""
        flow = self._flow
        objects = [*_extension(), self._identity_object(), self._flow_object()]
        observables: dict[str, dict[str, Any]] = {}
        objects += [self._action(node) for node in flow.nodes]
        objects += [
            self._new("attack-operator", self._operator(target), operator="OR", effect_refs=[self._ids[target]])
            for target, edges in self._incoming.items()
            if len(edges) > 1
        ]
        for entity in dict.fromkeys(entity for node in flow.nodes for entity in _ends(node)):
            observable = _address(entity)
            if observable is not None:
                observables[observable["id"]] = observable
            objects.append(
                self._new(
                    "attack-asset",
                    self._asset(entity),
                    name=_text(entity),
                    **({"object_ref": observable["id"]} if observable else {}),
                )
            )
        version = f"{flow.flow_id}/{self._modified}"
        return {
            "type": "bundle",
            "id": self._id("bundle", "bundle", version),
            "objects": [*objects, *observables.values()],
        }

    def _flow_object(self) -> dict[str, Any]:
        flow = self._flow
        span = f"{timestamp(flow.start_time)} to {timestamp(flow.end_time)}"
        alerts = sum(node.step.alerts for node in flow.nodes)
        return self._new(
            "attack-flow",
            self._id("attack-flow", "flow", ""),
            name=f"Flow {flow.flow_id}",
            description=(
                f"Steps: {len(flow.nodes)}; alerts: {alerts}; clusters: {len(flow.cluster_ids)}; {span}. "
                f"Probability that this is an attack: {flow.cluster_prob:.0%}."
            ),
            scope="incident",
            start_refs=[self._ids[node.id] for node in flow.nodes if node.id not in self._incoming],
            confidence=_per_cent(flow.cluster_prob),
        )

    def _action(self, node: FlowNode) -> dict[str, Any]:
        step, table = node.step, self._table
        technique = table.techniques.get(step.technique)
        incoming = self._incoming.get(node.id, [])
        found: dict[str, Any] = {}
        if technique is not None:
            found |= {"technique_id": technique.id, "technique_ref": technique.stix_id}
        if node.tactic:
            tactic = table.tactic(node.tactic).id
            found["tactic_id"] = tactic
            if tactic in TACTIC_REFS:
                found["tactic_ref"] = TACTIC_REFS[tactic]
        effects = [self._ids[each.target] if len(self._incoming[each.target]) == 1 else self._operator(each.target)
                   for each in self._outgoing.get(node.id, ())]  # fmt: skip
        assets = [self._asset(entity) for entity in _ends(node)]
        sure = max((edge.probability for edge in incoming), default=self._flow.cluster_prob)
        return self._new(
            "attack-action",
            self._ids[node.id],
            name=self._name(node),
            description=_description(node, incoming),
            **found,
            execution_start=timestamp(step.start_time),
            execution_end=timestamp(max(step.start_time, step.end_time)),
            confidence=_per_cent(sure),
            **({"effect_refs": effects} if effects else {}),
            **({"asset_refs": assets} if assets else {}),
        )

    def _name(self, node: FlowNode) -> str:
        table = self._table
        technique = table.techniques.get(node.step.technique)
        if technique is not None:
            parent = table.techniques.get(parent_of(technique.id))
            return f"{parent.name}: {technique.name}" if parent not in {None, technique} else technique.name
        if node.tactic:
            return table.tactic(node.tactic).name
        return _text(node.step.name) or "Unknown"

    def _identity_object(self) -> dict[str, Any]:
        return {
            "type": "identity",
            "spec_version": "2.1",
            "id": self._author,
            "created": _EXTENSION_TIME,  # always the same: the identity of a name never changes
            "modified": _EXTENSION_TIME,
            "name": self._identity,
            "identity_class": "system",
        }

    def _new(self, type_: str, id_: str, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - as STIX has them
        return {
            "type": type_,
            "spec_version": "2.1",
            "id": id_,
            "created_by_ref": self._author,
            "created": self._created,
            "modified": self._modified,
            "extensions": {EXTENSION_ID: {"extension_type": "new-sdo"}},
            **properties,
        }

    def _id(self, type_: str, *parts: str) -> str:
        """Return an id of the tenant, the flow and parts; hashed as JSON, so that no two lists of parts are equal."""
        return f"{type_}--{uuid.uuid5(NAMESPACE, json.dumps([self._tenant, self._flow.flow_id, *parts]))}"

    def _operator(self, target: str) -> str:
        return self._id("attack-operator", "into", target)

    def _asset(self, entity: str) -> str:
        return self._id("attack-asset", "asset", entity)


def _extension() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the extension's definition and its author, which every bundle must carry."""
    home = "https://center-for-threat-informed-defense.github.io/attack-flow"
    common = {"spec_version": "2.1", "created": _EXTENSION_TIME, "modified": _EXTENSION_TIME}
    definition = {
        "type": "extension-definition",
        "id": EXTENSION_ID,
        **common,
        "name": "Attack Flow",
        "description": "Extends STIX 2.1 with features to create Attack Flows.",
        "created_by_ref": EXTENSION_AUTHOR_ID,
        "schema": f"{home}/stix/attack-flow-schema-2.0.0.json",
        "version": "2.0.0",
        "extension_types": ["new-sdo"],
        "external_references": [{"source_name": "Documentation", "description": "Attack Flow", "url": home}],
    }
    author = {
        "type": "identity",
        "id": EXTENSION_AUTHOR_ID,
        **common,
        "created_by_ref": EXTENSION_AUTHOR_ID,
        "name": "MITRE Center for Threat-Informed Defense",
        "identity_class": "organization",
    }
    return definition, author


def _description(node: FlowNode, incoming: Iterable[FlowEdge]) -> str:
    step = node.step
    where = step.src if step.src == step.dst else f"{step.src} to {step.dst}"
    lines = [f"{_text(step.name)} ({where}; alerts: {step.alerts}, the first is {step.first_id})"]
    lines += [
        f"Follows from step {edge.source} ({edge.probability:.0%}): {edge.reason}."
        for edge in sorted(incoming, key=lambda each: -each.probability)[:_MOST_REASONS]
    ]
    return "\n".join(lines)


def _ends(node: FlowNode) -> list[str]:
    return [each for each in dict.fromkeys((node.step.src, node.step.dst)) if canonical(each)]


def _address(entity: str) -> dict[str, Any] | None:
    """Return the observable of an IP address, with the id that STIX derives from its value; None for other entities."""
    try:
        address = ipaddress.ip_address(entity)
    except ValueError:
        return None
    if getattr(address, "scope_id", None):  # `fe80::1%eth0` means something on one machine only
        return None
    value: Mapping[str, str] = {"value": str(address)}
    type_ = f"ipv{address.version}-addr"
    key = json.dumps(value, separators=(",", ":"))
    return {"type": type_, "spec_version": "2.1", "id": f"{type_}--{uuid.uuid5(_OBSERVABLES, key)}", **value}


def _text(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _per_cent(probability: float) -> int:
    return round(100 * min(max(probability, 0.0), 1.0))
