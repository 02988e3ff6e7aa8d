"""Write an attack flow as a file of Attack Flow Builder 3, whose import of a STIX bundle drops the edges.

The Builder has no published format: this follows its reader (`DiagramObjectSerializer.ts`, `AttackFlowObjects.ts` in
its repository) and the files of its corpus.

    flow            the canvas: name, description, author, and the ids of all blocks and lines
    action, asset   blocks with twelve anchors each, by the angle at which they stand; an anchor lists its latches
    dynamic_line    from the latch at one block to the latch at another, with one handle
    layout          where each block stands, x to the right and y down, in pixels

Ids are derived from the tenant, the flow and the step, so that one flow always makes the same file.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.domains.alerts.attack import attack_table
from app.domains.alerts.entities import canonical
from app.domains.alerts.flows.stix import NAMESPACE, timestamp
from app.domains.alerts.report.incident import severity_of
from app.domains.alerts.report.words import name_of
from app.text import printable_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.incidents import Flow, FlowEdge, FlowNode

_TOP, _LEFT, _BOTTOM, _RIGHT = "90", "180", "270", "0"
_ANCHORS = {
    str(angle): "vertical_anchor" if 45 < angle % 180 < 135 else "horizontal_anchor"  # noqa: PLR2004 - degrees
    for angle in range(0, 360, 30)
}
_CONFIDENCES = {
    0: "speculative",
    10: "very-doubtful",
    30: "doubtful",
    50: "even-odds",
    70: "probable",
    90: "very-probable",
    100: "certain",
}
_ACTION_WIDTH, _ROW_HEIGHT, _ASSET_HEIGHT = 520, 440, 120  # pixels; an action with a long description is some 400 high
_LONGEST_NAME, _LONGEST_DESCRIPTION = 200, 1_000
_SCALE = 0.6  # of the camera, so that some four rows are seen


def builder_file(flow: Flow, tenant: str = "") -> dict[str, Any]:
    """Return a flow as a file of Attack Flow Builder.

    Args:
        flow: The flow.
        tenant: Its tenant: flows of two tenants never share an id.
    """
    return _File(flow, tenant).build()


class _File:
    """Builder of a file."""

    def __init__(self, flow: Flow, tenant: str) -> None:
        self._flow, self._tenant = flow, tenant
        self._objects: list[dict[str, Any]] = []
        self._on_canvas: list[str] = []
        self._latches: dict[str, list[str]] = {}
        self._layout: dict[str, list[int]] = {}

    def build(self) -> dict[str, Any]:
        """Return the file."""
        flow = self._flow
        canvas: dict[str, Any] = {
            "id": "flow",
            "instance": self._id("canvas"),
            "properties": [
                ["name", f"Flow {flow.flow_id}"],
                ["description", self._description()],
                ["author", [["name", "Millrace"], ["identity_class", "system"], ["contact_information", None]]],
                ["scope", "incident"],
                ["external_references", []],
                ["created", _date(flow.end_time)],
            ],
            "objects": self._on_canvas,
        }
        positions = _positions(flow)
        for node in flow.nodes:
            self._add_block("action", node.id, _action(node, self._incoming(node)), positions[node.id])
        for edge in flow.edges:
            self._add_line(f"{edge.source}>{edge.target}", (edge.source, _BOTTOM), (edge.target, _TOP))
        self._add_assets(positions)
        for anchors in [each["anchors"] for each in self._objects if "anchors" in each]:
            self._objects += [
                {"id": _ANCHORS[angle], "instance": anchor, "latches": self._latches.get(anchor, [])}
                for angle, anchor in anchors.items()
            ]
        top = next(iter(positions.values()), (0, 0))
        return {
            "schema": "attack_flow_v2",
            "theme": "dark_theme",
            "objects": [canvas, *self._objects],
            "layout": self._layout,
            "camera": {"x": top[0], "y": top[1] + _ROW_HEIGHT, "k": _SCALE},
        }

    def _description(self) -> str:
        flow = self._flow
        severity = severity_of(flow)
        lines = [
            f"{timestamp(flow.start_time)} to {timestamp(flow.end_time)}; steps: {len(flow.nodes)}",
            *(() if severity is None else (f"Severity: {severity} of 100",)),
            *flow.reasons,
        ]
        return printable_lines("\n".join(lines), _LONGEST_DESCRIPTION)

    def _incoming(self, node: FlowNode) -> list[FlowEdge]:
        return [edge for edge in self._flow.edges if edge.target == node.id]

    def _add_assets(self, positions: dict[str, tuple[int, int]]) -> None:
        """Add each machine beside the first step on it, to the left of all steps."""
        left = min((x for x, _ in positions.values()), default=0) - _ACTION_WIDTH
        beside: dict[int, int] = {}
        known = {""}  # what names no machine
        for node in self._flow.nodes:
            for machine in (node.step.src, node.step.dst):
                if canonical(machine) in known:
                    continue
                known.add(canonical(machine))
                row = positions[node.id][1]
                y = row + _ASSET_HEIGHT * beside.setdefault(row, 0)
                beside[row] += 1
                name = printable_lines(machine, _LONGEST_NAME)
                self._add_block("asset", f"asset {machine}", [["name", name], ["description", None]], (left, y))
                self._add_line(f"{node.id}>asset {machine}", (node.id, _LEFT), (f"asset {machine}", _RIGHT))

    def _add_block(self, kind: str, key: str, properties: list[Any], position: tuple[int, int]) -> None:
        instance = self._id(key)
        anchors = {angle: self._id(key, angle) for angle in _ANCHORS}
        self._objects.append({"id": kind, "instance": instance, "properties": properties, "anchors": anchors})
        self._on_canvas.append(instance)
        self._layout[instance] = [*position]

    def _add_line(self, key: str, source: tuple[str, str], target: tuple[str, str]) -> None:
        line, handle = self._id("line", key), self._id("handle", key)
        latches = [self._id("latch", key, end) for end in ("source", "target")]
        self._objects += [
            {"id": "dynamic_line", "instance": line, "source": latches[0], "target": latches[1], "handles": [handle]},
            *({"id": "generic_latch", "instance": latch} for latch in latches),
            {"id": "generic_handle", "instance": handle},
        ]
        for (block, angle), latch in zip((source, target), latches, strict=True):
            self._latches.setdefault(self._id(block, angle), []).append(latch)
        self._on_canvas.append(line)

    def _id(self, *parts: str) -> str:
        return str(uuid.uuid5(NAMESPACE, json.dumps(["afb", self._tenant, self._flow.flow_id, *parts])))


def _action(node: FlowNode, incoming: Sequence[FlowEdge]) -> list[Any]:
    step = node.step
    where = step.src if step.src == step.dst else f"{step.src} to {step.dst}"
    lines = [f"{step.name} ({where}; alerts: {step.alerts}, the first is {step.first_id})"]
    lines += [f"{edge.reason} ({edge.probability:.0%})" for edge in incoming]
    sure = max((edge.probability for edge in incoming), default=None)
    tactic = attack_table().tactic(node.tactic).id if node.tactic else None
    return [
        ["name", name_of(step.technique) or printable_lines(step.name, _LONGEST_NAME) or "Unknown"],
        ["ttp", [["tactic", tactic], ["technique", step.technique or None]]],
        ["description", printable_lines("\n".join(lines), _LONGEST_DESCRIPTION)],
        ["confidence", None if sure is None else _confidence(sure)],
        ["execution_start", _date(step.start_time)],
        ["execution_end", _date(max(step.start_time, step.end_time))],
    ]


def _confidence(probability: float) -> str:
    return _CONFIDENCES[min(_CONFIDENCES, key=lambda each: abs(each - 100 * probability))]


def _date(seconds: float) -> dict[str, str]:
    """Return a time without an offset beside its zone: the Builder would shift one with an offset to its own zone."""
    time = datetime.fromisoformat(timestamp(seconds)).astimezone(UTC).replace(tzinfo=None)
    return {"time": time.isoformat(timespec="milliseconds"), "zone": "UTC"}


def _positions(flow: Flow) -> dict[str, tuple[int, int]]:
    """Return the place of each step: below all steps that lead to it, beside those of its row."""
    rows: dict[str, int] = {}
    sources: dict[str, list[str]] = {}
    for edge in flow.edges:
        sources.setdefault(edge.target, []).append(edge.source)
    for node in flow.nodes:  # in order of their start, so that all that lead to a step stand before it
        rows[node.id] = max((rows[each] + 1 for each in sources.get(node.id, ()) if each in rows), default=0)
    columns: dict[int, int] = {}
    placed = {}
    for node in flow.nodes:
        row = rows[node.id]
        placed[node.id] = (_ACTION_WIDTH * columns.get(row, 0), _ROW_HEIGHT * row)
        columns[row] = columns.get(row, 0) + 1
    return placed
