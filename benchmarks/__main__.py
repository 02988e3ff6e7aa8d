"""Measure Millrace and its peers: `python -m benchmarks`, which `millrace bench` and `scripts/bench.sh` call."""

from __future__ import annotations

import os
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

# One thread for every candidate; numpy and scikit-learn read this when they are imported.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MLFLOW_DISABLE_TELEMETRY="true")

import msgspec
import typer
from rich.console import Console

from app.errors import MillraceError, SettingsError
from benchmarks import report
from benchmarks.aggregation import measure_aggregation
from benchmarks.alerts import measure_alerts
from benchmarks.alerts_contract import QUICK_SIZES, AlertOptions, Sizes
from benchmarks.alerts_texts import RULES
from benchmarks.api import measure_api
from benchmarks.floor.build import build
from benchmarks.models import LINEAR, TREES, write_models
from benchmarks.processes import environment, start_server
from benchmarks.put_records import measure_calls
from benchmarks.results import Results
from benchmarks.rounds import QUICK, Effort
from benchmarks.start import image_size, measure_starts
from benchmarks.throughput import ACKNOWLEDGED, CPU, Throughput, write_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.throughput import Event


class Part(StrEnum):
    """A part of the benchmark that can be measured by itself."""

    CPU = CPU
    ACKNOWLEDGED = ACKNOWLEDGED
    START = "start"
    PUT_RECORDS = "put-records"
    AGGREGATION = "aggregation"
    API = "api"
    ALERTS = "alerts"


Parts = Annotated[list[Part] | None, typer.Argument(help="The parts to measure; without it, all of them.")]
Quick = Annotated[bool, typer.Option("--quick", help="One pass of each: checks that it works, not how fast it is.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write all results to this file.")]
Image = Annotated[str, typer.Option(envvar="MILLRACE_IMAGE", help="Millrace's image, to report its size.")]
Rounds = Annotated[int, typer.Option(min=1, help="Turns of each candidate, of a quarter of a second or one pass.")]
Data = Annotated[
    Path | None,
    typer.Option(envvar="BENCH_DATA", help="A folder with the rules' file and the AIT-ADS files, for the alerts part."),
]
Most = Annotated[
    int | None, typer.Option(min=1000, help="The most alerts to measure; by default a million, 100,000 with --quick.")
]


def bench(
    parts: Parts = None,
    *,
    quick: Quick = False,
    json: JsonFile = None,
    image: Image = "",
    rounds: Rounds = Effort.rounds,
    data: Data = None,
    most: Most = None,
) -> None:
    """Measure Millrace and its peers in one run, and print medians, ratios and aims.

    This takes about twelve minutes, and longer for the alerts the more --most allows. benchmarks/README.md explains
    each row.
    """
    if json is not None and not json.absolute().parent.is_dir():
        raise SettingsError(f"--json {json}: its folder does not exist: make it first")
    if data is not None and not (data / RULES).is_file():
        raise SettingsError(f"--data {data}: has no {RULES}: name the folder with that file, or leave --data out")
    effort, sizes = (QUICK, QUICK_SIZES) if quick else (Effort(rounds=rounds), Sizes())
    progress = Console(stderr=True)
    alerts = AlertOptions(sizes.up_to(most) if most else sizes, data and data.absolute())
    results = measure(
        parts or list(Part), effort, image, alerts, lambda text: progress.print(f"[dim]{text}[/]", highlight=False)
    )
    machine = report.machine()
    console = Console()
    console.width = max(console.width, report.WIDTH)
    heading = f"{machine['date']}, {machine['processors']} x {machine['processor']}, Python {machine['python']}"
    console.print(f"{heading}, load {machine['load']}", highlight=False)
    report.show(results, console)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report.as_json(results)), indent=2) + b"\n")


def measure(parts: list[Part], effort: Effort, image: str, alerts: AlertOptions, log: Callable[[str], None]) -> Results:
    """Measure these parts and return all results."""
    results = Results()
    server, url = start_server()
    with server, tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        folder = Path(name)
        if Part.PUT_RECORDS in parts:
            log("one PutRecords call")
            results.calls = measure_calls(environment(folder, url), effort)
        if Part.AGGREGATION in parts:
            log("aggregated outputs")
            results.aggregation = measure_aggregation()
        if Part.API in parts:
            results.api = measure_api(folder, effort, quick=effort is QUICK, log=log)
        if Part.ALERTS in parts:
            results.alerts = measure_alerts(folder, effort, alerts, quick=effort is QUICK, log=log)
        if {Part.CPU, Part.ACKNOWLEDGED, Part.START} & set(parts):
            log("writing events and building the floor")
            events = write_events(folder)
            floor, results.floor = build(folder)
            for kind in (LINEAR, TREES):
                log(f"{kind}: fitting the model")
                model_folder = write_models(kind, folder)
                if {Part.CPU, Part.ACKNOWLEDGED} & set(parts):
                    throughput = Throughput(kind, model_folder, url, floor if kind == LINEAR else None, log)
                    _measure_throughput(throughput, parts, events, effort, results)
                if Part.START in parts:
                    results.starts += measure_starts(kind, model_folder, url, events[-1], effort=effort, log=log)
        if Part.START in parts:
            results.image_mb, results.image = image_size(image)
    return results


def _measure_throughput(
    throughput: Throughput, parts: list[Part], events: list[Event], effort: Effort, results: Results
) -> None:
    try:
        results.agreed += throughput.check_agreement(events, effort)
        for part in (Part.CPU, Part.ACKNOWLEDGED):
            if part in parts:
                results.figures += throughput.measure(part, events, effort)
    finally:
        throughput.close()


def main() -> None:
    """Run the command; print an error that a user can mend as one line, and exit with its code, as `millrace` does."""
    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    cli.command(context_settings={"help_option_names": ["--help", "-h"]})(bench)
    try:
        cli(prog_name="millrace bench")
    except MillraceError as error:
        sys.stderr.write(f"millrace: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
