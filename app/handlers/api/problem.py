"""Problem details (RFC 9457): the body of every answer that is not a success.

Below 500 the error's one line is for the client. From 500 on the client gets the request id, which finds the log.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from starlette.responses import Response

from app.errors import MillraceError, RequestError, UnauthorizedError

CONTENT_TYPE = "application/problem+json"

_HIDDEN = "something went wrong here: ask with the request id"
_UNAVAILABLE = "something that is needed here is not to be had now: try again later"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    title: Annotated[str, msgspec.Meta(description="What the status is called.")]
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: Annotated[str, msgspec.Meta(description="What is wrong with this request.")]
    request_id: Annotated[str, msgspec.Meta(description="By which the log can be found.")]
    type: Annotated[str, msgspec.Meta(description="Always about:blank, which an answer leaves out.")] = "about:blank"
    field: Annotated[str, msgspec.Meta(description="The place at fault: $.features.t1, query.limit, path.id.")] = ""


def problem_response(error: MillraceError, request_id: str) -> Response:
    """Return the answer for an error."""
    status = HTTPStatus(error.status)
    detail = _UNAVAILABLE if status == HTTPStatus.SERVICE_UNAVAILABLE else _HIDDEN
    detail = error.line if status < HTTPStatus.INTERNAL_SERVER_ERROR else detail
    field = error.field if isinstance(error, RequestError) else ""
    body = msgspec.json.encode(Problem(status.phrase, int(status), detail, request_id, field=field))
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthorizedError) else None
    return Response(body, int(status), headers, CONTENT_TYPE)
