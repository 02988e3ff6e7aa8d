"""The typed handler that answers HTTP.

class GetRide(ApiLambdaHandler[RideRequest, Ride]):
    \"\"\"Finds a ride.\"\"\"

    route = "/rides/<ride_id>"
    method = "GET"

    def handle(self, request: RideRequest, invocation: Invocation) -> Ride: ...

lambda_handler = LambdaAdapter(Api([GetRide], settings))
"""

from __future__ import annotations

from typing import ClassVar

from app.handlers.base import LambdaHandler, Request, Response

MAX_BODY_BYTES = 6 * 1024 * 1024
"""What Lambda takes in one synchronous call, event and all:
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


class ApiLambdaHandler(LambdaHandler[Request, Response]):
    """A typed handler with a route.

    With a `msgspec.Struct` as its request, the fields come from the path, the query and the JSON body together
    (`app.handlers.api.binding`); any other type is the body alone. It may still be called as a Lambda function of its
    own, or from the command line: its request is then one JSON value, as for any other handler.

    Attributes:
        route: The path, with fields of the request as `<name>`: `/rides/<ride_id>`. A segment is a word or a field.
        method: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`. The body of a GET or DELETE is not read.
        status: What a success is answered with; a response of None is 204.
        scope: What the caller's token must allow; empty where any caller that is known will do.
        max_body_bytes: The largest body that is read; more is 413.
    """

    route: ClassVar[str]
    method: ClassVar[str] = "POST"
    status: ClassVar[int] = 200
    scope: ClassVar[str] = ""
    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES
