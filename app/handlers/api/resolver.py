"""The API: handlers behind HTTP events, as one Lambda function.

    resolver = ApiResolver.discover(app.domains.bike.handlers, settings=settings)
    resolver(event, context)

Powertools matches paths, knows each source's stages and base paths, and puts answers into the form that each source
takes. It is imported when a resolver is made, and is given a request's method and path and nothing else of it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import EventError, MethodNotAllowedError, MillraceError, NotFoundError
from app.handlers.api import headers as http_headers
from app.handlers.api.access import Access
from app.handlers.api.cors import Cors
from app.handlers.api.endpoints import healthy, opened
from app.handlers.api.event import Kind, path_text, read_event
from app.handlers.api.handler import ApiLambdaHandler
from app.handlers.api.openapi import document
from app.handlers.api.problem import problem_of
from app.handlers.api.routes import Answer, Endpoint, Route, allowed_methods, check_routes, in_order
from app.handlers.invocation import run
from app.handlers.registry import discover
from app.stream.context import LocalContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

    from app.handlers.api.event import HttpEvent
    from app.handlers.invocation import Invocation
    from app.settings import Settings

NAME = "api"
"""What requests without a handler are counted under."""

TITLE = "Millrace"
OPENAPI_PATH, HEALTH_PATH = "/openapi.json", "/health"

_NO_ROUTE = "none"
_NO_CONTENT = 204
_API_ERROR = 500
_POWERTOOLS_LOG = "aws_lambda_powertools.event_handler"


class ApiResolver:
    """Answers HTTP events; a handler is opened once, when the resolver is made.

    Powertools holds the request of the moment in one place for the whole process: one call at a time, as in Lambda.
    """

    def __init__(
        self,
        handlers: Iterable[type[ApiLambdaHandler[Any, Any]]],
        settings: Settings,
        *,
        title: str = TITLE,
        version: str = "1",
        prefix: str = "",
        base_paths: Sequence[str] = (),
    ) -> None:
        """Opens the handlers and lays their routes.

        Args:
            handlers: The classes.
            settings: The environment's.
            title: The API's name in its OpenAPI document.
            version: The API's version there.
            prefix: Put before each handler's route, such as `/v1`.
            base_paths: Of the API's own domains, such as `/bikes`: taken off each path that starts with one.

        Raises:
            SettingsError: A setting of the API cannot be what it is.
            MillraceError: A route cannot be, or two are one; or a handler cannot be opened.
        """
        classes = list(handlers)
        self._settings = settings
        self._access = Access(settings.api_tokens)
        self._least = http_headers.least_version(settings.api_min_client_version)
        self._cors = Cors.of(settings.api_cors_origins)
        self._base_paths = list(base_paths)
        self._title, self._version, self._document = title, version, b""
        self._routes = {each: Route.parse(prefix + each.route, each.name) for each in classes}
        own = [
            Endpoint("openapi", "GET", Route.parse(OPENAPI_PATH, NAME), None, self._openapi),
            Endpoint("health", "GET", Route.parse(HEALTH_PATH, NAME), None, healthy),
        ]
        planned = [(each.name, each.method.upper(), route) for each, route in self._routes.items()]
        check_routes([*planned, *((each.name, each.method, each.route) for each in own)])  # before a model is loaded
        self._endpoints = in_order([*own, *(opened(each, self._routes[each], settings) for each in classes)])
        self._apps = {kind: self._app(kind) for kind in Kind}

    @classmethod
    def discover(cls, *modules: ModuleType, settings: Settings, **options: Any) -> ApiResolver:  # noqa: ANN401 - those of the class
        """An API of all `ApiLambdaHandler` classes in modules and packages.

        Args:
            modules: Imported; packages are looked at with all that is below them.
            settings: The environment's.
            options: Any others of the class.

        Raises:
            MillraceError: As the class raises it.
        """
        return cls(discover(*modules, kind=ApiLambdaHandler), settings, **options)  # type: ignore[type-abstract]

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:  # noqa: ANN401 - JSON either way
        """Answers one request, in the form that its source takes; whatever it holds, there is an answer.

        Raises:
            EventError: It is no HTTP request.
        """
        context = LocalContext() if context is None else context
        try:
            http = read_event(event)
        except EventError as error:
            return run(NAME, _raising(error), context, settings=self._settings)
        app = self._apps[http.kind]
        app.append_context(http=http)
        answered: dict[str, Any] = app.resolve(http.routed(), context)
        return answered

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document of the handlers."""
        return document(self._routes, title=self._title, version=self._version, tokens=self._access.needs_token)

    def _app(self, kind: Kind) -> Any:  # noqa: ANN401 - Powertools' classes are imported here alone
        """Powertools' resolver for one source, with all routes."""
        from aws_lambda_powertools.event_handler import (  # noqa: PLC0415 - the base is imported without it
            APIGatewayHttpResolver,
            APIGatewayRestResolver,
            LambdaFunctionUrlResolver,
            Response,
        )

        logging.getLogger(_POWERTOOLS_LOG).setLevel(logging.WARNING)  # its debug lines have paths in them
        classes = {
            Kind.REST: APIGatewayRestResolver,
            Kind.HTTP: APIGatewayHttpResolver,
            Kind.URL: LambdaFunctionUrlResolver,
        }
        self._response_class: Any = Response
        app = classes[kind](debug=False, strip_prefixes=self._base_paths)
        for endpoint in self._endpoints:
            methods = ["GET", "HEAD"] if endpoint.method == "GET" else [endpoint.method]
            app.route(endpoint.route.rule, methods)(self._function(app, endpoint))
        app.not_found(lambda _error: self._response(app.context["http"], self._unrouted(app)))
        return app

    def _function(self, app: Any, endpoint: Endpoint) -> Callable[..., Any]:  # noqa: ANN401 - as above
        def answer(**fields: str) -> Any:  # noqa: ANN401 - Powertools' response
            http: HttpEvent = app.context["http"]
            return self._response(http, self._answered(endpoint, http, fields, app.lambda_context))

        return answer

    def _answered(self, endpoint: Endpoint, http: HttpEvent, fields: dict[str, str], context: Any) -> Answer:  # noqa: ANN401 - Lambda's
        """One request to an endpoint, with its logs and metrics."""
        level = None
        refusal: MillraceError | None = None
        try:
            if endpoint.scope is not None:
                self._access.check(http, endpoint.scope)
                http_headers.check_version(http.headers, self._least)
            level = http_headers.log_level(http.headers)  # of a caller who is let in: a log costs its owner
        except MillraceError as error:
            refusal = error

        def work(invocation: Invocation) -> Answer:
            if refusal is not None:
                raise refusal
            values = {name: path_text(name, escaped) for name, escaped in fields.items()}
            return endpoint.answer(http, values, invocation)

        return self._observed(http, context, endpoint.name, endpoint.route.text, work, level=level)

    def _unrouted(self, app: Any) -> Answer:  # noqa: ANN401 - Powertools'
        """A request that no route has: 404, 405, or what OPTIONS asks."""
        http: HttpEvent = app.context["http"]
        route, methods = allowed_methods(self._endpoints, app.request.route)
        allow = ("Allow", ", ".join(methods))

        def work(_invocation: Invocation) -> Answer:
            if not methods:
                raise NotFoundError(f"there is nothing here: {OPENAPI_PATH} lists what there is")
            if http.method != "OPTIONS":
                raise MethodNotAllowedError(f"not with this method: {allow[1]} are allowed")
            preflight = self._cors.preflight(methods) if "access-control-request-method" in http.headers else ()
            return Answer(_NO_CONTENT, headers=(allow, *preflight))

        found = self._observed(http, app.lambda_context, NAME, route or _NO_ROUTE, work)
        return (
            found._replace(headers=(*found.headers, allow)) if found.status == MethodNotAllowedError.status else found
        )

    def _observed(
        self,
        http: HttpEvent,
        context: Any,  # noqa: ANN401 - Lambda's
        name: str,
        route: str,
        work: Callable[[Invocation], Answer],
        *,
        level: str | None = None,
    ) -> Answer:
        """What work answers, or the problem that it raises; one metric line either way."""
        correlation_id = http_headers.correlation_id(http.headers, http.context.get("requestId"))

        def observed(invocation: Invocation) -> Answer:
            invocation.metrics.dimension("route", route)
            status = _API_ERROR
            try:
                answer = work(invocation)
                status = answer.status
            except MillraceError as error:
                status = error.status
                raise
            finally:
                invocation.metrics.count(f"status_{status // 100}xx")
            return answer

        request_id = str(getattr(context, "aws_request_id", "") or "")
        try:
            answer = run(
                name, observed, context, correlation_id=correlation_id, log_level=level, settings=self._settings
            )
        except MillraceError as error:
            answer = problem_of(error, request_id)
        ids = ((http_headers.REQUEST_ID, request_id), (http_headers.CORRELATION_ID, correlation_id or request_id))
        return answer._replace(headers=(*answer.headers, *ids))

    def _response(self, http: HttpEvent, answer: Answer) -> Any:  # noqa: ANN401 - Powertools'
        """An answer as Powertools' response."""
        empty = answer.status == _NO_CONTENT or http.method == "HEAD"
        return self._response_class(
            status_code=answer.status,
            content_type=None if answer.status == _NO_CONTENT else answer.content_type,
            body="" if empty else answer.body.decode(),
            headers=dict((*answer.headers, *self._cors.headers(http.headers.get("origin")))),
        )

    def _openapi(self, _http: HttpEvent, _fields: dict[str, str], _invocation: Invocation) -> Answer:
        if not self._document:
            self._document = msgspec.json.encode(self.openapi())
        return Answer(200, self._document)


def _raising(error: MillraceError) -> Callable[[Invocation], Any]:
    def work(_invocation: Invocation) -> Any:  # noqa: ANN401 - it never returns
        raise error

    return work
