"""Run a command: any failure is one line on standard error and an exit code, and all output is printable."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

from app.errors import MillraceError
from app.text import escaped_in_json, printable_lines, whole_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typer import TyperException

INTERRUPTED = 130  # the shell's custom for Ctrl-C
ESCAPED = "millrace.escaped"
"""How to write a letter that a stream's encoding does not have (`PYTHONIOENCODING=ascii`): as JSON may have it."""
BUG = 1  # Python's own code for an exception that nobody caught


class PrintableStream:
    """A text stream that holds no unprintable characters but line ends and tabs, whoever writes to it.

    It is the net below `app/cli/terminal.py`, for texts that others write: Typer, a library's warnings, a pipeline of
    one's own.
    """

    def __init__(self, stream: TextIO) -> None:
        """Take the stream to write to."""
        self._stream = stream

    @property
    def rich_proxied_file(self) -> TextIO:
        """Return the stream itself: rich writes its colours to it, and `PrintableConsole` only printable texts."""
        return self._stream

    def write(self, text: str) -> int:
        """Write a text, made printable."""
        return self._stream.write(printable_lines(text))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, made printable."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        """Return anything else from the stream."""
        return getattr(self._stream, name)


def run_command(program: str, command: Callable[[], object]) -> None:
    """Run a command; an error that a user can mend is one line, with the exit code of its class.

    Any other exception is named by its type and its line of code: its text may quote a payload, and a container's log
    is no place for a stack trace.

    Args:
        program: The command's name, which begins the line.
        command: The work; it may end the process itself, return an exit code, or raise Typer's errors.
    """
    codecs.register_error(ESCAPED, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)
    with contextlib.ExitStack() as streams:
        if sys.stdout is not None:  # a shell's `>&-` leaves none
            streams.enter_context(contextlib.redirect_stdout(PrintableStream(sys.stdout)))
        if sys.stderr is not None:
            streams.enter_context(contextlib.redirect_stderr(PrintableStream(sys.stderr)))
        line, code = _failure(command)
        if line and sys.stderr is not None:
            sys.stderr.write(f"{program}: {whole_line(line)}\n")
        sys.exit(code)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return escaped_in_json(error.object[error.start : error.end]), error.end


def _failure(command: Callable[[], object]) -> tuple[str, int]:
    """Run a command and return the line of its failure, if it failed, and its exit code."""
    try:
        code = command()
    except MillraceError as error:
        return error.line, error.exit_code
    except KeyboardInterrupt:
        return "", INTERRUPTED
    except Exception as error:  # noqa: BLE001 - see `run_command`
        from typer import TyperException  # noqa: PLC0415 - Ctrl-C while it loads is no stack trace either

        if isinstance(error, TyperException):
            return _usage(error), error.exit_code
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {frame.filename}:{frame.lineno}", BUG
    return "", code if isinstance(code, int) else 0


def _usage(error: TyperException) -> str:
    """Return the line of a wrong command line; none where the help was printed instead."""
    line, context = error.format_message().rstrip("."), getattr(error, "ctx", None)
    return f"{line}; see {context.command_path} --help" if line and context else line
