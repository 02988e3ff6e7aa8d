"""The OpenAPI 3.1 document of an API, made of its handlers' types.

3.1, because its schemas are JSON Schema 2020-12, which is what msgspec makes of a type:
https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.handlers.api import headers, problem
from app.handlers.api.binding import struct_of
from app.handlers.api.routes import BODILESS
from app.telemetry import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.api.routes import Route

_JSON = "application/json"
_HEADERS = {
    headers.CLIENT_VERSION: ("The client's version; one that is too old is refused.", {"type": "string"}),
    headers.LOG_LEVEL: ("The level at which this request is logged.", {"type": "string", "enum": list(LEVELS)}),
    headers.CORRELATION_ID: ("An id that the request's log lines carry, and its answer.", {"type": "string"}),
}
_PROBLEMS = {
    400: "The request is not of its form; `field` says where.",
    401: "Who asks is not known.",
    403: "Who asks may not.",
    404: "What is asked for is not there.",
    409: "What is asked for contradicts what is there.",
    413: "The body is too large.",
    415: "The body is said to be something other than JSON.",
    422: "The request has the right form, and cannot be carried out.",
    500: "Something went wrong here.",
    503: "Something that is needed is not to be had now.",
}
_SECURED, _WITH_BODY = {401, 403}, {413, 415}


def document(
    handlers: Mapping[type[ApiLambdaHandler[Any, Any]], Route], *, title: str, version: str, tokens: bool
) -> dict[str, Any]:
    """Return the document, as what JSON is made of.

    Args:
        handlers: The classes, each with its route.
        title: The API's name.
        version: The API's version.
        tokens: Whether each handler needs a token.
    """
    types = [kind for each in handlers for kind in (each.request_type, each.response_type)]
    reference = "#/components/schemas/{name}"
    schemas, components = msgspec.json.schema_components([*types, problem.Problem], ref_template=reference)
    paths: dict[str, dict[str, Any]] = {}
    for (each, route), request, response in zip(handlers.items(), schemas[:-1:2], schemas[1:-1:2], strict=True):
        operation = _operation(each, route, request, response, components, secured=tokens or bool(each.scope))
        paths.setdefault(route.template, {})[each.method.lower()] = operation
    parts = {
        "schemas": components,
        "parameters": {
            name: {"name": name, "in": "header", "description": about, "schema": schema}
            for name, (about, schema) in _HEADERS.items()
        },
        "responses": {
            f"Problem{status}": {"description": about, "content": {problem.CONTENT_TYPE: {"schema": schemas[-1]}}}
            for status, about in _PROBLEMS.items()
        },
    }
    if tokens or any(each.scope for each in handlers):
        parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    info = {"title": title, "version": version}
    return {"openapi": "3.1.0", "info": info, "paths": dict(sorted(paths.items())), "components": parts}


def _operation(
    handler: type[ApiLambdaHandler[Any, Any]],
    route: Route,
    request: dict[str, Any],
    response: dict[str, Any],
    components: dict[str, Any],
    *,
    secured: bool,
) -> dict[str, Any]:
    with_body = handler.method.upper() not in BODILESS
    struct = struct_of(handler.request_type)
    # The schema of a request that is one Struct; of a tagged one msgspec's has the tag besides, which no query gives.
    whole = components.get(str(request.get("$ref", "")).rpartition("/")[2], {}) if struct else {}
    names = {each.name: each.encode_name for each in struct.fields} if struct else {}
    fields = {name: whole["properties"][name] for name in names.values()}
    of_path = {name: name if name in fields else names[name] for name in route.fields}
    rest = {name: schema for name, schema in fields.items() if name not in of_path.values()}
    required = [name for name in whole.get("required", []) if name not in of_path.values()]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": fields[field]} for name, field in of_path.items()
    ]
    operation: dict[str, Any] = {"operationId": handler.name, "summary": handler.summary()}
    if with_body:
        schema = {**whole, "properties": rest, "required": required} if of_path else request
        about = {"description": "Fields may also be given as query parameters."} if fields else {}
        needed = bool(required) or not fields
        operation["requestBody"] = {**about, "required": needed, "content": {_JSON: {"schema": schema}}}
    else:
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in rest.items()
        ]
    left_out = (set() if secured else _SECURED) | (set() if with_body else _WITH_BODY)
    return {
        **operation,
        "parameters": [*parameters, *({"$ref": f"#/components/parameters/{name}"} for name in _HEADERS)],
        "responses": {
            **_successes(handler, response),
            **{
                str(status): {"$ref": f"#/components/responses/Problem{status}"}
                for status in _PROBLEMS
                if status not in left_out
            },
        },
        **({"security": [{"bearer": [handler.scope] if handler.scope else []}]} if secured else {}),
    }


def _successes(handler: type[ApiLambdaHandler[Any, Any]], response: dict[str, Any]) -> dict[str, Any]:
    """Return the answers of a success; a response that may be None is a second one."""
    kind = msgspec.inspect.type_info(handler.response_type)
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    nothing = [each for each in kinds if isinstance(each, msgspec.inspect.NoneType)]
    done = {str(handler.status): {"description": "Done.", "content": {_JSON: {"schema": response}}}}
    empty = {"204": {"description": "Done; there is nothing to say."}}
    return {**(done if len(nothing) < len(kinds) else {}), **(empty if nothing else {})}
