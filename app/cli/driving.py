"""Run a mapping from the command line: the pipeline in this process, a loop until Ctrl-C, a line a batch."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.terminal import Watched, configure_logs, counted, note
from app.errors import SettingsError
from app.registry import open_runtime
from app.settings import read_settings

if TYPE_CHECKING:
    from types import FrameType

    from app.stream.mapping import BatchReport, Mapping, MappingSettings
    from app.stream.runtime import Runtime


CheckpointPath = Annotated[
    Path | None,
    typer.Option(help="A file that keeps how far each shard was processed, to go on from there.", show_default=False),
]


def open_here(settings: MappingSettings) -> Runtime:
    """Open the pipeline that the environment names, in this process, and check the streams that it writes to.

    Args:
        settings: The mapping's: whether it honours partial responses, and how long an invocation may take.

    Raises:
        SettingsError: The deadline's margin leaves no time, results would come back to the stream, or a setting has a
            wrong value.
        CloudError: A stream that is written to cannot be used.
    """
    given = read_settings({"PARTIAL_RESPONSES": str(settings.reports_failures), **os.environ})
    if given.deadline_margin_ms >= settings.timeout * 1000:
        raise SettingsError(
            f"DEADLINE_MARGIN_MS is {given.deadline_margin_ms}: set less than --timeout, {settings.timeout:g} s"
        )
    configure_logs(given.log_level)
    runtime = open_runtime(given)
    runtime.check_source(settings.stream)
    if not given.test_run:
        runtime.check_destinations()
    return runtime


def drive(mapping: Mapping, *, drain: bool) -> None:
    """Run a mapping; Ctrl-C ends it after the batch in hand, a second one at once."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        note("stopping after the batch in hand; again to stop at once")
        mapping.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    acknowledged = mapping.run(drain=drain)
    more = [
        f"{count} {outcome}"
        for count, outcome in ((mapping.filtered, "filtered out"), (mapping.discarded, "discarded"))
        if count
    ]
    note(", ".join([f"{counted(acknowledged, 'record')} acknowledged", *more]))


def show_batch(report: BatchReport, watched: Watched | None = None) -> None:
    """Show a person one line about a batch.

    Args:
        report: The mapping's report of it.
        watched: The handler that was called, if it is in this process: it knows results, reasons and lag.
    """
    records = counted(report.records, "record") if report.records else "a window's final invocation"
    fault = report.answer.fault if report.answer else None
    if watched and not fault:
        parts = [f"{report.shard_id}: {watched.line}"]
    else:
        done = f"{report.done} done" if report.done < report.records else "done"
        parts = [f"{report.shard_id}: {records}", f"{report.event_bytes} bytes", fault or done]
        parts.append(f"{report.seconds * 1000:.0f} ms")
    if report.discarded:
        parts.append(f"{report.records - report.done} given up: {report.discarded}")
    note(", ".join(parts))
