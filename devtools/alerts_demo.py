"""Run `demo --alerts`: feed an attack into a local cloud, and show its incidents as they form."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from app.cli.feeding import feed_aggregates
from app.cli.terminal import counted
from app.domains.alerts.ait_ads import NOISE, read_rows, seed_alert
from app.domains.alerts.alert import DEFAULT_TENANT
from app.domains.alerts.cli.input import alert_records
from app.domains.alerts.cli.show import print_flow
from app.domains.alerts.records import ALERT_ROLES, ENRICHED, INCIDENTS
from app.errors import CloudError, LocationError
from app.registry import open_runtime
from app.settings import Settings
from app.storage.state_table import create_state_table
from app.stream.mapping import REPORT_FAILURES, Mapping, MappingSettings
from app.stream.shards import StartingPosition, create_stream, read_stream
from devtools.incident_view import IncidentView

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Mapping as ReadMapping
    from pathlib import Path

    from rich.console import Console

    Numbers = ReadMapping[str, Any]

IN, ASIDE, STATE_TABLE = "alerts", "alerts-quarantine", "alerts-state"
STREAMS = {role: f"alerts-{role}" for role in ALERT_ROLES}
ROWS = 2_000  # of an excerpt, if no count is given
SHARDS = 2  # more than one, so that the demo shows what a stream is; all alerts of a tenant are on one of them
FEED_S = 6.0  # minimum time of feeding, so that a person can watch
WINDOW_S = 0.5  # to collect a batch: each costs a call for the state and one for each cluster that changed
LONGEST_S = 90.0  # longer means that something else is wrong
QUIET_S = 300.0  # of an excerpt before and after the attack
LONGEST_ATTACK_S = 6 * 3600.0  # an attack that lasts for days fits no excerpt

Record = tuple[str, bytes]

# Four alerts that can never be read, so that a newcomer sees where they go.
POISON: tuple[Record, ...] = (
    (DEFAULT_TENANT, b"no alert, but a line that somebody wrote"),
    (DEFAULT_TENANT, b'{"id": 1, "time": 1715673600, "src": "ws-11", "dst": "ws-11", "name": "cut sho'),
    (DEFAULT_TENANT, b'{"id": 2, "time": 1715673600, "src": "ws-11", "dst": "ws-11"}'),
    (DEFAULT_TENANT, b"\x1f\x8b begins like gzip, but is broken"),
)


def show_incidents(console: Console, data: Path | None, rows: int | None, folder: Path) -> bool:
    """Feed alerts into the cloud that the environment names, run the mapping, and show the incidents.

    Args:
        console: The console to show them on.
        data: A file of alerts or a folder of AIT-ADS; by default an invented sample.
        rows: How many alerts to feed; by default, those of an attack.
        folder: For state that is too large for the table.

    Returns:
        Whether each alert was emitted or quarantined.

    Raises:
        LocationError: The data cannot be read.
        CloudError: A call to the cloud failed, or the cloud was too slow.
    """
    began = time.monotonic()
    alerts, origin = _alerts(data, rows)
    for stream in (IN, ASIDE, *STREAMS.values()):
        create_stream(stream, SHARDS if stream == IN else 1)
    create_state_table(STATE_TABLE)
    console.print(f"streams {IN}, {', '.join(STREAMS.values())}, {ASIDE}; table {STATE_TABLE}")
    console.print(f"feeding {len(alerts)} alerts of {origin}, and {len(POISON)} bad ones, in aggregated records")
    step = len(alerts) // (len(POISON) + 1)
    records = [each for turn, bad in enumerate(POISON) for each in (*alerts[turn * step : (turn + 1) * step], bad)]
    records += alerts[len(POISON) * step :]
    with IncidentView(console, STREAMS[INCIDENTS]) as view:
        acknowledged = _process(records, view, folder)
        view.finish()
    enriched = sum(1 for _ in read_stream(STREAMS[ENRICHED], StartingPosition()))
    aside = [msgspec.json.decode(each)["reason"] for each in read_stream(ASIDE, StartingPosition())]
    best = view.best_flow()
    if best is not None:
        console.print()
        print_flow(console, best)
        console.print()
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(aside).items()))
    console.print(
        f"{len(records)} alerts in, {acknowledged} acknowledged, {enriched} enriched, "
        f"{counted(len(view.clusters), 'cluster')}, {counted(len(view.flows), 'flow')}, "
        f"{len(aside)} quarantined ({reasons}); {time.monotonic() - began:.1f} s",
    )
    return enriched + len(aside) == len(records) == acknowledged


def _process(records: Sequence[Record], view: IncidentView, folder: Path) -> int:
    """Feed records slowly enough to be watched while the mapping runs; return how many it acknowledged."""
    settings = Settings(
        pipeline="alerts",
        output_streams=STREAMS,
        quarantine_stream=ASIDE,
        state_table=STATE_TABLE,
        state_location=str(folder),
        partial_responses=True,
        response_results=0,
        log_level="ERROR",
    )
    flow = _Progress(len(records), view)
    runtime = open_runtime(settings, flow.measure)
    mapping: Mapping = Mapping(
        MappingSettings(
            stream_name=IN,
            batch_size=100,
            maximum_batching_window_in_seconds=WINDOW_S,
            function_response_types=(REPORT_FAILURES,),
        ),
        runtime.handle,
        lambda _report: flow.show(mapping),
    )
    watch = threading.Timer(LONGEST_S, mapping.stop)
    feeder = threading.Thread(target=flow.feed, args=(records, mapping), daemon=True)
    watch.start()
    feeder.start()
    try:
        mapping.run()
    finally:
        flow.gives_up = True
        watch.cancel()
        feeder.join()
    if flow.failure is not None:
        raise flow.failure
    if flow.done < len(records):
        raise CloudError(f"{flow.done} of {len(records)} alerts done within {LONGEST_S:g} s: is the machine busy?")
    return flow.done


class _Progress:
    """The progress of feeding and of the mapping, which run in two threads.

    Attributes:
        done: Alerts that were acknowledged.
        failure: Why feeding ended early.
        gives_up: Whether feeding has to stop.
    """

    def __init__(self, total: int, view: IncidentView) -> None:
        self._total, self._view = total, view
        self.done, self.gives_up = 0, False
        self.failure: Exception | None = None

    def measure(self, _namespace: str, _dimensions: Numbers, counts: Numbers, _milliseconds: Numbers) -> None:
        """Add a batch's metrics: the mapping itself counts aggregated records."""
        self.done += int(counts["records"] - counts["retried"])

    def show(self, mapping: Mapping) -> None:
        """Show the incidents after a batch, and end the mapping after the last one."""
        self._view.update(self.done)
        if self.done >= self._total:
            mapping.stop()

    def feed(self, records: Sequence[Record], mapping: Mapping) -> None:
        """Put the records on the stream."""
        try:
            # All have one key: put one by one, each would be a call of its own.
            for _ in feed_aggregates(IN, records, max(1.0, len(records) / FEED_S)):
                if self.gives_up:
                    break
        except Exception as error:  # noqa: BLE001 - raised again in the thread that can end the demo
            self.failure = error
            mapping.stop()


