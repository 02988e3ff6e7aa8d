"""Show the demo's picture: flows by severity, and clusters, from the stream of incidents."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import msgspec
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.cli.terminal import counted
from app.domains.alerts.cli.show import hosts, severity_text
from app.domains.alerts.incidents import ClusterSummary, Flow
from app.domains.alerts.report.page import severity_words
from app.domains.alerts.report.words import some
from app.stream.shards import IDLE_PAUSE_S, StartingPosition, StreamReader

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

ROWS = 12  # of both live tables: a usual window has 24 lines
FLOW_ROWS = 5  # of them
LINES = 40  # printed without a terminal
FRAMES_PER_S = 8
TECHNIQUES = 5
LATE_S = 10.0  # the last incidents are in their stream by then


class IncidentView:
    """The incidents of a stream: live tables on a terminal, elsewhere one line for each change.

    Attributes:
        clusters: Those with two alerts or more, by id.
        flows: Flows that are not closed, by id.
    """

    def __init__(self, console: Console, stream: str) -> None:
        """Show the incidents of a stream on a console."""
        self._console, self._reader = console, StreamReader(stream, StartingPosition())
        self._live = Live(console=console, refresh_per_second=FRAMES_PER_S) if console.is_terminal else None
        self.clusters: dict[int, ClusterSummary] = {}
        self.flows: dict[int, Flow] = {}
        self._news: dict[int, str] = {}
        self._lines = self._done = 0
        self._last = ""

    def __enter__(self) -> Self:
        """Start the view."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the last view on the screen."""
        if self._live:
            self._live.stop()

    def update(self, done: int) -> None:
        """Read the records that are in the stream now.

        Args:
            done: Alerts that were acknowledged so far.
        """
        self._done = done
        self._reader.read()
        for shard in self._reader.shards:
            while shard.buffer:
                self.take(msgspec.json.decode(shard.buffer.popleft()["Data"]))
        if self._live:
            self._live.update(self.tables())

    def finish(self) -> None:
        """Read the stream to its end."""
        ends = time.monotonic() + LATE_S
        self.update(self._done)
        while not self._reader.at_tip() and time.monotonic() < ends:
            time.sleep(IDLE_PAUSE_S)
            self.update(self._done)
        if self._lines > LINES:
            self._console.print(f"  … and {self._lines - LINES} more changes")

    def take(self, record: dict[str, Any]) -> None:
        """Add one record of the stream."""
        change = record["change"]
        if record["type"] == "flow":
            self._take_flow(record)
        elif change == "became":
            self.clusters.pop(record["cluster_id"], None)
            self._news.pop(record["cluster_id"], None)
        else:
            summary = msgspec.convert(record["cluster"], ClusterSummary)
            self.clusters.pop(summary.cluster_id, None)
            self.clusters[summary.cluster_id] = summary  # the newest at the end
            merged = f"took in {_ids(record['merged'])}" if record["merged"] else ""
            self._news[summary.cluster_id] = merged or self._news.get(summary.cluster_id, "")
            if change == "merged" or (change == "opened" and summary.techniques):
                what = ", ".join(some(summary.techniques, TECHNIQUES)) or "no technique known"
                self._say(f"cluster {summary.cluster_id} {merged or change}: {hosts(summary)}, {what}")

    def tables(self) -> Group | Table:
        """Return the most severe flows, if there are flows, and the clusters that changed last."""
        flows = sorted(self.flows.values(), key=_weight, reverse=True)[:FLOW_ROWS]
        clusters = self._cluster_table(ROWS - len(flows))
        if not flows:
            return clusters
        table = Table(title="the most severe flows", title_justify="left")
        for name in ("flow", "alerts", "steps"):
            table.add_column(name, justify="right")
        table.add_column("severity", no_wrap=True)
        table.add_column("tactics", justify="right")
        table.add_column("why", no_wrap=True)
        for each in flows:
            table.add_row(
                str(each.flow_id),
                str(each.alerts),
                str(len(each.nodes)),
                severity_text(each.severity),
                str(len({node.tactic for node in each.nodes} - {""})),
                Text(_why(each)),
            )
        return Group(table, clusters)

    def _cluster_table(self, rows: int) -> Table:
        """Return the clusters that changed last, those with techniques first."""
        title = f"{self._done} alerts, {len(self.clusters)} clusters, {len(self.flows)} flows"
        table = Table(
            title=title,
            title_justify="left",
            caption=Text(self._last, no_wrap=True, overflow="ellipsis"),
            caption_justify="left",
        )
        for name in ("cluster", "alerts"):
            table.add_column(name, justify="right")
        table.add_column("hosts", max_width=44, no_wrap=True)
        table.add_column("techniques", max_width=40, no_wrap=True)
        table.add_column("tactics", max_width=34, no_wrap=True)
        table.add_column("flow", justify="right")
        table.add_column("", no_wrap=True)
        flow_of = {cluster: str(flow.flow_id) for flow in self.flows.values() for cluster in flow.cluster_ids}
        newest = list(reversed(self.clusters.values()))
        newest.sort(key=lambda each: not each.techniques)
        for each in sorted(newest[:rows], key=lambda each: each.cluster_id):
            table.add_row(
                str(each.cluster_id),
                str(each.alerts),
                Text(hosts(each)),
                Text(", ".join(some(each.techniques, TECHNIQUES))),
                Text(", ".join(each.tactics)),
                flow_of.get(each.cluster_id, ""),
                Text(self._news.get(each.cluster_id, ""), "bold magenta"),
            )
        return table

    def best_flow(self) -> Flow | None:
        """Return the most severe flow; among equals, the one with the most risk."""
        return max(self.flows.values(), key=_weight, default=None)

    def _take_flow(self, record: dict[str, Any]) -> None:
        """Add a record of a flow; it is news unless the flow has grown and is as severe as before."""
        number, change = record["flow_id"], record["change"]
        before = self.flows.pop(number, None)
        if change == "became":
            return
        flow = msgspec.convert(record["flow"], Flow)
        if change == "closed":
            self._say(f"flow {number} {flow.reasons[-1]}")
            return
        for merged in record["merged"]:
            self.flows.pop(merged, None)
        self.flows[number] = flow
        if change == "grew" and before is not None and before.severity == flow.severity:
            return
        joined = f" with flow {_ids(record['merged'])}" if record["merged"] else ""
        steps = f"{counted(len(flow.nodes), 'step')} of {counted(len(flow.cluster_ids), 'cluster')}"
        self._say(f"flow {number} {change}{joined}: {severity_words(flow.severity)}, {steps}; {_why(flow)}")

    def _say(self, text: str) -> None:
        self._last = text
        if self._live is None:
            self._lines += 1
            if self._lines <= LINES:
                self._console.print(f"  {text}")


def _ids(ids: list[int]) -> str:
    return ", ".join(some([str(each) for each in ids], TECHNIQUES))


def _weight(flow: Flow) -> tuple[int, float, int]:
    return flow.severity, flow.risk, len(flow.nodes)


def _why(flow: Flow) -> str:
    """Return why a flow is an incident."""
    return flow.reasons[0].removeprefix("opened: ") if flow.reasons else ""
