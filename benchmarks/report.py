"""Print the tables and the aims, and return all results as JSON."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.aggregation import OUTPUT_BYTES, OUTPUTS
from benchmarks.aims import aims
from benchmarks.alerts_report import show_alerts
from benchmarks.api_report import show_api
from benchmarks.contract import FLOOR, LATENCY_MS, MILLRACE
from benchmarks.throughput import ACKNOWLEDGED, CPU
from benchmarks.words import megabytes, milliseconds, times

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.aggregation import Sent
    from benchmarks.put_records import Call
    from benchmarks.results import Results
    from benchmarks.throughput import Figure

WIDTH = 112  # columns that the widest table takes; a narrower terminal wraps it
PACKAGES = (
    "aws-lambda-powertools", "boto3", "botocore", "mlflow", "msgspec", "numpy", "onnxruntime", "pandas", "pydantic",
    "scikit-learn",
)  # fmt: skip
_TITLES = {
    CPU: "raw event bytes to response bytes, requests signed but not sent; ratios of CPU",
    ACKNOWLEDGED: "raw event bytes to acknowledged PutRecords, 15 ms a call; ratios of the wall clock",
}


def machine() -> dict[str, Any]:
    """Return the date and a description of the machine and its software."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processor": model,
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def show(results: Results, console: Console) -> None:
    """Print the tables and the aims."""
    for part, model in dict.fromkeys((figure.part, figure.model) for figure in results.figures):
        console.print(_throughput([each for each in results.figures if (each.part, each.model) == (part, model)]))
    if any(figure.measured_records < figure.records for figure in results.figures):
        console.print("≈ measured with fewer records, named in the last column, and scaled up", highlight=False)
    if results.floor and results.figures:
        console.print(f"no floor: {results.floor}", highlight=False)
    if results.figures:
        console.print(f"{results.agreed} predictions compared before timing; all agreed", highlight=False)
    if results.starts:
        console.print(_starts(results))
        size = f"{results.image}: {results.image_mb:.0f} MB" if results.image_mb is not None else results.image
        console.print(f"image: {size}", highlight=False)
    if results.calls:
        console.print(_calls(results.calls))
    if results.aggregation:
        console.print(_aggregation(results.aggregation))
    show_api(results.api, console)
    show_alerts(results.alerts, console)
    if (table := _aims(results)).row_count:
        console.print(table)


def _aims(results: Results) -> Table:
    table = Table(title="aims", title_justify="left")
    for name in ("aim", "found", ""):
        table.add_column(name)
    for aim in aims(results):
        table.add_row(aim.text, aim.found, {True: "met", False: "[bold]not met[/]", None: "unknown"}[aim.met])
    return table


def _throughput(figures: list[Figure]) -> Table:
    table = Table(title=f"{figures[0].model}: {_TITLES[figures[0].part]}", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("records", "CPU ms", "wall ms", "/ floor", "vs (b)", "vs (s)", "passes", "of"):
        table.add_column(name, justify="right")
    for number, figure in enumerate(figures):
        if number and figure.event != figures[number - 1].event:
            table.add_section()
        about = "≈" if figure.measured_records < figure.records else ""
        style = "bold" if figure.candidate == MILLRACE else "dim" if figure.candidate == FLOOR else ""
        table.add_row(
            figure.title,
            f"{figure.records:,}",
            about + milliseconds(figure.cpu_ms),
            about + milliseconds(figure.wall_ms),
            times(figure.times_floor),
            times(figure.vs_powertools),
            times(figure.vs_sequential),
            str(figure.passes),
            f"{figure.measured_records:,}" if about else "",
            style=style,
        )
    return table


def _starts(results: Results) -> Table:
    table = Table(
        title="starting a process; (a2) starts as (c) does, (b2) as (b); a full event with the network stubbed",
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for name in ("import ms", "INIT ms", "INIT CPU", "MB then", "event ms", "MB after", "peak MB"):
        table.add_column(name, justify="right")
    for start in results.starts:
        table.add_row(
            start.title,
            start.model,
            milliseconds(start.import_ms),
            milliseconds(start.init_ms),
            milliseconds(start.init_cpu_ms),
            megabytes(start.ready_mb),
            milliseconds(start.event_ms),
            megabytes(start.after_mb),
            megabytes(start.peak_mb),
            style="bold" if start.candidate == MILLRACE else "",
        )
    return table


def _calls(calls: list[Call]) -> Table:
    table = Table(title="one PutRecords call of 500 records, CPU ms", title_justify="left")
    for name in ("bytes a record", "botocore's client", "signed request", "ratio"):
        table.add_column(name, justify="right")
    for call in calls:
        ratio = call.generated_ms / call.signed_ms
        table.add_row(
            f"{call.record_bytes:,}", milliseconds(call.generated_ms), milliseconds(call.signed_ms), f"{ratio:.1f}"
        )
    return table


def _aggregation(rows: list[Sent]) -> Table:
    table = Table(title=f"{OUTPUTS:,} outputs of {OUTPUT_BYTES} bytes, {LATENCY_MS} ms a call", title_justify="left")
    for name in ("keys", "aggregated", "calls", "records", "units of 25 KB", "s"):
        table.add_column(name, justify="right")
    for row in rows:
        counts = [f"{each:,}" for each in (row.calls, row.records, row.units)]
        table.add_row(f"{row.keys:,}", "yes" if row.aggregated else "no", *counts, f"{row.wall_s:.2f}")
    return table


def as_json(results: Results) -> dict[str, Any]:
    """Return all results as values for a JSON file."""
    return {"machine": machine(), **asdict(results), "aims": [asdict(aim) for aim in aims(results)]}
