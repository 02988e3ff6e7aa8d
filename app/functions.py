"""The start of a Lambda function: what the stream, the API and the router have in common.

By default Lambda's runtime interface client parses every event into dicts and strings with simplejson before a handler
sees it; for a full event that takes longer than all that Millrace does with it. The client's `marshaller` is a class
attribute that its docstring offers to function authors for overriding:
https://github.com/aws/aws-lambda-python-runtime-interface-client (`awslambdaric/lambda_runtime_client.py`).
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any, Protocol

import msgspec

from app import telemetry
from app.errors import MillraceError

_CLIENT = "awslambdaric.lambda_runtime_client"
_JSON = "application/json"


class Function(Protocol):
    """A function for Lambda that can be opened before its first event."""

    def open(self) -> object:
        """Load what the function needs."""


def start(function: Function) -> None:
    """Open a function while Lambda initialises the process; do nothing in any other process.

    No event waits for a model then, and a setting that cannot work ends the process with one line and its own exit
    code instead of failing each event. Everything loaded lives as long as the process, so the garbage collector no
    longer looks at it.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ:
        return
    try:
        function.open()
    except MillraceError as error:
        telemetry.configure()
        telemetry.logger.critical(error.line, extra={"exit_code": error.exit_code})
        sys.exit(error.exit_code)
    telemetry.logger.debug("events are received %s", "as bytes" if take_raw_events() else "as dicts")
    gc.collect()
    gc.freeze()


class Marshaller(Protocol):
    """The methods that the client calls on a marshaller."""

    def unmarshal_request(self, request: bytes, content_type: str = _JSON) -> Any:  # noqa: ANN401 - as the client has it
        """Return the handler's event for the body of a request."""

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:  # noqa: ANN401 - as the client has it
        """Return the body of a response, and its content type."""


class RawMarshaller:
    """Hands a JSON event over as bytes, and encodes the response in one pass."""

    def __init__(self, stock: Marshaller) -> None:
        """Take the client's own marshaller, for events and responses that are not JSON."""
        self._stock = stock
        self._encode = msgspec.json.Encoder(decimal_format="number").encode  # as the client writes it

    def unmarshal_request(self, request: bytes, content_type: str = _JSON) -> Any:  # noqa: ANN401 - see Marshaller
        """Return a JSON event's bytes."""
        return request if content_type == _JSON else self._stock.unmarshal_request(request, content_type)

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:  # noqa: ANN401 - see Marshaller
        """Return a response as JSON."""
        try:
            return self._encode(response), _JSON
        except (TypeError, ValueError, RecursionError):
            return self._stock.marshal_response(response)


def take_raw_events() -> bool:
    """Make the client that runs this process hand over events as bytes.

    It changes only a client that is loaded and has the attribute in the known form; with any other, events come as
    dicts, which handlers take too.

    Returns:
        Whether events come as bytes.
    """
    module = sys.modules.get(_CLIENT)
    owner: Any = getattr(module, "BaseLambdaRuntimeClient", None) or getattr(module, "LambdaRuntimeClient", None)
    stock: Any = getattr(owner, "marshaller", None)
    if not all(callable(getattr(stock, name, None)) for name in ("unmarshal_request", "marshal_response")):
        return False
    if not isinstance(stock, RawMarshaller):
        owner.marshaller = RawMarshaller(stock)
    return True
