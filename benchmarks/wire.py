"""Answer signed requests where they would leave the process, or let them through.

Each candidate still does all the work up to the signed request and from the response on: validation, serialising,
signing, parsing. boto3's clients offer the event `before-send` for this; Millrace's requests use the same HTTP session
class of botocore.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse

from benchmarks.server import answer_body, entries_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.contract import Peer


class _Raw:
    """A response's body with the interface that botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_arguments: object, **_options: object) -> Iterator[bytes]:
        yield self._body


class Wire:
    """Intercepts the requests of a peer.

    Attributes:
        stubbed: Whether requests are answered here rather than sent.
        sent: A list to collect the bodies of requests in; None collects none.
    """

    def __init__(self, peer: Peer) -> None:
        """Register with the peer's client or service."""
        self.stubbed = True
        self.sent: list[bytes] | None = None
        if peer.client is not None:
            peer.client.meta.events.register("before-send.kinesis", lambda request, **_: self._answer(request))
        else:
            http = peer.service._http  # noqa: SLF001 - the service has no public hook before the network
            send = http.send
            http.send = lambda request: self._answer(request) or send(request)

    def _answer(self, request: Any) -> AWSResponse | None:  # noqa: ANN401 - botocore has no public type for it
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        if self.sent is not None:
            self.sent.append(body)
        if not self.stubbed:
            return None
        headers: Any = {"Content-Type": "application/x-amz-json-1.1"}  # botocore takes any mapping
        raw: Any = _Raw(answer_body(entries_of(request.headers["X-Amz-Target"], body)))
        return AWSResponse(request.url, 200, headers, raw)


def predictions_in(bodies: list[bytes]) -> dict[str, float]:
    """Return the predictions in requests by partition key.

    Raises:
        ValueError: A key occurs twice, or a result has another key.
    """
    found: dict[str, float] = {}
    for body in bodies:
        request = json.loads(body)
        for entry in request.get("Records", [request]):
            key, result = entry["PartitionKey"], json.loads(base64.b64decode(entry["Data"]))
            if key in found or str(result["prediction"]["pred_id"]) != key:
                raise ValueError(f"record {key} was put twice, or under another's key")
            found[key] = result["prediction"]["cnt"]
    return found
