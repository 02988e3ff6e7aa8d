"""Time: how much of it an invocation has left, and the clock of whatever waits."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from app.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WITHOUT_CONTEXT_S = 60.0  # a call by hand has no timeout; a minute ends a hopeless retry and outlasts a throttle
LONGEST_TIMEOUT_S = 900.0  # Lambda's own limit
DEFAULT_MEMORY_MB = "128"  # Lambda's own default


class Context(Protocol):
    """The part of Lambda's context object that Millrace reads."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""


class Deadline:
    """A moment after which nothing new is started."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Set the moment `seconds` from now on a clock."""
        self._clock = clock
        self._at_s = clock() + seconds

    @classmethod
    def of(cls, context: Context | None, margin_ms: int, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """Return the deadline of an invocation: its timeout, less a margin for committing and answering."""
        if context is None:
            return cls(WITHOUT_CONTEXT_S, clock)
        return cls((context.get_remaining_time_in_millis() - margin_ms) / 1000, clock)

    def earlier(self, seconds: float) -> Deadline:
        """Return the deadline that comes `seconds` before this one."""
        return Deadline(self.remaining_s() - seconds, self._clock)

    def now_s(self) -> float:
        """Return the time on the deadline's clock, in seconds."""
        return self._clock()

    def remaining_s(self) -> float:
        """Return the seconds left, 0 when the moment has passed."""
        return max(0.0, self._at_s - self._clock())


class LocalContext:
    """Lambda's context object, for invocations that Lambda does not make; nothing is asked of AWS for it.

    The format: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html.

    Attributes:
        aws_request_id: The invocation's id.
        function_name: `AWS_LAMBDA_FUNCTION_NAME`, or `local`.
        function_version: `AWS_LAMBDA_FUNCTION_VERSION`, or `$LATEST`.
        invoked_function_arn: `AWS_LAMBDA_FUNCTION_ARN`, or one that says `local`.
        memory_limit_in_mb: `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, in MiB.
        log_group_name: `AWS_LAMBDA_LOG_GROUP_NAME`, or the name that Lambda would give.
        log_stream_name: `AWS_LAMBDA_LOG_STREAM_NAME`, or `local`.
    """

    def __init__(
        self, timeout_s: float = LONGEST_TIMEOUT_S, environ: Mapping[str, str] = os.environ, request_id: str = ""
    ) -> None:
        """Start the invocation's clock.

        Args:
            timeout_s: Seconds that the invocation may take.
            environ: The variables of the other attributes.
            request_id: The invocation's id; one is made up without it.
        """
        self._ends_s = time.monotonic() + timeout_s
        self.aws_request_id = request_id or str(uuid.uuid4())
        self.function_name = name = environ.get("AWS_LAMBDA_FUNCTION_NAME") or "local"
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION") or "$LATEST"
        self.invoked_function_arn = (
            environ.get("AWS_LAMBDA_FUNCTION_ARN") or f"arn:aws:lambda:local:000000000000:function:{name}"
        )
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") or DEFAULT_MEMORY_MB
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME") or f"/aws/lambda/{name}"
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME") or "local"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the invocation would be ended."""
        return max(0, int((self._ends_s - time.monotonic()) * 1000))


class Clock(Protocol):
    """The clock of code that waits, which a test replaces so that it need not wait."""

    def time(self) -> float:
        """Return the seconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


class ServiceClock:
    """The time of a service, from the `Date` of its answers: this machine's own clock may be wrong.

    It is never ahead of the service's: a `Date` has whole seconds, the rest cut off, and is as old as its way here.
    """

    def __init__(self, service: str, clock: Clock = SYSTEM_CLOCK) -> None:
        """Take the service's name, for errors, and the clock that counts the seconds since an answer."""
        self._service, self._clock = service, clock
        self._ahead_s: float | None = None  # of the monotonic clock

    def note(self, answer: Mapping[str, Any]) -> None:
        """Take the time from an answer of botocore's."""
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        with contextlib.suppress(ValueError):  # without a date in this answer that of an earlier one holds
            self._ahead_s = parsedate_to_datetime(date).timestamp() - self._clock.monotonic()

    def time(self, at_s: float | None = None) -> float:
        """Return the service's seconds since 1970, now or at a time of the monotonic clock.

        Raises:
            CloudError: No answer had a date.
        """
        if self._ahead_s is None:
            raise CloudError(
                f"{self._service}: answers without a Date, so its time is not known: is it behind a proxy?"
            )
        return self._ahead_s + (self._clock.monotonic() if at_s is None else at_s)
