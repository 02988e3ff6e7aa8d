"""Show results: tables that keep to the terminal's width, JSON for other programs, and a person's line an invocation.

Every command prints through these functions, which make texts from outside printable. Standard output has results
alone; notes and progress go to standard error. At a terminal standard error is for a
person: one line an invocation in place of its metrics, and log lines without JSON. In a pipe it has what CloudWatch
would get.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment

from app import telemetry
from app.settings import read_log_level
from app.text import json_text, printable_lines, whole_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.console import ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

PIPE_WIDTH = 260  # columns where another program reads: ids and qualified names are there to be copied whole
OWN_COUNTS = ("records", "emitted", "skipped", "quarantined", "retried", "will_repeat")
"""The counts of `Runtime` that `invocation_line` words itself."""
MAX_AGE_MS = 366 * 86_400_000.0  # streams keep records for a year at most: an older one is an example, and has no lag
_HANDLER_COUNTS = {"invocations", "cold_starts", "success", "failure"}
_SHOWN_EXTRA = (str, int, float)


class PrintableConsole(Console):
    """A console on which texts from outside are texts alone: no markup, no link, no control character."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        """Make rich's text of a printable one, so that its width is that of what is shown."""
        return super().render_str(printable_lines(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render anything; what rich writes itself, such as colours and movements of the cursor, is no text."""
        for each in super().render(renderable, options):
            if each.control:
                yield each
            else:
                style = each.style.update_link(None) if each.style and each.style.link else each.style
                yield Segment(printable_lines(each.text), style)

    def on_broken_pipe(self) -> None:
        """Let the error through, where `Console` would end the process with 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def open_console(*, stderr: bool = False, soft_wrap: bool = False) -> PrintableConsole:
    """Return standard output or standard error for a person: as wide as its window, or wide where there is none."""
    stream = sys.stderr if stderr else sys.stdout
    return PrintableConsole(
        file=getattr(stream, "rich_proxied_file", stream),  # beside the filter of `run_command`: see `PrintableStream`
        width=None if stream.isatty() else PIPE_WIDTH,
        soft_wrap=soft_wrap,
        markup=False,
        emoji=False,
        highlight=False,
    )


def is_watched() -> bool:
    """Return whether a person at a terminal reads standard error."""
    return sys.stderr.isatty()


def print_table(*tables: Table) -> None:
    """Print tables within the terminal's width; where another program reads, no cell is cut short."""
    out = open_console()
    for table in tables:
        out.print(table)


def print_line(line: str) -> None:
    """Print a line of a result."""
    sys.stdout.write(whole_line(line) + "\n")


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


def print_json_line(value: object) -> None:
    """Print a value as JSON on one line; `msgspec.Raw` is JSON already."""
    sys.stdout.write(json_text(value) + "\n")


def note(line: str) -> None:
    """Show the person something besides the results."""
    telemetry.write_line(line)


def counted(number: float, noun: str) -> str:
    """Return a number and its noun, in the plural where it needs one."""
    return f"{number:.10g} {noun}{'s' * (number != 1)}"


class PlainLine(logging.Formatter):
    """A log record for a person: level, message, the short ones of its `extra` fields, where a handler failed."""

    _standard = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; like in the JSON line, an exception is named by its type alone."""
        extra = {name: value for name, value in vars(record).items() if name not in self._standard}
        if record.exc_info and record.exc_info[0]:
            extra["exception"] = record.exc_info[0].__name__
        shown = ", ".join(f"{name} {value}" for name, value in extra.items() if isinstance(value, _SHOWN_EXTRA))
        line = f"{record.levelname.lower()}: {record.getMessage()}{f' ({shown})' if shown else ''}"
        return "\n  at ".join(map(whole_line, (line, *map(str, extra.get("frames", ())))))


def configure_logs(level: str | None = None) -> None:
    """Send logs to standard error: plain lines at a terminal, JSON elsewhere.

    Args:
        level: The least level that is shown; by default the environment's.

    Raises:
        SettingsError: The environment asks for a level that is none.
    """
    telemetry.configure(level or read_log_level(os.environ))
    if is_watched():
        for handler in telemetry.logger.handlers:
            handler.setFormatter(PlainLine())


class Watched:
    """Calls a handler and keeps a line about the last call for a person, in place of writing its metrics."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        """Take a handler of events: (event, context)."""
        self._handler, self.line = handler, ""

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401 - an event and a context, handed on
        """Call the handler and set `line`, also when it raises."""
        counts: dict[str, float] = {}
        milliseconds: dict[str, float] = {}

        def keep(_namespace: str, _dimensions: Mapping[str, str], *numbers: Mapping[str, float]) -> None:
            counts.update(numbers[0])
            milliseconds.update(numbers[1])

        answer: Any = None
        try:
            with telemetry.metrics_to(keep):
                answer = self._handler(*arguments)
        finally:
            self.line = invocation_line(counts, milliseconds, answer)
        return answer


def invocation_line(counts: Mapping[str, float], milliseconds: Mapping[str, float], answer: object = None) -> str:
    """Describe an invocation in a line: records, results, records set aside and why, time, lag.

    Args:
        counts: Its metrics that count something.
        milliseconds: Its metrics that measure time; `iterator_age` is how old the last record was when it was done.
        answer: The handler's return; its `quarantined` list has the reasons.
    """
    parts = []
    if counts.get("records") is not None:
        results = counted(counts.get("emitted", 0), "result")
        computed = answer.get("predictions") if isinstance(answer, dict) else None
        if computed and not counts.get("emitted"):
            results = f"{counted(len(computed), 'result')}, none published"  # TEST_RUN
        parts.append(f"{counted(counts['records'], 'record')} → {results}")
    if counts.get("quarantined"):
        parts.append(f"{counts['quarantined']:.10g} set aside{_reasons(answer)}")
    for name, words in (("skipped", "skipped"), ("retried", "to come again"), ("will_repeat", "results will repeat")):
        if counts.get(name):
            parts.append(f"{counts[name]:.10g} {words}")
    others = {name: value for name, value in counts.items() if name not in {*OWN_COUNTS, *_HANDLER_COUNTS} and value}
    parts += [f"{value:.10g} {name.replace('_', ' ')}" for name, value in others.items()]
    spent = milliseconds.get("duration") or sum(milliseconds.get(name, 0) for name in ("decode", "predict", "emit"))
    parts.append(f"{spent:.0f} ms")
    if milliseconds.get("iterator_age", math.inf) < MAX_AGE_MS:
        parts.append(f"lag {_duration(milliseconds['iterator_age'] / 1000)}")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    """Return a duration in the largest unit of which there are at least two."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"


def _reasons(answer: object) -> str:
    """Return the reasons of the quarantined records that an answer holds, each with its count, in brackets."""
    quarantined = answer.get("quarantined") if isinstance(answer, dict) else None
    reasons = Counter(str(each.get("reason")) for each in quarantined or () if isinstance(each, dict))
    return f" ({', '.join(f'{number} {reason}' for reason, number in reasons.most_common())})" if reasons else ""
