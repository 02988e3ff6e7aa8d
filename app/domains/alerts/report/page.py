"""Write incidents as one page of HTML that needs nothing else: no script, no address outside, no fonts.

It is made of elements that escape their texts, and its policy forbids scripts and addresses besides.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.formats.severity import word
from app.domains.alerts.report.elements import add, html, root
from app.domains.alerts.report.incident import UNSTATED
from app.domains.alerts.report.lanes import draw_lanes
from app.domains.alerts.report.words import lasting, moment, some, technique_name
from app.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from xml.etree.ElementTree import Element

    from app.domains.alerts.incidents import FlowEdge
    from app.domains.alerts.report.incident import Incident
    from app.domains.alerts.report.kept import KeptAlert
    from app.domains.alerts.report.summary import SevereAlert, Summary

MOST_INCIDENTS = 50  # in full
MOST_LISTED = 500  # in the list at the beginning
MOST_STEPS = 200  # of an incident
MOST_ALERTS = 100  # of an incident
MOST_RAW_BYTES = 4_000_000  # of all alerts as they came: a browser opens some 10 MB at once
LONGEST_NAME = 200
MACHINES_NAMED = 6
_STYLE = Path(__file__).parents[1] / "data" / "report.css"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def incident_page(
    title: str, summary: Summary, incidents: Sequence[Incident], alerts_of: Callable[[Incident], Sequence[KeptAlert]]
) -> bytes:
    """Return the page.

    Args:
        title: What the alerts were read from.
        summary: The outcome in numbers.
        incidents: The incidents, the most severe first.
        alerts_of: Returns the alerts that are kept of an incident, by their time.
    """
    return _Page(title, summary, incidents, alerts_of).build()


class _Page:
    """Builder of the page."""

    def __init__(
        self,
        title: str,
        summary: Summary,
        incidents: Sequence[Incident],
        alerts_of: Callable[[Incident], Sequence[KeptAlert]],
    ) -> None:
        self._title, self._summary, self._incidents, self._alerts_of = title, summary, incidents, alerts_of
        self._raw_left = MOST_RAW_BYTES
        self._is_shared = len({each.tenant for each in incidents}) > 1

    def build(self) -> bytes:
        """Return the page."""
        page = root("html", lang="en")
        head = add(page, "head")
        add(head, "meta", charset="utf-8")
        add(head, "meta", http_equiv="Content-Security-Policy", content=_POLICY)
        add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
        add(head, "title", f"Incidents: {one_line(self._title)}")
        add(head, "style").text = _style()
        body = add(page, "body")
        header = add(body, "header")
        add(header, "h1", f"Incidents in {one_line(self._title)}")
        for line in summary_lines(self._summary):
            add(header, "p", line)
        if self._summary.unread:
            add(header, "p", f"{_counted(self._summary.unread, 'alert')} could not be read.")
        main = add(body, "main")
        self._list(main)
        for incident in self._incidents[:MOST_INCIDENTS]:
            self._incident(main, incident)
        left = len(self._incidents) - MOST_INCIDENTS
        if left > 0:
            add(main, "p", f"{left} more incidents are less severe and only listed above.", class_="note")
        self._severe(main)
        add(add(body, "footer"), "p", "Times are UTC. Made by Millrace.", class_="note")
        return html(page)

    def _list(self, main: Element) -> None:
        if not self._incidents:
            add(main, "p", "No alerts were found to belong together, and none is an incident by itself.")
            return
        add(main, "h2", "All incidents", id="incidents")
        heads = ("Severity", "Incident", "Steps", "Alerts", "First", "Lasts", "Machines")
        body = _table(main, heads, numbers=("Steps", "Alerts"))
        for incident in self._incidents[:MOST_LISTED]:
            row = add(body, "tr")
            _tag(add(row, "td", class_="time"), incident.severity)
            cell = add(row, "td")
            text = f"{incident.number}. {one_line(incident.title, LONGEST_NAME)}{self._tenant(incident)}"
            if incident.number <= MOST_INCIDENTS:
                add(cell, "a", text, href=f"#incident-{incident.number}")
            else:
                cell.text = text
            add(row, "td", str(len(incident.flow.nodes)), class_="number")
            add(row, "td", str(incident.alerts), class_="number")
            add(row, "td", moment(incident.flow.start_time), class_="time")
            add(row, "td", lasting(incident.flow.end_time - incident.flow.start_time), class_="time")
            add(row, "td", ", ".join(some([one_line(each) for each in incident.machines.values()], MACHINES_NAMED)))
        if len(self._incidents) > MOST_LISTED:
            add(main, "p", f"{len(self._incidents) - MOST_LISTED} more are not listed.", class_="note")

    def _tenant(self, incident: Incident) -> str:
        return f" ({one_line(incident.tenant)})" if self._is_shared else ""

    def _incident(self, main: Element, incident: Incident) -> None:
        flow, key = incident.flow, f"incident-{incident.number}"
        section = add(main, "section", aria_labelledby=key)
        head = add(section, "h2", id=key)
        _tag(
            head, incident.severity
        ).tail = f" Incident {incident.number}: {one_line(incident.title, LONGEST_NAME)}{self._tenant(incident)}"
        kept = self._alerts_of(incident)
        self._facts(section, incident, kept)
        reasons = flow.reasons or (_default_reason(incident),)
        add(section, "h3", "Why this is an incident")
        listed = add(section, "ul")
        for reason in reasons:
            add(listed, "li", reason)
        nodes = flow.nodes[:MOST_STEPS]
        add(section, "h3", "Steps in time")
        figure = add(section, "figure")
        scroll = add(figure, "div", class_="scroll", tabindex=0, role="region", aria_label="Steps on lanes of machines")
        scroll.extend(draw_lanes(incident, nodes))
        add(
            figure,
            "figcaption",
            "A lane for each machine; a circle stands on the target of a step, a dot on its source. Steps stand at "
            "equal distances in order of time; a broken line is a pause of the length above it.",
            class_="note",
        )
        self._steps(section, incident)
        self._techniques(section, incident)
        self._alerts(section, incident, kept)

    def _facts(self, section: Element, incident: Incident, kept: Sequence[KeptAlert]) -> None:
        flow = incident.flow
        facts = add(section, "dl")
        words = severity_words(incident.severity)
        source = max(kept, default=None, key=lambda each: (each.severity, each.number))
        if source is not None and source.alert.alert.severity_from:
            words += f": {source.alert.alert.severity_from} of “{one_line(source.alert.alert.name, LONGEST_NAME)}”"
        machines = [one_line(each) for each in incident.machines.values()]
        others = [one_line(each) for each in incident.others]
        found = {
            "Severity": words,
            "Risk": f"{flow.risk:.2f}" if flow.risk else "",
            "Time": f"{moment(flow.start_time)} to {moment(flow.end_time)}, {lasting(flow.end_time - flow.start_time)}",
            "Alerts": f"{incident.alerts} in {len(flow.nodes)} steps"
            + (f"; {flow.context} more at its machines are context" if flow.context else ""),
            "Machines": ", ".join(some(machines, 4 * MACHINES_NAMED)),
            "Users and others": ", ".join(some(others, 4 * MACHINES_NAMED)),
            "Flow": f"{flow.flow_id}, an attack with probability {flow.cluster_prob:.2f}",
        }
        for name, text in found.items():
            if text:
                add(facts, "dt", name)
                add(facts, "dd", text)

    def _steps(self, section: Element, incident: Incident) -> None:
        nodes = incident.flow.nodes[:MOST_STEPS]
        numbers = {node.id: number for number, node in enumerate(nodes, 1)}
        parents: dict[str, FlowEdge] = {}
        for edge in incident.flow.edges:
            best = parents.get(edge.target)
            if edge.source in numbers and (best is None or edge.probability > best.probability):
                parents[edge.target] = edge
        heads = ("Step", "Time", "Severity", "Tactic and technique", "Where", "Alert", "Follows from")
        body = _table(section, heads, numbers=("Step",))
        for node in nodes:
            step, row = node.step, add(body, "tr")
            add(row, "td", str(numbers[node.id]), class_="number")
            time = add(row, "td", moment(step.start_time), class_="time")
            if step.end_time > step.start_time:
                add(time, "br").tail = f"for {lasting(step.end_time - step.start_time)}"
            severity = add(row, "td", "-" if step.severity is None else "", class_="time")
            if step.severity is not None:
                _tag(severity, step.severity)
            technique = add(row, "td", node.tactic or "unknown")
            if step.technique:
                add(technique, "br").tail = technique_name(step.technique)
            src, dst = (incident.machines.get(incident.machine(end), end) for end in (step.src, step.dst))
            add(row, "td", one_line(src if src == dst else f"{src} → {dst}"))
            times = f" ({step.alerts} times)" if step.alerts > 1 else ""
            add(row, "td", one_line(step.name, LONGEST_NAME) + times)
            parent = parents.get(node.id)
            follows = (
                f"{numbers[parent.source]} ({parent.probability:.2f}): {one_line(parent.reason)}" if parent else ""
            )
            add(row, "td", follows)
        left = len(incident.flow.nodes) - len(nodes)
        if left:
            add(section, "p", f"{left} more steps are not shown; flow.json has all of them.", class_="note")

    def _techniques(self, section: Element, incident: Incident) -> None:
        techniques = incident.techniques
        if not techniques:
            return
        add(section, "h3", "Techniques by tactic")
        listed = add(section, "dl")
        for tactic, found in techniques:
            add(listed, "dt", tactic or "No tactic")
            entries = [f"{technique_name(key)} ({alerts})" for key, alerts in found.items()]
            add(listed, "dd", ", ".join(entries))

    def _alerts(self, section: Element, incident: Incident, kept: Sequence[KeptAlert]) -> None:
        if not kept:
            return
        add(section, "h3", "Alerts")
        for each in kept[:MOST_ALERTS]:
            alert = each.alert.alert
            details = add(section, "details")
            name = one_line(alert.name, LONGEST_NAME)
            add(details, "summary", f"{moment(alert.time)}  {name}  ({one_line(alert.src)} → {one_line(alert.dst)})")
            raw = each.raw or msgspec.json.format(msgspec.json.encode(alert))
            if self._raw_left > 0:
                self._raw_left -= len(raw)
                add(details, "pre", raw.decode("utf-8", "replace"))
            else:
                add(details, "p", f"Id {alert.id}; its text is left out: the page would be too large.", class_="note")
        left = incident.alerts - min(len(kept), MOST_ALERTS)
        if left > 0:
            add(section, "p", f"{left} more alerts are not shown.", class_="note")

    def _severe(self, main: Element) -> None:
        severe = self._summary.most_severe
        if not severe:
            return
        add(main, "h2", "The most severe alerts, one of each type", id="most-severe")
        body = _table(main, ("Severity", "Read from", "Time", "Alert", "Where", "Techniques", "Incident"))
        of_flow = {(each.tenant, each.flow.flow_id): each.number for each in self._incidents}
        for each in severe:
            row = add(body, "tr")
            _tag(add(row, "td", class_="time"), each.severity)
            add(row, "td", each.severity_from)
            add(row, "td", moment(each.time), class_="time")
            add(row, "td", one_line(each.name, LONGEST_NAME) + alike_words(each))
            add(row, "td", where(each))
            add(row, "td", ", ".join(map(technique_name, each.techniques)))
            number = of_flow.get((each.tenant, each.flow_id)) if each.flow_id is not None else None
            cell = add(row, "td", "" if number else "stands alone")
            if number is not None and number <= MOST_INCIDENTS:
                add(cell, "a", str(number), href=f"#incident-{number}")
            elif number is not None:
                cell.text = str(number)


def summary_lines(summary: Summary) -> list[str]:
    """Return the outcome in sentences."""
    by_word = ", ".join(
        f"{count} {'of no stated severity' if each == UNSTATED else each}"
        for each, count in summary.flows_by_severity.items()
    )
    lines = [f"{_counted(summary.flows, 'incident')}{f': {by_word}' if by_word else ''}."]
    skipped = sum(summary.skipped.values())
    clustered = max(summary.alerts - summary.in_flows - summary.alone - skipped, 0)
    lines.append(
        f"Of {_counted(summary.alerts, 'alert')}, {summary.in_flows:,} are in incidents, {clustered:,} in clusters "
        f"that are none, and {summary.alone:,} stand alone{f'; {skipped:,} were left out' if skipped else ''}."
    )
    lines += [f"Left out, {why}: {count:,}." for why, count in summary.skipped.items()]
    if not summary.most_severe and skipped < summary.alerts:
        lines.append("No alert states a severity.")
    return lines


def alike_words(alert: SevereAlert) -> str:
    """Return how many more alerts have the type of one of the most severe."""
    return f", {alert.alike - 1:,} more alike" if alert.alike > 1 else ""


def severity_words(severity: int | None) -> str:
    """Return a severity as `critical, 95 of 100`."""
    return "stated by no alert" if severity is None else f"{word(severity)}, {severity} of 100"


def where(alert: SevereAlert) -> str:
    """Return source and target of an alert."""
    src, dst = one_line(alert.src), one_line(alert.dst)
    return src if src == dst else f"{src} → {dst}"


def _default_reason(incident: Incident) -> str:
    flow = incident.flow
    return (
        f"{_counted(len(flow.nodes), 'step')} of {_counted(len(flow.cluster_ids), 'cluster')} are an attack with "
        f"probability {flow.cluster_prob:.2f}"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _tag(parent: Element, severity: int | None) -> Element:
    """Add a severity as a coloured word with its number."""
    band = UNSTATED if severity is None else word(severity)
    return add(parent, "span", band if severity is None else f"{band} {severity}", class_=f"tag {band}")


def _table(parent: Element, heads: Sequence[str], numbers: Sequence[str] = ()) -> Element:
    """Add a table that scrolls by itself, and return its body."""
    table = add(add(parent, "div", class_="scroll"), "table")
    row = add(add(table, "thead"), "tr")
    for head in heads:
        add(row, "th", head, scope="col", **({"class_": "number"} if head in numbers else {}))
    return add(table, "tbody")


@functools.cache
def _style() -> str:
    return _STYLE.read_text(encoding="utf-8")
