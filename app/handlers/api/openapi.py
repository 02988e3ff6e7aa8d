"""The OpenAPI 3.1 document of an API, made of its handlers' types.

3.1, because its schemas are JSON Schema 2020-12, which is what msgspec makes of a type:
https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.handlers.api import headers, problem
from app.handlers.api.binding import fields_of
from app.handlers.api.routes import BODILESS
from app.telemetry import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.api.routes import Route

    Handlers = Mapping[type[ApiLambdaHandler[Any, Any]], Route]

VERSION = "3.1.0"

_REFERENCE = "#/components/schemas/{name}"
_JSON = "application/json"
_TOKEN = "bearer"  # noqa: S105 - the name of the scheme
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


def document(handlers: Handlers, *, title: str, version: str, tokens: bool) -> dict[str, Any]:
    """The document, as what JSON is made of.

    Args:
        handlers: The classes, each with its route.
        title: The API's name.
        version: The API's version.
        tokens: Whether each handler needs a token.
    """
    classes = list(handlers)
    types = [kind for each in classes for kind in (each.request_type, each.response_type)]
    schemas, components = msgspec.json.schema_components([*types, problem.Problem], ref_template=_REFERENCE)
    pairs = dict(zip(classes, zip(schemas[:-1:2], schemas[1:-1:2], strict=True), strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each, route in handlers.items():
        request, response = pairs[each]
        paths.setdefault(route.template, {})[each.method.lower()] = _operation(
            each, route, request, response, components, secured=tokens or bool(each.scope)
        )
    found: dict[str, Any] = {
        "openapi": VERSION,
        "info": {"title": title, "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "parameters": {
                name: {"name": name, "in": "header", "description": about, "schema": schema}
                for name, (about, schema) in _HEADERS.items()
            },
            "responses": {f"Problem{status}": _problem(about, schemas[-1]) for status, about in _PROBLEMS.items()},
        },
    }
    if tokens or any(each.scope for each in classes):
        found["components"]["securitySchemes"] = {_TOKEN: {"type": "http", "scheme": "bearer"}}
    return found


def _operation(
    handler: type[ApiLambdaHandler[Any, Any]],
    route: Route,
    request: dict[str, Any],
    response: dict[str, Any],
    components: dict[str, Any],
    *,
    secured: bool,
) -> dict[str, Any]:
    """One handler."""
    with_body = handler.method.upper() not in BODILESS
    fields = _fields(handler, request, components)
    of_path = {name: _named(handler, name) for name in route.fields}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": fields[field]} for name, field in of_path.items()
    ]
    operation: dict[str, Any] = {"operationId": handler.name, "summary": handler.summary()}
    if with_body:
        operation["requestBody"] = _body(request, set(of_path.values()), components, with_fields=bool(fields))
    else:
        required = _object(request, components).get("required", [])
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in fields.items()
            if name not in of_path.values()
        ]
    operation["parameters"] = [*parameters, *({"$ref": f"#/components/parameters/{name}"} for name in _HEADERS)]
    left_out = (set() if secured else _SECURED) | (set() if with_body else _WITH_BODY)
    problems = {
        str(status): {"$ref": f"#/components/responses/Problem{status}"}
        for status in _PROBLEMS
        if status not in left_out
    }
    operation["responses"] = {**_successes(handler, response), **problems}
    if secured:
        operation["security"] = [{_TOKEN: [handler.scope] if handler.scope else []}]
    return operation


def _successes(handler: type[ApiLambdaHandler[Any, Any]], response: dict[str, Any]) -> dict[str, Any]:
    """What a success is answered with; a response that may be None is a second one."""
    kind = msgspec.inspect.type_info(handler.response_type)
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    nothing = [each for each in kinds if isinstance(each, msgspec.inspect.NoneType)]
    found: dict[str, Any] = {}
    if len(nothing) < len(kinds):
        found[str(handler.status)] = {"description": "Done.", "content": {_JSON: {"schema": response}}}
    if nothing:
        found["204"] = {"description": "Done; there is nothing to say."}
    return found


def _body(
    request: dict[str, Any], of_path: set[str], components: dict[str, Any], *, with_fields: bool
) -> dict[str, Any]:
    """The body's schema: the request's, less what the path has given already."""
    whole = _object(request, components) if with_fields else {}
    schema = request
    if of_path:
        schema = {
            **whole,
            "properties": {name: value for name, value in whole["properties"].items() if name not in of_path},
            "required": [name for name in whole.get("required", []) if name not in of_path],
        }
    needed = bool(set(whole.get("required", [])) - of_path) if with_fields else True
    about = {"description": "Fields may also be given as query parameters."} if with_fields else {}
    return {**about, "required": needed, "content": {_JSON: {"schema": schema}}}


def _fields(handler: type[ApiLambdaHandler[Any, Any]], request: dict[str, Any], components: dict[str, Any]) -> Any:  # noqa: ANN401 - schemas by name
    """The schemas of a request's fields by their names in JSON; none where the body alone is the request."""
    kind = fields_of(handler.request_type)
    if kind is None:
        return {}
    properties = _object(request, components).get("properties", {})
    return {each.encode_name: properties[each.encode_name] for each in kind.fields}


def _object(request: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema of a request that is one Struct; nothing for any other."""
    found: dict[str, Any] = components.get(str(request.get("$ref", "")).rpartition("/")[2], {})
    return found if found.get("type") == "object" else {}


def _named(handler: type[ApiLambdaHandler[Any, Any]], name: str) -> str:
    """The name that JSON has for a path's field."""
    fields = msgspec.structs.fields(handler.request_type)
    encoded = {each.encode_name for each in fields}
    return name if name in encoded else next(each.encode_name for each in fields if each.name == name)


def _problem(about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": {problem.CONTENT_TYPE: {"schema": schema}}}
