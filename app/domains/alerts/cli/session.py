"""What the commands of alerts share: alerts in, faults and progress on standard error, lines out."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from app.domains.alerts.cli.input import STDIN, AlertInput, TextInput
from app.domains.alerts.formats.pieces import PieceReader
from app.domains.alerts.settings import AlertSettings
from app.errors import EventError, LocationError
from app.settings import read_settings
from app.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from app.domains.alerts.formats.pieces import InputItem
    from app.settings import Settings

MOST_FAULTS_TOLD = 1_000  # a file of another kind has one a line; the count goes on
LONGEST_FAULT = 400  # characters of a message, which may quote the alert


class Session:
    """One run of a command over one input.

    Attributes:
        source: The input.
        settings: What the environment says.
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
        """Opens the input.

        Args:
            path: A file, or `-` or None for standard input.
            tenant: Whose the alerts are that do not say, or empty for what the environment says.
            format_: The only format that is read, or empty.
            takes_texts: Whether a line of no format is a text to be classified.
            given: Texts that take the file's place.

        Raises:
            LocationError: It cannot be opened.
            SettingsError: The format, or a variable, cannot be what it is.
        """
        # What a library logs would stand between the lines; faults are told here.
        given_tenant = {"ALERTS_TENANT": tenant} if tenant else {}
        log_level = {"LOG_LEVEL": os.environ.get("LOG_LEVEL") or "ERROR"}
        self.settings: Settings = read_settings({**os.environ, **log_level, **given_tenant})
        self.tenant = self.settings.read(AlertSettings).alerts_tenant
        self.source: AlertInput | TextInput = (
            TextInput(given) if given else AlertInput(path, PieceReader(format_=format_, texts=takes_texts))
        )
        self.console = Console(stderr=True, soft_wrap=True)
        self.read = self.bad = 0

    def batches(self, *, shows_progress: bool) -> Iterator[list[InputItem]]:
        """The alerts as they come; what is none is told at once.

        Args:
            shows_progress: Whether nothing else is written to the terminal meanwhile.

        Raises:
            EventError: There was not one alert.
        """
        if self.source.path == STDIN and sys.stdin.isatty():
            self.console.print("reading alerts from standard input; Ctrl-D ends", highlight=False)
        with self._progress(shows_progress) as progress:
            task = progress.add_task("", total=self.source.size, alerts=0)
            for batch in self.source:
                good = [each for each in batch if each.fault is None]
                for each in batch:
                    if each.fault is not None:
                        self._tell(each)
                self.read += len(good)
                progress.update(task, completed=self.source.position(), alerts=self.read)
                if good:
                    yield good
        if self.bad:
            self.console.print(
                f"{self.bad} of {self.bad + self.read} alerts could not be read", style="yellow", highlight=False
            )
        if not self.read:
            why = "none of its alerts could be read" if self.bad else "it is empty"
            raise EventError(
                f"{self.source.name}: {why}; docs/alert-formats.md has the formats, `millrace alerts sample` an example"
            )

    def say(self, text: str) -> None:
        """One line on standard error."""
        self.console.print(text, highlight=False, markup=False)

    def _tell(self, each: InputItem) -> None:
        self.bad += 1
        if self.bad > MOST_FAULTS_TOLD or each.fault is None:
            return
        where = f"{each.unit} {each.number}"
        said = one_line(each.fault.message, LONGEST_FAULT)
        self.console.print(Text(f"{where}: {each.fault.reason}: {said}"))
        if self.bad == MOST_FAULTS_TOLD:
            self.console.print("further alerts that cannot be read are counted only")

    def _progress(self, wanted: bool) -> Progress:
        columns: tuple[Any, ...] = (TextColumn("{task.fields[alerts]:,} alerts"), TimeElapsedColumn())
        if self.source.size:
            columns = (*columns[:1], BarColumn(), DownloadColumn(), *columns[1:])
        quiet = not (wanted and self.console.is_terminal)
        return Progress(*columns, console=self.console, transient=True, disable=quiet)


def write_line(value: object) -> None:
    """A value as a line of JSON on standard output; bytes are JSON already."""
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    sys.stdout.buffer.write(data + b"\n")


def flush() -> None:
    """Hands on what was written, so that a pipe's reader has it at once."""
    sys.stdout.buffer.flush()


class Output(Console):
    """Standard output for a person; a reader that has seen enough is `quiet_pipe`'s affair, not an error of its own."""

    def on_broken_pipe(self) -> None:
        """Lets the error through, where `Console` would end the process with 1."""
        raise BrokenPipeError


@contextlib.contextmanager
def quiet_pipe() -> Iterator[None]:
    """Ends without a word when the reader of standard output has seen enough: `… | head`.

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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is not yet written goes nowhere
        if not isinstance(error, BrokenPipeError):
            raise LocationError(f"standard output: cannot be written: {error.strerror}; make room for it") from None
