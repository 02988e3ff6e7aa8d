"""Run (d): Millrace's API as deployed, `app.api_function`, with an event as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.bike import pipeline
from app.domains.bike.model import BikeModel
from benchmarks.contract import Context, Peer
from benchmarks.peers.api_model import Model

if TYPE_CHECKING:
    from pathlib import Path

    from app.inference.bundle import Bundle


def open_peer(_folder: Path) -> Peer:
    """Open the handler as INIT does, with a model that can be stubbed."""
    opened: list[Model] = []

    class Watched(BikeModel):
        @classmethod
        def load(cls, bundle: Bundle) -> Any:  # noqa: ANN401 - the wrapped model
            opened.append(Model(BikeModel.load(bundle)))
            return opened[0]

    vars(pipeline)["BikeModel"] = Watched
    from app import api_function  # noqa: PLC0415 - in Lambda, importing it loads the model

    api_function.lambda_handler.open()
    context, encode = Context(), msgspec.json.Encoder(decimal_format="number").encode  # RawMarshaller's

    def handle(event: bytes) -> bytes:
        return encode(api_function.lambda_handler(event, context))

    return Peer(handle=handle, model=opened[0])
