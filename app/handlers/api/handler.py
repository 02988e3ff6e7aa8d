"""The typed handler that answers HTTP.

class GetRide(ApiLambdaHandler[RideRequest, Ride]):
    \"\"\"Finds a ride.\"\"\"

    route, method = "/rides/<ride_id>", "GET"

    def handle(self, request: RideRequest, invocation: Invocation) -> Ride: ...

lambda_handler = LambdaAdapter(lambda: Api([GetRide], settings))
"""

from __future__ import annotations

from typing import ClassVar

from app.handlers.base import LambdaHandler, Request, Response


class ApiLambdaHandler(LambdaHandler[Request, Response]):
    """A typed handler with a route; it answers direct invocations too, whose request is one JSON value.

    Attributes:
        route: The path, with fields of the request as `<name>`: `/rides/<ride_id>`. A segment is a word or a field.
        method: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`. The body of a GET or DELETE is not read.
        status: The status of a success; a response of None is 204.
        scope: The scope that the caller's token needs; empty where any known caller will do.
        max_body_bytes: The largest body that is read; more is 413. Lambda takes 6 MB in one synchronous call, event and
            all (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
    """

    route: ClassVar[str]
    method: ClassVar[str] = "POST"
    status: ClassVar[int] = 200
    scope: ClassVar[str] = ""
    max_body_bytes: ClassVar[int] = 6 * 1024 * 1024
