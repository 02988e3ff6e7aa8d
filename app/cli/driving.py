"""What `run` and `mapping` share: the handler in this process, and a mapping that runs until Ctrl-C."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from app.errors import SettingsError
from app.registry import open_runtime
from app.settings import read_settings

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console

    from app.stream.mapping import Mapping, MappingSettings
    from app.stream.runtime import Measure, Runtime


def open_here(settings: MappingSettings, measure: Measure) -> Runtime:
    """The pipeline that the environment names, in this process, with its destinations asked for.

    Args:
        settings: The mapping's: whether it honours partial responses, and how long an invocation may take.
        measure: Takes each batch's metrics.

    Raises:
        SettingsError: The deadline's margin leaves no time, or a setting cannot be what it is.
        CloudError: A stream that is written to cannot be used.
    """
    given = read_settings({"PARTIAL_RESPONSES": str(settings.reports_failures), **os.environ})
    if given.deadline_margin_ms >= settings.timeout * 1000:
        raise SettingsError(
            f"DEADLINE_MARGIN_MS is {given.deadline_margin_ms}: set less than --timeout, {settings.timeout:g} s"
        )
    runtime = open_runtime(given, measure)
    if not given.test_run:
        runtime.check_destinations()
    return runtime


def drive(mapping: Mapping, console: Console, *, drain: bool) -> None:
    """Runs a mapping; Ctrl-C ends it after the batch in hand, a second one at once."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        console.print("stopping after the batch in hand; again to stop at once", highlight=False)
        mapping.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    acknowledged = mapping.run(drain=drain)
    more = [
        f"{count} {what}"
        for count, what in ((mapping.filtered, "filtered out"), (mapping.discarded, "discarded"))
        if count
    ]
    console.print(", ".join([f"{acknowledged} records acknowledged", *more]), highlight=False)
