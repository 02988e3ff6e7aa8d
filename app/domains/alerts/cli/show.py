"""Show clusters and flows to a person: a table, and each flow drawn from its first step to its last.

The console that prints them shows texts of alerts plain: without markup and control characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from app.domains.alerts.formats.severity import word
from app.domains.alerts.report.incident import severity_of
from app.domains.alerts.report.page import alike_words, severity_words, where
from app.domains.alerts.report.words import clock, lasting, moment, some, technique_name
from app.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from app.domains.alerts.incidents import ClusterSummary, Flow, FlowEdge, FlowNode
    from app.domains.alerts.report.summary import SevereAlert

LONGEST_NAME = 64  # characters of an alert's name in a line
LONGEST_HOST = 40
HOSTS_SHOWN = 4  # of a cluster
TECHNIQUES_SHOWN = 4
STEPS_SHOWN = 40  # of a flow
DEEPEST = 6  # branches within branches that are still indented
_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "blue"}


def cluster_table(clusters: Sequence[ClusterSummary], title: str) -> Table:
    """Return a table with a row a cluster."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("cluster", "alerts"):
        table.add_column(name, justify="right")
    table.add_column("severity")
    for name in ("first", "lasts", "hosts", "techniques", "tactics"):
        table.add_column(name, overflow="fold")
    for each in clusters:
        table.add_row(
            str(each.cluster_id),
            str(each.alerts),
            severity_text(each.severity),
            clock(each.start_time),
            lasting(each.end_time - each.start_time),
            Text(hosts(each)),
            Text("\n".join(some([technique_name(key) for key in each.techniques], TECHNIQUES_SHOWN))),
            Text(", ".join(each.tactics)),
        )
    return table


def severe_table(alerts: Sequence[SevereAlert]) -> Table:
    """Return a table of the most severe alerts, a row each."""
    table = Table(title="the most severe alerts, one of each type", title_justify="left", title_style="bold")
    table.add_column("severity")
    for name in ("time", "alert", "where", "techniques"):
        table.add_column(name, overflow="fold")
    table.add_column("flow", justify="right")
    for each in alerts:
        table.add_row(
            severity_text(each.severity),
            moment(each.time),
            Text(one_line(each.name, LONGEST_NAME) + alike_words(each)),
            Text(where(each)),
            Text("\n".join(some([technique_name(key) for key in each.techniques], TECHNIQUES_SHOWN))),
            "alone" if each.flow_id is None else str(each.flow_id),
        )
    return table


def severity_text(severity: int | None) -> Text:
    """Return a severity in a word and as a number, in the word's colour; `-` where none is stated."""
    return Text("-") if severity is None else Text(f"{word(severity)} {severity}", _STYLES.get(word(severity), ""))


def print_flow(console: Console, flow: Flow) -> None:
    """Print a flow; at a terminal each step keeps to one line, elsewhere no line is cut short."""
    for line in draw(flow):
        if console.is_terminal:
            line.truncate(console.width, overflow="ellipsis")
        console.print(line, soft_wrap=True)


def draw(flow: Flow, most: int = STEPS_SHOWN) -> Iterator[Text]:
    """Yield a flow line by line: each step, and below it the reason why it follows from the one before.

    A step stands below the step that it most probably follows from; where several follow from one, each branch but the
    last is indented.
    """
    ids = ", ".join(some([str(each) for each in flow.cluster_ids], 8))
    severity = severity_of(flow)
    yield Text.assemble(
        (f"flow {flow.flow_id}", "bold"),
        f"  {len(flow.nodes)} step{'s' * (len(flow.nodes) != 1)} of cluster{'s' * (len(flow.cluster_ids) != 1)} {ids}, "
        "an attack with probability ",
        (f"{flow.cluster_prob:.2f}", "bold"),
        f", from {moment(flow.start_time)} for {lasting(flow.end_time - flow.start_time)}",
        *(() if severity is None else (", ", (severity_words(severity), _STYLES.get(word(severity), "")))),
    )
    for reason in flow.reasons:
        yield Text(f"  {one_line(reason)}", "dim")
    nodes = {node.id: node for node in flow.nodes}
    parents: dict[str, FlowEdge] = {}
    for edge in flow.edges:
        best = parents.get(edge.target)
        if edge.source in nodes and (best is None or edge.probability > best.probability):
            parents[edge.target] = edge
    children: dict[str, list[FlowNode]] = {}
    for node in flow.nodes:
        parent = parents.get(node.id)
        children.setdefault(parent.source if parent else "", []).append(node)
    waiting = [(node, 0) for node in reversed(children.get("", ()))]
    shown, numbers, before = 0, {}, ""
    while waiting and shown < most:
        node, depth = waiting.pop()
        shown += 1
        numbers[node.id] = shown
        follows_by = parents.get(node.id)
        lead = Text("  " + "│  " * min(depth, DEEPEST), "dim")
        if follows_by is not None:
            away = "" if follows_by.source == before else f"from step {numbers.get(follows_by.source)}: "
            yield lead + Text(f"│    {follows_by.probability:.2f} {away}{one_line(follows_by.reason)}", "dim")
        yield lead + _step(shown, node)
        before = node.id
        following = children.get(node.id, [])
        last = len(following) - 1
        waiting += [(each, depth + (number != last)) for number, each in reversed(list(enumerate(following)))]
    left = len(flow.nodes) - shown
    if left:
        yield Text(f"  … and {left} more step{'s' * (left != 1)}", "dim")


def _step(number: int, node: FlowNode) -> Text:
    step = node.step
    where = one_line(step.src, LONGEST_HOST)
    if step.dst != step.src:
        where += f" → {one_line(step.dst, LONGEST_HOST)}"
    technique = technique_name(step.technique) if step.technique else ""
    return Text.assemble(
        (f"{number:>2} ", "bold cyan"),
        f"{clock(step.start_time)}  ",
        (f"{node.tactic or 'unknown'}", "yellow" if node.tactic else "dim"),
        *(("  ", (technique, "bold")) if technique else ()),
        (f"  {where}", "green"),
        f"  {one_line(step.name, LONGEST_NAME)}",
        f", {step.alerts} times" if step.alerts > 1 else "",
        *(() if step.severity is None else (", ", severity_text(step.severity))),
    )


def hosts(cluster: ClusterSummary) -> str:
    """Return some sources and targets of a cluster."""
    srcs, dsts = (
        ", ".join(some([one_line(each, LONGEST_HOST) for each in ends], HOSTS_SHOWN))
        for ends in (cluster.srcs, cluster.dsts)
    )
    return srcs if srcs == dsts else f"{srcs} → {dsts}"
