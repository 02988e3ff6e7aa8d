"""Lambda's context object, for invocations that Lambda does not make.

What it has: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html. Nothing is asked of AWS for it.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_TIMEOUT_S = 900.0  # Lambda's own limit
DEFAULT_MEMORY_MB = "128"  # Lambda's own default


class LocalContext:
    """What Lambda's context object tells of an invocation.

    Attributes:
        aws_request_id: The invocation's id.
        function_name: `AWS_LAMBDA_FUNCTION_NAME`, or `local`.
        function_version: `AWS_LAMBDA_FUNCTION_VERSION`, or `$LATEST`.
        invoked_function_arn: `AWS_LAMBDA_FUNCTION_ARN`, or one that says `local`.
        memory_limit_in_mb: `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, in MiB.
        log_group_name: `AWS_LAMBDA_LOG_GROUP_NAME`, or as Lambda names it.
        log_stream_name: `AWS_LAMBDA_LOG_STREAM_NAME`, or `local`.
    """

    def __init__(
        self, timeout_s: float = LONGEST_TIMEOUT_S, environ: Mapping[str, str] = os.environ, request_id: str = ""
    ) -> None:
        """Starts the invocation's clock.

        Args:
            timeout_s: Seconds that the invocation may take.
            environ: Where the rest is read from.
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
