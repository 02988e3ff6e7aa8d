"""Lambda's runtime interface client, told to hand over the event as it came.

By default the client parses every event into dicts and strings with simplejson before a handler sees it; for a full
event that takes longer than all that Millrace does with it. Its `marshaller` is a class attribute that its docstring
offers to function authors for overriding: https://github.com/aws/aws-lambda-python-runtime-interface-client
(`awslambdaric/lambda_runtime_client.py`).
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

import msgspec

_CLIENT = "awslambdaric.lambda_runtime_client"
_JSON = "application/json"


class Marshaller(Protocol):
    """What the client asks of a marshaller."""

    def unmarshal_request(self, request: bytes, content_type: str = _JSON) -> Any:  # noqa: ANN401 - as the client has it
        """An event's body as what the handler is given."""

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:  # noqa: ANN401 - the same
        """What the handler gave as the response's body, and its content type."""


class RawMarshaller:
    """Hands a JSON event over as bytes, and encodes the response in one pass."""

    def __init__(self, stock: Marshaller) -> None:
        """Takes the client's own marshaller, for all that is not JSON in and data out."""
        self._stock = stock
        self._encode = msgspec.json.Encoder(decimal_format="number").encode  # as the client writes it

    def unmarshal_request(self, request: bytes, content_type: str = _JSON) -> Any:  # noqa: ANN401 - see the protocol
        """The bytes as they came."""
        return request if content_type == _JSON else self._stock.unmarshal_request(request, content_type)

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:  # noqa: ANN401 - see the protocol
        """A handler's answer as JSON."""
        try:
            return self._encode(response), _JSON
        except (TypeError, ValueError, RecursionError):
            return self._stock.marshal_response(response)


def take_raw_events() -> bool:
    """Makes the client that runs this process hand over events as bytes; False where there is none such.

    It is done only where the client is loaded and has the attribute in the form that is known; otherwise events come
    as dicts, which the handler takes as well.
    """
    module = sys.modules.get(_CLIENT)
    owner: Any = getattr(module, "BaseLambdaRuntimeClient", None) or getattr(module, "LambdaRuntimeClient", None)
    stock: Any = getattr(owner, "marshaller", None)
    if not all(callable(getattr(stock, name, None)) for name in ("unmarshal_request", "marshal_response")):
        return False
    if not isinstance(stock, RawMarshaller):
        owner.marshaller = RawMarshaller(stock)
    return True
