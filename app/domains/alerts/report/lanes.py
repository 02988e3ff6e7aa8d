"""Draw an incident's steps in time, on a lane for each machine, as SVG.

Steps stand in order of time at equal distances, and a long pause is a gap with its length on it: in real intrusions
minutes of work follow days of silence, and on a linear axis one of the two could not be read. Many steps are drawn in
several parts below each other, so that numbers stay readable on paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.domains.alerts.formats.severity import word
from app.domains.alerts.report.elements import add, root
from app.domains.alerts.report.incident import UNSTATED
from app.domains.alerts.report.words import clock, day, lasting, technique_name
from app.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from app.domains.alerts.incidents import FlowEdge, FlowNode
    from app.domains.alerts.report.incident import Incident

STEPS_A_PART = 24
FEW_STEPS = 10  # of a part: then each shows its technique's id
MOST_LANES = 40  # of a part; steps of further machines share one
LONGEST_LABEL = 24  # characters of a machine at its lane
PAUSE_S = 600.0  # a shorter pause is no gap
_TWO_FIGURES = 99  # a longer number is written smaller in its circle
OTHER_MACHINES = "other machines"
_LEFT, _TOP, _LANE, _RADIUS, _STEP, _WIDE_STEP, _GAP = 190, 52, 46, 11, 30, 76, 70


class _Mark(NamedTuple):
    """A step in a part: its number, its circle's centre, and the lane of its source."""

    number: int
    x: int
    y: int
    source_y: int


def draw_lanes(incident: Incident, nodes: Sequence[FlowNode]) -> list[Element]:
    """Return a picture for each part of an incident's steps.

    Args:
        incident: The incident.
        nodes: Those of its steps that are drawn, in order of their start.
    """
    numbers = {node.id: number for number, node in enumerate(nodes, 1)}
    parts = [nodes[start : start + STEPS_A_PART] for start in range(0, len(nodes), STEPS_A_PART)]
    return [_Part(incident, part, numbers).draw() for part in parts]


