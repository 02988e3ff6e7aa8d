"""What every invocation is given, and what is done around each: logs, metrics, cold start, deadline, typed errors."""

from __future__ import annotations

import os
import threading
import time
import traceback
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from app import telemetry
from app.errors import HandlerFailedError, MillraceError, RequestError
from app.handlers.last_word import last_word
from app.handlers.metrics import Metrics
from app.settings import Settings, read_settings
from app.stream.context import LocalContext
from app.stream.deadline import Context, Deadline
from app.text import sanitize_id

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

Result = TypeVar("Result")

FRAMES_LOGGED = 10  # the innermost: where it was raised, and who called

_first = threading.Lock()  # taken by the first invocation of the process, and never given back


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a handler.

    Attributes:
        handler: The handler's name.
        request_id: Lambda's id of the invocation, or one of our own.
        correlation_id: What ties this invocation to what caused it; the request id where nothing says.
        cold_start: Whether it is the first in this process.
        context: Lambda's context object, or what stands in for it.
        deadline: When nothing new may be started: the timeout, less `DEADLINE_MARGIN_MS`.
        metrics: Counts and durations; written when the invocation ends.
        logger: Each line that it logs carries the handler's name and both ids.
        settings: What the environment says.
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
    """The environment's settings, read once for the life of the process, with logs set up as they say.

    Raises:
        SettingsError: A variable cannot be what it is.
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
    """Does one invocation's work with all that belongs around it.

    Metrics are written however it ends: `invocations`, `cold_starts`, `success`, `failure` (counts) and `duration`
    (milliseconds), under the dimension `handler`, with what the work has added. Shortly before Lambda's timeout
    they are written with `timeouts_near` besides, since nothing can be written after it.

    Args:
        handler: The handler's name.
        work: What is to be done.
        context: Lambda's context; without one, an invocation that may take as long as Lambda's longest.
        correlation_id: What caused this invocation, if the caller knows.
        log_level: Another level for this invocation alone.
        settings: Instead of the environment's.

    Raises:
        MillraceError: What the work raises on purpose, without its trace: its one line says it all.
        HandlerFailedError: The work raised something else; its type and place are logged, never its text.
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

    def say() -> None:
        telemetry.logger.error("not done, and the function's timeout is near: give it more time, or less to do")
        metrics.count("timeouts_near")
        metrics.flush()

    with telemetry.bound(ids, log_level), last_word(context, say):
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
    """An error's log line; what a request holds is not said, since a message may quote it."""
    if isinstance(error, RequestError):
        return "request refused: %s", f"{type(error).__name__} at {error.known or 'the whole'}"
    return "%s", str(error)
