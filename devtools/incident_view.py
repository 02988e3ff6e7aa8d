"""Show the demo's picture: clusters and flows from the stream of incidents."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import msgspec
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.domains.alerts.cli.show import hosts
from app.domains.alerts.incidents import ClusterSummary, Flow
from app.domains.alerts.report.words import some
from app.stream.shards import IDLE_PAUSE_S, StartingPosition, StreamReader

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

ROWS = 14  # of the live table: a usual window has 24 lines
LINES = 40  # printed without a terminal
FRAMES_PER_S = 8
TECHNIQUES = 5
LATE_S = 10.0  # the last incidents are in their stream by then


class IncidentView:
    """The incidents of a stream: a live table on a terminal, elsewhere one line for each change.

    Attributes:
        clusters: Those with two alerts or more, by id.
        flows: All flows, by id.
    """

    def __init__(self, console: Console, stream: str) -> None:
        """Show the incidents of a stream on a console."""
        self._console, self._reader = console, StreamReader(stream, StartingPosition())
        self._live = Live(console=console, refresh_per_second=FRAMES_PER_S) if console.is_terminal else None
        self.clusters: dict[int, ClusterSummary] = {}
        self.flows: dict[int, Flow] = {}
        self._news: dict[int, str] = {}
        self._flow_of: dict[int, int] = {}
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
            self._live.update(self.table())

    def finish(self) -> None:
        """Read the stream to its end."""
        ends = time.monotonic() + LATE_S
        self.update(self._done)
        while not self._reader.at_tip() and time.monotonic() < ends:
            time.sleep(IDLE_PAUSE_S)
            self.update(self._done)
        if self._lines > LINES:
            self._console.print(f"  … and {self._lines - LINES} more changes", highlight=False)

    def take(self, record: dict[str, Any]) -> None:
        """Add one record of the stream."""
        change = record["change"]
        if record["type"] == "flow" and change in {"became", "closed"}:
            self.flows.pop(record["flow_id"], None)
        elif record["type"] == "flow":
            flow = msgspec.convert(record["flow"], Flow)
            for merged in record["merged"]:
                self.flows.pop(merged, None)
            self.flows[flow.flow_id] = flow
            self._flow_of |= dict.fromkeys(flow.cluster_ids, flow.flow_id)
            if change != "grew":
                joined = f" with flow {_ids(record['merged'])}" if record["merged"] else ""
                self._say(f"flow {flow.flow_id} {change}{joined}: {len(flow.nodes)} steps of {_count(flow)}")
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

    def table(self) -> Table:
        """Return the clusters that changed last, those with techniques first."""
        title = f"{self._done} alerts, {len(self.clusters)} clusters, {len(self.flows)} flows"
        table = Table(title=title, title_justify="left", caption=Text(self._last), caption_justify="left")
        for name in ("cluster", "alerts"):
            table.add_column(name, justify="right")
        table.add_column("hosts", max_width=44, no_wrap=True)
        table.add_column("techniques", max_width=40, no_wrap=True)
        table.add_column("tactics", max_width=34, no_wrap=True)
        table.add_column("flow", justify="right")
        table.add_column("", no_wrap=True)
        newest = list(reversed(self.clusters.values()))
        newest.sort(key=lambda each: not each.techniques)
        for each in sorted(newest[:ROWS], key=lambda each: each.cluster_id):
            flow = self._flow_of.get(each.cluster_id)
            table.add_row(
                str(each.cluster_id),
                str(each.alerts),
                Text(hosts(each)),
                Text(", ".join(some(each.techniques, TECHNIQUES))),
                Text(", ".join(each.tactics)),
                str(flow) if flow in self.flows else "",
                Text(self._news.get(each.cluster_id, ""), "bold magenta"),
            )
        return table

    def best_flow(self) -> Flow | None:
        """Return the flow with the most tactics; among equals, the one with the most steps."""
        return max(
            self.flows.values(),
            key=lambda flow: (len({node.tactic for node in flow.nodes}), len(flow.nodes)),
            default=None,
        )

    def _say(self, text: str) -> None:
        self._last = text
        if self._live is None:
            self._lines += 1
            if self._lines <= LINES:
                self._console.print(f"  {text}", highlight=False, markup=False)


def _ids(ids: list[int]) -> str:
    return ", ".join(some([str(each) for each in ids], TECHNIQUES))


def _count(flow: Flow) -> str:
    return f"{len(flow.cluster_ids)} cluster{'s' * (len(flow.cluster_ids) != 1)}"
