"""One run of a command over one input: alerts in, faults and progress on standard error, lines out."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli.terminal import open_console
from app.domains.alerts.cli.input import STDIN, AlertInput, TextInput
from app.domains.alerts.formats.own_tables import load_own_formats
from app.domains.alerts.formats.pieces import PieceReader
from app.domains.alerts.settings import AlertSettings
from app.errors import EventError, LocationError
from app.settings import read_settings
from app.text import one_line, whole_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from app.domains.alerts.formats.pieces import InputItem
    from app.settings import Settings

MOST_FAULTS_SHOWN = 1_000  # a file of another kind has one a line; the count goes on
LONGEST_FAULT = 400  # characters of a message, which may quote the alert


class Session:
    """One run of a command over one input.

    Attributes:
        source: The input.
        settings: Those of the environment.
        console: Standard error.
        read: Alerts that were read.
        bad: Those that could not be.
    """

    def __init__(
        self,
        path: Path | None,
        tenant: str,
        format_: str,
        *,
        takes_texts: bool = False,
        given: Sequence[str] = (),
    ) -> None:
        """Open the input.

        Args:
            path: A file, or `-` or None for standard input.
            tenant: The owner of alerts that name none, or empty for `ALERTS_TENANT`.
            format_: The only format that is read, or empty.
            takes_texts: Whether a line of no format is a text to be classified.
            given: Texts that replace the file.

        Raises:
            LocationError: It cannot be opened.
            SettingsError: There is no such format, or a variable has a wrong value.
        """
        # A library's log lines would stand between the results.
        given_tenant = {"ALERTS_TENANT": tenant} if tenant else {}
        log_level = {"LOG_LEVEL": os.environ.get("LOG_LEVEL") or "ERROR"}
        self.settings: Settings = read_settings({**os.environ, **log_level, **given_tenant})
        variables = self.settings.read(AlertSettings)
        self.tenant = variables.alerts_tenant
        load_own_formats(variables.alerts_formats)
        self.source: AlertInput | TextInput = (
            TextInput(given) if given else AlertInput(path, PieceReader(format_=format_, texts=takes_texts))
        )
        self.console = open_console(stderr=True, soft_wrap=True)
        self.read = self.bad = 0

    def batches(self, *, shows_progress: bool) -> Iterator[list[InputItem]]:
        """Yield the alerts as they come; report each element that is none at once.

        Args:
            shows_progress: Whether nothing else is written to the terminal meanwhile.

        Raises:
            EventError: There was not one alert.
        """
        if self.source.path == STDIN and sys.stdin.isatty():
            self.say("reading alerts from standard input; Ctrl-D ends")
        with self._progress(shows_progress) as progress:
            task = progress.add_task("", total=self.source.size, alerts=0)
            for batch in self.source:
                good = [each for each in batch if each.fault is None]
                for each in batch:
                    if each.fault is not None:
                        self._report(each)
                self.read += len(good)
                progress.update(task, completed=self.source.position(), alerts=self.read)
                if good:
                    yield good
        if self.bad:
            self.console.print(f"{self.bad} of {self.bad + self.read} alerts could not be read", style="yellow")
        if not self.read:
            why = "none of its alerts could be read" if self.bad else "it is empty"
            raise EventError(
                f"{self.source.name}: {why}; docs/alert-formats.md has the formats, `millrace alerts sample` an example"
            )

    def say(self, text: str) -> None:
        """Print one line on standard error."""
        self.console.print(whole_line(text))

    def _report(self, each: InputItem) -> None:
        self.bad += 1
        if self.bad > MOST_FAULTS_SHOWN or each.fault is None:
            return
        where = f"{each.unit} {each.number}"
        message = one_line(each.fault.message, LONGEST_FAULT)
        self.say(f"{where}: {each.fault.reason}: {message}")
        if self.bad == MOST_FAULTS_SHOWN:
            self.say("further alerts that cannot be read are counted only")

    def _progress(self, wanted: bool) -> Progress:
        columns: tuple[Any, ...] = (TextColumn("{task.fields[alerts]:,} alerts", markup=False), TimeElapsedColumn())
        if self.source.size:
            columns = (*columns[:1], BarColumn(), DownloadColumn(), *columns[1:])
        quiet = not (wanted and self.console.is_terminal)
        return Progress(*columns, console=self.console, transient=True, disable=quiet)


@contextlib.contextmanager
def quiet_pipe() -> Iterator[None]:
    """End without a word when the reader of standard output has seen enough: `… | head`.

    Raises:
        LocationError: Standard output is closed, or nothing more can be written to it: a disk is full.
    """
    if sys.stdout is None:
        raise LocationError("standard output: it is closed; leave it open, or send it to a file")
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the unwritten rest is dropped
        if not isinstance(error, BrokenPipeError):
            raise LocationError(f"standard output: cannot be written: {error.strerror}; make room for it") from None