def _alerts(data: Path | None, rows: int | None) -> tuple[list[Record], str]:
    """Return alerts to feed and their description: an excerpt of AIT-ADS, a file of any format, or invented ones."""
    if data is not None and data.is_dir():
        found = sorted(data.glob("ait_ads_*.csv*"), key=lambda path: (path.stat().st_size, path))
        if not found:
            raise LocationError(f"{data}: no ait_ads_*.csv or .csv.gz in it; name a file of alerts, or leave it out")
        data = found[0]  # the smallest is the quickest to read
    if data is None:
        made, _ = alert_records(None, rows, endless=False)
        return list(made), "an invented sample (made up by this project; --alerts-data takes your own)"
    if data.name.removesuffix(".gz").endswith(".csv"):
        alerts = list(_excerpt(data, rows or ROWS))
        return alerts, f"{data.name} (AIT-ADS, the hour of its attack, thinned)"
    read, _ = alert_records(data, rows or ROWS, endless=False)
    return list(read), data.name


def _excerpt(path: Path, rows: int) -> Iterator[Record]:
    """Yield a scenario's attack and other alerts of that time, up to `rows`, with a fair share of each kind."""
    try:
        table = list(read_rows(path))
        attacks = defaultdict[str, list[float]](list)
        for row in table:
            if row["event_label"] != NOISE:
                attacks[row["event_label"]].append(float(row["time"]))
        short = [times for times in attacks.values() if times[-1] - times[0] < LONGEST_ATTACK_S]
        begin = min((times[0] for times in short), default=float(table[0]["time"])) - QUIET_S
        end = max((times[-1] for times in short), default=begin + LONGEST_ATTACK_S) + QUIET_S
    except (OSError, EOFError, KeyError, ValueError, TypeError, IndexError) as error:
        raise LocationError(f"{path}: not a table of AIT-ADS: {type(error).__name__} {error}") from None
    window = [(number, row) for number, row in enumerate(table) if begin <= float(row["time"]) <= end]
    kinds = Counter(row["event_label"] for _, row in window)
    most = _share(list(kinds.values()), rows)
    taken: Counter[str] = Counter()
    for number, row in window:
        kind = row["event_label"]
        if taken[kind] < most:
            taken[kind] += 1
            yield DEFAULT_TENANT, msgspec.json.encode(seed_alert(row, number))


def _share(sizes: Sequence[int], rows: int) -> int:
    """Return each kind's share of `rows`; small kinds leave the rest of their share to large ones."""
    left, most = rows, 0
    for smaller, size in enumerate(sorted(sizes)):
        most = max(1, left // (len(sizes) - smaller))
        if size > most:
            return most
        left -= size
    return max(most, *sizes, 1)
