"""Bike predictions over HTTP: `POST /bike/predictions` with one record or a list of them.

The records are those of the stream, decoded to the same type and predicted by the same pipeline in one model call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import msgspec

from app.domains.bike.pipeline import BikePipeline
from app.domains.bike.records import BikeRecord, BikeResult
from app.errors import TooLargeError, UnprocessableError
from app.handlers.api.handler import ApiLambdaHandler
from app.stream.direct import run_directly

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation
    from app.settings import Settings

MAX_RECORDS = 2000
"""As many as the spine gives a pipeline at once (`CHUNK_ROWS`), so that the model needs no more memory here; their
answers stay below Lambda's 6 MB even where each `pred_id` is as long as it may be."""

_FIELD = re.compile(r"`(\$[^`]*)`")
_results = msgspec.json.Decoder(list[BikeResult])


class NotPredicted(msgspec.Struct, frozen=True, gc=False):
    """A record without a prediction, and why.

    Attributes:
        index: The record's index in the request, from 0.
        reason: A code in snake case, as in the stream's quarantine.
        message: The fault, with its field.
    """

    index: Annotated[int, msgspec.Meta(ge=0)]
    reason: str
    message: str


class Predictions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome of a request's records.

    Attributes:
        predictions: The predictions, in the records' order, each with its record's `pred_id`.
        quarantined: Records that can never be predicted; the others have been.
        unfinished: Records for which there was no time: they may be sent again. Left out where there are none.
    """

    predictions: list[BikeResult]
    quarantined: list[NotPredicted]
    unfinished: list[NotPredicted] = []


class PredictHandler(ApiLambdaHandler[BikeRecord | list[BikeRecord], Predictions]):
    """Predicts bike hires for one record or a list of them."""

    name = "bike-predict"
    route = "/bike/predictions"
    method = "POST"

    def __init__(self, pipeline: BikePipeline) -> None:
        """Take the pipeline with its model."""
        self.pipeline = pipeline

    @classmethod
    def open(cls, settings: Settings) -> PredictHandler:
        """Load the bundle that the settings name.

        Raises:
            ModelError: There is no such bundle, or it does not match its manifest.
        """
        return cls(BikePipeline.open(settings))

    def handle(self, request: BikeRecord | list[BikeRecord], invocation: Invocation) -> Predictions:
        """Predict the records in one model call; one that cannot be predicted harms no other.

        An empty list gets empty lists: a client that sends what it has gathered need not know that it was nothing.

        Raises:
            TooLargeError: There are more records than `MAX_RECORDS`.
            UnprocessableError: The record that stands alone cannot be predicted; within a list it is `quarantined`.
        """
        alone = not isinstance(request, list)
        records = request if isinstance(request, list) else [request]
        if len(records) > MAX_RECORDS:
            raise TooLargeError(f"{len(records)} records: send {MAX_RECORDS} at the most in one request")
        found = run_directly(self.pipeline, records, lambda: invocation.deadline.remaining_s() <= 0)
        if alone and found.quarantined:
            raise _unprocessable(found.quarantined[0].reason, found.quarantined[0].message)
        invocation.metrics.count("records", len(records))
        invocation.metrics.count("quarantined", len(found.quarantined))
        return Predictions(
            _results.decode(b"[" + b",".join(found.outputs) + b"]"),
            [NotPredicted(row, each.reason, each.message) for row, each in found.quarantined.items()],
            [
                NotPredicted(row, each.reason, "not done this time: send it again")
                for row, each in found.retried.items()
            ],
        )


def _unprocessable(reason: str, message: str) -> UnprocessableError:
    """Return the error for a record that cannot be predicted, with the field that the message names."""
    field = _FIELD.search(message)
    return UnprocessableError(f"{reason}: {message}", field[1] if field else "")
