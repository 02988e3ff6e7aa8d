"""Run `demo`: the main job end to end on a laptop, with a picture of its results."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from app import aws
from app.cli.examples import OUTPUT_STREAM
from app.cli.feeding import feed_stream
from app.cli.terminal import open_console
from app.domain import INPUT_STREAM
from app.domains.bike.synthetic import record_of, synthetic_rows
from app.errors import SettingsError
from app.registry import open_runtime
from app.settings import Settings
from app.stream.mapping import REPORT_FAILURES, Mapping, MappingSettings
from app.stream.shards import StartingPosition, create_stream, read_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

QUARANTINE_STREAM = "bike-quarantine"
SHARDS = 2  # more than one, as most streams have
SHOWN_HOURS = 24  # a whole day in the table
MADE_UP_START = datetime(2016, 6, 6)  # noqa: DTZ001 - a Monday in summer, London's local time: a picture of commuting
BAR = 28  # characters of the longest bar
BESIDE_BAR = 49  # characters that the other columns take
UNSEEN_SHARE = 0.2  # the last part of the table, which the model was not trained on

# Three records that can never succeed, so that a newcomer sees where they go.
POISON = (
    ("bad-1", b"not JSON at all"),
    ("bad-2", b'{"features": {"t1": 2, "t2": 3, "hum": 50}, "pred_id": "no weather code"}'),
    ("bad-3", b"\x1f\x8b begins like gzip, but is broken"),
)

Data = Annotated[
    Path | None,
    typer.Option(envvar="BIKE_DATA", help="The London bike-sharing table (CSV); by default, made-up rows."),
]
Rows = Annotated[
    int | None,
    typer.Option(min=SHOWN_HOURS, max=20_000, help="How many records to feed; by default 1000, or all of an attack."),
]
OfAlerts = Annotated[
    bool, typer.Option("--alerts", help="Feed security alerts instead, and show incidents as they form.")
]
AlertsData = Annotated[
    Path | None,
    typer.Option(
        envvar="ALERTS_DATA", help="A file of alerts, or a folder with AIT-ADS; by default, an invented sample."
    ),
]
ROWS = 1000


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(demo)


def demo(data: Data = None, rows: Rows = None, alerts: OfAlerts = False, alerts_data: AlertsData = None) -> None:
    """Start a local cloud, feed bike records, run the mapping, and show predictions with the true counts.

    With --alerts it feeds security alerts of an attack, and shows clusters and attack flows as they form.

    It stops everything that it starts. It uses its own cloud and does not touch one that is already up.
    """
    console = open_console(soft_wrap=True)
    if alerts:
        from devtools.alerts_demo import show_incidents  # noqa: PLC0415 - the other demo does not need it

        with _own_cloud(console) as (_, folder):
            adds_up = show_incidents(console, alerts_data, rows, folder / "alerts-state")
    else:
        adds_up = _show_bikes(console, data, rows or ROWS)
    if not adds_up:
        console.print("records in and records out do not add up", style="red")
        raise typer.Exit(1)


def _show_bikes(console: Console, data: Path | None, rows: int) -> bool:
    """Run the bike demo; return whether each record came out or was quarantined."""
    began = time.monotonic()
    table, origin = _rows(data, rows)
    with _own_cloud(console) as (url, _):
        create_stream(INPUT_STREAM, SHARDS)
        create_stream(OUTPUT_STREAM, SHARDS)
        create_stream(QUARANTINE_STREAM, 1)
        console.print(f"streams at {url}: {INPUT_STREAM}, {OUTPUT_STREAM}, {QUARANTINE_STREAM}")
        console.print(f"feeding {rows} records of {origin}, and {len(POISON)} bad ones")
        records = [(str(number), msgspec.json.encode(record_of(row, number))) for number, row in enumerate(table)]
        fed = sum(feed_stream(INPUT_STREAM, [*records, *POISON]))
        acknowledged = _process(console, fed)
        results = [msgspec.json.decode(each) for each in read_stream(OUTPUT_STREAM, StartingPosition())]
        aside = [msgspec.json.decode(each) for each in read_stream(QUARANTINE_STREAM, StartingPosition())]
    _report(console, table, results, "made up" if data is None else "true")
    reasons = Counter(record["reason"] for record in aside)
    console.print(
        f"{fed} records in, {acknowledged} acknowledged, {len(results)} predictions out, "
        f"{len(aside)} quarantined ({', '.join(f'{n} {reason}' for reason, n in sorted(reasons.items()))}); "
        f"{time.monotonic() - began:.1f} s",
    )
    return len({result["id"] for result in results}) + len(aside) == fed


def _process(console: Console, total: int) -> int:
    """Run the mapping over the input stream until it is drained; return how many records it acknowledged."""
    settings = Settings(
        output_stream=OUTPUT_STREAM,
        quarantine_stream=QUARANTINE_STREAM,
        partial_responses=True,
        response_results=0,
        log_level="ERROR",
    )
    runtime = open_runtime(settings, lambda *_metrics: None)  # log lines would interrupt the picture
    columns = (TextColumn("processing", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        mapping = Mapping(
            MappingSettings(stream_name=INPUT_STREAM, batch_size=500, function_response_types=(REPORT_FAILURES,)),
            runtime.handle,
            lambda report: progress.update(task, advance=report.done),
        )
        return mapping.run(drain=True)


@contextlib.contextmanager
def _own_cloud(console: Console) -> Iterator[tuple[str, Path]]:
    """Run a local cloud on a free port during the demo, with an environment that points to it.

    Yields:
        Its URL, and the demo's only folder, which is removed at the end, also on Ctrl-C.
    """
    from devtools.cloud import supervisor  # noqa: PLC0415 - the image has no local cloud
    from devtools.cloud.process import free_ports  # noqa: PLC0415
    from devtools.cloud.state import state_dir  # noqa: PLC0415

    [port] = free_ports(1)
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="millrace-demo-") as state:
        os.environ.setdefault("MILLRACE_CLOUD_NODE_DIR", str(state_dir() / "node"))
        os.environ["MILLRACE_CLOUD_DIR"] = state
        try:
            cloud = supervisor.up(port, log=console.print)
            os.environ.update(cloud.environment)
            aws.forget()
            yield cloud.url, Path(state)
        finally:
            supervisor.down(port)
            os.environ.clear()
            os.environ.update(before)
            aws.forget()


def _rows(data: Path | None, count: int) -> tuple[list[dict[str, Any]], str]:
    """Return the rows to feed and their description: the end of a real table, unseen in training, or made-up rows."""
    if data is None:
        made_up = list(synthetic_rows(count, start=MADE_UP_START))
        return made_up, "made-up bike hire (it follows London's averages; --data takes the real table)"
    try:
        with data.open(newline="", encoding="utf-8") as file:
            table = [_typed(row) for row in csv.DictReader(file)]
    except OSError as error:
        raise SettingsError(f"{data}: cannot be read: {error.strerror}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise SettingsError(f"{data}: not the London bike-sharing table: {type(error).__name__} {error}") from None
    unseen = table[int(len(table) * (1 - UNSEEN_SHARE)) :]
    if len(unseen) < max(count, SHOWN_HOURS):
        raise SettingsError(f"{data}: its last fifth, unseen in training, has {len(unseen)} rows: ask for fewer")
    return unseen[:count], f"real rows from {data.name} ({unseen[0]['timestamp'][:10]} on, unseen in training)"


def _typed(row: dict[str, str]) -> dict[str, Any]:
    """Convert a CSV row to a record's features and the true count."""
    text = row["timestamp"]
    time_ = datetime.strptime(text, "%d/%m/%Y %H:%M") if "/" in text else datetime.fromisoformat(text)  # noqa: DTZ007
    floats = {name: float(row[name]) for name in ("t1", "t2", "hum", "wind_speed", "cnt")}
    whole = {name: int(float(row[name])) for name in ("weather_code", "is_holiday", "is_weekend", "season")}
    return {"timestamp": time_.isoformat(), **floats, **whole}


