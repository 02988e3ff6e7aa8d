"""The OpenAPI 3.1 document of an API, made of its handlers' types, and the problem details of its errors (RFC 9457).

3.1, because its schemas are JSON Schema 2020-12, which is what msgspec makes of a type:
https://spec.openapis.org/oas/v3.1.0. Below 500 the error's one line is for the client; from 500 on the client gets the
request id, which finds the log.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from starlette.responses import Response

from app.errors import MillraceError, RequestError, UnauthorizedError
from app.handlers.api import callers
from app.handlers.api.binding import BODILESS, struct_of
from app.telemetry import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.handlers.api.binding import RoutePath
    from app.handlers.api.handler import ApiLambdaHandler

PROBLEM_TYPE = "application/problem+json"
_HIDDEN = "something went wrong here: ask with the request id"
_UNAVAILABLE = "something that is needed here is not to be had now: try again later"
_HEADERS = {
    callers.CLIENT_VERSION: ("The client's version; one that is too old is refused.", {"type": "string"}),
    callers.LOG_LEVEL: ("The level at which this request is logged.", {"type": "string", "enum": list(LEVELS)}),
    callers.CORRELATION_ID: ("An id that the request's log lines carry, and its answer.", {"type": "string"}),
}
_PROBLEMS, _SECURED, _WITH_BODY = {400, 404, 409, 422, 500, 503}, {401, 403}, {413, 415}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    title: Annotated[str, msgspec.Meta(description="What the status is called.")]
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: Annotated[str, msgspec.Meta(description="What is wrong with this request.")]
    request_id: Annotated[str, msgspec.Meta(description="By which the log can be found.")]
    type: Annotated[str, msgspec.Meta(description="Always about:blank, which an answer leaves out.")] = "about:blank"
    field: Annotated[str, msgspec.Meta(description="The faulty field: $.features.t1, query.limit, path.id.")] = ""


def problem_response(error: MillraceError, request_id: str) -> Response:
    """Return the answer for an error."""
    status = HTTPStatus(error.status)
    detail = _UNAVAILABLE if status == HTTPStatus.SERVICE_UNAVAILABLE else _HIDDEN
    detail = error.line if status < HTTPStatus.INTERNAL_SERVER_ERROR else detail
    field = error.field if isinstance(error, RequestError) else ""
    body = msgspec.json.encode(Problem(status.phrase, int(status), detail, request_id, field=field))
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthorizedError) else None
    return Response(body, int(status), headers, PROBLEM_TYPE)


def document(
    handlers: Mapping[type[ApiLambdaHandler[Any, Any]], RoutePath], title: str, version: str, *, tokens: bool
) -> dict[str, Any]:
    """Return the document of handlers with their routes, as what JSON is made of; with tokens, each needs one."""
    types = [kind for each in handlers for kind in (each.request_type, each.response_type)]
    reference = "#/components/schemas/{name}"
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template=reference)
    paths: dict[str, dict[str, Any]] = {}
    for (each, route), request, response in zip(handlers.items(), schemas[:-1:2], schemas[1:-1:2], strict=True):
        operation = _operation(each, route, request, response, components, secured=tokens or bool(each.scope))
        paths.setdefault(route.template, {})[each.method.lower()] = operation
    secured = tokens or any(each.scope for each in handlers)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "parameters": {
                name: {"name": name, "in": "header", "description": about, "schema": schema}
                for name, (about, schema) in _HEADERS.items()
            },
            "responses": {
                f"Problem{status}": _answer(HTTPStatus(status).phrase, schemas[-1], PROBLEM_TYPE)
                for status in sorted(_PROBLEMS | _SECURED | _WITH_BODY)
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}} if secured else {},
        },
    }


def _operation(
    handler: type[ApiLambdaHandler[Any, Any]],
    route: RoutePath,
    request: dict[str, Any],
    response: dict[str, Any],
    components: dict[str, Any],
    *,
    secured: bool,
) -> dict[str, Any]:
    with_body, struct = handler.method.upper() not in BODILESS, struct_of(handler.request_type)
    whole = components[request["$ref"].rpartition("/")[2]] if struct else {}
    names = {each.name: each.encode_name for each in struct.fields} if struct else {}
    fields = {name: whole["properties"][name] for name in names.values()}  # a tag is a property, and no field
    of_path = {name: name if name in fields else names[name] for name in route.fields}
    rest = {name: schema for name, schema in fields.items() if name not in of_path.values()}
    required = [name for name in whole.get("required", []) if name not in of_path.values()]
    given = [(name, "path", True, fields[field]) for name, field in of_path.items()]
    given += [] if with_body else [(name, "query", name in required, rest[name]) for name in rest]
    parameters = [dict(zip(("name", "in", "required", "schema"), each, strict=True)) for each in given]
    problems = _PROBLEMS | (_SECURED if secured else set()) | (_WITH_BODY if with_body else set())
    operation: dict[str, Any] = {
        "operationId": handler.name,
        "summary": handler.summary(),
        "parameters": [*parameters, *({"$ref": f"#/components/parameters/{name}"} for name in _HEADERS)],
        "responses": _successes(handler, response)
        | {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(problems)},
    }
    if with_body:
        schema = {**whole, "properties": rest, "required": required} if of_path else request
        about = "Fields may also be given as query parameters." if fields else "JSON."
        operation["requestBody"] = {**_answer(about, schema), "required": bool(required) or not fields}
    if secured:
        operation["security"] = [{"bearer": [handler.scope] if handler.scope else []}]
    return operation


def _successes(handler: type[ApiLambdaHandler[Any, Any]], response: dict[str, Any]) -> dict[str, Any]:
    """Return the answers of a success; a response that may be None is a second one."""
    kind = msgspec.inspect.type_info(handler.response_type)
    kinds = [isinstance(each, msgspec.inspect.NoneType) for each in getattr(kind, "types", (kind,))]
    done = {} if all(kinds) else {str(handler.status): _answer("Done.", response)}
    return done | ({"204": {"description": "Done; there is nothing to say."}} if any(kinds) else {})


def _answer(about: str, schema: dict[str, Any], content_type: str = "application/json") -> dict[str, Any]:
    return {"description": about, "content": {content_type: {"schema": schema}}}
