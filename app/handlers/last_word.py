"""A last word before Lambda ends an invocation whose time is over: what was measured so far is not lost with it.

Lambda ends a function at its timeout without a signal, so nothing can be written then. An alarm shortly before it can
write, and changes nothing else: the work goes on, and may yet be done in time.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

from app.stream.context import LocalContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.stream.deadline import Context

LAST_WORD_S = (
    0.1  # before the timeout: writing two lines takes a millisecond, a collector's pause or a paged-out heap more
)
SOON_S = 0.001  # a timer of 0 would never ring


@contextlib.contextmanager
def last_word(context: Context, say: Callable[[], None]) -> Iterator[None]:
    """Calls `say` shortly before the timeout, if the block still runs then.

    Only where Lambda ends invocations, and in the main thread, which alone hears signals. A native call that does not
    return in time is not interrupted.
    """
    if isinstance(context, LocalContext) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signal: int, _frame: object) -> None:
        with contextlib.suppress(RuntimeError):  # it rang in the middle of another line's writing
            say()

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(SOON_S, context.get_remaining_time_in_millis() / 1000 - LAST_WORD_S))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