def _report(console: Console, table: list[dict[str, Any]], results: list[dict[str, Any]], true: str) -> None:
    """Show a day of predictions and of true counts, and the error over all rows."""
    predicted = {result["prediction"]["pred_id"]: result["prediction"]["cnt"] for result in results}
    pairs = [(row, predicted[number]) for number, row in enumerate(table) if number in predicted]
    if not pairs:
        return
    start = next((index for index, (row, _) in enumerate(pairs) if row["timestamp"][11:13] == "00"), 0)
    day = pairs[start : start + SHOWN_HOURS]
    most = max(max(row["cnt"], count) for row, count in day) or 1
    longest = max(0, min(BAR, console.width - BESIDE_BAR))
    shown = Table(title=f"bikes hired on {day[0][0]['timestamp'][:10]}: predicted █, {true} ▏", title_justify="left")
    for name in ("hour", "°C", "predicted", true, "error"):
        shown.add_column(name, justify="right")
    shown.add_column("")
    for row, count in day:
        bar = list("█" * round(longest * count / most) + " " * (longest + 1))[: longest + 1]
        bar[round(longest * row["cnt"] / most)] = "▏"
        error = count - row["cnt"]
        shown.add_row(
            row["timestamp"][11:16],
            f"{row['t1']:g}",
            str(count),
            f"{row['cnt']:.0f}",
            f"{error:+.0f}",
            "".join(bar),
        )
    console.print(shown)
    rmse = math.sqrt(sum((count - row["cnt"]) ** 2 for row, count in pairs) / len(pairs))
    mean = sum(row["cnt"] for row, _ in pairs) / len(pairs)
    console.print(
        f"over all {len(pairs)} rows: RMSE {rmse:.0f} at a mean of {mean:.0f} hires an hour "
        "(RMSE: the usual distance between prediction and count)",
    )
