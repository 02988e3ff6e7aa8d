"""Bike predictions over HTTP: `POST /bike/predictions` with one record or a list of them.

The records are those of the stream, decoded to the same type and predicted by the same pipeline in one model call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app.domains.bike.pipeline import BikePipeline
from app.domains.bike.records import BikeRecord, BikeResult
from app.errors import RequestError, TooLargeError, UnprocessableError
from app.handlers.api.handler import ApiLambdaHandler
from app.handlers.request import UNREADABLE, json_text
from app.stream.direct import run_directly
from app.stream.outcomes import Quarantine
from app.stream.payload import decode_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.handlers.invocation import Invocation
    from app.settings import Settings

MAX_RECORDS = 2000
"""As many as the spine gives a pipeline at once (`CHUNK_ROWS`), so that the model needs no more memory here; their
answers stay below Lambda's 6 MB even where each `pred_id` is as long as it may be."""

_FIELD = re.compile(r"`(\$[^`]*)`")
_record = msgspec.json.Decoder(BikeRecord)
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


class ReadableRecords(list[BikeRecord]):
    """The records of a request that can be read.

    Attributes:
        faults: The others' faults by their index in the request.
    """

    def __init__(self, decoded: Sequence[BikeRecord | Quarantine]) -> None:
        """Take all records of a request, or their faults."""
        super().__init__(each for each in decoded if not isinstance(each, Quarantine))
        self.faults = {index: each for index, each in enumerate(decoded) if isinstance(each, Quarantine)}


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

    @classmethod
    def decode(cls, payload: Any) -> BikeRecord | list[BikeRecord]:  # noqa: ANN401 - an event may be anything
        """Decode a request; of a list, a record that cannot be read is one of `ReadableRecords.faults`.

        Raises:
            RequestError: It is neither a record nor a list.
            LocationError: The object that it names cannot be read.
        """
        try:
            return super().decode(payload)
        except TooLargeError:
            raise
        except RequestError:
            elements = _elements(payload)
            if elements is None:
                raise
            return ReadableRecords(decode_column(elements, _record))

    def handle(self, request: BikeRecord | list[BikeRecord], invocation: Invocation) -> Predictions:
        """Predict the records in one model call; one that cannot be read or predicted harms no other.

        An empty list gets empty lists: a client that sends what it has gathered need not know that it was nothing.

        Raises:
            TooLargeError: There are more records than `MAX_RECORDS`.
            UnprocessableError: The record that stands alone cannot be predicted; within a list it is `quarantined`.
        """
        alone = not isinstance(request, list)
        records = request if isinstance(request, list) else [request]
        faults = records.faults if isinstance(records, ReadableRecords) else {}
        count = len(records) + len(faults)
        if count > MAX_RECORDS:
            raise TooLargeError(f"{count} records: send {MAX_RECORDS} at the most in one request")
        found = run_directly(self.pipeline, records, lambda: invocation.deadline.remaining_s() <= 0)
        if alone and found.quarantined:
            raise _unprocessable(found.quarantined[0].reason, found.quarantined[0].message)
        index_of = [index for index in range(count) if index not in faults]
        quarantined = faults | {index_of[row]: each for row, each in found.quarantined.items()}
        invocation.metrics.count("records", count)
        invocation.metrics.count("quarantined", len(quarantined))
        return Predictions(
            _results.decode(b"[" + b",".join(found.outputs) + b"]"),
            [NotPredicted(index, each.reason, each.message) for index, each in sorted(quarantined.items())],
            [
                NotPredicted(index_of[row], each.reason, "not done this time: send it again")
                for row, each in found.retried.items()
            ],
        )


def _elements(payload: Any) -> list[bytes] | None:  # noqa: ANN401 - an event may be anything
    """Return the elements of a list as JSON; None if a payload is none."""
    try:
        if isinstance(payload, bytes | str):
            return list(map(bytes, msgspec.json.decode(json_text(payload), type=list[msgspec.Raw])))
        return list(map(msgspec.json.encode, payload)) if isinstance(payload, list) else None
    except (*UNREADABLE, TypeError):
        return None


def _unprocessable(reason: str, message: str) -> UnprocessableError:
    """Return the error for a record that cannot be predicted, with the field that the message names."""
    field = _FIELD.search(message)
    return UnprocessableError(f"{reason}: {message}", field[1] if field else "")
