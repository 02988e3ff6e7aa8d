"""One invocation of a handler: its context, and the logs, metrics, deadline and typed errors around it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from app import telemetry
from app.errors import HandlerFailedError, MillraceError, RequestError
from app.handlers.metrics import Metrics
from app.settings import Settings, read_settings
from app.stream.deadline import Context, Deadline, LocalContext
from app.text import sanitize_id

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

Result = TypeVar("Result")

FRAMES_LOGGED = 10  # the innermost: the line that raised, and its callers
ALARM_S = 0.1  # before the timeout: writing two lines takes a millisecond, a pause of the collector or the disk more
_SOONEST_S = 0.001  # a timer of 0 would never ring

_warnings: list[Callable[[], None]] = []  # of the invocations that run in the main thread, the innermost last
_first = threading.Lock()  # the first invocation of the process takes it and keeps it


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a handler, with everything that belongs to this call alone.

    Attributes:
        handler: The handler's name.
        request_id: Lambda's id of the invocation, or one of our own.
        correlation_id: The id of the request or record that caused this invocation; by default the request id.
        cold_start: Whether it is the first invocation in this process.
        context: Lambda's context object, or a local stand-in.
        deadline: The time after which nothing new is started: the timeout, less `DEADLINE_MARGIN_MS`.
        metrics: Counts and durations, which are written when the invocation ends.
        logger: The logger; each of its lines carries the handler's name and both ids.
        settings: The settings.
    """

    handler: str
    request_id: str
    correlation_id: str
    cold_start: bool
    context: Context
    deadline: Deadline
    metrics: Metrics
    logger: logging.Logger
    settings: Settings


@lru_cache(maxsize=1)
def process_settings() -> Settings:
    """Return the environment's settings, read once for the life of the process, and set up logs accordingly.

    Raises:
        SettingsError: A variable has a value that it cannot have.
    """
    settings = read_settings(os.environ)
    telemetry.configure(settings.log_level)
    return settings


def run(
    handler: str,
    work: Callable[[Invocation], Result],
    context: Any = None,  # noqa: ANN401 - Lambda's context has no type of its own
    *,
    correlation_id: str = "",
    log_level: str | None = None,
    settings: Settings | None = None,
) -> Result:
    """Run one invocation.

    Metrics are written however it ends: `invocations`, `cold_starts`, `success`, `failure` (counts) and `duration`
    (milliseconds), with the dimension `handler` and what the work adds. Lambda ends a function at its timeout without a
    signal, so shortly before it they are written with the count `timeouts_near`; the work goes on.

    Args:
        handler: The handler's name.
        work: The work; its result is returned.
        context: Lambda's context; without one, the invocation may take as long as Lambda's longest.
        correlation_id: The id of the request or record that caused this invocation, if the caller knows it.
        log_level: Another log level for this invocation alone.
        settings: Settings in place of the environment's.

    Raises:
        MillraceError: The work raises it on purpose; it comes without its trace, since its one line is complete.
        HandlerFailedError: The work raised something else; its type and its lines of code are logged, never its text.
    """
    settings = settings or process_settings()
    context = LocalContext() if context is None else context
    request_id = str(getattr(context, "aws_request_id", "") or "")
    correlation_id = sanitize_id(correlation_id) or request_id
    cold_start = _first.acquire(blocking=False)
    metrics = Metrics(settings.metrics_namespace, {"handler": handler})
    metrics.count("invocations")
    metrics.count("cold_starts", int(cold_start))
    invocation = Invocation(
        handler,
        request_id,
        correlation_id,
        cold_start,
        context,
        Deadline.of(context, settings.deadline_margin_ms),
        metrics,
        telemetry.logger,
        settings,
    )
    began = time.perf_counter()
    succeeded = False
    ids = {"handler": handler, "request_id": request_id, "correlation_id": correlation_id}

    def warn() -> None:
        telemetry.logger.error("not done, and the function's timeout is near: give it more time, or less to do")
        metrics.count("timeouts_near")
        metrics.flush()

    with telemetry.bound(ids, log_level), _alarm(context, warn):
        try:
            result = work(invocation)
            succeeded = True
        except MillraceError as error:
            telemetry.logger.error(*_line_of(error))
            raise error.with_traceback(None) from None
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may quote a payload
            frames = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(error.__traceback__)[-FRAMES_LOGGED:]
            ]
            telemetry.logger.error("handler failed", extra={"exception": type(error).__name__, "frames": frames})
            raise HandlerFailedError(
                f"handler {handler} failed with {type(error).__name__}; the log of request {request_id} has where"
            ) from None
        finally:
            metrics.count("success", int(succeeded))
            metrics.count("failure", int(not succeeded))
            metrics.milliseconds("duration", (time.perf_counter() - began) * 1000)
            metrics.flush()
    return result


def _line_of(error: MillraceError) -> tuple[str, str]:
    """Return an error's log line; of a refused request only the field, since the message may quote its value."""
    if isinstance(error, RequestError):
        return "request refused: %s", f"{type(error).__name__} at {error.known or 'the whole'}"
    return "%s", str(error)


def _ring(_signal: int, _frame: object) -> None:
    with contextlib.suppress(RuntimeError, IndexError):  # it rang while another line was written, or after the end
        _warnings[-1]()


@contextlib.contextmanager
def _alarm(context: Context, warn: Callable[[], None]) -> Iterator[None]:
    """Call `warn` shortly before the timeout, if the block still runs then.

    It does so only where Lambda ends invocations, and in the main thread, which alone receives signals. A native call
    that does not return in time is not interrupted.
    """
    if isinstance(context, LocalContext) or threading.current_thread() is not threading.main_thread():
        yield
        return

    before = signal.getsignal(signal.SIGALRM)
    if before is not _ring:
        signal.signal(signal.SIGALRM, _ring)
    _warnings.append(warn)
    signal.setitimer(signal.ITIMER_REAL, max(_SOONEST_S, context.get_remaining_time_in_millis() / 1000 - ALARM_S))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _warnings.pop()
        if before not in {_ring, signal.SIG_DFL, None}:  # ours stays: changing it costs 25 µs a call
            signal.signal(signal.SIGALRM, before)