class _Part:
    """Some successive steps of an incident, and their picture."""

    def __init__(self, incident: Incident, nodes: Sequence[FlowNode], numbers: dict[str, int]) -> None:
        self._incident, self._nodes, self._numbers = incident, nodes, numbers
        ends = (incident.machine(end) for node in nodes for end in (node.step.src, node.step.dst))
        machines = list(dict.fromkeys(filter(None, ends)))
        self._lanes = machines if 0 < len(machines) <= MOST_LANES else [*machines[: MOST_LANES - 1], OTHER_MACHINES]
        self._step = _WIDE_STEP if len(nodes) <= FEW_STEPS else _STEP
        self._gaps: list[tuple[int, float]] = []
        self._marks = self._placed()
        self._width = max(mark.x for mark in self._marks.values()) + self._step
        self._height = _TOP + _LANE * len(self._lanes) + 12

    def draw(self) -> Element:
        """Return the picture."""
        first, last = self._nodes[0], self._nodes[-1]
        key = f"{self._incident.number}-{self._numbers[first.id]}"
        svg = root(
            "svg",
            viewBox=f"0 0 {self._width} {self._height}",
            width=self._width,
            height=self._height,
            role="img",
            aria_labelledby=f"lanes-{key}",
            class_="lanes",
        )
        about = f"{len(self._nodes)} steps on {len(self._lanes)} machines; the table of steps says the same in words"
        span = f"Steps {self._numbers[first.id]} to {self._numbers[last.id]}"
        add(svg, "title", f"{span}: {about}", id=f"lanes-{key}")
        self._draw_lanes(svg)
        self._draw_times(svg)
        for edge in self._incident.flow.edges:
            self._draw_edge(svg, edge)
        for node in self._nodes:
            self._draw_step(svg, node)
        return svg

    def _placed(self) -> dict[str, _Mark]:
        marks: dict[str, _Mark] = {}
        x = _LEFT + self._step // 2
        for before, node in zip((None, *self._nodes), self._nodes, strict=False):
            if before is not None:
                pause = node.step.start_time - max(before.step.start_time, before.step.end_time)
                x += self._step
                if pause >= PAUSE_S:
                    self._gaps.append((x + (_GAP - self._step) // 2, pause))
                    x += _GAP
            y, source_y = self._lane_of(node.step.dst, node.step.src), self._lane_of(node.step.src, node.step.dst)
            marks[node.id] = _Mark(self._numbers[node.id], x, y, source_y)
        return marks

    def _lane_of(self, machine: str, other: str) -> int:
        """Return the height of a machine's lane; of one without, that of the other end."""
        for each in (machine, other):
            lane = self._incident.machine(each)
            if lane in self._lanes:
                return _TOP + _LANE * self._lanes.index(lane) + _LANE // 2
        return _TOP + _LANE * max(len(self._lanes) - 1, 0) + _LANE // 2

    def _draw_lanes(self, svg: Element) -> None:
        for index, machine in enumerate(self._lanes):
            y = _TOP + _LANE * index
            add(svg, "rect", x=0, y=y, width=self._width, height=_LANE, class_=f"lane-{index % 2}")
            label = add(svg, "text", x=8, y=y + _LANE // 2 + 4, class_="machine")
            named = self._incident.machines.get(machine, machine)
            label.text = one_line(named, LONGEST_LABEL)
            add(label, "title", named)

    def _draw_times(self, svg: Element) -> None:
        """Write the time above the first step, after each gap, and where there is space."""
        free = 0
        before = ""
        after_gap = True
        gaps = iter(self._gaps)
        gap = next(gaps, None)
        for node in self._nodes:
            mark = self._marks[node.id]
            if gap is not None and mark.x > gap[0]:
                self._draw_gap(svg, *gap)
                gap, after_gap = next(gaps, None), True
            if after_gap or mark.x >= free:
                time = node.step.start_time
                today = day(time)
                if today != before:
                    add(svg, "text", today, x=mark.x - _RADIUS, y=16, class_="time")
                add(svg, "text", clock(time), x=mark.x - _RADIUS, y=32, class_="time")
                add(svg, "line", x1=mark.x, y1=36, x2=mark.x, y2=_TOP, class_="tick")
                before, free, after_gap = today, mark.x + 74, False

    def _draw_gap(self, svg: Element, x: int, pause: float) -> None:
        add(svg, "line", x1=x, y1=_TOP - 4, x2=x, y2=self._height - 12, class_="gap")
        add(svg, "text", lasting(pause), x=x, y=_TOP - 8, class_="pause")

    def _draw_edge(self, svg: Element, edge: FlowEdge) -> None:
        """Draw an edge to a step of this part; one from an earlier part comes from the left side."""
        target, source = self._marks.get(edge.target), self._marks.get(edge.source)
        if target is None or edge.source not in self._numbers:
            return
        if source is None:
            number = self._numbers[edge.source]
            add(svg, "text", f"{number} →", x=target.x - _RADIUS - 3, y=target.y - _RADIUS, class_="from")
            return
        x1, x2 = source.x, target.x
        middle = (x1 + x2) / 2
        path = f"M{x1} {source.y} C{middle} {source.y} {middle} {target.y} {x2} {target.y}"
        if source.y == target.y and x2 - x1 > self._step:  # around the steps between the two
            path = f"M{x1} {source.y} Q{middle} {source.y - _LANE * 0.8:g} {x2} {target.y}"
        line = add(svg, "path", d=path, class_="edge", stroke_opacity=f"{0.35 + 0.65 * edge.probability:.2f}")
        add(line, "title", f"{source.number} to {target.number}, {edge.probability:.2f}: {edge.reason}")

    def _draw_step(self, svg: Element, node: FlowNode) -> None:
        step, mark = node.step, self._marks[node.id]
        band = UNSTATED if step.severity is None else word(step.severity)
        group = add(svg, "g", class_=f"step {band}")
        if mark.source_y != mark.y:
            add(group, "line", x1=mark.x, y1=mark.source_y, x2=mark.x, y2=mark.y, class_="reach")
            add(group, "circle", cx=mark.x, cy=mark.source_y, r=4, class_="source")
        add(group, "circle", cx=mark.x, cy=mark.y, r=_RADIUS)
        long = " long" if mark.number > _TWO_FIGURES else ""
        add(group, "text", str(mark.number), x=mark.x, y=mark.y + 4, class_=f"number{long}")
        if self._step == _WIDE_STEP and step.technique:
            add(group, "text", step.technique, x=mark.x, y=mark.y + _RADIUS + 11, class_="technique")
        technique = technique_name(step.technique) if step.technique else "technique unknown"
        add(group, "title", f"{mark.number}: {technique}: {one_line(step.name)}")
