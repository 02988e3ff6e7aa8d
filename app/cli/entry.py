"""Run a command so that any failure is one line on standard error and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from app.errors import MillraceError
from app.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130  # the shell's custom for Ctrl-C
BUG = 1  # Python's own code for an exception that nobody caught


def run_command(program: str, command: Callable[[], object]) -> None:
    """Run a command; an error that a user can mend is one line, with the exit code of its class.

    Any other exception is named by its type and its line of code: its text may quote a payload, and a container's log
    is no place for a stack trace.

    Args:
        program: The command's name, which begins the line.
        command: The work; it may end the process itself.
    """
    try:
        command()
    except MillraceError as error:
        sys.stderr.write(f"{program}: {printable(error.line, len(error.line), '�')}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - see above
        frame = traceback.extract_tb(error.__traceback__)[-1]
        sys.stderr.write(f"{program}: {type(error).__name__} at {frame.filename}:{frame.lineno}\n")
        sys.exit(BUG)
