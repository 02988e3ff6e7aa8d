"""Answers that are no success, as problem details (RFC 9457).

Below 500 the error's one line is the client's to read. Of anything else the client learns the request id, by which the
log can be found, and nothing of the inside.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec

from app.errors import MillraceError, RequestError, UnauthorizedError
from app.handlers.api.routes import Answer

CONTENT_TYPE = "application/problem+json"

_INTERNAL = 500
_HIDDEN = {
    500: "something went wrong here: ask with the request id",
    503: "something that is needed here is not to be had now: try again later",
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    title: Annotated[str, msgspec.Meta(description="What the status is called.")]
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: Annotated[str, msgspec.Meta(description="What is wrong with this request.")]
    request_id: Annotated[str, msgspec.Meta(description="By which the log can be found.")]
    type: Annotated[str, msgspec.Meta(description="Always about:blank, which an answer leaves out.")] = "about:blank"
    field: Annotated[str, msgspec.Meta(description="The place at fault: $.features.t1, query.limit, path.id.")] = ""


def problem_of(error: MillraceError, request_id: str) -> Answer:
    """The answer for an error."""
    status = error.status
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=str(error) if status < _INTERNAL else _HIDDEN.get(status, _HIDDEN[_INTERNAL]),
        request_id=request_id,
        field=error.field if isinstance(error, RequestError) else "",
    )
    headers = (("WWW-Authenticate", "Bearer"),) if isinstance(error, UnauthorizedError) else ()
    return Answer(status, msgspec.json.encode(problem), CONTENT_TYPE, headers)
