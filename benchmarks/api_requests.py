"""Write the workloads' requests as API Gateway's HTTP API sends them to Lambda (payload format 2.0).

The format: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.events import payloads

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/bike/predictions"
ONE, MANY, BAD = "1 record", "100 records", "1 bad record"
REFUSED = range(400, 500)


@dataclass(frozen=True)
class Workload:
    """A request that is repeated.

    Attributes:
        label: Its name in the table.
        path: The file with the event.
        times: Calls in one pass, so that a pass takes milliseconds, which a clock measures well.
    """

    label: str
    path: Path
    times: int


def write_requests(folder: Path, *, quick: bool) -> list[Workload]:
    """Write an event for each workload."""
    records = [json.loads(payload) for payload in itertools.islice(payloads(), 100)]
    bad = {**records[0], "features": {**records[0]["features"], "t1": "warm"}}
    found = []
    for number, (label, body, times) in enumerate(((ONE, records[0], 50), (MANY, records, 10), (BAD, bad, 50))):
        path = folder / f"request-{number}.json"
        path.write_bytes(event_with(json.dumps(body)))
        found.append(Workload(label, path, 1 if quick else times))
    return found


def event_with(body: str) -> bytes:
    """Return an event's bytes, with the headers that AWS and a client such as curl send."""
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": PATH,
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "content-length": str(len(body)),
            "content-type": "application/json",
            "host": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "user-agent": "curl/8.5.0",
            "x-amzn-trace-id": "Root=1-65f0c2a4-0123456789abcdef01234567",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": PATH,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:07:00:00 +0000",
            "timeEpoch": 1795244400000,
        },
        "body": body,
        "isBase64Encoded": False,
    }
    return json.dumps(event, separators=(",", ":")).encode()
